"""Spending: a tenant's month against its cap, and that of all tenants for operators."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain import budgets, spending
from domain.periods import Cycle, month_key, month_span
from infra.application import Application
from infra.months import months_by_zone
from infra.queries import tenants
from infra.queries.tenants import TenantView, zone_of

_OF_MONTH: Final = """
SELECT coalesce(c.spent, 0), coalesce(c.held, 0), b.cap
FROM tenant t
LEFT JOIN budget_counter c ON c.tenant_id = t.id AND c.scope = 'TENANT' AND c.scope_id = '' AND c.period_key = $2
LEFT JOIN budget b ON b.tenant_id = t.id AND b.scope = 'TENANT' AND b.scope_id = '' AND b.period = 'MONTH'
WHERE t.id = $1"""
# Each tenant's month is that of its own time zone.
_OF_TENANTS: Final = """
SELECT t.id, t.slug, month.key, coalesce(c.spent, 0) AS spent, coalesce(c.held, 0), b.cap
FROM tenant t
JOIN unnest($1::text[], $2::text[]) AS month (time_zone, key) ON month.time_zone = t.time_zone
LEFT JOIN budget_counter c ON c.tenant_id = t.id AND c.scope = 'TENANT' AND c.scope_id = '' AND c.period_key = month.key
LEFT JOIN budget b ON b.tenant_id = t.id AND b.scope = 'TENANT' AND b.scope_id = '' AND b.period = 'MONTH'
WHERE ($3::bigint IS NULL OR coalesce(c.spent, 0) < $3 OR coalesce(c.spent, 0) = $3 AND t.slug > $4)
    AND strpos(lower(t.slug || chr(10) || t.name), lower($5)) > 0
ORDER BY spent DESC, t.slug LIMIT $6"""


@dataclass(frozen=True, slots=True)
class Spending:
    """What a tenant has spent and holds in a month ("2026-11") with its span, in nano-dollars; the cap that is in force now (None: no
    cap); where the running month ends if it goes on like this (None for any other, and in its first hour)."""

    month: str
    span: Cycle
    spent: int
    held: int
    cap: int | None
    projected: int | None = None

    @property
    def used_percent(self) -> int | None:
        """Hundredths of a percent of the cap; None without one."""
        return None if self.cap is None else budgets.used_percent(self.spent, self.cap)


@dataclass(frozen=True, slots=True)
class TenantSpending:
    """A tenant with what it has spent in its present month."""

    tenant: TenantView
    spending: Spending


@dataclass(frozen=True, slots=True)
class TenantSpendingPage:
    """Some tenants by what they spent, and whether there are others after them (next) and before them (previous)."""

    tenants: tuple[TenantSpending, ...]
    has_next: bool
    has_previous: bool


async def of_month(application: Application, tenant_id: UUID, month: str | None) -> Spending:
    """A tenant's month against its cap. `month` None: the present one."""
    zone = await zone_of(application, tenant_id)
    now = application.clock()
    shown = month or month_key(now, zone)
    ((spent, held, cap),) = await application.readers.of(tenant_id).fetch(_OF_MONTH, tenant_id, shown)
    span = month_span(shown, zone)
    return Spending(shown, span, spent, held, cap, spending.projected(spent, span, now))


async def page(application: Application, first: int, after: tuple[int, str] | None, search: str) -> TenantSpendingPage:
    """The tenants that spent most in their present month, after this place (spent, slug); of those alone whose slug or
    name holds `search` (empty: all), in whatever case. For operators: it looks at all tenants."""
    async with application.across_tenants.acquire() as connection:
        months = await months_by_zone(connection, application.clock())
        rows = await connection.fetch(_OF_TENANTS, *months, *(after or (None, "")), search, first + 1)
    views = await tenants.of_ids(application, [row[0] for row in rows[:first]])
    found = [
        TenantSpending(
            views[tenant_id], Spending(month, month_span(month, views[tenant_id].tenant.zone), spent, held, cap)
        )
        for tenant_id, _, month, spent, held, cap in rows[:first]
    ]
    return TenantSpendingPage(tuple(found), len(rows) > first, after is not None)
