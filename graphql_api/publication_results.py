"""Publication results: what operators are shown of a version that they published, and why one may be refused.

Only operators see what a credit is worth, and the markup: both stand here, and in no type that a tenant can ask for.
"""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import plans, prices, rates
from domain.catalog import Provider as ListedProvider
from graphql_api.catalog import Price, Provider, Rate, RateCard
from graphql_api.plans import Plan
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, NotFound
from graphql_api.scalars import Amount, UsdAmount, usd
from graphql_api.topups import Bundle
from infra.catalog.rows import Row

_PUBLISHED_AT: Final = "When it was published: what was reserved before keeps what held then."
_FROM: Final = "From when it holds."
_WITHDRAWN: Final = "Whether it is sold no more from then on."
_FOR_TENANT: Final = "Whether it holds for one tenant alone."


@strawberry.type(description="What only operators see of a rate.")
class RateTerms:
    """What only operators see of a rate."""

    rate: Rate = strawberry.field(description="The rate as tenants see it.")
    floor_usd: UsdAmount | None = strawberry.field(
        description="For COST_PLUS: the least that is held before a call, as dollars of charge; null: none is set."
    )
    default_estimate_usd: UsdAmount = strawberry.field(
        description="Provider cost of one unit that is taken where a call gives neither model nor estimate."
    )

    @classmethod
    def of(cls, rate: rates.Rate) -> "RateTerms":
        return cls(rate=Rate.of(rate), floor_usd=usd(rate.floor), default_estimate_usd=UsdAmount(rate.default_estimate))


@strawberry.type(description="A version of the rate card as operators see it.")
class PublishedRateCard:
    """A version of the rate card."""

    rate_card: RateCard = strawberry.field(description="The version as tenants see it.")
    terms: list[RateTerms] = strawberry.field(description="Its rates with what only operators see, in its own order.")
    credit_value: UsdAmount = strawberry.field(description="What a credit is worth.")
    markup: Amount = strawberry.field(description="On provider cost; 2 charges twice what it was.")
    for_tenant: bool = strawberry.field(description=_FOR_TENANT)
    published_at: datetime = strawberry.field(description=_PUBLISHED_AT)

    @classmethod
    def of(cls, row: Row) -> "PublishedRateCard":
        assert isinstance(row, rates.RateCard)
        return cls(
            rate_card=RateCard.of(row),
            terms=[RateTerms.of(rate) for rate in row.rates],
            credit_value=UsdAmount(row.credit_value),
            markup=Amount(row.markup),
            for_tenant=row.for_tenant,
            published_at=row.published_at,
        )


@strawberry.type(description="A price that was published.")
class PublishedPrice:
    """A price."""

    price: Price = strawberry.field(description="The row of the price list.")
    for_tenant: bool = strawberry.field(description=_FOR_TENANT)
    published_at: datetime = strawberry.field(description=_PUBLISHED_AT)

    @classmethod
    def of(cls, row: Row) -> "PublishedPrice":
        assert isinstance(row, prices.Price)
        return cls(price=Price.of(row), for_tenant=row.for_tenant, published_at=row.published_at)


@strawberry.type(description="A version of a provider that was published.")
class PublishedProvider:
    """A provider."""

    provider: Provider = strawberry.field(description="The provider.")
    effective_from: datetime = strawberry.field(description=_FROM)
    published_at: datetime = strawberry.field(description="When it was published.")

    @classmethod
    def of(cls, row: Row) -> "PublishedProvider":
        assert isinstance(row, ListedProvider)
        return cls(
            provider=Provider.of(row),
            effective_from=row.effective_from,
            published_at=row.published_at,
        )


@strawberry.type(description="A version of a plan that was published.")
class PublishedPlan:
    """A plan."""

    plan: Plan = strawberry.field(description="The plan.")
    withdrawn: bool = strawberry.field(description=_WITHDRAWN)
    effective_from: datetime = strawberry.field(description=_FROM)
    published_at: datetime = strawberry.field(description="When it was published.")

    @classmethod
    def of(cls, row: Row) -> "PublishedPlan":
        assert isinstance(row, plans.Plan)
        return cls(
            plan=Plan.of(row),
            withdrawn=row.withdrawn,
            effective_from=row.effective_from,
            published_at=row.published_at,
        )


@strawberry.type(description="A version of a bundle that was published.")
class PublishedBundle:
    """A bundle."""

    bundle: Bundle = strawberry.field(description="The bundle.")
    withdrawn: bool = strawberry.field(description=_WITHDRAWN)
    effective_from: datetime = strawberry.field(description=_FROM)
    published_at: datetime = strawberry.field(description="When it was published.")

    @classmethod
    def of(cls, row: Row) -> "PublishedBundle":
        assert isinstance(row, plans.Bundle)
        return cls(
            bundle=Bundle.of(row),
            withdrawn=row.withdrawn,
            effective_from=row.effective_from,
            published_at=row.published_at,
        )


_OR_WHY_NOT: Final = "What was published, or why nothing was."

PublishRateCardResult = Annotated[
    PublishedRateCard | InvalidInput | NotFound | IdempotencyKeyReused,
    strawberry.union("PublishRateCardResult", description=_OR_WHY_NOT),
]
PublishPriceResult = Annotated[
    PublishedPrice | InvalidInput | NotFound | IdempotencyKeyReused,
    strawberry.union("PublishPriceResult", description=_OR_WHY_NOT),
]
PublishProviderResult = Annotated[
    PublishedProvider | InvalidInput | IdempotencyKeyReused,
    strawberry.union("PublishProviderResult", description=_OR_WHY_NOT),
]
PublishPlanResult = Annotated[
    PublishedPlan | InvalidInput | IdempotencyKeyReused,
    strawberry.union("PublishPlanResult", description=_OR_WHY_NOT),
]
PublishBundleResult = Annotated[
    PublishedBundle | InvalidInput | IdempotencyKeyReused,
    strawberry.union("PublishBundleResult", description=_OR_WHY_NOT),
]
