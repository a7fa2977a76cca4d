"""Wishes: what a reserve or a preview asks for."""

import strawberry

from domain.admission import Wish
from domain.holds import NO_ESTIMATE, Estimate, ModelName
from domain.money import NANO
from domain.prices import Tokens
from domain.reservations import DEFAULT_TTL
from graphql_api.attribution import AttributionInput, attribution_of
from graphql_api.scalars import Amount, UsdAmount
from infra.services.reservations import Order


@strawberry.input(description="What is to be called: its price is found by these names, compared exactly.")
class ModelInput:
    """What is to be called."""

    provider: str = strawberry.field(description="The provider's slug.")
    model: str | None = strawberry.field(default=None, description="The model, as the provider names it.")
    operation: str | None = strawberry.field(default=None, description="The operation, where prices differ by it.")


@strawberry.input(description="What the whole work is expected to use. Without it, the rate card's estimate is taken.")
class EstimateInput:
    """What the work is expected to use."""

    input_tokens: int | None = strawberry.field(default=None, description="Tokens that the model is given to read.")
    output_tokens: int | None = strawberry.field(default=None, description="Tokens that it may write.")
    cost_usd: UsdAmount | None = strawberry.field(
        default=None, description="What the provider will charge; it comes before tokens."
    )


@strawberry.input(description="Hold what a piece of work may cost.")
class ReserveInput:
    """Hold what a piece of work may cost."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    feature: str = strawberry.field(description="What is to be done: a feature of the rate card.")
    quantity: Amount | None = strawberry.field(default=Amount(NANO), description="How many units of it.")
    task_key: str | None = strawberry.field(
        default=None, description="Makes retries one unit: a retry of the same task finds its reservation."
    )
    model: ModelInput | None = strawberry.field(default=None, description="What is to be called, if it is known.")
    estimate: EstimateInput | None = strawberry.field(default=None, description="What the work is expected to use.")
    attribution: AttributionInput | None = strawberry.field(default=None, description="For whom and for what.")
    ttl_seconds: int | None = strawberry.field(
        default=DEFAULT_TTL,
        description="After how many seconds an unfinished reservation expires, 1 to 604800. Capacity does not expire.",
    )


@strawberry.input(description="What a reserve would hold.")
class PreviewInput:
    """What a reserve would hold."""

    feature: str = strawberry.field(description="What is to be done: a feature of the rate card.")
    quantity: Amount | None = strawberry.field(default=Amount(NANO), description="How many units of it.")
    model: ModelInput | None = strawberry.field(default=None, description="What is to be called, if it is known.")
    estimate: EstimateInput | None = strawberry.field(default=None, description="What the work is expected to use.")
    attribution: AttributionInput | None = strawberry.field(default=None, description="For whom and for what.")


def wish_of(given: ReserveInput | PreviewInput) -> Wish:
    """What the rules look at."""
    model = given.model
    return Wish(
        given.feature,
        NANO if given.quantity is None else given.quantity,
        None if model is None else ModelName(model.provider, model.model, model.operation),
        estimate_of(given.estimate),
        attribution_of(given.attribution),
    )


def order_of(given: ReserveInput) -> Order:
    """A reserve as the service takes it."""
    ttl = DEFAULT_TTL if given.ttl_seconds is None else given.ttl_seconds
    return Order(given.idempotency_key, wish_of(given), given.task_key, ttl)


def estimate_of(given: EstimateInput | None) -> Estimate:
    """Tokens where any are given, and the cost."""
    if given is None:
        return NO_ESTIMATE
    tokens = None
    if given.input_tokens is not None or given.output_tokens is not None:
        tokens = Tokens(given.input_tokens or 0, given.output_tokens or 0)
    return Estimate(tokens, given.cost_usd)
