"""Rate card: how a feature is charged to the tenant, and what a hold and a charge come to.

A card is a version with its dates. A feature has one rate per wallet that it draws on: an AI-written
send takes one `email_sends` credit and metered dollars (document 002). Amounts are nano-units of the
rate's wallet (credits or dollars), quantities are nano (3 units: 3_000_000_000), provider costs and
credit values are nano-dollars, the markup is nano (1.3: 1_300_000_000).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from domain.money import NANO, mark_up_rounding_up, multiply_rounding_up
from domain.wallets import METERED_KEY, Unit


class ChargeType(StrEnum):
    """How a charge is made up (PRODUCT.md 5)."""

    FIXED = "FIXED"  # credits per deliverable, whatever it cost (documents 003, 004)
    COST_PLUS = "COST_PLUS"  # real provider cost x markup (document 001)
    PER_UNIT = "PER_UNIT"  # per send, per lead (document 002)
    PER_RESULT = "PER_RESULT"  # only what was found: 600 of 1,000 (document 002)
    BUNDLED = "BUNDLED"  # several features under one fixed charge (document 004, the two scores)
    FREE = "FREE"  # recorded, not billed


class RouteClass(StrEnum):
    """What the tenant's own key does for a feature (document 002)."""

    COPYWRITING = "COPYWRITING"  # own key: always used
    ENRICHMENT = "ENRICHMENT"  # own key: used on unlimited plans only
    OTHER = "OTHER"  # as copywriting


@dataclass(frozen=True, slots=True)
class Rate:
    """How one feature is charged on one wallet.

    amount: nano-units of the wallet per unit of quantity, or per result; 0 for COST_PLUS and FREE.
    floor: nano-dollars, the least that a cost-plus hold assumes as its charge (document 001: preflight floor).
    default_estimate: nano-dollars of provider cost per unit of quantity, for when the caller gives no estimate.
    needs_model: this leg applies only if the call names a model (AI copy in a send is optional).
    bundle: features of one bundle share a task and are charged once; each alone costs the same.
    """

    feature: str
    name: str
    charge_type: ChargeType
    wallet_key: str
    amount: int
    floor: int | None
    default_estimate: int
    route_class: RouteClass
    needs_model: bool = False
    bundle: str | None = None
    agents: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        assert self.feature
        assert self.wallet_key
        assert min(self.amount, self.default_estimate, self.floor or 0) >= 0, (
            f"{self.feature}: amounts must be 0 or more"
        )
        assert self.floor is None or self.charge_type is ChargeType.COST_PLUS, (
            f"{self.feature}: only cost-plus rates have a floor"
        )
        without_amount = self.charge_type in (ChargeType.COST_PLUS, ChargeType.FREE)
        assert (self.amount == 0) == without_amount, (
            f"{self.feature}: {self.charge_type} {'takes no' if without_amount else 'needs'} credits"
        )
        assert (self.bundle is not None) == (self.charge_type is ChargeType.BUNDLED), self.feature


@dataclass(frozen=True, slots=True)
class RateCard:
    """One version of the rates. credit_value: nano-dollars that a credit is worth (never shown to tenants);
    markup: nano, at least 1, so that no cost-plus call is billed below its cost (document 001). least_metered: the
    smallest hold of any rate on the metered wallet, nano-dollars, at least 1: who has less can pay for nothing there.
    for_tenant: holds for one tenant alone.
    """

    version: int
    effective_from: datetime
    effective_to: datetime | None
    published_at: datetime
    credit_value: int
    markup: int
    rates: tuple[Rate, ...]
    for_tenant: bool = False
    least_metered: int = field(init=False, repr=False, compare=False)
    _by_feature: dict[str, tuple[Rate, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.markup >= NANO, "a markup under 1 would bill calls below their cost"
        assert self.credit_value > 0
        assert self.effective_to is None or self.effective_to >= self.effective_from
        for moment in (self.effective_from, self.effective_to or self.effective_from, self.published_at):
            assert moment.utcoffset() == timedelta(0), "moments are aware and in UTC"
        by_feature: defaultdict[str, list[Rate]] = defaultdict(list)
        charges_of_bundle: dict[str, tuple[str, int]] = {}
        for rate in self.rates:
            assert all(rate.wallet_key != other.wallet_key for other in by_feature[rate.feature]), (
                f"{rate.feature}: two rates on wallet {rate.wallet_key}"
            )
            by_feature[rate.feature].append(rate)
            if rate.bundle is not None:
                charge_of_one = (rate.wallet_key, rate.amount)
                assert charges_of_bundle.setdefault(rate.bundle, charge_of_one) == charge_of_one, (
                    f"bundle {rate.bundle}: either feature alone must cost the same"
                )
        indexed = {feature: tuple(rates) for feature, rates in by_feature.items()}
        object.__setattr__(self, "_by_feature", indexed)
        holds = [rate.amount or rate.floor or 0 for rate in self.rates if rate.wallet_key == METERED_KEY]
        object.__setattr__(self, "least_metered", max(1, min(holds, default=1)))

    def rates_of(self, feature: str) -> tuple[Rate, ...]:
        """The feature's rates, one per wallet, in the card's order; empty: no such feature."""
        return self._by_feature.get(feature, ())


class RateCards:
    """All versions of the card. Where a tenant has cards of its own in force, they go before those that hold for
    everybody."""

    __slots__ = ("_bundles", "_newest_first", "_versions")

    def __init__(self, cards: Iterable[RateCard]) -> None:
        """Index the cards. A version number given twice is an error."""
        cards = tuple(cards)
        self._versions = {card.version: card for card in cards}
        assert len(self._versions) == len(cards), "a rate card version is given twice"
        self._bundles: defaultdict[str, set[str]] = defaultdict(set)
        for rate in [rate for card in cards for rate in card.rates if rate.bundle is not None]:
            self._bundles[rate.feature].add(rate.bundle or "")
        self._newest_first = sorted(
            cards,
            key=lambda card: (card.for_tenant, card.effective_from, card.published_at, card.version),
            reverse=True,
        )

    def __iter__(self) -> Iterator[RateCard]:
        """Every version, in the order in which they were given."""
        return iter(self._versions.values())

    def at(self, when: datetime, known_at: datetime) -> RateCard | None:
        """The card in force at a moment, by what was published up to `known_at`: the newest start whose range
        holds it. Of cards with one start the last published counts, so an empty range withdraws a card.
        """
        decided: tuple[bool, datetime] | None = None
        for card in self._newest_first:
            version_of = (card.for_tenant, card.effective_from)
            if card.published_at > known_at or card.effective_from > when or version_of == decided:
                continue
            decided = version_of
            if card.effective_to is None or when < card.effective_to:
                return card
        return None

    def bundles_of(self, feature: str) -> tuple[str, ...]:
        """Every bundle that the feature was ever in."""
        return tuple(sorted(self._bundles.get(feature, ())))

    def version(self, number: int) -> RateCard | None:
        """The card with this version number, in force or not; None: no such version."""
        return self._versions.get(number)


def default_estimate(rates: Iterable[Rate]) -> int:
    """The provider cost per unit of quantity, nano-dollars, of a feature's rates that apply; 0 without rates.

    Legs of a feature are paid for the same provider calls, so they do not add up: the largest stands for all.
    """
    return max((rate.default_estimate for rate in rates), default=0)


def estimate(rates: Iterable[Rate], quantity: int) -> int:
    """The feature's default provider cost for a quantity (nano), in nano-dollars, rounded up."""
    return multiply_rounding_up(default_estimate(rates), quantity)


def hold(rate: Rate, card: RateCard, unit: Unit, quantity: int, estimated_cost: int) -> int:
    """Nano-units of the rate's wallet to hold, rounded up. `unit` is the wallet's, `quantity` is nano.

    Cost-plus holds the estimated cost (nano-dollars, for the whole quantity) x markup, and at least the
    floor (document 001), converted at the credit's value where the wallet holds credits. The others hold what
    they would charge if everything asked for were done or found.
    """
    match rate.charge_type:
        case ChargeType.COST_PLUS:
            least = mark_up_rounding_up(rate.floor or 0, NANO, _value_of(unit, card))
            return max(least, cost_plus(card, unit, estimated_cost))
        case ChargeType.FIXED | ChargeType.BUNDLED | ChargeType.PER_UNIT | ChargeType.PER_RESULT:
            return multiply_rounding_up(rate.amount, quantity)
        case ChargeType.FREE:
            return 0
        case _ as never:
            assert_never(never)


def charge(rate: Rate, card: RateCard, unit: Unit, quantity: int, results: int, cost: int) -> int:
    """Nano-units of the rate's wallet to charge, rounded up: by the actual quantity (nano), by `results`
    (a plain count of what was found), or by the actual `cost` (nano-dollars) x markup, without the floor.
    """
    match rate.charge_type:
        case ChargeType.COST_PLUS:
            return cost_plus(card, unit, cost)
        case ChargeType.FIXED | ChargeType.BUNDLED | ChargeType.PER_UNIT:
            return multiply_rounding_up(rate.amount, quantity)
        case ChargeType.PER_RESULT:
            return rate.amount * results
        case ChargeType.FREE:
            return 0
        case _ as never:
            assert_never(never)


def _value_of(unit: Unit, card: RateCard) -> int:
    return card.credit_value if unit is Unit.CREDIT else NANO


def cost_plus(card: RateCard, unit: Unit, cost: int) -> int:
    """Provider cost (nano-dollars) x markup, in nano-units of a wallet of this unit, rounded up once."""
    return mark_up_rounding_up(cost, card.markup, _value_of(unit, card))
