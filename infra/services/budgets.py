"""Budgets: caps that tenants and operators set."""

from domain import controls
from domain.audit_log import SET_DEFAULT_BUDGET, AuditEvent, budget_subject
from domain.books import Operation
from domain.budgets import Budget, BudgetKey
from domain.controls import BudgetState, RemoveBudget, SetBudget
from domain.ids import NIL
from domain.money import format_amount
from domain.refusals import BudgetScope, FieldProblem, InvalidInput
from infra.application import Application
from infra.audit_log import record
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start
from infra.statements import REMOVE_BUDGET, WRITE_BUDGET
from infra.transaction import transaction


async def set_budget(
    application: Application, caller: Caller, idempotency_key: str, budget: Budget
) -> BudgetState | Refused:
    """Cap what a scope may cost in a period."""
    asked = (budget.key, budget.cap, budget.thresholds)
    request = request_of(caller, Operation.SET_BUDGET, idempotency_key, asked)
    problems = controls.budget_problems(budget.key, budget)
    return await start(application, BudgetState, SetBudget(request, budget), problems)


async def remove_budget(
    application: Application, caller: Caller, idempotency_key: str, key: BudgetKey
) -> BudgetState | Refused:
    """Take a cap away."""
    request = request_of(caller, Operation.REMOVE_BUDGET, idempotency_key, key)
    return await start(application, BudgetState, RemoveBudget(request, key), controls.budget_problems(key, None))


async def set_default_budget(
    application: Application, caller: Caller, key: BudgetKey, cap: int | None
) -> Budget | Refused | None:
    """The operator's cap for an agent role of every tenant that has none of its own; None removes it."""
    budget = None if cap is None else Budget(key, cap)
    problems = list(controls.budget_problems(key, budget))
    if key.scope is not BudgetScope.AGENT:
        problems.append(FieldProblem("scope", "default caps are for agent roles"))
    if problems:
        return Refused(InvalidInput(tuple(problems)), None)
    place = (NIL, key.scope.value, key.scope_id, key.period.value)
    period, shown = ("period", key.period.value), None if cap is None else format_amount(cap)
    event = AuditEvent(
        NIL, caller.actor, caller.role.value, SET_DEFAULT_BUDGET, budget_subject(key), (period, ("cap", shown))
    )
    async with application.writers.acquire() as connection, transaction(connection):
        if budget is None:
            await connection.execute(REMOVE_BUDGET, *place)
        else:
            await connection.execute(WRITE_BUDGET, *place, budget.cap, list(budget.thresholds))
        await record(connection, event, at=application.clock())
    return budget
