"""Catalog: what is sold and from whom it is bought, at every date.

It is the same for every tenant but for what is overridden for one: prices and rate cards (PRODUCT.md 1).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from domain.plans import Bundle, Plan
from domain.prices import Price, PriceList
from domain.rates import RateCard, RateCards
from domain.versions import Versions


@dataclass(frozen=True, slots=True)
class ProviderProduct:
    """One row of document 000's table: a service of a provider under the name that users know."""

    name: str
    model: str | None
    category: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that costs money per call, in one version. `slug` is the name that usage and prices carry."""

    slug: str
    name: str
    category: str
    purpose: str
    effective_from: datetime
    published_at: datetime
    products: tuple[ProviderProduct, ...] = ()

    def __post_init__(self) -> None:
        for moment in (self.effective_from, self.published_at):
            assert moment.utcoffset() == timedelta(0), "moments are aware and in UTC"

    @property
    def identity(self) -> str:
        """What all versions share."""
        return self.slug


@dataclass(frozen=True, slots=True)
class Addition:
    """Rows that were published together; prices and rate cards may be for one tenant alone."""

    rows: tuple[RateCard | Price | Provider | Plan | Bundle, ...]
    tenant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything together. `overrides` holds a whole catalog for each tenant that has prices or rate cards of its own;
    those have none themselves."""

    rate_cards: RateCards
    prices: PriceList
    providers: Versions[Provider]
    plans: Versions[Plan]
    bundles: Versions[Bundle]
    overrides: Mapping[UUID, "Catalog"] = field(default_factory=dict)

    def for_tenant(self, tenant_id: UUID) -> "Catalog":
        """The catalog with what is overridden for this tenant; this one where nothing is."""
        return self.overrides.get(tenant_id, self)

    def plan(self, region: str, key: str, at: datetime) -> Plan | None:
        """The plan of a region by its key, as it stands at a moment, withdrawn or not; None: there is none yet."""
        return self.plans.at((region, key), at)

    def plans_of(self, region: str | None, at: datetime) -> tuple[Plan, ...]:
        """What a tenant of the region (None: of any) may subscribe to at a moment, in the catalog's order."""
        sold = [plan for plan in self.plans.all_at(at) if not plan.withdrawn]
        return tuple([plan for plan in sold if region in (None, plan.region)])

    def bundle(self, region: str, key: str, at: datetime) -> Bundle | None:
        """The bundle of a region by its key, as it stands at a moment, withdrawn or not; None: there is none yet."""
        return self.bundles.at((region, key), at)

    def bundles_of(self, region: str, at: datetime) -> tuple[Bundle, ...]:
        """What a tenant of the region may buy at a moment, in the catalog's order."""
        return tuple([bundle for bundle in self.bundles.all_at(at) if bundle.region == region and not bundle.withdrawn])

    def providers_at(self, at: datetime) -> tuple[Provider, ...]:
        """The providers as they stand at a moment, in the catalog's order."""
        return self.providers.all_at(at)

    def with_additions(self, additions: Iterable[Addition]) -> "Catalog":
        """This catalog, which has no overrides yet, and what was published since, in the order of its publication."""
        assert not self.overrides
        cards: defaultdict[UUID | None, list[RateCard]] = defaultdict(list)
        prices: defaultdict[UUID | None, list[Price]] = defaultdict(list)
        providers: list[Provider] = []
        plans: list[Plan] = []
        bundles: list[Bundle] = []
        for addition in additions:
            for row in addition.rows:
                match row:
                    case RateCard():
                        cards[addition.tenant_id].append(row)
                    case Price():
                        prices[addition.tenant_id].append(row)
                    case Provider():
                        providers.append(row)
                    case Plan():
                        plans.append(row)
                    case Bundle():
                        bundles.append(row)
                    case _ as never:
                        assert_never(never)
        for_everybody = Catalog(
            RateCards([*self.rate_cards, *cards.pop(None, ())]),
            self.prices.adding(prices.pop(None, ())),
            self.providers.adding(providers),
            self.plans.adding(plans),
            self.bundles.adding(bundles),
        )
        overrides = {
            tenant_id: replace(
                for_everybody,
                rate_cards=RateCards([*for_everybody.rate_cards, *cards[tenant_id]]),
                prices=for_everybody.prices.adding(prices[tenant_id]),
            )
            for tenant_id in [*cards, *[tenant_id for tenant_id in prices if tenant_id not in cards]]
            if tenant_id is not None
        }
        return replace(for_everybody, overrides=overrides)

    def next_version(self) -> int:
        """The number of the next rate card; numbers are unique over all tenants."""
        catalogs = (self, *self.overrides.values())
        return 1 + max((card.version for catalog in catalogs for card in catalog.rate_cards), default=0)
