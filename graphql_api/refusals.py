"""Refusals: every expected "no" as a type of its own, with its figures."""

from collections.abc import Callable
from typing import Any, Final

import strawberry

from domain import ids, refusals
from domain.refusals import BudgetScope, RefusalCode, ReservationState
from graphql_api.scalars import Amount, UsdAmount
from infra.services.callers import Refused


@strawberry.interface(
    description="An expected no. Nothing was moved. Select `... on Refusal` beside the types that you know: "
    "a result may get further ones."
)
class Refusal:
    """What all refusals have."""

    code: RefusalCode = strawberry.field(description="For programs.")
    message: str = strawberry.field(description="For people: what is in the way, with figures, and what would help.")
    refusal_id: strawberry.ID | None = strawberry.field(description="The id of its record; null for previews.")


@strawberry.type(description="A wallet does not hold what the request needs.")
class InsufficientFunds(Refusal):
    """A wallet does not hold enough."""

    wallet_key: str = strawberry.field(description="The wallet that is short.")
    requested: Amount = strawberry.field(description="What would have to be held, in the wallet's unit.")
    available: Amount = strawberry.field(description="What is available; below zero while there is a debt.")
    short_by: Amount = strawberry.field(description="How much has to come in before the same request fits.")


@strawberry.type(description="A budget has no room: spent, held and requested together are over its cap.")
class BudgetExceeded(Refusal):
    """A budget has no room."""

    scope: BudgetScope = strawberry.field(description="The level that refused.")
    scope_id: str | None = strawberry.field(description="The agent role, campaign or tag; null for the tenant.")
    cap: UsdAmount = strawberry.field(description="The most that may be spent.")
    spent: UsdAmount = strawberry.field(description="What was spent already.")
    held: UsdAmount = strawberry.field(description="What other work holds, or this reservation, for a task cap.")
    requested: UsdAmount = strawberry.field(description="What the request would add.")
    retryable: bool = strawberry.field(
        description="True if only other holds are in the way: the same request may fit when they have settled."
    )


@strawberry.type(description="The tenant, an agent role or a campaign is paused, inactive or suspended.")
class ScopePaused(Refusal):
    """A scope is paused."""

    scope: BudgetScope = strawberry.field(description="What is paused.")
    scope_id: str | None = strawberry.field(description="The agent role or campaign; null for the tenant.")
    reason: str = strawberry.field(
        description="Why: a person's words, or budget_exceeded, monthly_budget_exceeded, "
        "tenant_monthly_budget_exceeded, tenant_suspended, tenant_closed, metered_empty."
    )


@strawberry.type(description="The rate card in force has no such feature.")
class UnknownFeature(Refusal):
    """No such feature."""

    feature: str = strawberry.field(description="The name that was sent.")


@strawberry.type(description="The price list has no price for the model, so its cost cannot be bounded.")
class UnpricedModel(Refusal):
    """No price."""

    provider: str = strawberry.field(description="The provider that was named.")
    model: str | None = strawberry.field(description="The model that was named.")
    operation: str | None = strawberry.field(description="The operation that was named.")


@strawberry.type(description="The tenant's plan allows no more of this.")
class PlanLimit(Refusal):
    """The plan allows no more."""

    limit: int = strawberry.field(description="How many the plan allows.")
    used: int = strawberry.field(description="How many are in use.")


@strawberry.type(description="The idempotency key was used before for another request: choose a new one.")
class IdempotencyKeyReused(Refusal):
    """The key belongs to another request."""

    idempotency_key: str = strawberry.field(description="The key that was sent.")


@strawberry.type(description="There is no such thing, or it is another tenant's.")
class NotFound(Refusal):
    """There is no such thing."""


@strawberry.type(description="The reservation was settled or given back already.")
class ReservationEnded(Refusal):
    """It has ended."""

    state: ReservationState = strawberry.field(description="How it ended.")


@strawberry.type(description="It does not go with the state that something is in; the message says which.")
class Conflict(Refusal):
    """It does not go with the state of something."""


@strawberry.type(description="One field of a request, and what to send instead.")
class FieldProblem:
    """One field of a request."""

    path: str = strawberry.field(description="Where it stands in the input, such as quantity or usage.0.costUsd.")
    message: str = strawberry.field(description="What it must be.")


@strawberry.type(description="Fields of the request cannot be taken as they are. Nothing was done.")
class InvalidInput(Refusal):
    """Fields cannot be taken."""

    fields: list[FieldProblem] = strawberry.field(description="Every field that was found wrong.")


def field_problems(problems: tuple[refusals.FieldProblem, ...]) -> list[FieldProblem]:
    """Problems as they are answered."""
    return [FieldProblem(path=problem.path, message=problem.message) for problem in problems]


def refusal_of(refused: Refused) -> Any:
    """A refusal as it is answered. Its type is Any: which ones a result may be is for its union to say."""
    refusal = refused.refusal
    kind, figures = _KINDS[type(refusal)]
    refusal_id = None if refused.id is None else strawberry.ID(ids.public("refusal", refused.id))
    return kind(code=refusal.code, message=refusal.message, refusal_id=refusal_id, **figures(refusal))


def _fields(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda refusal: {name: getattr(refusal, name) for name in names}


_KINDS: Final[dict[type, tuple[Callable[..., Any], Callable[[Any], dict[str, Any]]]]] = {
    refusals.InsufficientFunds: (InsufficientFunds, _fields("wallet_key", "requested", "available", "short_by")),
    refusals.BudgetExceeded: (
        BudgetExceeded,
        _fields("scope", "scope_id", "cap", "spent", "held", "requested", "retryable"),
    ),
    refusals.ScopePaused: (ScopePaused, _fields("scope", "scope_id", "reason")),
    refusals.UnknownFeature: (UnknownFeature, _fields("feature")),
    refusals.UnpricedModel: (UnpricedModel, _fields("provider", "model", "operation")),
    refusals.PlanLimit: (PlanLimit, _fields("limit", "used")),
    refusals.IdempotencyKeyReused: (IdempotencyKeyReused, _fields("idempotency_key")),
    refusals.NotFound: (NotFound, _fields()),
    refusals.ReservationEnded: (ReservationEnded, _fields("state")),
    refusals.Conflict: (Conflict, _fields()),
    refusals.InvalidInput: (InvalidInput, lambda refusal: {"fields": field_problems(refusal.fields)}),
}
