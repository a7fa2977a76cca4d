"""Reservations: what is held for a piece of work, and the queries about it."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain import admission, budgets, ids, reservations
from domain.holds import Estimate
from domain.holds import Reservation as Stored
from domain.prices import Tokens
from domain.refusals import BudgetScope, FieldProblem, ReservationState
from domain.reservations import Granted
from domain.usage import Route
from graphql_api.context import Info
from graphql_api.enumerations import TaskVerdict
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import Node
from graphql_api.refusals import (
    BudgetExceeded,
    InsufficientFunds,
    InvalidInput,
    PlanLimit,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    refusal_of,
)
from graphql_api.scalars import Amount, UsdAmount, usd
from graphql_api.wallets import WalletHold
from graphql_api.wishes import PreviewInput, wish_of
from infra.services import reservations as service
from infra.services.callers import Refused


@strawberry.type(description="A budget of this work that stands at or above its first threshold.")
class BudgetWarning:
    """A budget that fills up."""

    scope: BudgetScope = strawberry.field(description="The level.")
    scope_id: str | None = strawberry.field(description="The agent role, campaign or tag; null for the tenant.")
    used_percent: float = strawberry.field(description="Spent, of the cap.")
    cap: UsdAmount = strawberry.field(description="The most that may be spent.")
    spent: UsdAmount = strawberry.field(description="What was spent.")
    held: UsdAmount = strawberry.field(description="What open work holds.")

    @classmethod
    def of(cls, warning: budgets.BudgetWarning) -> "BudgetWarning":
        return cls(
            scope=warning.scope,
            scope_id=warning.scope_id,
            used_percent=warning.used_percent / 100,
            cap=UsdAmount(warning.cap),
            spent=UsdAmount(warning.spent),
            held=UsdAmount(warning.held),
        )


@strawberry.type(
    description="A hold on wallets and budgets for one piece of work. It ends consumed, released or expired; its "
    "route, rates and prices are those of the moment when it was made."
)
class Reservation(Node):
    """A hold for one piece of work."""

    state: ReservationState = strawberry.field(description="Where it stands.")
    feature: str = strawberry.field(description="What is done.")
    task_key: str | None = strawberry.field(description="The task that it stands for, if one was named.")
    route: Route = strawberry.field(description="On whose provider key the calls run.")
    holds: list[WalletHold] = strawberry.field(
        description="What was held in each wallet; it stays listed when the reservation has ended."
    )
    held_usd: UsdAmount = strawberry.field(description="What was held in the budgets.")
    max_cost_usd: UsdAmount | None = strawberry.field(
        description="The task cap: abort when the running cost passes it; null if there is none."
    )
    warnings: list[BudgetWarning] = strawberry.field(
        description="Budgets that fill up. Only in the answers of reserve, reserveMany and extend; they are not stored."
    )
    prompt_notice: str | None = strawberry.field(
        description="To be put before the agent's prompt while its role's month stands at 80 to 99 %. Not stored."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    expires_at: datetime | None = strawberry.field(
        description="When it expires unless it ends; null: never (capacity)."
    )

    @classmethod
    def of(cls, reservation: Stored) -> "Reservation":
        """As it is stored."""
        return cls.granted(Granted(reservation))

    @classmethod
    def granted(cls, granted: Granted) -> "Reservation":
        """As it is answered to a reserve."""
        reservation = granted.reservation
        task = reservation.task
        return cls(
            id=strawberry.ID(ids.public("reservation", reservation.id)),
            state=reservation.state,
            feature=reservation.feature,
            task_key=None if task is None else task.key,
            route=reservation.route,
            holds=[WalletHold(wallet_key=hold.wallet_key, amount=Amount(hold.amount)) for hold in reservation.holds],
            held_usd=UsdAmount(reservation.held_usd),
            max_cost_usd=usd(reservation.max_cost_usd),
            warnings=[BudgetWarning.of(warning) for warning in granted.warnings],
            prompt_notice=granted.prompt_notice,
            created_at=reservation.created_at,
            expires_at=reservation.expires_at,
        )


@strawberry.type(description="What a reserve would answer now. Nothing is held.")
class ReservationPreview:
    """What a reserve would answer now."""

    route: Route = strawberry.field(description="On whose provider key the calls would run.")
    holds: list[WalletHold] = strawberry.field(description="What would be held in each wallet.")
    estimated_cost_usd: UsdAmount = strawberry.field(description="What the provider is expected to charge.")
    max_cost_usd: UsdAmount | None = strawberry.field(description="The task cap; null if there is none.")
    warnings: list[BudgetWarning] = strawberry.field(description="Budgets that fill up.")
    prompt_notice: str | None = strawberry.field(description="What would be put before the agent's prompt.")

    @classmethod
    def of(cls, preview: reservations.Preview) -> "ReservationPreview":
        return cls(
            route=preview.route,
            holds=[WalletHold(wallet_key=key, amount=Amount(amount)) for key, amount in preview.holds],
            estimated_cost_usd=UsdAmount(preview.estimated_usd),
            max_cost_usd=usd(preview.max_cost_usd),
            warnings=[BudgetWarning.of(warning) for warning in preview.warnings],
            prompt_notice=preview.prompt_notice,
        )


PreviewResult = Annotated[
    ReservationPreview
    | InsufficientFunds
    | BudgetExceeded
    | ScopePaused
    | UnknownFeature
    | UnpricedModel
    | PlanLimit
    | InvalidInput,
    strawberry.union("PreviewResult", description="What would be held, or why the work would be refused."),
]


@strawberry.type
class ReservationQueries:
    """What can be asked about reservations."""

    @field(description="One reservation; null if the tenant has none of this id.")
    async def reservation(
        self, info: Info, public_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="Its id.")]
    ) -> Reservation | None:
        identifier = ids.parse("reservation", public_id)
        found = None if identifier is None else await info.context.loaders.reservations.load(identifier)
        return None if found is None else Reservation.of(found)

    @field(description="Decide as reserve does, and hold, write and pause nothing.")
    async def preview_reservation(
        self,
        info: Info,
        given: Annotated[PreviewInput, strawberry.argument(name="input", description="What would be done.")],
    ) -> PreviewResult:
        answer = await service.preview(info.context.application, info.context.caller, wish_of(given))
        return refusal_of(answer) if isinstance(answer, Refused) else ReservationPreview.of(answer)

    @field(
        description="Whether running work goes on: only while its reservation is held, nothing is paused and its task "
        "cap is not reached. Null: there is no such reservation."
    )
    async def check_task(
        self,
        info: Info,
        reservation_id: Annotated[strawberry.ID, strawberry.argument(description="The work's reservation.")],
        running_cost_usd: Annotated[
            UsdAmount | None, strawberry.argument(description="What it has cost so far; it comes before tokens.")
        ] = None,
        input_tokens: Annotated[int | None, strawberry.argument(description="Tokens read so far.")] = None,
        output_tokens: Annotated[int | None, strawberry.argument(description="Tokens written so far.")] = None,
    ) -> TaskVerdict | None:
        tokens = None
        if input_tokens is not None or output_tokens is not None:
            tokens = Tokens(input_tokens or 0, output_tokens or 0)
        problems = admission.estimate_problems(Estimate(tokens, running_cost_usd))
        if problems:
            raise bad_input("; ".join(_of_argument(problem) for problem in problems))
        identifier = ids.parse("reservation", reservation_id)
        if identifier is None:
            return None
        context = info.context
        goes_on = await service.check_task(context.application, context.caller, identifier, running_cost_usd, tokens)
        if goes_on is None:
            return None
        return TaskVerdict.CONTINUE if goes_on else TaskVerdict.ABORT


def _of_argument(problem: FieldProblem) -> str:
    name = problem.path.removeprefix("estimate.")
    return f"{'runningCostUsd' if name == 'costUsd' else name}: {problem.message}"
