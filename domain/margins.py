"""Margins: what work brought in, what it cost us, and whether that is what the rate card promises (operators only).

Revenue is what tenants were charged: a credit at its dollar value on the rate card that was in force when the usage it was
charged for happened, a metered dollar as it is. Cost is what providers charge on our keys; on a tenant's own key (BYOK) it
is the tenant's money and never counts. Free features cost us money as well: their cost counts, and nothing is asked of it.

Document 004 aims at 50 to 60 % gross margin; a line is flagged under the lower bound. A feature that is charged cost-plus
alone promises only its markup, and is flagged under that: its markup is the operator's decision, a call that was charged
less is not.

Amounts are nano-dollars, credits nano-credits, percents hundredths of a percent.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from domain.money import multiply_rounding_down, percent, price_for_margin_rounding_down, share_rounding_down
from domain.rates import ChargeType, RateCard, RateCards
from domain.usage import Route

# The lower bound of document 004's 50 to 60 %.
TARGET: Final = 5_000
MOST_TARGET: Final = 9_900


class MarginDimension(StrEnum):
    """What margins can be grouped by. MONTH is that of the tenant's time zone."""

    FEATURE = "FEATURE"
    PROVIDER = "PROVIDER"
    TENANT = "TENANT"
    MONTH = "MONTH"


class MarginFlag(StrEnum):
    """What is wrong with a line."""

    NEGATIVE = "NEGATIVE"  # it cost more than it brought in
    BELOW_TARGET = "BELOW_TARGET"  # it brought in less than it should


@dataclass(frozen=True, slots=True)
class Terms:
    """What counts of a rate card here. `credit_value`: nano-dollars that a credit is worth, 0 where no card was in force;
    `markup`: nano; `cost_plus`: the features that are charged by nothing but their cost."""

    credit_value: int
    markup: int
    cost_plus: frozenset[str]


NO_TERMS: Final = Terms(0, 0, frozenset())


class CardSpan(NamedTuple):
    """Which card was in force in [start, end); None: there was none."""

    start: datetime
    end: datetime
    card: RateCard | None


class TermsSpan(NamedTuple):
    """Under which terms the usage of [start, end) was charged."""

    start: datetime
    end: datetime
    terms: Terms


class Sums(NamedTuple):
    """Sums of usage. `credits` were charged, and worth `credit_revenue`; `metered_revenue` was charged in dollars. `cost` is
    ours, `least` what should have come in for it. `unpriced` counts events on our keys whose cost is not known yet, and so
    not in `cost`."""

    credits: int = 0
    credit_revenue: int = 0
    metered_revenue: int = 0
    cost: int = 0
    least: int = 0
    events: int = 0
    unpriced: int = 0

    @property
    def revenue(self) -> int:
        """What came in."""
        return self.credit_revenue + self.metered_revenue

    @property
    def margin(self) -> int:
        """What is left of it: less than 0 where it cost more."""
        return self.revenue - self.cost

    @property
    def percent(self) -> int | None:
        """The gross margin, rounded down; None where nothing came in."""
        return percent(self.margin, self.revenue) if self.revenue > 0 else None

    @property
    def least_percent(self) -> int | None:
        """The gross margin that it should have; None where nothing is asked for."""
        return percent(self.least - self.cost, self.least) if self.least > 0 else None

    @property
    def flag(self) -> MarginFlag | None:
        """What is wrong with it. Work that is given away on purpose, and nothing else, is not flagged."""
        if self.revenue >= self.cost and self.revenue >= self.least:
            return None
        if self.least == 0:
            return None
        return MarginFlag.NEGATIVE if self.margin < 0 else MarginFlag.BELOW_TARGET


class Group(NamedTuple):
    """The sums of a feature, provider and route: `cost` is the list's, also on a tenant's own key."""

    feature: str | None
    provider: str | None
    route: Route
    credits: int
    metered: int
    cost: int
    events: int
    unpriced: int


Place = tuple[str | None, str | None]
"""A feature and a provider."""


def terms_of(card: RateCard | None) -> Terms:
    """What counts of a card."""
    if card is None:
        return NO_TERMS
    others = {rate.feature for rate in card.rates if rate.charge_type is not ChargeType.COST_PLUS}
    return Terms(card.credit_value, card.markup, frozenset({rate.feature for rate in card.rates} - others))


def cards_between(cards: RateCards, start: datetime, end: datetime) -> Iterator[CardSpan]:
    """The span in pieces under one card each: at each moment the card in force, by what was published until then."""
    moments = {start}
    for card in cards:
        moments.update(
            moment
            for moment in (card.effective_from, card.effective_to, card.published_at)
            if moment is not None and start < moment < end
        )
    ordered = sorted(moments)
    for begin, until in zip(ordered, [*ordered[1:], end], strict=True):
        yield CardSpan(begin, until, cards.at(begin, begin))


def terms_between(cards: RateCards, start: datetime, end: datetime) -> tuple[TermsSpan, ...]:
    """The span in pieces of equal terms, as few as there can be."""
    found: list[TermsSpan] = []
    for begin, until, card in cards_between(cards, start, end):
        terms = terms_of(card)
        if found and found[-1].terms == terms:
            found[-1] = found[-1]._replace(end=until)
        else:
            found.append(TermsSpan(begin, until, terms))
    return tuple(found)


def add(left: Sums, right: Sums) -> Sums:
    """Both together."""
    return Sums(*[one + other for one, other in zip(left, right, strict=True)])


def total(sums: Iterable[Sums]) -> Sums:
    """All of them together."""
    whole = Sums()
    for each in sums:
        whole = add(whole, each)
    return whole


def by_place(groups: Iterable[Group], terms: Terms, target: int) -> dict[Place, Sums]:
    """The sums by feature and provider of usage under the same terms, of one tenant and month.

    A fixed charge is stored with the first call of its settlement, or beside its calls, whoever was called for the rest. So
    the revenue of a feature is one pot (for each route), and each provider's part of it is its part of the cost.
    """
    pots: defaultdict[tuple[str | None, Route], list[Group]] = defaultdict(list)
    for group in groups:
        pots[group.feature, group.route].append(group)
    found: defaultdict[Place, Sums] = defaultdict(Sums)
    for (feature, _), pot in pots.items():
        for provider, sums in _shared(pot, terms, target):
            found[feature, provider] = add(found[feature, provider], sums)
    return dict(found)


def apportion(amount: int, weights: Mapping[str | None, int]) -> dict[str | None, int]:
    """An amount in whole parts that add up to it exactly, in proportion to the weights, of which some is not 0.

    Each gets its quota rounded towards 0; what is left goes one by one to those whose quotas were cut most, the heavier and
    then the first by name where they were cut alike: so the order in which they are given does not matter.
    """
    whole = sum(weights.values())
    assert whole > 0, "there is something to go by"
    assert min(weights.values()) >= 0
    size, sign = abs(amount), -1 if amount < 0 else 1
    parts = {name: share_rounding_down(size, weight, whole) for name, weight in weights.items()}
    left = size - sum(parts.values())
    cut_most = sorted(
        weights, key=lambda name: (-(size * weights[name] % whole), -weights[name], name is None, name or "")
    )
    for name in cut_most[:left]:
        parts[name] += 1
    return {name: sign * part for name, part in parts.items()}


def _shared(pot: list[Group], terms: Terms, target: int) -> Iterator[tuple[str | None, Sums]]:
    """Each provider's sums: its part of what was charged; as it was charged where nothing cost anything."""
    weights = {group.provider: group.cost for group in pot}
    assert len(weights) == len(pot), "each provider is there once"
    whole = sum(weights.values())
    if whole == 0:
        for group in pot:
            earned = multiply_rounding_down(group.credits, terms.credit_value)
            yield group.provider, _sums(group, group.credits, earned, group.metered, 0)
        return
    charged = sum([group.credits for group in pot])
    credits_of = apportion(charged, weights)
    earned_by = apportion(multiply_rounding_down(charged, terms.credit_value), weights)
    metered_by = apportion(sum([group.metered for group in pot]), weights)
    least = _least(pot[0], whole, terms, target)
    for group in pot:
        name = group.provider
        # Rounded down, so that no part is asked for more than its part of what came in.
        asked = share_rounding_down(least, group.cost, whole)
        yield name, _sums(group, credits_of[name], earned_by[name], metered_by[name], asked)


def _sums(group: Group, charged: int, earned: int, metered: int, least: int) -> Sums:
    if group.route is Route.BYOK:
        return Sums(charged, earned, metered)
    return Sums(charged, earned, metered, group.cost, least, group.events, group.unpriced)


def _least(group: Group, cost: int, terms: Terms, target: int) -> int:
    """What a pot should bring in."""
    if group.route is Route.FREE:
        return 0
    least = price_for_margin_rounding_down(cost, target)
    return min(least, multiply_rounding_down(cost, terms.markup)) if group.feature in terms.cost_plus else least
