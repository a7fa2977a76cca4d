"""The feed: what is new, told to whoever follows it.

A commit sends a hint: NOTIFY with a tenant's id and nothing else. One connection per process hears all of them and reads
what is new, in one statement for all tenants that were hinted at since the last one, however many follow each. Hints
may be lost: every few seconds, and over every new connection, all topics look by themselves. What a topic has seen
outlives the connection, so a restart of the database costs time and no news.

Nothing runs before the first follower, so a process that nobody follows (a Lambda) keeps no connection for this.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Self, TypeVar
from uuid import UUID

import asyncpg
from typing_extensions import override

SECONDS_BETWEEN_LOOKS: Final = 10.0
SECONDS_TO_RECONNECT: Final = 1.0
SECONDS_TO_LOOK: Final = 30.0
LARGEST_LOOK: Final = 500
MOST_KEPT: Final = 10_000

Item = TypeVar("Item")
Connect = Callable[[], Awaitable[asyncpg.Connection]]

_log: Final = logging.getLogger(__name__)


class FellBehindError(Exception):
    """A follower took so little that what it misses is no longer kept: it must read the whole and follow anew."""


class Topic(ABC, Generic[Item]):
    """News of one kind and one tenant. Followers share what is kept of it: what none of them has taken yet, at most
    MOST_KEPT pieces. `channel` is where its hints come.
    """

    channel: ClassVar[str]

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.followers: set[Follower[Item]] = set()
        self.changed = asyncio.Event()
        self._kept: list[Item] = []
        self._first = 0  # the number of the first piece that is kept

    @classmethod
    @abstractmethod
    async def look(cls, connection: asyncpg.Connection, topics: Sequence[Self], now: datetime) -> None:
        """Tell each topic what is new since its last look. In the first look of a topic nothing is."""

    @property
    def end(self) -> int:
        """The number of the next piece."""
        return self._first + len(self._kept)

    def tell(self, items: Sequence[Item]) -> None:
        """Hand on what is new, in its order."""
        if not items:
            return
        self._kept.extend(items)
        needed = min((follower.place for follower in self.followers if follower.place is not None), default=self.end)
        self._forget_before(max(needed, self.end - MOST_KEPT))
        self._wake()

    def lose(self) -> None:
        """Something new may have been missed: whoever follows has fallen behind."""
        self._forget_before(self.end)
        self._first += 1
        self._wake()

    def at(self, place: int) -> Item:
        """The piece of a number before `end`. Raises FellBehindError where it is no longer kept."""
        if place < self._first:
            raise FellBehindError
        return self._kept[place - self._first]

    def _forget_before(self, place: int) -> None:
        if place > self._first:
            del self._kept[: place - self._first]
            self._first = place

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Follower(AsyncIterator[Item]):
    """One who follows a topic, and iterates over what is new: everything that was committed after it began, each piece
    once. Raises FellBehindError where it took too little for too long. `leave` it at the end.
    """

    def __init__(self, topic: Topic[Item]) -> None:
        self._topic = topic
        self.place: int | None = None  # the number of the next piece to take; None: has not begun
        self.begun = asyncio.Event()
        topic.followers.add(self)

    def begin(self) -> None:
        """From here on everything is news."""
        self.place = self._topic.end
        self.begun.set()

    @override
    async def __anext__(self) -> Item:
        assert self.place is not None, "it has begun"
        while self.place == self._topic.end:
            await self._topic.changed.wait()
        item = self._topic.at(self.place)
        self.place += 1
        return item

    def leave(self) -> None:
        """Follow no more."""
        self._topic.followers.discard(self)


class Feed:
    """All topics of a process. `connect` opens the connection that belongs to the feed alone."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._connect = connect
        self._clock = clock
        self._topics: dict[tuple[str, UUID], Topic[Any]] = {}
        self._woken: set[Topic[Any]] = set()
        self._awake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def follow(self, kind: type[Topic[Item]], tenant_id: UUID) -> Follower[Item]:
        """Follow what is new of a tenant, from the moment at which this returns at the latest. While the database does
        not answer, this waits."""
        topic = self._topics.setdefault((kind.channel, tenant_id), kind(tenant_id))
        follower = Follower(topic)
        self._wake(topic)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        try:
            await follower.begun.wait()
        except BaseException:
            follower.leave()
            raise
        return follower

    async def close(self) -> None:
        """Tell nobody anything any more."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("the feed lost its connection and makes another: %s", repr(error))
            except Exception:  # noqa: BLE001  # nobody awaits it; a new connection starts afresh
                _log.exception("the feed failed and starts again")
            await asyncio.sleep(SECONDS_TO_RECONNECT)

    async def _listen(self) -> None:
        """Look whenever there is a reason to, until the connection fails."""
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: self._awake.set())
            heard: set[str] = set()
            now = asyncio.get_running_loop().time
            look_at_all = now()
            while not connection.is_closed():
                if now() >= look_at_all:
                    self._woken.update(self._topics.values())
                    look_at_all = now() + SECONDS_BETWEEN_LOOKS
                async with asyncio.timeout(SECONDS_TO_LOOK):
                    await self._look(connection, heard)
                if not self._woken and not connection.is_closed():
                    self._awake.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(look_at_all):
                            await self._awake.wait()
            raise ConnectionError("it was closed")
        finally:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection, heard: set[str]) -> None:
        woken, self._woken = self._woken, set()
        kinds: dict[type[Topic[Any]], list[Topic[Any]]] = {}
        for topic in woken:
            if topic.followers:
                kinds.setdefault(type(topic), []).append(topic)
            else:
                self._topics.pop((topic.channel, topic.tenant_id), None)
        for kind, topics in kinds.items():
            if kind.channel not in heard:
                # Before the first look: what is committed after it is hinted at.
                await connection.add_listener(kind.channel, self._hear)
                heard.add(kind.channel)
            for start in range(0, len(topics), LARGEST_LOOK):
                await self._look_at(connection, kind, topics[start : start + LARGEST_LOOK])

    async def _look_at(
        self, connection: asyncpg.Connection, kind: type[Topic[Any]], topics: Sequence[Topic[Any]]
    ) -> None:
        beginning = [follower for topic in topics for follower in topic.followers if follower.place is None]
        await kind.look(connection, topics, self._clock())
        for follower in beginning:
            follower.begin()

    def _hear(self, _connection: object, _process: int, channel: str, hint: object) -> None:
        try:
            topic = self._topics.get((channel, UUID(str(hint))))
        except ValueError:
            _log.warning("a hint on %s is no tenant's id", channel)
            return
        if topic is not None:
            self._wake(topic)

    def _wake(self, topic: Topic[Any]) -> None:
        self._woken.add(topic)
        self._awake.set()
