"""Budgets with what was spent and held in their newest period, capped or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from domain import budgets
from domain.budgets import (
    Budget,
    BudgetKey,
    BudgetPeriod,
    Counter,
    CounterKey,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
)
from domain.ids import NIL
from domain.periods import month_key
from domain.refusals import BudgetScope
from infra.application import Application
from infra.queries.scopes import is_current
from infra.queries.tenants import zone_of

# `known`: what has a counter or a cap. A capped month without a counter of its own is at zero; an uncapped one shows
# the last month that counted anything. A pause counts while the cap that made it is in force, so that cap comes along.
_BUDGETS: Final = """
WITH counted AS (
    SELECT DISTINCT ON (scope, scope_id, period_key = 'TOTAL') scope, scope_id, period_key, spent, held,
        CASE period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END AS period
    FROM budget_counter
    WHERE tenant_id = $1 AND (period_key = 'TOTAL' OR period_key <= $2) {only_scope}
    ORDER BY scope, scope_id, period_key = 'TOTAL', period_key DESC
), own AS (
    SELECT scope, scope_id, period, cap, thresholds FROM budget WHERE tenant_id = $1 {only_scope}
), known AS (
    SELECT scope, scope_id, period, period_key, spent, held,
        coalesce(own.cap, preset.cap) AS cap, coalesce(own.thresholds, preset.thresholds) AS thresholds,
        own.cap IS NULL AS is_default
    FROM counted FULL JOIN own USING (scope, scope_id, period)
    LEFT JOIN (SELECT * FROM budget WHERE tenant_id = $3) preset USING (scope, scope_id, period)
), current AS (
    SELECT scope, scope_id, period, cap, thresholds, is_default,
        CASE period WHEN 'MONTH' THEN CASE WHEN cap IS NULL THEN period_key ELSE $2 END ELSE period END AS period_key,
        CASE WHEN stale THEN 0 ELSE spent END AS spent, CASE WHEN stale THEN 0 ELSE held END AS held
    FROM (
        SELECT *, period_key IS NULL OR (period = 'MONTH' AND cap IS NOT NULL AND period_key < $2) AS stale FROM known
    ) AS with_staleness
), measured AS (
    SELECT *, CASE WHEN cap > 0 THEN div(spent::numeric * 10000, cap) WHEN cap = 0 THEN 10000 END AS used FROM current
)
SELECT m.scope, m.scope_id, m.period, m.period_key, m.cap, m.thresholds, m.spent, m.held, m.is_default,
    s.name, s.status, s.pause_reason, s.pause_period_key, s.pause_cap, coalesce(paused.cap, preset.cap)
FROM measured m
LEFT JOIN scope s ON s.tenant_id = $1 AND s.kind = m.scope AND s.id = m.scope_id AND m.period <> 'TASK'
LEFT JOIN budget paused ON paused.tenant_id = $1 AND paused.scope = s.kind AND paused.scope_id = s.id
    AND paused.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
LEFT JOIN budget preset ON preset.tenant_id = $3 AND preset.scope = s.kind AND preset.scope_id = s.id
    AND preset.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
"""
_ORDER: Final = "ORDER BY m.used DESC NULLS LAST, m.spent DESC, m.scope, m.scope_id, m.period"
_LIST: Final = f"{_BUDGETS.format(only_scope='')} {_ORDER} LIMIT $4"
# Every page of the console asks this: what has no cap, which may be thousands of campaigns, is not even read.
_NEAR_THEIR_CAP: Final = (
    _BUDGETS.format(
        only_scope="AND (scope, scope_id) IN (SELECT scope, scope_id FROM budget WHERE tenant_id IN ($1, $3))"
    )
    + f"WHERE m.used >= $4 {_ORDER} LIMIT $5"
)
_OF_SCOPES: Final = _BUDGETS.format(
    only_scope="AND (scope, scope_id) IN (SELECT * FROM unnest($4::text[], $5::text[]))"
)

_DEFAULTS: Final = (
    "SELECT scope, scope_id, period, cap, thresholds FROM budget WHERE tenant_id = $1 ORDER BY scope_id, period"
)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget in its newest period; `budget` None: no cap. `pause_reason` None: the scope may spend. `name`: what people
    call the scope. `is_default`: the cap is the operator's, and not the tenant's own."""

    key: BudgetKey
    budget: Budget | None
    counter: Counter
    pause_reason: str | None
    name: str | None = None
    is_default: bool = False

    @property
    def used_percent(self) -> int | None:
        """Hundredths of a percent of the cap; None without one."""
        return None if self.budget is None else budgets.used_percent(self.counter.spent, self.budget.cap)


async def list_budgets(
    application: Application, tenant_id: UUID, at_or_above_percent: int | None, first: int
) -> list[BudgetView]:
    """The most used first, those without a cap last. `at_or_above_percent`: hundredths of a percent."""
    month = await _month(application, tenant_id)
    reader = application.readers.of(tenant_id)
    if at_or_above_percent is None:
        rows = await reader.fetch(_LIST, tenant_id, month, NIL, first)
    else:
        rows = await reader.fetch(_NEAR_THEIR_CAP, tenant_id, month, NIL, at_or_above_percent, first)
    return [_view(row, month) for row in rows]


async def get_many(application: Application, tenant_id: UUID, keys: Sequence[BudgetKey]) -> list[BudgetView | None]:
    """Budgets in the order asked; None where the tenant has neither a cap nor a counter."""
    month = await _month(application, tenant_id)
    scopes, ids = [key.scope.value for key in keys], [key.scope_id for key in keys]
    rows = await application.readers.of(tenant_id).fetch(_OF_SCOPES, tenant_id, month, NIL, scopes, ids)
    found = {view.key: view for view in (_view(row, month) for row in rows)}
    return [found.get(key) for key in keys]


async def default_budgets(application: Application) -> list[Budget]:
    """The caps that operators set for agent roles of every tenant."""
    rows = await application.across_tenants.fetch(_DEFAULTS, NIL)
    return [
        Budget(BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period)), cap, tuple(thresholds))
        for scope, scope_id, period, cap, thresholds in rows
    ]


async def _month(application: Application, tenant_id: UUID) -> str:
    return month_key(application.clock(), await zone_of(application, tenant_id))


def _view(row: asyncpg.Record, month: str) -> BudgetView:
    scope, scope_id, period, period_key, cap, thresholds, spent, held, is_default = row[:9]
    key = BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period))
    budget = None if cap is None else Budget(key, cap, tuple(thresholds))
    counter = Counter(CounterKey(key.scope, scope_id, period_key), spent, held)
    return BudgetView(key, budget, counter, _pause_reason(row, month), row[9], is_default and budget is not None)


def _pause_reason(row: asyncpg.Record, month: str) -> str | None:
    """Why the scope may not spend; a budget's pause counts only while its period and its cap are current."""
    name, status, reason, period_key, pause_cap, cap_in_force = row[9:]
    if status is None or status == ScopeStatus.ACTIVE:
        return None
    scope = Scope(ScopeKey(ScopeKind(row[0]), row[1]), name, ScopeStatus(status), reason, period_key, pause_cap)
    return reason if is_current(scope, cap_in_force, month) else None
