"""Margins of all tenants, from the same exact sums as breakdowns of usage (for operators).

Each tenant is asked on its own, because its days, its cards and what is not rolled up yet are its own; all on one snapshot.
Where the rate card changed what a credit is worth, the span is cut, and each piece is valued by its own card.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import margins
from domain.breakdowns import Dimension, UsageFilter
from domain.ids import NIL
from domain.margins import Group, MarginDimension, Sums, TermsSpan
from domain.rollups import EVERY_QUARTER
from domain.usage import Route
from infra.application import Application
from infra.queries.usage_breakdowns import MOST_ROWS, PIN, Asking, BreakdownRow, TooManyRowsError
from infra.transaction import BEGIN_READING, Connection, transaction

_MONTH_FIRST: Final = (Dimension.MONTH, Dimension.FEATURE, Dimension.PROVIDER, Dimension.ROUTE)
# Days and quarters around the span in every time zone: where neither is, there is no usage.
_SLACK: Final = timedelta(days=2)
_TENANTS: Final = """
SELECT t.id, t.slug, t.name, t.time_zone FROM tenant t
WHERE ($1::uuid IS NULL OR t.id = $1) AND (
    EXISTS (SELECT FROM usage_day u WHERE u.tenant_id = t.id AND u.day >= $2::timestamptz::date AND u.day <= $3::timestamptz::date)
    OR EXISTS (SELECT FROM usage_mark m WHERE m.tenant_id = t.id AND m.quarter >= $2 AND m.quarter <= $3)
    OR EXISTS (SELECT FROM usage_mark m WHERE m.tenant_id = t.id AND m.quarter = $4)
) ORDER BY t.slug"""

# How many tenants are done, and of how many.
Show = Callable[[int, int], None]


class Period(NamedTuple):
    """Which usage: start <= occurred at < end, of one tenant or (None) of all."""

    start: datetime
    end: datetime
    tenant_id: UUID | None = None


class Only(NamedTuple):
    """Of each field that names any, one of those."""

    feature: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()


EVERYTHING: Final = Only()


class Cell(NamedTuple):
    """What everything is added up from. `tenant` is a slug."""

    tenant: str
    month: str | None
    feature: str | None
    provider: str | None


class Key(NamedTuple):
    """One dimension's value in a line; None: the usage named none. `name`: of a tenant."""

    dimension: MarginDimension
    value: str | None
    name: str | None = None


class Line(NamedTuple):
    """The sums of one combination of keys."""

    keys: tuple[Key, ...]
    sums: Sums


@dataclass(slots=True)
class OnOurKeys:
    """Calls on our keys: those that somebody has to pay for (`managed`), and those that are free on the card."""

    events: int = 0
    calls: int = 0
    cost: int = 0
    unpriced: int = 0

    def add(self, row: BreakdownRow) -> None:
        """Count a group."""
        self.events += row.totals.events
        self.calls += row.totals.calls
        self.cost += row.totals.cost
        self.unpriced += row.totals.unpriced


@dataclass(slots=True)
class Cells:
    """All of a span at the finest grain, and how tenants are called."""

    sums: dict[Cell, Sums] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    managed: OnOurKeys = field(default_factory=OnOurKeys)
    free: OnOurKeys = field(default_factory=OnOurKeys)

    def count(self, row: BreakdownRow, providers: Sequence[str]) -> None:
        """Count what ran on our keys at these providers, or (none named) at any."""
        _, _, provider, route = [key.value for key in row.keys]
        if not providers or provider in providers:
            if route == Route.MANAGED:
                self.managed.add(row)
            elif route == Route.FREE:
                self.free.add(row)


@dataclass(frozen=True, slots=True)
class Margins:
    """Lines, the worst first; `total` covers all of the filter, shown or not."""

    lines: tuple[Line, ...]
    total: Sums
    target: int
    as_of: datetime


async def of(
    application: Application,
    period: Period,
    group_by: Sequence[MarginDimension],
    *,
    only: Only = EVERYTHING,
    target: int = margins.TARGET,
    top: int = 100,
    only_flagged: bool = False,
) -> Margins:
    """The margins of a span by these dimensions: the `top` lines that lack most to what they should bring in. `target`:
    hundredths of a percent. Raises TooManyRowsError where one tenant has too many features and providers."""
    async with (
        application.reports.turn(NIL),
        application.across_tenants.acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        cells = await read(application, connection, period, target, only=only)
    found = lines(cells, group_by)
    shown = [line for line in found if line.sums.flag is not None] if only_flagged else found
    return Margins(tuple(shown[:top]), margins.total(cells.sums.values()), target, application.clock())


async def read(
    application: Application,
    connection: Connection,
    period: Period,
    target: int,
    *,
    only: Only = EVERYTHING,
    show: Show | None = None,
) -> Cells:
    """The cells of a span, on the snapshot of the connection's transaction."""
    await connection.execute(PIN)
    await application.catalogs.load(connection)
    catalog = application.catalog
    tenants = await connection.fetch(
        _TENANTS, period.tenant_id, period.start - _SLACK, period.end + _SLACK, EVERY_QUARTER
    )
    cells = Cells()
    for number, (tenant_id, slug, name, zone) in enumerate(tenants):
        if show is not None:
            show(number, len(tenants))
        cells.names[slug] = name
        asking = Asking(connection, tenant_id, ZoneInfo(zone))
        for span in margins.terms_between(catalog.for_tenant(tenant_id).rate_cards, period.start, period.end):
            await _read_span(asking, span, only, target, cells, slug)
    return cells


def lines(cells: Cells, group_by: Sequence[MarginDimension]) -> list[Line]:
    """The cells by these dimensions: what lacks most to what it should bring in first, then what costs most."""
    places = [Cell._fields.index(dimension.value.lower()) for dimension in group_by]
    grouped: defaultdict[tuple[str | None, ...], Sums] = defaultdict(Sums)
    for cell, sums in cells.sums.items():
        values = tuple([cell[place] for place in places])
        grouped[values] = margins.add(grouped[values], sums)
    found = [Line(_keys(group_by, values, cells.names), sums) for values, sums in grouped.items()]
    return sorted(found, key=_worst_first)


def _worst_first(line: Line) -> tuple[object, ...]:
    lacking = max(line.sums.least, line.sums.cost if line.sums.least else 0) - line.sums.revenue
    names = tuple([(key.value is None, key.value or "") for key in line.keys])
    return (line.sums.flag is None, -lacking if line.sums.flag else 0, -line.sums.cost, -line.sums.revenue, names)


def _keys(
    group_by: Sequence[MarginDimension], values: Iterable[str | None], names: Mapping[str, str]
) -> tuple[Key, ...]:
    return tuple(
        [
            Key(dimension, value, names[value] if dimension is MarginDimension.TENANT and value is not None else None)
            for dimension, value in zip(group_by, values, strict=True)
        ]
    )


async def _read_span(asking: Asking, span: TermsSpan, only: Only, target: int, cells: Cells, slug: str) -> None:
    """Add the usage of one tenant under the same terms."""
    usage = UsageFilter(span.start, span.end, feature=only.feature)
    try:
        rows = await asking.rows(usage, _MONTH_FIRST, MOST_ROWS)
    except TooManyRowsError:
        raise TooManyRowsError(
            f"tenant {slug} has more than {MOST_ROWS} features and providers: ask for a shorter span, or for some features"
        ) from None
    for row in rows:
        cells.count(row, only.provider)
    # Providers are left out only once each has its part of what was charged.
    for month, of_month in groupby(rows, key=_month):
        found = margins.by_place([_group(row) for row in of_month], span.terms, target)
        for (feature, provider), sums in found.items():
            if not only.provider or provider in only.provider:
                cell = Cell(slug, month, feature, provider)
                cells.sums[cell] = margins.add(cells.sums.get(cell, Sums()), sums)


def _month(row: BreakdownRow) -> str | None:
    return row.keys[0].value


def _group(row: BreakdownRow) -> Group:
    _, feature, provider, route = [key.value for key in row.keys]
    assert route is not None, "every row of usage has a route"
    totals = row.totals
    return Group(
        feature,
        provider,
        Route(route),
        totals.credits_charged,
        totals.usd_charged,
        totals.cost,
        totals.events,
        totals.unpriced,
    )
