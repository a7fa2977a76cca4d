"""Rollups: the sums of marked hours and days are made anew from the usage itself (docs/decisions/0009).

One local day of one tenant is one transaction on one snapshot: the marked hours are summed, then, where nothing of the day
is left to do, the day; and exactly the marks that the snapshot shows are taken away. Usage that commits meanwhile leaves a
mark that the snapshot does not show, so it is summed the next time. Of two runs at once one leaves the tenant to the
other. So it may run at any time, twice, in several processes, and be killed anywhere.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from domain import rollups
from domain.ids import NIL
from domain.rollups import EVERY_QUARTER, QUARTER, Day, Span
from infra.application import Application
from infra.services.progress import Progress
from infra.transaction import Connection, transaction
from infra.usage_sums import (
    ALONE_COLUMNS,
    AMENDMENT_MEASURES,
    EVENT_MEASURES,
    MARKED_QUARTERS,
    MEASURES,
    TOGETHER_COLUMNS,
)

BEGIN_REPEATABLE_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_DIMENSIONS: Final = ", ".join(TOGETHER_COLUMNS)
_ALONE_DIMENSIONS: Final = ", ".join(ALONE_COLUMNS)
_MEASURES: Final = ", ".join(MEASURES)
_SUMS: Final = ", ".join(f"sum({measure})" for measure in MEASURES)
# Skips from one value to the next: its cost does not grow with how many marks are alike.
_MARKED_TENANTS: Final = """
WITH RECURSIVE marked AS (
    (SELECT tenant_id FROM usage_mark WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM usage_mark WHERE tenant_id > marked.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM marked WHERE marked.tenant_id IS NOT NULL
)
SELECT tenant_id FROM marked WHERE tenant_id IS NOT NULL LIMIT $2"""
_FIRST_MARK: Final = """
SELECT quarter FROM usage_mark WHERE tenant_id = $1 AND quarter > $2 AND quarter < $3 ORDER BY quarter LIMIT 1"""
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"
_ZONE: Final = "SELECT time_zone FROM tenant WHERE id = $1"
_REMOVE_MARKS: Final = "DELETE FROM usage_mark WHERE tenant_id = $1 AND quarter = ANY($2::timestamptz[])"
_REMOVE_HOURS: Final = "DELETE FROM usage_hour WHERE tenant_id = $1 AND hour = ANY($2::timestamptz[])"
_REMOVE_DAY: Final = "DELETE FROM usage_day WHERE tenant_id = $1 AND day = $2"
_REMOVE_DAY_ALONE: Final = """
DELETE FROM usage_day_alone WHERE tenant_id = $1 AND dimension IN ('ACCOUNT', 'RESEARCH', 'TAG') AND day = $2"""
_SPAN: Final = "u.tenant_id = $1 AND u.occurred_at >= span.start AND u.occurred_at < span.until"
_SUM_HOURS: Final = f"""
INSERT INTO usage_hour (tenant_id, hour, {_DIMENSIONS}, {_MEASURES})
SELECT $1, hour, {_DIMENSIONS}, {_SUMS} FROM (
    SELECT span.start AS hour, {_DIMENSIONS}, {EVENT_MEASURES}
    FROM unnest($2::timestamptz[], $3::timestamptz[]) AS span (start, until) JOIN usage_event u ON {_SPAN}
    UNION ALL
    SELECT span.start AS hour, {_DIMENSIONS}, {AMENDMENT_MEASURES}
    FROM unnest($2::timestamptz[], $3::timestamptz[]) AS span (start, until) JOIN usage_amendment u ON {_SPAN}
) AS usage GROUP BY hour, {_DIMENSIONS}"""
_SUM_DAY: Final = f"""
INSERT INTO usage_day (tenant_id, day, {_DIMENSIONS}, {_MEASURES})
SELECT $1, $2, {_DIMENSIONS}, {_SUMS} FROM usage_hour u
WHERE tenant_id = $1 AND hour = ANY($3::timestamptz[]) GROUP BY {_DIMENSIONS}"""


def _sum_day_alone() -> str:
    def part(table: str, measures: str) -> str:
        return f"""
    SELECT own.dimension, own.value, {_ALONE_DIMENSIONS}, {measures} FROM {table} u
    CROSS JOIN LATERAL (
        SELECT 'ACCOUNT' AS dimension, u.account AS value UNION ALL SELECT 'RESEARCH', u.research UNION ALL
        SELECT 'TAG', tag.key || '=' || tag.value FROM (SELECT) AS once LEFT JOIN jsonb_each_text(u.tags) AS tag ON true
    ) AS own WHERE u.tenant_id = $1 AND u.occurred_at >= $3 AND u.occurred_at < $4"""

    return f"""
INSERT INTO usage_day_alone (tenant_id, day, dimension, value, {_ALONE_DIMENSIONS}, {_MEASURES})
SELECT $1, $2, dimension, value, {_ALONE_DIMENSIONS}, {_SUMS} FROM (
{part("usage_event", EVENT_MEASURES)}
    UNION ALL
{part("usage_amendment", AMENDMENT_MEASURES)}
) AS usage GROUP BY dimension, value, {_ALONE_DIMENSIONS}"""


_SUM_DAY_ALONE: Final = _sum_day_alone()
_FORGET: Final = tuple(
    f"DELETE FROM {table} WHERE tenant_id = $1" for table in ("usage_hour", "usage_day", "usage_day_alone")
)
# Every quarter that holds any usage, found by skipping from one to the next.
_MARK_ALL: Final = """
WITH RECURSIVE used AS (
    SELECT (SELECT min(first) FROM (
        SELECT min(occurred_at) AS first FROM usage_event WHERE tenant_id = $1
        UNION ALL SELECT min(occurred_at) FROM usage_amendment WHERE tenant_id = $1) AS firsts) AS at
    UNION ALL
    SELECT (SELECT min(first) FROM (
        SELECT min(occurred_at) AS first FROM usage_event
        WHERE tenant_id = $1 AND occurred_at >= date_bin('15 minutes', used.at, 'epoch') + interval '15 minutes'
        UNION ALL SELECT min(occurred_at) FROM usage_amendment
        WHERE tenant_id = $1 AND occurred_at >= date_bin('15 minutes', used.at, 'epoch') + interval '15 minutes') AS firsts)
    FROM used WHERE used.at IS NOT NULL
)
INSERT INTO usage_mark (tenant_id, quarter) SELECT $1, date_bin('15 minutes', at, 'epoch') FROM used WHERE at IS NOT NULL"""
TENANTS_AT_ONCE: Final = 100


async def roll_up(application: Application, at: datetime, stop_at: datetime | None = None) -> Progress:
    """Sum all marked hours that are over at this time. Answers how many days of tenants it dealt with; not complete: time
    ran out, or another run is at one of the tenants."""
    done, complete, after = 0, True, NIL
    while True:
        tenants = await application.across_tenants.fetch(_MARKED_TENANTS, after, TENANTS_AT_ONCE)
        if not tenants:
            return Progress(done, complete)
        for (tenant_id,) in tenants:
            async with application.writers.acquire() as connection, _alone(connection, tenant_id) as alone:
                complete = complete and alone
                reached = EVERY_QUARTER - QUARTER
                while alone and (mark := await connection.fetchval(_FIRST_MARK, tenant_id, reached, at)) is not None:
                    if stop_at is not None and application.clock() >= stop_at:
                        return Progress(done, complete=False)
                    reached = await _sum(connection, tenant_id, mark, at)
                    done += 1
            after = tenant_id


@asynccontextmanager
async def _alone(connection: Connection, tenant_id: UUID) -> AsyncIterator[bool]:
    """Whether nobody else rolls up this tenant. The lock is taken before the snapshot, so that the snapshot shows all that
    the one before did."""
    key = f"purser roll-up {tenant_id}"
    locked: bool = await connection.fetchval(_LOCK, key)
    try:
        yield locked
    finally:
        # A connection that was terminated has given the lock back, and answers this instead.
        with suppress(asyncpg.InterfaceError):
            if locked:
                await connection.execute(_UNLOCK, key)


async def _sum(connection: Connection, tenant_id: UUID, mark: datetime, at: datetime) -> datetime:
    """Sum the day of a mark; answers up to where nothing is left to do."""
    async with transaction(connection, BEGIN_REPEATABLE_READ):
        if mark == EVERY_QUARTER:
            await _mark_all(connection, tenant_id)
            return mark
        zone = ZoneInfo(await connection.fetchval(_ZONE, tenant_id))
        day = rollups.day_of(mark, zone)
        marked = {row[0] for row in await connection.fetch(MARKED_QUARTERS, tenant_id, day.start, day.end)}
        hours = list(rollups.hours_of(day, zone))
        over = [hour for hour in hours if hour.end <= at and rollups.is_marked(hour, marked)]
        await _sum_hours(connection, tenant_id, over)
        if over and marked.issubset(quarter for hour in over for quarter in _quarters(hour)):
            await _sum_day(connection, tenant_id, day, hours)
        return day.end - QUARTER


async def _mark_all(connection: Connection, tenant_id: UUID) -> None:
    for statement in _FORGET:
        await connection.execute(statement, tenant_id)
    await connection.execute(_REMOVE_MARKS, tenant_id, [EVERY_QUARTER])
    await connection.execute(_MARK_ALL, tenant_id)


async def _sum_hours(connection: Connection, tenant_id: UUID, hours: list[Span]) -> None:
    starts = [hour.start for hour in hours]
    quarters = [quarter for hour in hours for quarter in _quarters(hour)]
    await connection.execute(_REMOVE_MARKS, tenant_id, quarters)
    await connection.execute(_REMOVE_HOURS, tenant_id, starts)
    await connection.execute(_SUM_HOURS, tenant_id, starts, [hour.end for hour in hours])


async def _sum_day(connection: Connection, tenant_id: UUID, day: Day, hours: list[Span]) -> None:
    await connection.execute(_REMOVE_DAY, tenant_id, day.day)
    await connection.execute(_REMOVE_DAY_ALONE, tenant_id, day.day)
    await connection.execute(_SUM_DAY, tenant_id, day.day, [hour.start for hour in hours])
    await connection.execute(_SUM_DAY_ALONE, tenant_id, day.day, day.start, day.end)


def _quarters(hour: Span) -> list[datetime]:
    return [hour.start + QUARTER * number for number in range((hour.end - hour.start) // QUARTER)]
