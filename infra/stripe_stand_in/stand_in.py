"""What happens to payments at the stand-in: every change of the account's state, with its messages.

The public methods are also what a test does in the payer's, the bank's or Stripe's place.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final

from infra.stripe_stand_in import objects
from infra.stripe_stand_in.account import UNEXPECTED_STATE, Account, number_of
from infra.stripe_stand_in.cards import CARDS, SUCCEEDS, Decline
from infra.stripe_stand_in.deliveries import DELAYS, Deliveries
from infra.stripe_stand_in.errors import StripeRefusal, missing, unexpected
from infra.stripe_stand_in.objects import Object

_CANCELABLE: Final = ("requires_confirmation", "requires_payment_method")


def _system_clock() -> datetime:
    return datetime.now(UTC)


class StandIn(Account):
    """One account. `public_url` is where the app is reached, with the path that it is mounted at.

    `is_unavailable`: requests are answered 503 and not executed. `swallow_answers`: so many more POST requests are
    executed, and their connections closed without an answer. `gate`: POST requests wait for it before they execute.
    """

    def __init__(
        self,
        *,
        api_key: str,
        webhook_secret: str,
        public_url: str,
        webhook_url: str | None = None,
        clock: Callable[[], datetime] = _system_clock,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self.api_key = api_key
        self.public_url = public_url.rstrip("/")
        super().__init__(clock, Deliveries(webhook_secret, webhook_url, clock, delays))
        self.is_unavailable = False
        self.swallow_answers = 0
        self.gate: asyncio.Event | None = None
        self._intent_data: dict[str, Mapping[str, Any]] = {}

    async def close(self) -> None:
        await self.deliveries.close()

    def open_session(
        self, params: Mapping[str, Any], intent_data: Mapping[str, Any], amount: int, currency: str
    ) -> Object:
        """A checkout; its payment is made when the payer first tries."""
        session = objects.session(self.now, params, amount, currency)
        session["url"] = f"{self.public_url}/pay/{session['id']}"
        self.sessions[session["id"]] = session
        self._intent_data[session["id"]] = intent_data
        return session

    def session(self, session_id: str) -> Object:
        """A checkout, expired if its time is over."""
        session = self.sessions.get(session_id)
        if session is None:
            raise missing("checkout.session", session_id, "session", status=404)
        if session["status"] == "open" and session["expires_at"] <= self.now:
            self._expire(session)
        return session

    def product(self, session_id: str) -> str:
        """What is bought in a checkout."""
        return str(self._intent_data[session_id].get("description", ""))

    def expire(self, session_id: str) -> Object:
        """End a checkout that is open."""
        session = self._open(session_id)
        self._expire(session)
        return session

    def pay(self, session_id: str, number: str = SUCCEEDS) -> Object:
        """The payer pays. A decline is a StripeRefusal and leaves the checkout open."""
        session, intent = self._tried(session_id, number)
        self.attempt(intent, CARDS[number].present)
        session.update(status="complete", payment_status="paid", url=None)
        self.deliveries.tell("checkout.session.completed", session)
        if CARDS[number].disputed:
            self.dispute(intent["id"])
        return session

    def pay_by_transfer(self, session_id: str) -> Object:
        """The payer pays by a method that takes days."""
        session, intent = self._tried(session_id, SUCCEEDS)
        intent["status"] = "processing"
        session.update(status="complete", url=None)
        self.deliveries.tell("payment_intent.processing", intent)
        self.deliveries.tell("checkout.session.completed", session)
        return session

    def arrive(self, session_id: str, *, decline: Decline | None = None) -> Object:
        """The end of those days: the money comes in, or does not."""
        session = self.session(session_id)
        try:
            self.attempt(self.intents[session["payment_intent"]], decline)
        except StripeRefusal:
            self.deliveries.tell("checkout.session.async_payment_failed", session)
            return session
        session["payment_status"] = "paid"
        self.deliveries.tell("checkout.session.async_payment_succeeded", session)
        return session

    def confirm(self, intent_id: str, *, off_session: bool) -> Object:
        """Take an intent's money."""
        intent = self.intent(intent_id)
        if intent["status"] != "requires_confirmation":
            message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
            raise unexpected(UNEXPECTED_STATE, message, payment_intent=deepcopy(intent))
        card = CARDS[number_of(intent["payment_method"])]
        self.attempt(intent, card.absent if off_session else card.present)
        if card.disputed:
            self.dispute(intent_id)
        return intent

    def cancel(self, intent_id: str, reason: str | None = None) -> Object:
        """Give an intent up."""
        intent = self.intent(intent_id)
        if intent["status"] not in _CANCELABLE:
            message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
            raise unexpected(UNEXPECTED_STATE, message, payment_intent=deepcopy(intent))
        intent.update(status="canceled", canceled_at=self.now, cancellation_reason=reason)
        self.deliveries.tell("payment_intent.canceled", intent)
        return intent

    def refund(
        self,
        intent_id: str,
        amount: int | None = None,
        *,
        status: str = "succeeded",
        params: Mapping[str, Any] | None = None,
    ) -> Object:
        """Give money back: what is left of a payment, or a part of it."""
        charge = self.charge_of(intent_id)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = left if amount is None else amount
        if left == 0:
            raise unexpected("charge_already_refunded", f"Charge {charge['id']} has already been refunded.")
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise unexpected("parameter_invalid_integer", message, param="amount")
        refund = objects.refund(self.now, charge, amount, status, params or {})
        self.refunds[refund["id"]] = refund
        self._count_refunded(charge, amount)
        self.deliveries.tell("refund.created", refund)
        self.deliveries.tell("charge.refunded", charge)
        return refund

    def settle_refund(self, refund_id: str, status: str) -> Object:
        """A refund that was pending, or even succeeded, comes to its end: "succeeded", "failed" or "canceled"."""
        refund = self.refunds[refund_id]
        refund["status"] = status
        if status != "succeeded":
            self._count_refunded(self.charges[refund["charge"]], -refund["amount"])
        kinds = ("refund.updated", "charge.refund.updated", *(("refund.failed",) if status == "failed" else ()))
        for kind in kinds:
            self.deliveries.tell(kind, refund)
        return refund

    def dispute(self, intent_id: str, amount: int | None = None, *, status: str = "needs_response") -> Object:
        """The payer complains at the bank. Only an inquiry ("warning_...") takes no money."""
        charge = self.charge_of(intent_id)
        charge["disputed"] = True
        dispute = objects.dispute(self.now, charge, charge["amount"] if amount is None else amount, status)
        self.disputes[dispute["id"]] = dispute
        self.deliveries.tell("charge.dispute.created", dispute)
        if not status.startswith("warning_"):
            self.deliveries.tell("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, dispute_id: str, *, won: bool) -> Object:
        """The bank decides. An inquiry is merely closed."""
        dispute = self.disputes[dispute_id]
        if dispute["status"].startswith("warning_"):
            dispute["status"] = "warning_closed"
        else:
            dispute["status"] = "won" if won else "lost"
        self.deliveries.tell("charge.dispute.closed", dispute)
        if dispute["status"] == "won":
            self.deliveries.tell("charge.dispute.funds_reinstated", dispute)
        return dispute

    def _open(self, session_id: str) -> Object:
        session = self.session(session_id)
        if session["status"] != "open":
            message = (
                f'Only Checkout Sessions with a status in ["open"] can be expired or paid; it is {session["status"]}.'
            )
            raise StripeRefusal(400, "invalid_request_error", message)
        return session

    def _expire(self, session: Object) -> None:
        session.update(status="expired", url=None)
        intent = self.intents.get(session["payment_intent"] or "")
        if intent is not None and intent["status"] in _CANCELABLE:
            self.cancel(intent["id"], "automatic")
        self.deliveries.tell("checkout.session.expired", session)

    def _tried(self, session_id: str, number: str) -> tuple[Object, Object]:
        """An open checkout and its payment, with the card that is tried now."""
        session = self._open(session_id)
        method = objects.payment_method(self.now, number)
        self.payment_methods[method["id"]] = method
        intent = self.intents.get(session["payment_intent"] or "")
        if intent is None:
            params = {**self._intent_data[session_id], "customer": session["customer"]}
            intent = objects.payment_intent(self.now, params, session["amount_total"], session["currency"])
            self.intents[intent["id"]] = intent
            session["payment_intent"] = intent["id"]
        intent["payment_method"] = method["id"]
        return session, intent

    @staticmethod
    def _count_refunded(charge: Object, amount: int) -> None:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
