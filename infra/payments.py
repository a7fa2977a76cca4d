"""Payments: what Purser asks of a payment rail. A rail is one class that does this; Stripe is one (PRODUCT.md 12).

Every call may be repeated without a second effect: what it makes is keyed by our own ids. A call that did not answer has
an unknown outcome; it is repeated, or asked about by `facts_of`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.payments import PaymentFacts, TopUp


class PaymentsUnavailableError(Exception):
    """The rail did not answer, or asks to come back later: the outcome is unknown, the same call may be sent again."""


class PaymentsRefusedError(Exception):
    """The rail does not take the request as it is (a wrong key, a currency that it does not know); the message is its
    own, for the operator's log."""


class PaymentsNotSetUpError(Exception):
    """There is no payment rail here: nobody has told Purser its key."""

    def __init__(self) -> None:
        super().__init__("Payments are not set up here: set STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET.")


class BadSignatureError(Exception):
    """A message that says it comes from the rail is not signed by it, or too long ago."""


class MalformedEventError(Exception):
    """A signed message that cannot be read; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class OrderReference:
    """Which of our orders a payment is for: what we had the rail remember beside it."""

    tenant_id: UUID
    top_up_id: UUID


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page of the rail on which one order is paid."""

    session_id: str
    url: str


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """What a message of the rail tells. `order` None: the message does not carry it, `facts.payment_id` leads to it."""

    id: str
    type: str
    order: OrderReference | None
    facts: PaymentFacts


class PaymentGateway(Protocol):
    """A payment rail. Each call raises PaymentsUnavailableError or PaymentsRefusedError where it says so there."""

    async def open_customer(self, tenant_id: UUID, name: str) -> str:
        """The rail's own id for a tenant: its cards are kept with it."""

    async def open_checkout(self, tenant_id: UUID, top_up: TopUp, customer_id: str, description: str) -> Checkout:
        """The page on which an order is paid. The card is kept for later charges, with the payer's consent."""

    async def prepare_charge(
        self, tenant_id: UUID, top_up: TopUp, customer_id: str, card_id: str, description: str
    ) -> str:
        """A payment by a kept card that nobody has confirmed yet; answers its id. Costs nothing until `charge`."""

    async def charge(self, payment_id: str) -> PaymentFacts:
        """Take the money of a prepared payment, without the card's owner present. One payment is taken once, however
        often this is asked. A decline is an answer (FAILED with its code, or REQUIRES_ACTION), no error."""

    async def cancel(self, payment_id: str) -> PaymentFacts:
        """Give a payment up, so that it can never be taken; answers what is true of it then (it may be PAID)."""

    async def facts_of(self, session_id: str | None, payment_id: str | None) -> PaymentFacts:
        """All that is true now of a checkout, a payment, or both: outcome, card, refunds, disputes."""

    async def order_of(self, payment_id: str) -> OrderReference | None:
        """The order that a payment is for; None where it is none of ours."""

    def read_event(self, payload: bytes, signature: str, now: datetime) -> PaymentEvent | None:
        """What a signed message tells; None for a type that says nothing to us, and for payments that are none of ours.

        Raises BadSignatureError and MalformedEventError."""

    async def close(self) -> None:
        """Give its connections back."""
