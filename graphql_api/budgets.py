"""Budgets: caps on provider cost, and what was spent of them."""

from dataclasses import replace
from typing import Annotated, Any

import strawberry

from domain import budgets, refusals
from domain.budgets import DEFAULT_THRESHOLDS, BudgetKey, BudgetPeriod
from domain.controls import HIGHEST_THRESHOLD, BudgetState
from domain.refusals import BudgetScope
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import budget_id, scope_part
from graphql_api.interfaces import Node, page_size
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from graphql_api.scalars import UsdAmount
from infra.queries import budgets as query
from infra.queries.budgets import BudgetView
from infra.services import budgets as service
from infra.services.callers import Refused


@strawberry.type(description="A cap on provider cost over a scope and a period, with what was spent of it.")
class Budget(Node):
    """A cap on provider cost."""

    scope: BudgetScope = strawberry.field(description="What it is about.")
    scope_id: str | None = strawberry.field(
        description="The agent role, campaign or tag; null for the tenant, and for the task cap of any role."
    )
    name: str | None = strawberry.field(description="What people call the agent role or campaign; null without a name.")
    period: BudgetPeriod = strawberry.field(description="Over what it counts.")
    period_key: str = strawberry.field(description="The period that is shown: 2026-11, TOTAL or TASK.")
    cap: UsdAmount | None = strawberry.field(description="The most that may be spent; null: no cap, only counted.")
    thresholds: list[float] = strawberry.field(description="The percents at which people are told; none without a cap.")
    spent: UsdAmount = strawberry.field(description="What was spent in the period.")
    held: UsdAmount = strawberry.field(description="What open work holds.")
    used_percent: float | None = strawberry.field(description="Spent, of the cap; null without a cap.")
    paused: bool = strawberry.field(description="Whether its scope is stopped now.")
    pause_reason: str | None = strawberry.field(description="Why it is stopped; null if it is not.")
    is_default: bool = strawberry.field(
        description="Whether the cap is the operator's default for the agent role, and not your own."
    )

    @classmethod
    def of(cls, view: BudgetView) -> "Budget":
        key, budget, used = view.key, view.budget, view.used_percent
        return cls(
            id=strawberry.ID(budget_id(key)),
            scope=key.scope,
            scope_id=key.scope_id or None,
            name=view.name,
            period=key.period,
            period_key=view.counter.key.period_key,
            cap=None if budget is None else UsdAmount(budget.cap),
            thresholds=[] if budget is None else [threshold / 100 for threshold in budget.thresholds],
            spent=UsdAmount(view.counter.spent),
            held=UsdAmount(view.counter.held),
            used_percent=None if used is None else used / 100,
            paused=view.pause_reason is not None,
            pause_reason=view.pause_reason,
            is_default=view.is_default,
        )


@strawberry.type(description="The cap that an operator sets for agent roles without one of the tenant's own.")
class DefaultBudget:
    """An operator's default cap."""

    agent_role: str | None = strawberry.field(description="The agent role; null for the task cap of any role.")
    period: BudgetPeriod = strawberry.field(description="MONTH or TASK.")
    cap: UsdAmount | None = strawberry.field(description="The most that may be spent; null: there is none now.")


@strawberry.input(description="Set a cap.")
class SetBudgetInput:
    """Set a cap."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    scope: BudgetScope = strawberry.field(
        description="What it is about. The cap of one reservation has scope AGENT and period TASK."
    )
    scope_id: str | None = strawberry.field(
        default=None,
        description="The agent role, the campaign, or a tag as key=value; null for the tenant, and for the task cap of "
        "any role.",
    )
    period: BudgetPeriod = strawberry.field(
        description="TENANT: MONTH. AGENT: MONTH or TASK. CAMPAIGN and TAG: MONTH or TOTAL."
    )
    cap: UsdAmount = strawberry.field(description="The most that may be spent; 0 stops everything that costs.")
    thresholds: list[float] | None = strawberry.field(
        default=None,
        description="1 to 10 percents at which people are told, above 0 and up to 1000; null for 80 and 100.",
    )


@strawberry.input(description="Take a cap away.")
class RemoveBudgetInput:
    """Take a cap away."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    scope: BudgetScope = strawberry.field(description="What it is about.")
    scope_id: str | None = strawberry.field(default=None, description="As it was set.")
    period: BudgetPeriod = strawberry.field(description="As it was set.")


@strawberry.input(description="Set, or take away, the cap of agent roles without one of the tenant's own.")
class SetDefaultBudgetInput:
    """An operator's default cap."""

    agent_role: str | None = strawberry.field(
        default=None, description="The agent role; null, with period TASK, for the task cap of any role."
    )
    period: BudgetPeriod = strawberry.field(description="MONTH or TASK.")
    cap: UsdAmount | None = strawberry.field(default=None, description="The most that may be spent; null removes it.")


SetBudgetResult = Annotated[
    Budget | InvalidInput | NotFound | IdempotencyKeyReused | ScopePaused,
    strawberry.union("SetBudgetResult", description="The budget as it is now, or why nothing was changed."),
]
SetDefaultBudgetResult = Annotated[
    DefaultBudget | InvalidInput,
    strawberry.union("SetDefaultBudgetResult", description="The cap as it is now, or why nothing was changed."),
]


@strawberry.type
class BudgetQueries:
    """What can be asked about budgets."""

    @field(description="Budgets in their newest period, capped or not: the most used first, those without a cap last.")
    async def budgets(
        self,
        info: Info,
        at_or_above_percent: Annotated[
            float | None, strawberry.argument(description="Only those of whose cap so much is spent.")
        ] = None,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 100,
    ) -> list[Budget]:
        percent = None if at_or_above_percent is None else _hundredths(at_or_above_percent)
        context = info.context
        found = await query.list_budgets(context.application, context.caller.tenant_id, percent, page_size(first, 100))
        return [Budget.of(view) for view in found]

    @field(description="Operators: the caps of agent roles for every tenant that has set none of its own, by role.")
    async def default_budgets(self, info: Info) -> list[DefaultBudget]:
        return [_default_of(budget.key, budget) for budget in await query.default_budgets(info.context.application)]


@strawberry.type
class BudgetMutations:
    """What can be done with budgets."""

    @field(
        description="Cap what a scope may cost. A pause that the old cap made is lifted where the new one leaves room."
    )
    async def set_budget(
        self, info: Info, given: Annotated[SetBudgetInput, strawberry.argument(name="input", description="The cap.")]
    ) -> SetBudgetResult:
        key = BudgetKey(given.scope, scope_part(given.scope_id), given.period)
        thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS
        if given.thresholds is not None:
            thresholds = tuple([_threshold(percent) for percent in given.thresholds])
        answer = await service.set_budget(
            info.context.application,
            info.context.caller,
            given.idempotency_key,
            budgets.Budget(key, given.cap, thresholds),
        )
        return await _answer(info, answer)

    @field(description="Take a cap away; its counter runs on, and an operator's default applies again.")
    async def remove_budget(
        self,
        info: Info,
        given: Annotated[RemoveBudgetInput, strawberry.argument(name="input", description="Which cap.")],
    ) -> SetBudgetResult:
        key = BudgetKey(given.scope, scope_part(given.scope_id), given.period)
        context = info.context
        answer = await service.remove_budget(context.application, context.caller, given.idempotency_key, key)
        return await _answer(info, answer)

    @field(description="Operators: the cap of an agent role for every tenant that has set none of its own.")
    async def set_default_budget(
        self,
        info: Info,
        given: Annotated[SetDefaultBudgetInput, strawberry.argument(name="input", description="The cap.")],
    ) -> SetDefaultBudgetResult:
        key = BudgetKey(BudgetScope.AGENT, scope_part(given.agent_role), given.period)
        answer = await service.set_default_budget(info.context.application, info.context.caller, key, given.cap)
        return refusal_of(_of_role(answer)) if isinstance(answer, Refused) else _default_of(key, answer)


def _of_role(refused: Refused) -> Refused:
    """Here, what other inputs call scopeId is the agent role."""
    refusal = refused.refusal
    if not isinstance(refusal, refusals.InvalidInput):
        return refused
    fields = tuple(replace(field, path="agentRole") if field.path == "scopeId" else field for field in refusal.fields)
    return Refused(refusals.InvalidInput(fields), refused.id)


def _default_of(key: BudgetKey, budget: budgets.Budget | None) -> DefaultBudget:
    cap = None if budget is None else UsdAmount(budget.cap)
    return DefaultBudget(agent_role=key.scope_id or None, period=key.period, cap=cap)


async def _answer(info: Info, answer: BudgetState | Refused) -> Budget | Any:
    if isinstance(answer, Refused):
        return refusal_of(answer)
    view = await info.context.loaders.budgets.load(answer.key)
    return Budget.of(view or BudgetView(answer.key, answer.budget, answer.counter, None))


def _threshold(percent: float) -> int:
    """Hundredths of a percent. What is out of range stays so, whatever it is rounded to, and is refused by the rules."""
    return round(max(-1.0, min(percent * 100, HIGHEST_THRESHOLD + 1.0)))


def _hundredths(percent: float) -> int:
    if not 0 <= percent <= 1_000_000:
        raise bad_input("atOrAbovePercent: a percent is 0 to 1000000")
    return round(percent * 100)
