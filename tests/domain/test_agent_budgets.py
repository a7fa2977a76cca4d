"""Where an agent role stands in its month."""

import pytest

from domain.agent_budgets import AgentStatus, status
from domain.budgets import Budget, BudgetBook, Scope, ScopeKey, ScopeKind, ScopeStatus
from tests.domain.builders import MONTH, agent_month, capped, nano

KEY = ScopeKey(ScopeKind.AGENT, "blog-writer")
TEN = capped(agent_month(), "10")
BY_HAND = Scope(KEY, None, ScopeStatus.PAUSED, "manual_pause")
BY_BUDGET = Scope(KEY, None, ScopeStatus.PAUSED, "monthly_budget_exceeded", MONTH, nano("10"))
OF_OCTOBER = Scope(KEY, None, ScopeStatus.PAUSED, "monthly_budget_exceeded", "2026-10", nano("10"))


def standing(scope: Scope, budget: Budget | None, spent: str) -> AgentStatus:
    book = BudgetBook(MONTH, {} if budget is None else {budget.key: budget}, {}, {}, {})
    return status(book, scope, budget, nano(spent))


@pytest.mark.parametrize(
    ("scope", "budget", "spent", "expected"),
    [
        (Scope(KEY), None, "1000", AgentStatus.ACTIVE),
        (Scope(KEY), TEN, "7.999999999", AgentStatus.ACTIVE),
        (Scope(KEY), TEN, "8", AgentStatus.WARNING),
        (Scope(KEY), Budget(agent_month(), nano("10"), (5_000, 9_000)), "5", AgentStatus.WARNING),
        (BY_BUDGET, TEN, "10", AgentStatus.PAUSED),
        (BY_BUDGET, capped(agent_month(), "100"), "10", AgentStatus.ACTIVE),
        (OF_OCTOBER, TEN, "0", AgentStatus.ACTIVE),
        (BY_HAND, TEN, "0", AgentStatus.PAUSED),
        (Scope(KEY, None, ScopeStatus.INACTIVE, "deactivated"), TEN, "9", AgentStatus.INACTIVE),
    ],
)
def test_a_role_stands_where_people_budgets_and_its_spend_have_put_it(
    scope: Scope, budget: Budget | None, spent: str, expected: AgentStatus
) -> None:
    assert standing(scope, budget, spent) is expected
