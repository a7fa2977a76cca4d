"""FOCUS rows of a tenant's month, out of the rollups: as exact and as current as a breakdown of the same month."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import focus, ids
from domain.breakdowns import Dimension, UsageFilter
from domain.focus import Account, DayOfUsage, Named, Period
from domain.periods import month_span
from domain.rollups import day_named
from domain.usage import Route, UsageKind
from infra.application import Application
from infra.queries.usage_breakdowns import PIN, Asking, BreakdownRow
from infra.transaction import BEGIN_READING, transaction

# Groups whose rows are made without letting others have their turn: a few milliseconds' worth.
GROUPS_AT_ONCE: Final = 25
_DIMENSIONS: Final = (
    Dimension.DAY,
    Dimension.KIND,
    Dimension.ROUTE,
    Dimension.PROVIDER,
    Dimension.MODEL,
    Dimension.OPERATION,
    Dimension.FEATURE,
    Dimension.AGENT_ROLE,
    Dimension.CAMPAIGN,
    Dimension.CLIENT,
    Dimension.PROJECT,
)
_TENANT: Final = "SELECT name, time_zone FROM tenant WHERE id = $1"


async def rows_of_month(
    application: Application, tenant_id: UUID, month: str
) -> AsyncGenerator[list[tuple[str, ...]], None]:
    """The rows of a month such as "2026-11" in the order of their days, in short lists. One snapshot is read, which lasts
    until the last list is taken."""
    providers = {each.slug: each.name for each in application.catalog.providers_at(application.clock())}
    async with (
        application.reports.turn(tenant_id),
        application.readers.of(tenant_id).acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        await connection.execute(PIN)
        tenant = await connection.fetchrow(_TENANT, tenant_id)
        assert tenant is not None, "callers have a tenant"
        account, zone = Account(ids.public("tenant", tenant_id), tenant["name"]), ZoneInfo(tenant["time_zone"])
        span = month_span(month, zone)
        asking = Asking(connection, tenant_id, zone)
        groups = asking.all_rows(UsageFilter(span.start, span.end), _DIMENSIONS, GROUPS_AT_ONCE)
        async with aclosing(groups):
            async for some in groups:
                made: list[tuple[str, ...]] = []
                for row in some:
                    day, usage = _read(row)
                    local = day_named(day, zone)
                    period = Period(span.start, span.end, local.start, local.end)
                    made.extend(focus.rows(account, period, usage, providers))
                yield made


def _read(row: BreakdownRow) -> tuple[date, DayOfUsage]:
    day, kind, route, provider, model, operation, feature, *named = row.keys
    assert day.value is not None, "usage has a time"
    assert route.value is not None, "usage has a route"
    return date.fromisoformat(day.value), DayOfUsage(
        row.totals,
        None if kind.value is None else UsageKind(kind.value),
        Route(route.value),
        provider.value,
        model.value,
        operation.value,
        feature.value,
        *[Named(key.value, key.name) for key in named],
    )
