"""Usage as it is recorded, for whoever watches a tenant's.

A hint says only that there may be something new. It is read when a follower asks for it, once for all of them, and not by
the feed, which others wait for.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import ClassVar, Final, NamedTuple, Self
from uuid import UUID

import asyncpg
from typing_extensions import override

from infra.application import Application
from infra.hints import USAGE
from infra.queries import recent_usage
from infra.queries.recent_usage import RecentUsage
from infra.topics import Follower, Newest, State
from infra.transaction import UNANSWERED

SECONDS_BETWEEN: Final = 0.25
# How many calls are read: the fewest that suffice.
SIZES: Final = (20, 100)

_log: Final = logging.getLogger(__name__)


class Reading(NamedTuple):
    """What was read; `number` grows with each that differs from the one before."""

    number: int
    usage: State[RecentUsage]


class Readings:
    """Reads a tenant's usage, one reading after the other, so that none is older than the one before."""

    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._turn = asyncio.Lock()
        self._last: dict[int, Reading] = {}

    async def read(self, application: Application, size: int) -> Reading | None:
        """The newest calls, so many, and the month; None where the database did not answer."""
        async with self._turn, application.feed.reading:
            try:
                found = await recent_usage.read(application, self._tenant_id, size)
            except UNANSWERED as error:
                _log.warning("usage that is watched is read later: %s", repr(error))
                return None
        last = self._last.get(size)
        number = 0 if last is None else last.number + (not found.says_the_same_as(last.usage.value))
        self._last[size] = Reading(number, State(found))
        return self._last[size]


class Recorded(Newest[Readings]):
    """A tenant's usage: each state says that there may be something new to read."""

    channel: ClassVar[str] = USAGE
    seconds_between: ClassVar[float] = SECONDS_BETWEEN

    def __init__(self, tenant_id: UUID, subject: str = "") -> None:
        super().__init__(tenant_id, subject)
        self._readings = Readings(tenant_id)

    @override
    @classmethod
    async def look(cls, connection: asyncpg.Connection, topics: Sequence[Self], now: datetime) -> None:
        for topic in topics:
            topic.suggest()

    def suggest(self) -> None:
        """There may be something new."""
        self.tell(self._readings)


async def follow_usage(
    application: Application, tenant_id: UUID, first: int
) -> AsyncGenerator[State[RecentUsage], None]:
    """The present usage with at least `first` calls, and then the newest whenever it changes. It has begun when this
    returns."""
    size = next(size for size in SIZES if size >= first)
    return _usage(application, await application.feed.follow(Recorded, tenant_id), size)


async def _usage(
    application: Application, follower: Follower[State[Readings]], size: int
) -> AsyncGenerator[State[RecentUsage], None]:
    told: int | None = None
    try:
        async for state in follower:
            reading = await asyncio.shield(
                state.once(size, lambda readings: asyncio.ensure_future(readings.read(application, size)))
            )
            if reading is not None and reading.number != told:
                told = reading.number
                yield reading.usage
    finally:
        follower.leave()
