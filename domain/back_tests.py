"""Back-tests: what a month's work would have come to under other caps, another rate card or another plan.

The work that was asked for is asked for again, in its order and at its moments, of the same rules (`outcomes` says what it
came to). What really ran has its real usage and its real cost; what was really refused and would have run is taken to cost
what was estimated for it.

Amounts are nano-units, costs nano-dollars.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.attribution import is_identifier
from domain.budgets import Budget, BudgetKey
from domain.catalog import Catalog
from domain.controls import budget_problems
from domain.money import NANO
from domain.outcomes import Outcome
from domain.rates import ChargeType, Rate, RateCard, RateCards
from domain.refusals import FieldProblem

MOST_CAPS: Final = 100
MOST_RATES: Final = 100


@dataclass(frozen=True, slots=True)
class RateChange:
    """Another amount (nano-units of the wallet per unit or result) for a feature that is charged by amounts."""

    feature: str
    wallet_key: str
    amount: int


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is assumed instead of what really held; without any, the month is played as it was.

    caps: nano-dollars, None: no cap. rate_card: the number of a published one, which holds all month; None: each in its
    time. markup (nano), credit_value (nano-dollars) and rates change it, or (without `rate_card`) the card in force when the
    month began. plan: the key of a plan of the tenant's region, which grants every cycle that begins in the month.
    """

    caps: tuple[tuple[BudgetKey, int | None], ...] = ()
    rate_card: int | None = None
    markup: int | None = None
    credit_value: int | None = None
    rates: tuple[RateChange, ...] = ()
    plan: str | None = None

    @property
    def changes_card(self) -> bool:
        """Whether another rate card is assumed."""
        return bool(self.rates) or any(
            figure is not None for figure in (self.rate_card, self.markup, self.credit_value)
        )


def problems(assumptions: Assumptions) -> tuple[FieldProblem, ...]:
    """What is wrong with assumptions, whatever the catalog says."""
    found: list[FieldProblem] = []
    if len(assumptions.caps) > MOST_CAPS:
        found.append(FieldProblem("caps", f"at most {MOST_CAPS}"))
    for index, (key, cap) in enumerate(assumptions.caps[:MOST_CAPS]):
        wrong = budget_problems(key, None if cap is None else Budget(key, cap))
        found.extend(FieldProblem(f"caps.{index}.{problem.path}", problem.message) for problem in wrong)
    if len({key for key, _ in assumptions.caps}) < len(assumptions.caps):
        found.append(FieldProblem("caps", "a budget is named twice"))
    if assumptions.markup is not None and assumptions.markup < NANO:
        found.append(FieldProblem("markup", "must be at least 1, so that no call is billed below its cost"))
    if assumptions.credit_value is not None and assumptions.credit_value <= 0:
        found.append(FieldProblem("creditValueUsd", "must be more than 0"))
    if len(assumptions.rates) > MOST_RATES:
        found.append(FieldProblem("rates", f"at most {MOST_RATES}"))
    if len({(change.feature, change.wallet_key) for change in assumptions.rates}) < len(assumptions.rates):
        found.append(FieldProblem("rates", "a rate is named twice"))
    for index, change in enumerate(assumptions.rates[:MOST_RATES]):
        if change.amount <= 0:
            found.append(FieldProblem(f"rates.{index}.amount", "must be more than 0"))
    if assumptions.plan is not None and not is_identifier(assumptions.plan):
        found.append(FieldProblem("plan", "is the key of a plan: query plans"))
    return tuple(found)


def assumed_card(cards: RateCards, assumptions: Assumptions, version: int, start: datetime) -> RateCard | FieldProblem:
    """The rate card that is assumed to hold from `start` on, under a number that no other card has; or which assumption has
    no meaning."""
    base = cards.at(start, start) if assumptions.rate_card is None else cards.version(assumptions.rate_card)
    if base is None:
        return FieldProblem("rateCard", "there is no such version: query rateCard for those that there are")
    changed: dict[tuple[str, str], Rate] = {(rate.feature, rate.wallet_key): rate for rate in base.rates}
    for index, change in enumerate(assumptions.rates):
        place = (change.feature, change.wallet_key)
        rate = changed.get(place)
        if rate is None or rate.charge_type in (ChargeType.COST_PLUS, ChargeType.FREE):
            return FieldProblem(f"rates.{index}", f"version {base.version} has no amount for it that could be changed")
        changed[place] = replace(rate, amount=change.amount)
    bundles: dict[str, int] = {}
    for rate in changed.values():
        if rate.bundle is not None and bundles.setdefault(rate.bundle, rate.amount) != rate.amount:
            return FieldProblem(
                "rates", f"all features of the bundle {rate.bundle} cost the same: change them together"
            )
    return replace(
        base,
        version=version,
        effective_from=start,
        effective_to=None,
        published_at=start,
        markup=assumptions.markup or base.markup,
        credit_value=assumptions.credit_value or base.credit_value,
        rates=tuple(changed.values()),
        for_tenant=True,
    )


def under(catalog: Catalog, card: RateCard) -> Catalog:
    """The catalog in which this card is the one in force from its start on; work from before goes on under its own."""
    kept = [known for known in catalog.rate_cards if known.effective_from < card.effective_from or not known.for_tenant]
    return replace(catalog, rate_cards=RateCards([*kept, card]))


@dataclass(frozen=True, slots=True)
class BackTest:
    """A month as it was, and as it would have been. `differences` says where the first, played again, is not what the books
    say: nothing, unless something that decided it was not kept. `facts` are what was played."""

    month: str
    start: datetime
    end: datetime
    facts: int
    as_it_was: Outcome
    as_assumed: Outcome
    differences: tuple[str, ...]
