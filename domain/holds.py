"""Reservations as values: what is held for one piece of work, and under which terms.

Route, rate card, prices, budgets and budget month are those of the moment of the reservation
(`created_at`, `rate_card`, `month`) and hold until it ends, whatever changes meanwhile (PRODUCT.md 4).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.attribution import Attribution
from domain.budget_steps import Counted
from domain.ledger import Draw
from domain.prices import Tokens
from domain.refusals import ReservationState
from domain.usage import Route


class TaskKey(NamedTuple):
    """What makes retries one unit: unique per feature (a bundle counts as one) among held and consumed work."""

    feature: str
    key: str


@dataclass(frozen=True, slots=True)
class ModelName:
    """What is to be called: prices are found by it."""

    provider: str
    model: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the caller expects the whole reservation to use: tokens, or the provider's cost itself."""

    tokens: Tokens | None = None
    cost: int | None = None


NO_ESTIMATE: Final = Estimate()


class Extension(NamedTuple):
    """Running work was given more time (`ttl_seconds` from `at` on; None: no more) or room for so much more provider cost
    (nano-dollars); `until` is when it would have ended before."""

    at: datetime
    ttl_seconds: int | None
    cost: int
    until: datetime | None


class Hold(NamedTuple):
    """What is held in one wallet (nano-units), and from which lots."""

    wallet_key: str
    amount: int
    draws: tuple[Draw, ...]


class Recorded(NamedTuple):
    """What was recorded under an open reservation before its consume: events, their known cost, their results (None:
    no event said how many), and how many of them have no price."""

    events: int = 0
    cost: int = 0
    results: int | None = None
    unpriced: int = 0


NOTHING_RECORDED = Recorded()


class Reservation(NamedTuple):
    """A hold on wallets and budgets.

    `held_usd` is what budgets held for it in all, `remaining_usd` what is left of that; `max_cost_usd` its task cap.
    `charges` (wallet key, nano-units), `cost_usd` and `settled_events` are known once it is consumed; the cost is
    None while a model of it has no price. `counted` says for its receipt what it held and spent in which budgets.
    `extensions`, `made` (the quantity that was really made, nano; None: as reserved) and `expired_at` (when it was booked as
    expired, even if it was settled later) let a back-test go the same way again.
    """

    id: UUID
    state: ReservationState
    feature: str
    task: TaskKey | None
    route: Route
    quantity: int
    rate_card: int
    model: ModelName | None
    attribution: Attribution
    month: str
    holds: tuple[Hold, ...]
    held_usd: int
    remaining_usd: int
    max_cost_usd: int | None
    created_at: datetime
    expires_at: datetime | None
    recorded: Recorded = NOTHING_RECORDED
    charges: tuple[tuple[str, int], ...] = ()
    cost_usd: int | None = None
    settled_events: tuple[UUID, ...] = ()
    ended_at: datetime | None = None
    counted: tuple[Counted, ...] = ()
    extensions: tuple[Extension, ...] = ()
    made: int | None = None
    expired_at: datetime | None = None

    @property
    def known_cost(self) -> int | None:
        """What work that has ended cost, settled or not; None while it is held, and where a model of it has no price."""
        if self.state is ReservationState.CONSUMED:
            return self.cost_usd
        return None if self.state is ReservationState.HELD or self.recorded.unpriced else self.recorded.cost

    def held_in(self, wallet_key: str) -> Hold | None:
        """The hold in one wallet."""
        for hold in self.holds:
            if hold.wallet_key == wallet_key:
                return hold
        return None
