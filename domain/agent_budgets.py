"""Agent budgets: where an agent role stands in its month (document 003: spend, cap, percent, status)."""

from enum import StrEnum

from domain import budgets
from domain.budgets import Budget, BudgetBook, Scope, ScopeStatus


class AgentStatus(StrEnum):
    """Whether an agent role may spend, and whether its cap is near."""

    ACTIVE = "ACTIVE"
    WARNING = "WARNING"
    PAUSED = "PAUSED"
    INACTIVE = "INACTIVE"


def status(book: BudgetBook, scope: Scope, budget: Budget | None, spent: int) -> AgentStatus:
    """Out of use or paused as the role is now (a budget's pause counts while it is current); else by what it has spent
    of its cap: a warning from the cap's first threshold on."""
    if scope.status is ScopeStatus.INACTIVE:
        return AgentStatus.INACTIVE
    if scope.status is ScopeStatus.PAUSED and budgets.is_current(book, scope):
        return AgentStatus.PAUSED
    if budget is not None and budgets.used_percent(spent, budget.cap) >= min(budget.thresholds):
        return AgentStatus.WARNING
    return AgentStatus.ACTIVE
