"""Payments as values: what was ordered, and what is known of the payment for it.

Word of a payment comes more than once, late and out of order: by webhooks, by asking the gateway, by the answer to a
charge. So facts are *joined*, never replaced: joining is commutative and idempotent, and whatever the order in which
they come, they end in the same place (PRODUCT.md 9). Amounts of wallets are nano-units, money is in minor units.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeVar
from uuid import UUID

from domain.money import Money, share_rounding_down


class TopUpState(StrEnum):
    """PENDING until money came in. PAID: it came in, but not as ordered, so a person must look at it and give it back."""

    PENDING = "PENDING"
    PAID = "PAID"
    CREDITED = "CREDITED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"


class TopUpOrigin(StrEnum):
    """Who started it: a person at the checkout, or a wallet that ran low."""

    CHECKOUT = "CHECKOUT"
    AUTO_RECHARGE = "AUTO_RECHARGE"


class Outcome(IntEnum):
    """How far a payment has come; of two the higher one holds. Money that came in outweighs every failure."""

    UNKNOWN = 0  # not tried yet, or still on its way
    REQUIRES_ACTION = 1  # the bank wants the card's owner to confirm
    FAILED = 2
    EXPIRED = 3  # the checkout was left
    PAID = 4


class RefundStatus(IntEnum):
    """Of two the higher one holds. A refund that failed gives nothing back."""

    PENDING = 1
    SUCCEEDED = 2
    FAILED = 3


class DisputeStatus(IntEnum):
    """Of two the higher one holds: what was lost may still be won by an appeal. An inquiry takes no money; an open and
    a lost dispute do."""

    INQUIRY = 1
    OPEN = 2
    LOST = 3
    WON = 4


class Refund(NamedTuple):
    """One refund of a payment; `amount` in minor units."""

    id: str
    amount: int
    status: RefundStatus


class Dispute(NamedTuple):
    """One dispute about a payment; `amount` in minor units."""

    id: str
    amount: int
    status: DisputeStatus


Told = TypeVar("Told", Refund, Dispute)


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """What is known of a payment. `received` is the money that came in; `failure` the gateway's code of the last
    decline; `refunded_at_least` what was refunded where single refunds are not told (minor units); `card` (customer,
    payment method) may be charged again."""

    outcome: Outcome = Outcome.UNKNOWN
    session_id: str | None = None
    payment_id: str | None = None
    received: Money | None = None
    failure: str | None = None
    card: tuple[str, str] | None = None
    refunded_at_least: int = 0
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()


NOTHING_KNOWN = PaymentFacts()


def joined(known: PaymentFacts, told: PaymentFacts) -> PaymentFacts:
    """All that is known after something more was told."""
    # What goes with the further outcome counts: a second attempt has another payment than the first.
    first, second = sorted((known, told), key=lambda facts: facts.outcome)
    return PaymentFacts(
        second.outcome,
        second.session_id or first.session_id,
        second.payment_id or first.payment_id,
        second.received or first.received,
        second.failure or first.failure,
        second.card or first.card,
        max(known.refunded_at_least, told.refunded_at_least),
        _newest(known.refunds, told.refunds),
        _newest(known.disputes, told.disputes),
    )


def refunded(facts: PaymentFacts) -> int:
    """What went back to the payer, or is on its way there, in minor units."""
    failed = sum([refund.amount for refund in facts.refunds if refund.status is RefundStatus.FAILED])
    counted = sum([refund.amount for refund in facts.refunds if refund.status is not RefundStatus.FAILED])
    return max(counted, facts.refunded_at_least - failed)


def disputed(facts: PaymentFacts) -> int:
    """What open and lost disputes have taken, in minor units."""
    taking = (DisputeStatus.OPEN, DisputeStatus.LOST)
    return sum([dispute.amount for dispute in facts.disputes if dispute.status in taking])


@dataclass(frozen=True, slots=True)
class TopUp:
    """An order: so much into a wallet (`amount`, nano-units) for so much money (`price`).

    The lot that it becomes carries its id. `credited` is what was put into the wallet, `taken_back` what refunds and
    disputes took out again, both nano-units. `checkout_url` is where the payer goes, while there is something to pay.
    """

    id: UUID
    wallet_key: str
    amount: int
    price: Money
    bundle: str | None
    origin: TopUpOrigin
    actor: str
    created_at: datetime
    state: TopUpState = TopUpState.PENDING
    checkout_url: str | None = None
    facts: PaymentFacts = NOTHING_KNOWN
    credited: int = 0
    taken_back: int = 0
    credited_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether money may still be on its way."""
        return self.state is TopUpState.PENDING

    def with_facts(self, told: PaymentFacts) -> "TopUp":
        """The order, with this told of its payment."""
        return replace(self, facts=joined(self.facts, told))


def to_take_back(top_up: TopUp) -> int:
    """How much of what was credited refunds and disputes should have taken out by now, in nano-units: the whole for
    the whole price, a part in proportion, rounded down."""
    gone = min(refunded(top_up.facts) + disputed(top_up.facts), top_up.price.minor)
    return share_rounding_down(top_up.credited, gone, top_up.price.minor)


def state_of(top_up: TopUp) -> TopUpState:
    """The state that follows from what is known and booked."""
    facts = top_up.facts
    if facts.outcome is Outcome.PAID:
        if top_up.credited == 0:
            received = 0 if facts.received is None else facts.received.minor
            return TopUpState.REFUNDED if received and refunded(facts) >= received else TopUpState.PAID
        if any(dispute.status in (DisputeStatus.OPEN, DisputeStatus.LOST) for dispute in facts.disputes):
            return TopUpState.DISPUTED
        returned = refunded(facts)
        if returned <= 0:
            return TopUpState.CREDITED
        return TopUpState.REFUNDED if returned >= top_up.price.minor else TopUpState.PARTIALLY_REFUNDED
    if facts.outcome is Outcome.FAILED:
        return TopUpState.FAILED
    return TopUpState.EXPIRED if facts.outcome is Outcome.EXPIRED else TopUpState.PENDING


@dataclass(frozen=True, slots=True)
class AutoRecharge:
    """When and by how much a wallet tops itself up. Amounts are nano-units of the wallet.

    `in_flight` is the order that is being paid. `declines` in a row move `retry_at` further away, and at last switch it
    off with `disabled_reason`. `month` and `month_amount`: what was ordered in that calendar month, for the limit.
    """

    wallet_key: str
    enabled: bool
    threshold: int
    amount: int
    monthly_limit: int | None
    in_flight: UUID | None = None
    declines: int = 0
    retry_at: datetime | None = None
    disabled_reason: str | None = None
    month: str = ""
    month_amount: int = 0


def _newest(known: tuple[Told, ...], told: tuple[Told, ...]) -> tuple[Told, ...]:
    """Each by its id, in the state that is furthest."""
    by_id = {item.id: item for item in known}
    for item in told:
        before = by_id.get(item.id)
        if before is None or before.status < item.status:
            by_id[item.id] = item
    return tuple(sorted(by_id.values()))
