"""Budget steps: where each budget stood before and after a decision counted something in it.

They explain a charge afterwards (its receipt) and decide nothing. A decision keeps what it cannot be worked out from
later: what stood in each level, and the cap in force. Amounts are nano-dollars.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from domain.attribution import Attribution
from domain.budgets import BudgetBook, Counter, CounterKey, Level, budget_key, counter_keys
from domain.periods import month_key

_DAY: Final = timedelta(days=1)


class Measure(StrEnum):
    """What a step is about: spent and held together, which admission compares with the cap, or what was spent."""

    HELD = "HELD"
    SPENT = "SPENT"


class Counted(NamedTuple):
    """What one decision added to every level of an attribution in one month. `levels` are what stood there before and the
    cap in force (None: no cap), in the order of `budgets.counter_keys`."""

    measure: Measure
    month: str
    amount: int
    levels: tuple[tuple[int, int | None], ...]


class BudgetStep(NamedTuple):
    """One budget in one period, before and after; `cap` None: none was set. Without a period (empty) in refusals, which
    name none."""

    counter: CounterKey
    measure: Measure
    before: int
    after: int
    cap: int | None


class CountedBatch(NamedTuple):
    """The steps of a large batch of usage, whose events were recorded at one moment and counted together."""

    recorded_at: datetime
    steps: tuple[BudgetStep, ...]


def held(levels: Iterable[Level], month: str, amount: int) -> Counted:
    """What a reservation holds: the levels stood at spent + held."""
    before = [
        (spent + held_before, None if budget is None else budget.cap) for (_, spent, held_before), budget in levels
    ]
    return Counted(Measure.HELD, month, amount, tuple(before))


def spent(levels: Iterable[Level], month: str, amount: int) -> Counted:
    """What usage cost, or is taken to have cost."""
    before = [(spent_before, None if budget is None else budget.cap) for (_, spent_before, _), budget in levels]
    return Counted(Measure.SPENT, month, amount, tuple(before))


def holding_more(before: tuple[Counted, ...], amount: int) -> tuple[Counted, ...]:
    """The steps of a reservation that holds this much more: from where its first hold found the budgets."""
    return tuple(
        [
            counted._replace(amount=counted.amount + amount) if counted.measure is Measure.HELD else counted
            for counted in before
        ]
    )


def steps(attribution: Attribution, counted: Iterable[Counted]) -> tuple[BudgetStep, ...]:
    """Each budget before and after, in the order in which caps are checked."""
    return tuple(
        [
            BudgetStep(key, one.measure, before, before + one.amount, cap)
            for one in counted
            for key, (before, cap) in zip(counter_keys(attribution, one.month), one.levels, strict=True)
        ]
    )


def concerning(attribution: Attribution, at: datetime, steps: Iterable[BudgetStep]) -> tuple[BudgetStep, ...]:
    """Those of many steps whose budgets a call of this moment counts in, in the order in which caps are checked. Where a
    month ends within a day, those of both: which it was is for the time zone that the tenant had then to say."""
    months = dict.fromkeys([month_key(at + shift, UTC) for shift in (-_DAY, timedelta(), _DAY)])
    keys = dict.fromkeys([key for month in months for key in counter_keys(attribution, month)])
    places = {key: place for place, key in enumerate(keys)}
    return tuple(sorted([step for step in steps if step.counter in places], key=lambda step: places[step.counter]))


def between(book: BudgetBook, counters: Iterable[Counter]) -> tuple[BudgetStep, ...]:
    """What was spent by going from the counters of the book to these."""
    found: list[BudgetStep] = []
    for counter in counters:
        budget = book.budget(budget_key(counter.key))
        cap = None if budget is None else budget.cap
        found.append(BudgetStep(counter.key, Measure.SPENT, book.counter(counter.key).spent, counter.spent, cap))
    return tuple(found)
