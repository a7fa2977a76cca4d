"""Catalog: what is charged and what providers charge, at any date.

A tenant sees what holds for it: its own prices and rate cards where there are any. Tenants never see what a credit is
worth, nor the markup (PRODUCT.md 5). So a rate shows its floor only on the metered wallet, where it is in the wallet's
own dollars: beside a hold in credits it would tell what a credit is worth.
"""

from datetime import datetime
from typing import Annotated

import strawberry

from domain import catalog, prices, rates
from domain.catalog import Catalog
from domain.rates import ChargeType
from domain.rates import RateCard as Card
from domain.wallets import METERED_KEY
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import Node
from graphql_api.scalars import Amount, Count, UsdAmount, amount, usd


@strawberry.type(description="How a feature is charged to one wallet. A feature has one rate per wallet it draws on.")
class Rate:
    """How a feature is charged to one wallet."""

    feature: str = strawberry.field(description="The name that reserve takes.")
    name: str = strawberry.field(description="Its name for people.")
    charge_type: ChargeType = strawberry.field(description="How the charge is made up.")
    wallet_key: str = strawberry.field(description="The wallet that it draws on.")
    credits: Amount | None = strawberry.field(
        description="Per unit of quantity, or per result, in the wallet's unit; null where it depends on the cost."
    )
    floor: Amount | None = strawberry.field(
        description="The least that is held before a call on the metered wallet, in US dollars; null if there is none."
    )
    agents: list[str] = strawberry.field(description="The agent roles that do this work.")
    note: str | None = strawberry.field(description="A remark of the rate card.")

    @classmethod
    def of(cls, rate: rates.Rate) -> "Rate":
        by_cost = rate.charge_type is ChargeType.COST_PLUS
        return cls(
            feature=rate.feature,
            name=rate.name,
            charge_type=rate.charge_type,
            wallet_key=rate.wallet_key,
            credits=None if by_cost else Amount(rate.amount),
            floor=amount(rate.floor) if rate.wallet_key == METERED_KEY else None,
            agents=list(rate.agents),
            note=rate.note or None,
        )


@strawberry.type(description="One version of the rates, with its dates.")
class RateCard(Node):
    """One version of the rates."""

    version: int = strawberry.field(description="Its number.")
    effective_from: datetime = strawberry.field(description="From when it holds.")
    effective_to: datetime | None = strawberry.field(description="Until when; null if no end is set.")
    rates: list[Rate] = strawberry.field(description="Its rates, in its own order.")

    @classmethod
    def of(cls, card: Card) -> "RateCard":
        return cls(
            id=strawberry.ID(f"rcd_{card.version}"),
            version=card.version,
            effective_from=card.effective_from,
            effective_to=card.effective_to,
            rates=[Rate.of(rate) for rate in card.rates],
        )


@strawberry.type(description="A service of a provider under the name that users know.")
class ProviderProduct:
    """A service of a provider."""

    name: str = strawberry.field(description="Its name.")
    model: str | None = strawberry.field(description="The model that prices and usage name; null if it is none.")
    category: str = strawberry.field(description="What kind of service it is.")
    purpose: str = strawberry.field(description="What it is used for.")


@strawberry.type(description="A service that costs money per call.")
class Provider(Node):
    """A service that costs money per call."""

    slug: str = strawberry.field(description="The name that usage and prices carry.")
    name: str = strawberry.field(description="Its name for people.")
    category: str = strawberry.field(description="What kind of service it is.")
    purpose: str = strawberry.field(description="What it is used for.")
    products: list[ProviderProduct] = strawberry.field(description="What it offers, where that is listed.")

    @classmethod
    def of(cls, provider: catalog.Provider) -> "Provider":
        return cls(
            id=strawberry.ID(f"prv_{provider.slug}"),
            slug=provider.slug,
            name=provider.name,
            category=provider.category,
            purpose=provider.purpose,
            products=[
                ProviderProduct(
                    name=product.name, model=product.model, category=product.category, purpose=product.purpose
                )
                for product in provider.products
            ],
        )


@strawberry.type(
    description="What a provider charges, as one row of the price list. Token prices are for 1,000,000 tokens; "
    "a class without a price of its own costs what input (cache) or output (reasoning) costs."
)
class Price:
    """One row of the price list."""

    provider: str = strawberry.field(description="The provider's slug.")
    model: str | None = strawberry.field(description="The model; null for a price of the whole provider.")
    operation: str | None = strawberry.field(description="The operation; null for a price of all of them.")
    input_per_1m: UsdAmount | None = strawberry.field(
        name="inputPer1M", description="Input tokens that were not cached, for 1,000,000."
    )
    output_per_1m: UsdAmount | None = strawberry.field(
        name="outputPer1M", description="Output tokens without reasoning, for 1,000,000."
    )
    cache_read_per_1m: UsdAmount | None = strawberry.field(
        name="cacheReadPer1M", description="Input tokens read from the cache, for 1,000,000."
    )
    cache_write_per_1m: UsdAmount | None = strawberry.field(
        name="cacheWritePer1M", description="Input tokens written to the cache, for 1,000,000."
    )
    reasoning_per_1m: UsdAmount | None = strawberry.field(
        name="reasoningPer1M", description="Reasoning tokens, for 1,000,000."
    )
    context_above: Count | None = strawberry.field(
        description="This row is for calls whose context exceeds so many tokens; null for all calls."
    )
    per_call: UsdAmount | None = strawberry.field(description="For one call.")
    effective_from: datetime = strawberry.field(description="From when it holds.")
    effective_to: datetime | None = strawberry.field(description="Until when; null if no end is set.")

    @classmethod
    def of(cls, price: prices.Price) -> "Price":
        return cls(
            provider=price.provider,
            model=price.model,
            operation=price.operation,
            input_per_1m=usd(price.input_per_million),
            output_per_1m=usd(price.output_per_million),
            cache_read_per_1m=usd(price.cache_read_per_million),
            cache_write_per_1m=usd(price.cache_write_per_million),
            reasoning_per_1m=usd(price.reasoning_per_million),
            context_above=None if price.context_above is None else Count(price.context_above),
            per_call=usd(price.per_call),
            effective_from=price.effective_from,
            effective_to=price.effective_to,
        )


@strawberry.type
class CatalogQueries:
    """What can be asked about the catalog."""

    @field(description="The rate card in force now, or at another moment.")
    async def rate_card(
        self, info: Info, at: Annotated[datetime | None, strawberry.argument(description="Null for now.")] = None
    ) -> RateCard:
        catalog = await _catalog(info)
        now = info.context.application.clock()
        card = catalog.rate_cards.at(at or now, now)
        if card is None:
            raise bad_input("at: no rate card was in force at that moment")
        return RateCard.of(card)

    @field(description="The providers that calls may go to.")
    async def providers(self, info: Info) -> list[Provider]:
        catalog = await _catalog(info)
        return [Provider.of(provider) for provider in catalog.providers_at(info.context.application.clock())]

    @field(description="The prices in force now, or at another moment.")
    async def prices(
        self,
        info: Info,
        provider: Annotated[str | None, strawberry.argument(description="Only this provider's; null for all.")] = None,
        at: Annotated[datetime | None, strawberry.argument(description="Null for now.")] = None,
    ) -> list[Price]:
        catalog = await _catalog(info)
        now = info.context.application.clock()
        in_force = catalog.prices.at(at or now, now)
        return [Price.of(price) for price in in_force if provider is None or price.provider == provider]


async def _catalog(info: Info) -> Catalog:
    """The newest catalog, as the caller's tenant sees it."""
    catalog = await info.context.application.current_catalog()
    return catalog.for_tenant(info.context.caller.tenant_id)
