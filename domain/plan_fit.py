"""Plan fit: what a month of deliverables takes from the wallets, and which plans hold it (document 004).

How a list is counted: each feature is charged as the rate card in force charges it, for its whole quantity. Legs that
need a model to be named are left out, as in a reserve without one. Of a bundle, what goes together is one charge: each
time that one of its features is in the list, it goes with one of each of its others, so that a bundle is charged as often
as the feature of it that comes most often. Per result, everything asked for is taken to be found: it is the most that
can be charged. Cost-plus goes by the card's default estimate, and says so.

Amounts are nano-units of their wallets, quantities are nano.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from domain import rates
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.money import LARGEST_AMOUNT, NANO
from domain.plans import Plan
from domain.rates import ChargeType, Rate, RateCard
from domain.refusals import FieldProblem, InvalidInput, UnknownFeature
from domain.wallets import CAPACITY_KEYS, METERED_KEY, unit_of

MOST_DELIVERABLES: Final = 100


class Deliverable(NamedTuple):
    """So much of one feature."""

    feature: str
    quantity: int


class Line(NamedTuple):
    """What one deliverable takes from one wallet. `estimated`: it depends on what the providers will charge."""

    rate: Rate
    quantity: int
    amount: int
    estimated: bool


class Fit(NamedTuple):
    """How a plan holds it, for each wallet that is drawn on and that plans fill: what is missing, or what is left."""

    plan: Plan
    short_by: tuple[tuple[str, int], ...]
    left_over: tuple[tuple[str, int], ...]

    @property
    def fits(self) -> bool:
        """Whether the plan alone holds everything."""
        return not self.short_by


class PlanFit(NamedTuple):
    """The lines in the order of the list, their totals by wallet, and how each plan holds them."""

    lines: tuple[Line, ...]
    totals: tuple[tuple[str, int], ...]
    plans: tuple[Fit, ...]


def plan_fit(
    deliverables: Sequence[Deliverable], card: RateCard | None, plans: Iterable[Plan]
) -> PlanFit | UnknownFeature | InvalidInput:
    """What the deliverables take, and which of the plans hold it. The metered wallet is prepaid beside every plan, so no
    plan is short of it."""
    found = _problems(deliverables, card)
    if found:
        return InvalidInput(tuple(found))
    lines: list[Line] = []
    counted: defaultdict[str, _Counted] = defaultdict(_Counted)
    for feature, quantity in deliverables:
        feature_rates = _rates_of(card, feature)
        if card is None or not feature_rates:
            return UnknownFeature(feature)
        legs = [rate for rate in feature_rates if not rate.needs_model]
        estimate = rates.estimate(legs, quantity)
        for rate in legs:
            charged = quantity if rate.bundle is None else counted[rate.bundle].add(feature, quantity)
            amount = _charge(rate, card, charged, estimate)
            lines.append(Line(rate, quantity, amount, rate.charge_type is ChargeType.COST_PLUS))
    totals: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        totals[line.rate.wallet_key] += line.amount
    needed = tuple(totals.items())
    return PlanFit(tuple(lines), needed, tuple([_fit(plan, needed) for plan in plans]))


class _Counted:
    """How often the features of one bundle came so far."""

    __slots__ = ("_charged", "_times")

    def __init__(self) -> None:
        self._times: defaultdict[str, int] = defaultdict(int)
        self._charged = 0

    def add(self, feature: str, quantity: int) -> int:
        """How many charges of the bundle this adds to those before."""
        self._times[feature] += quantity
        before = self._charged
        self._charged = max(before, self._times[feature])
        return self._charged - before


def _charge(rate: Rate, card: RateCard, quantity: int, estimate: int) -> int:
    return rates.charge(rate, card, unit_of(rate.wallet_key), quantity, quantity // NANO, estimate)


def _fit(plan: Plan, needed: Iterable[tuple[str, int]]) -> Fit:
    short_by: list[tuple[str, int]] = []
    left_over: list[tuple[str, int]] = []
    for wallet_key, amount in needed:
        if wallet_key != METERED_KEY:
            left = plan.allocation(wallet_key) - amount
            (left_over if left >= 0 else short_by).append((wallet_key, abs(left)))
    return Fit(plan, tuple(short_by), tuple(left_over))


def _problems(deliverables: Sequence[Deliverable], card: RateCard | None) -> list[FieldProblem]:
    if not 1 <= len(deliverables) <= MOST_DELIVERABLES:
        return [FieldProblem("deliverables", f"must be 1 to {MOST_DELIVERABLES}")]
    found: list[FieldProblem] = []
    for index, (feature, quantity) in enumerate(deliverables):
        place = f"deliverables.{index}"
        if not is_identifier(feature):
            found.append(FieldProblem(f"{place}.feature", IDENTIFIER_RULE))
        if not 0 < quantity <= LARGEST_AMOUNT:
            found.append(FieldProblem(f"{place}.quantity", "must be more than 0 and at most 1000000000"))
        elif quantity % NANO and any(_is_counted(rate) for rate in _rates_of(card, feature)):
            found.append(FieldProblem(f"{place}.quantity", "must be a whole number for this feature"))
    return found


def _rates_of(card: RateCard | None, feature: str) -> tuple[Rate, ...]:
    return () if card is None else card.rates_of(feature)


def _is_counted(rate: Rate) -> bool:
    return rate.charge_type is ChargeType.PER_RESULT or rate.wallet_key in CAPACITY_KEYS
