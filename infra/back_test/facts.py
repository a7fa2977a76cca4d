"""Facts: what happened in a month, each at its moment, as far as it decides anything.

Decisions have moments of their own, so moments tell their order. What shares one stands in the order of `rank`: money comes
in before the work that needed it, and a pause that is only known from its message follows all that may have made it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.attribution import Attribution
from domain.budgets import BudgetKey, Scope
from domain.controls import DeactivateScope, PauseScope, RemoveBudget, ResumeScope, SetBudget
from domain.holds import Extension, Reservation
from domain.ledger import Entry
from domain.periods import Cycle
from domain.receipts import Asked
from domain.refusals import RefusalCode
from domain.subscriptions import SetCycle
from domain.tenancy import CloseTenant, ResumeTenant, SuspendTenant
from domain.usage import Route, UsageEvent
from domain.wallets import Lot

Control = (
    SetBudget
    | RemoveBudget
    | PauseScope
    | ResumeScope
    | DeactivateScope
    | SetCycle
    | SuspendTenant
    | ResumeTenant
    | CloseTenant
)


@dataclass(frozen=True, slots=True)
class Moved:
    """Money that no work moved: granted, topped up, adjusted, expired, or corrected by re-rating. `lot` is the first one that
    it moved."""

    wallet_key: str
    entry: Entry
    lot: Lot


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person decided about budgets, pauses, cycles or the tenant."""

    command: Control


@dataclass(frozen=True, slots=True)
class DefaultCap:
    """The operator's default cap changed (None: was taken away)."""

    key: BudgetKey
    cap: int | None


@dataclass(frozen=True, slots=True)
class PlanChosen:
    """The tenant subscribed to another plan."""

    plan: str


@dataclass(frozen=True, slots=True)
class CycleBegan:
    """A cycle was granted, by this plan."""

    plan: str
    cycle: Cycle


@dataclass(frozen=True, slots=True)
class OwnKey:
    """The tenant's key at a provider was set, or taken away."""

    provider: str
    is_set: bool


@dataclass(frozen=True, slots=True)
class Expired:
    """A reservation was overdue, and booked; `for_good`: it was not consumed later."""

    reservation_id: UUID
    for_good: bool


@dataclass(frozen=True, slots=True)
class Reserved:
    """Work was admitted; `reservation` is as it is known today."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Extended:
    """Running work was given more time or room."""

    reservation: Reservation
    extension: Extension


@dataclass(frozen=True, slots=True)
class Ended:
    """A reservation was consumed, with the calls that its consume reported, or released. `paid_by`: the reservation that had
    been consumed for the same task before, and so paid for both."""

    reservation: Reservation
    events: tuple[UsageEvent, ...]
    paid_by: UUID | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """Calls were reported as they happened, at one moment. `at_once`: as a large batch, which was counted as a whole."""

    events: tuple[UsageEvent, ...]
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Corrected:
    """A call was priced again; it counts with this attribution in this month. `cost` and `counted` are what was added, in
    nano-dollars; `unpriced` is -1 where it got its first price."""

    reservation_id: UUID | None
    attribution: Attribution
    month: str
    cost: int
    counted: int
    unpriced: int
    route: Route


@dataclass(frozen=True, slots=True)
class Denied:
    """A reserve was refused, for this reason and with these figures; `again`: it was sent once more and admitted."""

    asked: Asked
    code: RefusalCode
    figures: dict[str, str | int | bool | None]
    again: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """Workers were told that a scope is paused or deactivated."""

    scope: Scope


What = (
    Moved
    | Decided
    | DefaultCap
    | PlanChosen
    | CycleBegan
    | OwnKey
    | Expired
    | Reserved
    | Extended
    | Ended
    | Recorded
    | Corrected
    | Denied
    | Stopped
)
_RANKS: Final[dict[type, int]] = {
    kind: rank
    for rank, kinds in enumerate(
        (
            (Moved, CycleBegan),
            (Decided, DefaultCap, PlanChosen, OwnKey),
            (Expired,),
            (Reserved, Extended, Ended),
            (Recorded, Corrected, Denied),
            (Stopped,),
        )
    )
    for kind in kinds
}


def rank_of(kind: type) -> int:
    """The place of such facts among what has the same moment."""
    return _RANKS[kind]


class Fact(NamedTuple):
    """Something that happened."""

    at: datetime
    what: What

    @property
    def rank(self) -> int:
        """Its place among what has the same moment."""
        return rank_of(type(self.what))
