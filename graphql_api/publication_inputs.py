"""Publication inputs: what operators send, and how it becomes a body with the keys of the catalog's data files."""

from datetime import datetime
from typing import Any, Final

import strawberry

from domain.money import format_amount
from domain.rates import ChargeType, RouteClass
from graphql_api.scalars import Amount, Count, UsdAmount
from infra.services.catalog import Body

KEY: Final = "Sent again with the same request, it publishes once."
FROM: Final = "From when it holds; null for from now on."
NOTE: Final = "A remark for people, such as where a figure comes from."
TENANT: Final = "Slug or id of the tenant for which alone it holds; null for everybody."
WITHDRAWN: Final = "Whether it is sold no more from then on; who has it keeps it."


@strawberry.input(description="How a feature is charged on one wallet. A feature has one rate per wallet it draws on.")
class RateInput:
    """A rate."""

    feature: str = strawberry.field(description="The name that reserve takes.")
    name: str = strawberry.field(description="Its name for people.")
    charge_type: ChargeType = strawberry.field(description="How the charge is made up.")
    wallet_key: str = strawberry.field(description="The wallet that it draws on, such as credits or metered.")
    credits: Amount | None = strawberry.field(
        default=None,
        description="Per unit of quantity, or per result, in the wallet's unit; null for COST_PLUS and FREE.",
    )
    floor: UsdAmount | None = strawberry.field(
        default=None, description="For COST_PLUS: the least that is held before a call, as dollars of charge."
    )
    default_estimate_usd: UsdAmount | None = strawberry.field(
        default=None,
        description="Provider cost of one unit, for who gives neither model nor estimate; null for FIXED and BUNDLED "
        "takes the usual estimate of a credit.",
    )
    route_class: RouteClass | None = strawberry.field(
        default=RouteClass.OTHER, description="What the tenant's own provider key does for it."
    )
    needs_model: bool = strawberry.field(
        default=False, description="Whether it applies only where the call names a model."
    )
    bundle: str | None = strawberry.field(
        default=None, description="For BUNDLED: features of one bundle share a task and are charged once."
    )
    agents: list[str] | None = strawberry.field(default=None, description="The agent roles that do this work.")
    note: str | None = strawberry.field(default=None, description=NOTE)

    def body(self) -> Body:
        return _given(
            feature=self.feature,
            name=self.name,
            charge_type=self.charge_type.value,
            wallet=self.wallet_key,
            amount=_text(self.credits),
            floor=_text(self.floor),
            default_estimate=_text(self.default_estimate_usd),
            route_class=(self.route_class or RouteClass.OTHER).value,
            needs_model=self.needs_model,
            bundle=self.bundle,
            agents=self.agents,
            note=self.note,
        )


@strawberry.input(description="Publish the next version of the rate card. Versions before it stay.")
class PublishRateCardInput:
    """The next version of the rate card."""

    idempotency_key: str = strawberry.field(description=KEY)
    effective_from: datetime | None = strawberry.field(default=None, description=FROM)
    effective_to: datetime | None = strawberry.field(
        default=None,
        description="Until when it holds; null: no end. The same as effectiveFrom: it withdraws the card "
        "with that start.",
    )
    tenant: str | None = strawberry.field(default=None, description=TENANT)
    based_on: int | None = strawberry.field(
        default=None, description="The version whose rates, credit value and markup it takes over; null: it states all."
    )
    credit_value: UsdAmount | None = strawberry.field(
        default=None, description="What a credit is worth; null: as in basedOn."
    )
    markup: Amount | None = strawberry.field(
        default=None, description="On provider cost, at least 1; 2 charges twice what it was. Null: as in basedOn."
    )
    rates: list[RateInput] | None = strawberry.field(
        default=None,
        description="Its rates. With basedOn: each replaces the feature's rate on that wallet, or is added.",
    )
    without: list[str] | None = strawberry.field(
        default=None, description="Features of basedOn that it does not take over."
    )

    def body(self) -> Body:
        return _given(
            effective_from=_moment(self.effective_from),
            effective_to=_moment(self.effective_to),
            credit_value=_text(self.credit_value),
            markup=_text(self.markup),
            rates=[rate.body() for rate in self.rates or ()],
        )


@strawberry.input(
    description="Publish a price. Prices with other names, starts or tiers stay; one with the same is corrected by it. "
    "Token prices are for 1,000,000 tokens."
)
class PublishPriceInput:
    """A price."""

    idempotency_key: str = strawberry.field(description=KEY)
    provider: str = strawberry.field(description="The provider's slug.")
    model: str | None = strawberry.field(default=None, description="The model; null for any where none is priced.")
    operation: str | None = strawberry.field(default=None, description="The operation; null for every one.")
    input_per_1m: UsdAmount | None = strawberry.field(name="inputPer1M", default=None, description="For input tokens.")
    output_per_1m: UsdAmount | None = strawberry.field(
        name="outputPer1M", default=None, description="For output tokens."
    )
    cache_read_per_1m: UsdAmount | None = strawberry.field(
        name="cacheReadPer1M", default=None, description="For tokens read from a cache; null: as input."
    )
    cache_write_per_1m: UsdAmount | None = strawberry.field(
        name="cacheWritePer1M", default=None, description="For tokens written to a cache; null: as input."
    )
    reasoning_per_1m: UsdAmount | None = strawberry.field(
        name="reasoningPer1M", default=None, description="For reasoning tokens; null: as output."
    )
    context_above: Count | None = strawberry.field(
        default=None, description="A tier: it prices calls whose context exceeds so many tokens; null: all calls."
    )
    per_call: UsdAmount | None = strawberry.field(default=None, description="For one call.")
    effective_from: datetime | None = strawberry.field(default=None, description=FROM)
    effective_to: datetime | None = strawberry.field(
        default=None,
        description="Until when it holds; null: no end. The same as effectiveFrom: it withdraws the price "
        "with that start.",
    )
    tenant: str | None = strawberry.field(default=None, description=TENANT)
    note: str | None = strawberry.field(default=None, description=NOTE)

    def body(self) -> Body:
        return _given(
            provider=self.provider,
            model=self.model,
            operation=self.operation,
            input=_text(self.input_per_1m),
            output=_text(self.output_per_1m),
            cache_read=_text(self.cache_read_per_1m),
            cache_write=_text(self.cache_write_per_1m),
            reasoning=_text(self.reasoning_per_1m),
            context_above=self.context_above,
            per_call=_text(self.per_call),
            effective_from=_moment(self.effective_from),
            effective_to=_moment(self.effective_to),
            note=self.note,
        )


@strawberry.input(description="A service of a provider under the name that users know.")
class ProviderProductInput:
    """A service of a provider."""

    name: str = strawberry.field(description="Its name.")
    model: str | None = strawberry.field(default=None, description="The model that prices and usage name.")
    category: str = strawberry.field(description="What kind of service it is, such as LLM.")
    purpose: str = strawberry.field(description="What it is used for.")


@strawberry.input(description="Publish a provider, or another version of one: with all of its products.")
class PublishProviderInput:
    """A provider."""

    idempotency_key: str = strawberry.field(description=KEY)
    slug: str = strawberry.field(description="The name that usage and prices carry; all versions share it.")
    name: str = strawberry.field(description="Its name for people.")
    category: str = strawberry.field(description="What kind of service it is, such as LLM.")
    purpose: str = strawberry.field(description="What it is used for.")
    products: list[ProviderProductInput] | None = strawberry.field(default=None, description="What it offers.")
    effective_from: datetime | None = strawberry.field(default=None, description=FROM)

    def body(self) -> Body:
        return _given(
            slug=self.slug,
            name=self.name,
            category=self.category,
            purpose=self.purpose,
            products=[
                _given(name=each.name, model=each.model, category=each.category, purpose=each.purpose)
                for each in self.products or ()
            ],
            effective_from=_moment(self.effective_from),
        )


@strawberry.input(description="What each cycle puts into one wallet; for a capacity wallet, its ceiling.")
class AllocationInput:
    """What a plan gives one wallet."""

    wallet_key: str = strawberry.field(description="The wallet, such as credits or email_sends.")
    amount: Amount = strawberry.field(description="How much, in the wallet's unit.")


@strawberry.input(description="Publish a plan, or another version of one: running cycles keep what they were granted.")
class PublishPlanInput:
    """A plan."""

    idempotency_key: str = strawberry.field(description=KEY)
    region: str = strawberry.field(description="Where it is sold.")
    key: str = strawberry.field(description="Its name in the region; all versions share it.")
    name: str = strawberry.field(description="Its name for people.")
    price: Amount = strawberry.field(description="What it costs a month, in the currency's own unit.")
    currency: str = strawberry.field(description="ISO 4217, such as INR; a region has one.")
    allocations: list[AllocationInput] = strawberry.field(description="What each cycle puts into the wallets.")
    seats: int = strawberry.field(description="How many people may have access.")
    agents: int = strawberry.field(description="How many agent roles may be in use.")
    unlimited: bool = strawberry.field(
        default=False, description="Whether the tenant's own provider keys serve enrichment too."
    )
    withdrawn: bool = strawberry.field(default=False, description=WITHDRAWN)
    effective_from: datetime | None = strawberry.field(default=None, description=FROM)
    note: str | None = strawberry.field(default=None, description=NOTE)

    def body(self) -> Body:
        return _given(
            region=self.region,
            key=self.key,
            name=self.name,
            price=_text(self.price),
            currency=self.currency,
            allocations={each.wallet_key: _text(each.amount) for each in self.allocations},
            seats=self.seats,
            agents=self.agents,
            unlimited=self.unlimited,
            withdrawn=self.withdrawn,
            effective_from=_moment(self.effective_from),
            note=self.note,
        )


@strawberry.input(description="Publish a bundle, or another version of one: what was ordered keeps its price.")
class PublishBundleInput:
    """A bundle."""

    idempotency_key: str = strawberry.field(description=KEY)
    region: str = strawberry.field(description="Where it is sold.")
    key: str = strawberry.field(description="Its name in the region; all versions share it.")
    wallet_key: str = strawberry.field(description="The wallet that it fills.")
    amount: Amount = strawberry.field(description="How much it puts there, in the wallet's unit.")
    price: Amount = strawberry.field(description="What it costs, in the currency's own unit.")
    currency: str = strawberry.field(description="ISO 4217, such as INR; a region has one.")
    withdrawn: bool = strawberry.field(default=False, description=WITHDRAWN)
    effective_from: datetime | None = strawberry.field(default=None, description=FROM)
    note: str | None = strawberry.field(default=None, description=NOTE)

    def body(self) -> Body:
        return _given(
            region=self.region,
            key=self.key,
            wallet=self.wallet_key,
            amount=_text(self.amount),
            price=_text(self.price),
            currency=self.currency,
            withdrawn=self.withdrawn,
            effective_from=_moment(self.effective_from),
            note=self.note,
        )


def _given(**values: Any) -> Body:
    """What was sent; a field that is null is not in the body."""
    return {name: value for name, value in values.items() if value is not None}


def _text(nano: int | None) -> str | None:
    return None if nano is None else format_amount(nano)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
