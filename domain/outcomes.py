"""Outcomes: what a month of work came to, as it was or as a back-test assumes: what ran, what was refused and by which level,
what was charged and what is left.

Amounts are nano-units, costs nano-dollars.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain.margins import Sums
from domain.money import multiply_rounding_down
from domain.rates import RateCard
from domain.refusals import BudgetExceeded, BudgetScope, InsufficientFunds, Refusal, RefusalCode, ScopePaused
from domain.usage import Route, UsageEvent
from domain.wallets import Unit, unit_of


class Level(NamedTuple):
    """What refused: a budget, a pause, a wallet, the plan or the catalog."""

    code: RefusalCode
    scope: BudgetScope | None = None
    scope_id: str | None = None
    wallet_key: str | None = None


def level_of(refusal: Refusal) -> Level:
    """Which level a refusal comes from."""
    match refusal:
        case BudgetExceeded() | ScopePaused():
            return Level(refusal.code, refusal.scope, refusal.scope_id)
        case InsufficientFunds():
            return Level(refusal.code, wallet_key=refusal.wallet_key)
        case _:
            return Level(refusal.code)


class Refused(NamedTuple):
    """How much work a level refused: `cost` is what it really cost, or (where it was really refused too) was estimated to;
    `first` and `last` are the moments of the first and the last."""

    level: Level
    requests: int
    cost: int
    first: datetime
    last: datetime


class Stop(NamedTuple):
    """The first time in the month that a scope was paused or deactivated."""

    scope: BudgetScope
    scope_id: str | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a month came to. `admitted` are reservations, of which `guessed` were really refused, so that what they cost is
    their estimate; `refused` is told by level. `cost` is all that providers charged, on whichever key; `charges` are nano-units
    by wallet; `balances` are what was available in each wallet at the
    last moment. `margin` is for operators."""

    admitted: int
    guessed: int
    refused: tuple[Refused, ...]
    cost: int
    charges: tuple[tuple[str, int], ...]
    balances: tuple[tuple[str, int], ...]
    stops: tuple[Stop, ...]
    margin: Sums

    @property
    def refusals(self) -> int:
        """How many requests were refused."""
        return sum([refused.requests for refused in self.refused])


class Tally:
    """Counts what happens while a month is played."""

    def __init__(self) -> None:
        self._admitted = self._guessed = self._cost = self._our_cost = self._events = self._unpriced = 0
        self._refused: dict[Level, Refused] = {}
        self._charges: Counter[str] = Counter()
        self._stops: dict[tuple[BudgetScope, str | None], Stop] = {}
        # By what a credit was worth.
        self._credits: Counter[int] = Counter()

    def admit(self) -> None:
        """Count work that was admitted."""
        self._admitted += 1

    def refuse(self, refusal: Refusal, cost: int, at: datetime) -> None:
        """Count work that was refused."""
        level = level_of(refusal)
        before = self._refused.get(level) or Refused(level, 0, 0, at, at)
        self._refused[level] = Refused(level, before.requests + 1, before.cost + cost, before.first, at)

    def stop(self, scope: BudgetScope, scope_id: str | None, reason: str, at: datetime) -> None:
        """Note that a scope was paused or deactivated."""
        self._stops.setdefault((scope, scope_id), Stop(scope, scope_id, reason, at))

    def charge(self, charges: Iterable[tuple[str, int]], card: RateCard | None) -> None:
        """Count what was charged under a card; what is less than nothing was given back."""
        for key, amount in charges:
            self._charges[key] += amount
            if unit_of(key) is Unit.CREDIT:
                self._credits[0 if card is None else card.credit_value] += amount

    def use(self, events: Iterable[UsageEvent]) -> None:
        """Count what calls cost."""
        for event in events:
            self._events += 1
            cost = event.priced.cost
            self._cost += cost or 0
            if event.route is not Route.BYOK:
                self._our_cost += cost or 0
                self._unpriced += cost is None

    def correct(self, cost: int, unpriced: int, route: Route) -> None:
        """Count a correction of what a call cost."""
        self._cost += cost
        if route is not Route.BYOK:
            self._our_cost += cost
            self._unpriced += unpriced

    def guess(self) -> None:
        """Count work that was admitted and was really refused: it is taken to cost what was estimated for it."""
        self._admitted += 1
        self._guessed += 1

    def outcome(self, balances: Iterable[tuple[str, int]]) -> Outcome:
        """All of it."""
        worth = sum([multiply_rounding_down(value, charged) for value, charged in self._credits.items()])
        metered = sum([amount for key, amount in self._charges.items() if unit_of(key) is Unit.USD])
        margin = Sums(sum(self._credits.values()), worth, metered, self._our_cost, 0, self._events, self._unpriced)
        return Outcome(
            self._admitted,
            self._guessed,
            tuple(sorted(self._refused.values(), key=lambda refused: refused.first)),
            self._cost,
            tuple(sorted((key, amount) for key, amount in self._charges.items() if amount)),
            tuple(sorted(balances)),
            tuple(sorted(self._stops.values(), key=lambda stop: stop.at)),
            margin,
        )
