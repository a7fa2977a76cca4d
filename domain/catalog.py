"""Catalog: what is sold and from whom it is bought, the same for every tenant.

Amounts in wallets are nano-units; prices to the tenant are integer minor units of their ISO 4217
currency (34,999 rupees: 3_499_900 paise).
"""

from dataclasses import dataclass

from domain.prices import PriceList
from domain.rates import RateCards


@dataclass(frozen=True, slots=True)
class ProviderProduct:
    """One row of document 000's table: a service of a provider under the name that users know."""

    name: str
    model: str | None
    category: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A service that costs money per call. `slug` is the name that usage and prices carry."""

    slug: str
    name: str
    category: str
    purpose: str
    products: tuple[ProviderProduct, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tenant of a region subscribes to (documents 002, 004), per month.

    allocations: (wallet key, nano-units) granted each cycle; for capacity wallets, the ceiling.
    unlimited: own keys may serve enrichment too (document 002).
    """

    key: str
    name: str
    region: str
    currency: str
    price: int
    allocations: tuple[tuple[str, int], ...]
    seats: int
    agents: int
    unlimited: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        assert min(self.price, self.seats, self.agents) > 0, self.key
        wallets = [wallet_key for wallet_key, _ in self.allocations]
        assert len(set(wallets)) == len(wallets), f"{self.key}: a wallet is allocated twice"
        assert all(amount >= 0 for _, amount in self.allocations), f"{self.key}: an allocation is negative"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Credits that a tenant of a region can buy on top of the plan (document 004). `amount`: nano-units."""

    key: str
    region: str
    wallet_key: str
    amount: int
    price: int
    currency: str
    note: str = ""

    def __post_init__(self) -> None:
        assert min(self.amount, self.price) > 0, self.key


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything together, as read from its data files."""

    rate_cards: RateCards
    prices: PriceList
    providers: tuple[Provider, ...]
    plans: tuple[Plan, ...]
    bundles: tuple[Bundle, ...]

    def plan(self, region: str, key: str) -> Plan | None:
        """The plan of a region by its key; plans of two regions may share a key."""
        return next((plan for plan in self.plans if (plan.region, plan.key) == (region, key)), None)

    def bundles_of(self, region: str) -> tuple[Bundle, ...]:
        """What a tenant of the region may buy, in the catalog's order."""
        return tuple(bundle for bundle in self.bundles if bundle.region == region)
