"""Breakdowns of usage: exact at every moment, and as fast as the rollups are few.

Marks, rollups and raw rows are read on one snapshot: whole days and hours from the rollups, marked ones and the span's cut
ends from the usage itself (domain/rollups.py). Zones are reckoned in Python alone, so that one table of them decides.
"""

from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from domain import rollups
from domain.breakdowns import Dimension, UsageFilter, UsageTotals, previous_span
from domain.rollups import EVERY_QUARTER, Reading
from infra.application import Application
from infra.breakdown_statements import TIMES, TOGETHER, Statement, known_alone
from infra.transaction import BEGIN_READING, Connection, transaction
from infra.usage_sums import (
    MARKED_QUARTERS,
    MEASURES,
)

MOST_ROWS: Final = 5_000

# Customers name their own ids; kinds of `scope`.
_NAMED: Final = {
    Dimension.AGENT_ROLE: "AGENT",
    Dimension.CAMPAIGN: "CAMPAIGN",
    Dimension.CLIENT: "CLIENT",
    Dimension.PROJECT: "PROJECT",
    Dimension.ACCOUNT: "ACCOUNT",
}
_ZONE: Final = "SELECT time_zone FROM tenant WHERE id = $1"
_EVERYTHING_MARKED: Final = "SELECT EXISTS (SELECT FROM usage_mark WHERE tenant_id = $1 AND quarter = $2)"
# Plans must not follow statistics that do not know of this hour's rows; and only a plan for the spans that are asked knows
# which partitions to leave out.
PIN: Final = "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_custom_plan"
_NAMES: Final = """
SELECT s.kind, s.id, s.name FROM unnest($2::text[], $3::text[]) AS asked (kind, id)
JOIN scope s ON s.tenant_id = $1 AND s.kind = asked.kind AND s.id = asked.id WHERE s.name IS NOT NULL"""
_SUMS: Final = ", ".join(f"sum({measure}) AS {measure}" for measure in MEASURES)


class TooManyRowsError(ValueError):
    """The answer would be too long; the message says what to do."""


class Key(NamedTuple):
    """One dimension's value in a row; None: the usage named none. `name`: what the customer calls it."""

    dimension: Dimension
    value: str | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """The sums of one combination of keys; `previous`: of the same keys in the period before, where that was asked."""

    keys: tuple[Key, ...]
    totals: UsageTotals
    previous: UsageTotals | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Rows by time, then by cost; `total` and `previous` cover all usage of the filter, also what no row shows."""

    rows: tuple[BreakdownRow, ...]
    total: UsageTotals
    as_of: datetime
    previous: UsageTotals | None = None
    previous_start: datetime | None = None
    previous_end: datetime | None = None


async def usage_breakdown(
    application: Application,
    tenant_id: UUID,
    wanted: UsageFilter,
    group_by: Sequence[Dimension],
    *,
    top: int = 100,
    compare_previous: bool = False,
) -> Breakdown:
    """Sums of the filtered usage by these dimensions: those `top` groups that cost most, a series with every period of
    theirs. The period before a span of whole months is as many months, else a span of the same length."""
    async with (
        application.reports.turn(tenant_id),
        application.readers.of(tenant_id).acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        await connection.execute(PIN)
        zone = ZoneInfo(await connection.fetchval(_ZONE, tenant_id))
        asking = Asking(connection, tenant_id, zone)
        rows = await asking.rows(wanted, group_by, top)
        total = _added_up(rows) if _show_all(rows, group_by, top) else await asking.total(wanted)
        answer = Breakdown(tuple(rows), total, application.clock())
        if compare_previous:
            start, end = previous_span(wanted.start, wanted.end, zone)
            before = replace(wanted, start=start, end=end)
            previous = await asking.total(before)
            if not group_by:
                rows = [replace(row, previous=previous) for row in rows]
            elif rows and TIMES.isdisjoint(group_by):
                rows = await asking.with_previous(rows, before, group_by)
            answer = replace(answer, rows=tuple(rows), previous=previous, previous_start=start, previous_end=end)
        return replace(answer, rows=tuple(await _named(connection, tenant_id, answer.rows)))


class Asking:
    """Questions of one tenant on one snapshot."""

    def __init__(self, connection: Connection, tenant_id: UUID, zone: tzinfo) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._zone = zone
        self._readings: dict[tuple[datetime, datetime, bool, bool], Reading] = {}

    async def rows(self, wanted: UsageFilter, group_by: Sequence[Dimension], top: int) -> list[BreakdownRow]:
        """The top groups. Without dimensions the total is the only one."""
        if not group_by:
            return [BreakdownRow((), await self.total(wanted))]
        statement = Statement(self._tenant_id, wanted, group_by)
        source = await self._source(statement, wanted, group_by)
        times = [f"k{index}" for index, dimension in enumerate(group_by) if dimension in TIMES]
        others = [f"k{index}" for index, dimension in enumerate(group_by) if dimension not in TIMES]
        keys = ", ".join(f"k{index}" for index in range(len(group_by)))
        weights = ("cost", "credits_charged", "usd_charged", "events")
        together = f"OVER (PARTITION BY {', '.join(others)})" if others else "OVER ()"
        order = ", ".join(f"of_{weight} DESC" for weight in weights)
        rank = f"dense_rank() OVER (ORDER BY {', '.join([order, *others])})"
        sql = f"""
WITH grouped AS (SELECT {keys}, {_SUMS} FROM ({source}) AS source GROUP BY {keys}),
weighed AS (SELECT *, {", ".join(f"sum({weight}) {together} AS of_{weight}" for weight in weights)} FROM grouped),
ranked AS (SELECT *, {rank} AS place FROM weighed)
SELECT {keys}, {", ".join(MEASURES)} FROM ranked WHERE place <= {statement.parameter(top)}
ORDER BY {", ".join([*times, "place"])} LIMIT {MOST_ROWS + 1}"""
        found = await self._connection.fetch(sql, *statement.parameters)
        if len(found) > MOST_ROWS:
            raise TooManyRowsError(
                f"more than {MOST_ROWS} rows: ask for a smaller top, a shorter span or a coarser series (WEEK or MONTH)"
            )
        return [_row(row, group_by) for row in found]

    async def all_rows(
        self, wanted: UsageFilter, group_by: Sequence[Dimension], at_once: int
    ) -> AsyncGenerator[list[BreakdownRow], None]:
        """Every group in the order of its keys, so many at once, named: however many there are, few are held."""
        statement = Statement(self._tenant_id, wanted, group_by)
        source = await self._source(statement, wanted, group_by)
        keys = ", ".join(f"k{index}" for index in range(len(group_by)))
        sql = f"SELECT {keys}, {_SUMS} FROM ({source}) AS source GROUP BY {keys} ORDER BY {keys}"
        cursor = await self._connection.cursor(sql, *statement.parameters)
        while found := await cursor.fetch(at_once):
            rows = [_row(row, group_by) for row in found]
            yield await _named(self._connection, self._tenant_id, rows)

    async def total(self, wanted: UsageFilter) -> UsageTotals:
        """The sums of all that the filter takes."""
        statement = Statement(self._tenant_id, wanted, ())
        source = await self._source(statement, wanted, ())
        row = await self._connection.fetchrow(f"SELECT {_SUMS} FROM ({source}) AS source", *statement.parameters)
        assert row is not None, "a sum is always one row"
        return _totals(tuple(row))

    async def with_previous(
        self, rows: Sequence[BreakdownRow], before: UsageFilter, group_by: Sequence[Dimension]
    ) -> list[BreakdownRow]:
        """The rows with what the same keys were in the period before."""
        statement = Statement(self._tenant_id, before, group_by)
        source = await self._source(statement, before, group_by)
        columns = [[row.keys[index].value for row in rows] for index in range(len(group_by))]
        names = ", ".join(f"k{index}" for index in range(len(group_by)))
        asked = ", ".join(f"{statement.parameter(column)}::text[]" for column in columns)
        same = " AND ".join(f"grouped.k{index} IS NOT DISTINCT FROM asked.k{index}" for index in range(len(group_by)))
        found = await self._connection.fetch(
            f"""
WITH grouped AS (SELECT {names}, {_SUMS} FROM ({source}) AS source GROUP BY {names})
SELECT {", ".join(f"asked.k{index}" for index in range(len(group_by)))}, {", ".join(MEASURES)}
FROM unnest({asked}) AS asked ({names}) JOIN grouped ON {same}""",
            *statement.parameters,
        )
        known = {tuple(row[: len(group_by)]): _totals(row[len(group_by) :]) for row in found}
        return [replace(row, previous=known.get(tuple([key.value for key in row.keys]), UsageTotals())) for row in rows]

    async def _source(self, statement: Statement, wanted: UsageFilter, group_by: Sequence[Dimension]) -> str:
        alone = known_alone(wanted, group_by)
        by_days = alone is not None
        reading = await self._reading(wanted.start, wanted.end, by_hours=alone is TOGETHER, by_days=by_days)
        return statement.source(reading, alone)

    async def _reading(self, start: datetime, end: datetime, *, by_hours: bool, by_days: bool) -> Reading:
        place = (start, end, by_hours, by_days)
        if place not in self._readings:
            marked: list[datetime] = []
            if by_days:
                if await self._connection.fetchval(_EVERYTHING_MARKED, self._tenant_id, EVERY_QUARTER):
                    marked = [EVERY_QUARTER]
                else:
                    rows = await self._connection.fetch(
                        MARKED_QUARTERS,
                        self._tenant_id,
                        rollups.day_of(start, self._zone).start,
                        rollups.day_of(end, self._zone).end,
                    )
                    marked = [quarter for (quarter,) in rows if quarter < end]
            self._readings[place] = rollups.reading(start, end, self._zone, marked, by_hours=by_hours, by_days=by_days)
        return self._readings[place]


def _row(row: asyncpg.Record, group_by: Sequence[Dimension]) -> BreakdownRow:
    keys = tuple([Key(dimension, row[index]) for index, dimension in enumerate(group_by)])
    return BreakdownRow(keys, _totals(row[len(group_by) :]))


def _totals(values: Sequence[Any]) -> UsageTotals:
    return UsageTotals(*[int(value or 0) for value in values])


def _show_all(rows: Sequence[BreakdownRow], group_by: Sequence[Dimension], top: int) -> bool:
    """Whether the rows hold each usage of the filter once: no group was cut off, and none has its usage in two groups."""
    others = [index for index, dimension in enumerate(group_by) if dimension not in TIMES]
    groups = {tuple([row.keys[index] for index in others]) for row in rows}
    return Dimension.TAG not in group_by and len(groups) < top


def _added_up(rows: Sequence[BreakdownRow]) -> UsageTotals:
    return UsageTotals(*[sum(column) for column in zip(*[row.totals for row in rows], strict=True)])


async def _named(connection: Connection, tenant_id: UUID, rows: Sequence[BreakdownRow]) -> list[BreakdownRow]:
    """The rows with the names that the customer gave its ids."""
    asked: AbstractSet[tuple[str, str]] = {
        (_NAMED[key.dimension], key.value)
        for row in rows
        for key in row.keys
        if key.dimension in _NAMED and key.value is not None
    }
    if not asked:
        return list(rows)
    kinds, ids = zip(*asked, strict=True)
    names = {
        (kind, identifier): name for kind, identifier, name in await connection.fetch(_NAMES, tenant_id, kinds, ids)
    }
    return [
        replace(
            row,
            keys=tuple(
                [key._replace(name=names.get((_NAMED.get(key.dimension, ""), key.value or ""))) for key in row.keys]
            ),
        )
        for row in rows
    ]
