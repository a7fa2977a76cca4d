"""Partitions of usage: a table for each month, made ahead, as the owner of the tables.

Nothing that serves requests waits for it for long. A new table is filled by nobody, so it is made apart and attached, which
locks only the default partition, and that for a moment: what would be searched under the lock is proved beforehand by a
constraint. A lock that is not had soon is asked for again later. A month of which usage lies in the default partition
already stays there: it is read as well from there.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg

from infra.application import Application
from infra.services.progress import Progress
from infra.transaction import Connection, transaction

MONTHS_AHEAD: Final = 13
ATTEMPTS: Final = 20
SECONDS_BETWEEN: Final = 0.5

_LOCK: Final = "SELECT pg_advisory_lock(hashtextextended('purser partitions', 0))"
# No longer does anybody wait behind us, whether for the lock or for what is done under it.
_LIMITS: Final = "SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = '2s'"
_EXISTING: Final = (
    "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'usage_event'::regclass"
)
_IN_DEFAULT: Final = """
SELECT DISTINCT to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY_MM') FROM usage_event_default WHERE occurred_at >= $1"""
_LEFT_OVER: Final = """
SELECT conname FROM pg_constraint WHERE conrelid = 'usage_event_default'::regclass AND conname LIKE 'usage\\_before\\_%'"""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Month:
    """A month of usage, in UTC."""

    year: int
    month: int

    @property
    def key(self) -> str:
        """As the partition's name ends, such as 2026_11."""
        return f"{self.year:04d}_{self.month:02d}"

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def following(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)


@dataclass(frozen=True, slots=True)
class Made:
    """The months that got a partition, those that are left to the default one, and those for which there was no lock."""

    months: tuple[str, ...]
    left: tuple[str, ...]
    waiting: tuple[str, ...]


async def make_ahead(application: Application, at: datetime) -> Progress:
    """Make the partitions of this month and the next 13; counts those that were made. Twice or beside another run is
    harmless."""
    made = await make_partitions(application.url, at)
    return Progress(len(made.months), complete=not made.waiting)


async def make_partitions(url: str, at: datetime) -> Made:
    """As `make_ahead`, by the address of a database whose owner it names."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "purser-partitions"})
    try:
        await connection.execute(_LOCK)
        return await _make(connection, at.astimezone(UTC))
    finally:
        await connection.close()


async def _make(connection: Connection, at: datetime) -> Made:
    existing = {name for (name,) in await connection.fetch(_EXISTING)}
    for (name,) in await connection.fetch(_LEFT_OVER):
        await _try(connection, f'ALTER TABLE usage_event_default DROP CONSTRAINT "{name}"')
    month, months = Month(at.year, at.month), []
    for _ in range(MONTHS_AHEAD + 1):
        if f"usage_event_{month.key}" not in existing:
            months.append(month)
        month = month.following
    if not months:
        return Made((), (), ())
    in_default = {key for (key,) in await connection.fetch(_IN_DEFAULT, months[0].start)}
    left = tuple([month.key for month in months if month.key in in_default])
    if left:
        _log.warning("usage of %s lies in the default partition already, and stays there", ", ".join(left))
    made: list[str] = []
    for month in months:
        if month.key not in in_default:
            if not await _add(connection, month, at):
                break
            made.append(month.key)
    waiting = tuple([month.key for month in months if month.key not in {*left, *made}])
    if waiting:
        _log.warning("there was no lock to make the partitions of %s: the next run tries again", ", ".join(waiting))
    return Made(tuple(made), left, waiting)


async def _add(connection: Connection, month: Month, at: datetime) -> bool:
    """Make one month's table and attach it; False where there was no lock to be had. Until it is attached, no usage of that month can come: it is in the future, so
    a constraint may say so, and the default partition is searched before anybody waits. A month that has begun is searched
    under the lock, which takes long only where a lot was imported, and is given up then."""
    name, start, until = f"usage_event_{month.key}", month.start.isoformat(), month.following.start.isoformat()
    proof = f"usage_before_{month.key}"
    is_ahead = month.start > at
    if is_ahead:
        added = await _try(
            connection,
            f"ALTER TABLE usage_event_default ADD CONSTRAINT {proof} "
            f"CHECK (occurred_at < '{start}' OR occurred_at >= '{until}') NOT VALID",
        )
        if not added:
            return False
        await connection.execute(f"ALTER TABLE usage_event_default VALIDATE CONSTRAINT {proof}")
    made = await _try(
        connection,
        f"CREATE TABLE {name} (LIKE usage_event INCLUDING ALL)",
        # Read through usage_event, whose policies count then: by itself it shows nothing (infra.row_security).
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE usage_event ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{until}')",
    )
    if is_ahead:
        # Left over, it would one day refuse usage: the next run takes it away first.
        await _try(connection, f"ALTER TABLE usage_event_default DROP CONSTRAINT {proof}")
    return made


async def _try(connection: Connection, *statements: str) -> bool:
    """Do it in one transaction as soon as its locks are free; False where they were not for a long time."""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(SECONDS_BETWEEN)
        try:
            async with transaction(connection):
                await connection.execute(_LIMITS)
                for statement in statements:
                    await connection.execute(statement)
        except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, asyncpg.DeadlockDetectedError):
            continue
        except asyncpg.CheckViolationError:
            return False  # usage of that month came in meanwhile
        return True
    return False
