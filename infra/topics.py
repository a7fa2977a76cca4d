"""Topics: what is new of one kind and one tenant, and those who follow it.

News is told piece by piece, each once. Of a state only the newest is told: who is slow misses states, and never sees an
older one after a newer one.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Self, TypeVar
from uuid import UUID

import asyncpg
from typing_extensions import override

MOST_KEPT: Final = 10_000
# Followers that are woken between two turns of the loop, so that thousands of them keep nobody else waiting.
WOKEN_AT_ONCE: Final = 50

Item = TypeVar("Item")
Value = TypeVar("Value")
Made = TypeVar("Made")


class FellBehindError(Exception):
    """What a follower misses is no longer kept: it must read the whole and follow anew."""


class Topic(ABC, Generic[Item]):
    """What is new of one kind, one tenant and, where the kind has several of a tenant, one `subject`. `channel` is where
    its hints come; because of these it is looked at once in `seconds_between` at most. `due`: when it changes by itself.
    """

    channel: ClassVar[str]
    seconds_between: ClassVar[float] = 0.0

    def __init__(self, tenant_id: UUID, subject: str = "") -> None:
        self.tenant_id = tenant_id
        self.subject = subject
        self.followers: set[Follower[Item]] = set()
        self.due: datetime | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    @abstractmethod
    async def look(cls, connection: asyncpg.Connection, topics: Sequence[Self], now: datetime) -> None:
        """Tell each topic what is new since its last look."""

    @property
    @abstractmethod
    def end(self) -> int:
        """The number of the next piece."""

    @property
    @abstractmethod
    def beginning(self) -> int:
        """The number of the first piece that is told to who begins now."""

    @abstractmethod
    def take(self, place: int) -> tuple[Item, int]:
        """What comes at a number before `end`, and the number that comes after it. Raises FellBehindError where it is no
        longer kept."""

    async def changed(self) -> None:
        """Wait until there is something new."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def wake(self) -> None:
        """There is something new."""
        waiting, self._waiting = list(self._waiting), set()
        if waiting:
            _wake(waiting, 0)


class News(Topic[Item]):
    """Pieces that are told each once, in their order. Followers share what is kept: what none of them has taken yet, at
    most MOST_KEPT pieces. In the first look nothing is new."""

    def __init__(self, tenant_id: UUID, subject: str = "") -> None:
        super().__init__(tenant_id, subject)
        self._kept: list[Item] = []
        self._first = 0  # the number of the first piece that is kept

    @property
    @override
    def end(self) -> int:
        return self._first + len(self._kept)

    @property
    @override
    def beginning(self) -> int:
        return self.end

    @override
    def take(self, place: int) -> tuple[Item, int]:
        if place < self._first:
            raise FellBehindError
        return self._kept[place - self._first], place + 1

    def tell(self, items: Sequence[Item]) -> None:
        """Hand on what is new, in its order."""
        if not items:
            return
        self._kept.extend(items)
        needed = min((follower.place for follower in self.followers if follower.place is not None), default=self.end)
        self._forget_before(max(needed, self.end - MOST_KEPT))
        self.wake()

    def lose(self) -> None:
        """Something new may have been missed: whoever follows has fallen behind."""
        self._forget_before(self.end)
        self._first += 1
        self.wake()

    def _forget_before(self, place: int) -> None:
        if place > self._first:
            del self._kept[: place - self._first]
            self._first = place


class State(Generic[Value]):
    """A state as it was told. What is made of it is made once, for all who follow."""

    __slots__ = ("_made", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self._made: dict[object, Any] = {}

    def once(self, name: object, make: Callable[[Value], Made]) -> Made:
        """What `make` makes of the value, the first time that this name is asked for."""
        if name not in self._made:
            self._made[name] = make(self.value)
        made: Made = self._made[name]
        return made


class Newest(Topic[State[Value]]):
    """A state that changes: first the present one is told, then the newest, as often as a follower takes it."""

    def __init__(self, tenant_id: UUID, subject: str = "") -> None:
        super().__init__(tenant_id, subject)
        self.state: State[Value] | None = None  # None: there is none
        self._number = 0  # of states until now
        self._first = 0  # the number of the first one that may follow on the one before it

    @property
    @override
    def end(self) -> int:
        return self._number

    @property
    @override
    def beginning(self) -> int:
        return self._number if self.state is None else self._number - 1

    @override
    def take(self, place: int) -> tuple[State[Value], int]:
        if place < self._first:
            raise FellBehindError
        assert self.state is not None, "there is one at every number before the end"
        return self.state, self._number

    def tell(self, value: Value) -> None:
        """This is the state now."""
        self.state = State(value)
        self._number += 1
        self.wake()

    def refresh(self, value: Value) -> None:
        """The state is what it was, seen anew."""
        self.state = State(value)

    def restart(self, value: Value) -> None:
        """This is the state now, and it does not follow on what was told: whoever follows must begin anew."""
        self._number += 1
        self._first = self._number
        self.tell(value)


class Follower(AsyncIterator[Item]):
    """One who follows a topic, and iterates over what is new from where it began. Raises FellBehindError where it cannot
    go on. `leave` it at the end.
    """

    def __init__(self, topic: Topic[Item]) -> None:
        self._topic = topic
        self.place: int | None = None  # the number of the next piece to take; None: has not begun
        self.begun = asyncio.Event()
        topic.followers.add(self)

    def begin(self) -> None:
        """From here on everything is told."""
        self.place = self._topic.beginning
        self.begun.set()

    @property
    def waits(self) -> bool:
        """Whether there is nothing to take now."""
        return self.place == self._topic.end

    @override
    async def __anext__(self) -> Item:
        assert self.place is not None, "it has begun"
        while self.waits:
            await self._topic.changed()
        item, self.place = self._topic.take(self.place)
        return item

    def leave(self) -> None:
        """Follow no more."""
        self._topic.followers.discard(self)


def _wake(waiting: Sequence[asyncio.Future[None]], start: int) -> None:
    """Wake some, and the others in the next turns of the loop."""
    end = start + WOKEN_AT_ONCE
    for future in waiting[start:end]:
        if not future.done():
            future.set_result(None)
    if end < len(waiting):
        asyncio.get_running_loop().call_soon(_wake, waiting, end)
