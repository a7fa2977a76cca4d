"""Agent budgets: what each agent role has spent in a month, and what it may."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain import agent_budgets, budgets
from domain.agent_budgets import AgentStatus
from domain.budgets import Budget, BudgetBook, BudgetKey, BudgetPeriod, Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.ids import NIL
from domain.periods import month_key
from domain.refusals import BudgetScope
from infra.application import Application
from infra.queries.tenants import zone_of

# Roles that were seen, and those that were capped before they were.
_ROLES: Final = """
WITH role AS (
    SELECT id, name, status, pause_reason, pause_period_key, pause_cap FROM scope WHERE tenant_id = $1 AND kind = 'AGENT'
    UNION ALL
    SELECT scope_id, NULL, 'ACTIVE', NULL, NULL, NULL FROM budget b
    WHERE tenant_id = $1 AND scope = 'AGENT' AND period = 'MONTH'
        AND NOT EXISTS (SELECT FROM scope s WHERE s.tenant_id = $1 AND s.kind = 'AGENT' AND s.id = b.scope_id)
)
SELECT r.*, coalesce(own.cap, preset.cap), coalesce(own.thresholds, preset.thresholds),
    coalesce(c.spent, 0), coalesce(c.held, 0)
FROM role r
LEFT JOIN budget own
    ON own.tenant_id = $1 AND own.scope = 'AGENT' AND own.scope_id = r.id AND own.period = 'MONTH'
LEFT JOIN budget preset
    ON preset.tenant_id = $3 AND preset.scope = 'AGENT' AND preset.scope_id = r.id AND preset.period = 'MONTH'
LEFT JOIN budget_counter c
    ON c.tenant_id = $1 AND c.scope = 'AGENT' AND c.scope_id = r.id AND c.period_key = $2
ORDER BY coalesce(c.spent, 0) DESC, r.id LIMIT $4"""


@dataclass(frozen=True, slots=True)
class AgentBudget:
    """One agent role in one month ("2026-11"): nano-dollars spent and held then, the cap that is in force now (None: no
    cap), and whether the role may spend now."""

    role: str
    name: str | None
    month: str
    spent: int
    held: int
    cap: int | None
    status: AgentStatus
    pause_reason: str | None

    @property
    def used_percent(self) -> int | None:
        """Hundredths of a percent of the cap; None without one."""
        return None if self.cap is None else budgets.used_percent(self.spent, self.cap)


async def list_agent_budgets(
    application: Application, tenant_id: UUID, month: str | None, first: int
) -> list[AgentBudget]:
    """Every agent role of a tenant, capped or not, those that spent most first. `month` None: the present one."""
    current = month_key(application.clock(), await zone_of(application, tenant_id))
    shown = month or current
    found: list[AgentBudget] = []
    for role, name, *standing, cap, thresholds, spent, held in await application.readers.of(tenant_id).fetch(
        _ROLES, tenant_id, shown, NIL, first
    ):
        status, reason, period_key, pause_cap = standing
        scope = Scope(ScopeKey(ScopeKind.AGENT, role), name, ScopeStatus(status), reason, period_key, pause_cap)
        key = BudgetKey(BudgetScope.AGENT, role, BudgetPeriod.MONTH)
        budget = None if cap is None else Budget(key, cap, tuple(thresholds))
        book = BudgetBook(current, {} if budget is None else {key: budget}, {}, {}, {})
        stands = agent_budgets.status(book, scope, budget, spent)
        stopped = stands in (AgentStatus.PAUSED, AgentStatus.INACTIVE)
        found.append(AgentBudget(role, name, shown, spent, held, cap, stands, reason if stopped else None))
    return found
