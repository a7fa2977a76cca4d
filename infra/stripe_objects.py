"""Stripe's objects, read into what is known of a payment.

They come from answers and from messages, and any field may be missing or of a wrong type: that is an UnreadableError,
never another. What a status means for the order is decided here:

- a checkout is paid when its `payment_status` says so; "complete" without that is a method that takes days;
- an attempt that failed in a checkout is no failure of the order: the payer may try another card in the same session;
- the same in a charge of a kept card is one, and "authentication_required" waits for the card's owner.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from domain import ids
from domain.money import Money
from domain.payments import Dispute, DisputeStatus, Outcome, PaymentFacts, Refund, RefundStatus, TopUpOrigin
from infra.payments import OrderReference
from infra.stripe_money import UnitsError, from_stripe

Object = Mapping[str, Any]

TENANT: Final = "purser_tenant"
TOP_UP: Final = "purser_top_up"
ORIGIN: Final = "purser_origin"
NEEDS_OWNER: Final = "authentication_required"

# Ids and codes of Stripe's go into our tables and logs as they are.
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)

_REFUNDS: Final = {
    None: RefundStatus.PENDING,
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
# https://docs.stripe.com/api/disputes/object: inquiries and what was prevented take no money, an appeal has it still.
_DISPUTES: Final = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY,
    "prevented": DisputeStatus.INQUIRY,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "appeal_needs_response": DisputeStatus.OPEN,
    "appeal_under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}


class UnreadableError(Exception):
    """An object is not what Stripe documents; the message names the field."""


def text(found: Object, name: str) -> str:
    """A field that must be an id or a code."""
    value = found.get(name)
    if not isinstance(value, str) or _CODE.fullmatch(value) is None:
        raise UnreadableError(f"{name} is missing or no code")
    return value


def optional(found: Object, name: str) -> str | None:
    """An id or a code that may be absent. Where Stripe put the whole object in its place, the id of that."""
    value = found.get(name)
    if value is None:
        return None
    return text(value, "id") if isinstance(value, Mapping) else text(found, name)


def inner(found: Object, name: str) -> Object:
    """An object within; an empty one where there is none."""
    value = found.get(name)
    # An empty object is sometimes written as an empty list.
    if value is None or value == []:
        return {}
    if not isinstance(value, Mapping):
        raise UnreadableError(f"{name} is no object")
    return value


def items(found: Object, name: str) -> Sequence[Object]:
    """The objects of a list."""
    value = found.get(name)
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise UnreadableError(f"{name} is no list of objects")
    return value


def order_of(found: Object) -> OrderReference | None:
    """The order that we wrote beside a payment; None where it is none of ours."""
    metadata = inner(found, "metadata")
    if metadata.get(TENANT) is None and metadata.get(TOP_UP) is None:
        return None
    tenant_id = ids.parse("tenant", text(metadata, TENANT))
    top_up_id = ids.parse("top_up", text(metadata, TOP_UP))
    if tenant_id is None or top_up_id is None:
        raise UnreadableError("metadata names no order")
    return OrderReference(tenant_id, top_up_id)


def facts_of_session(session: Object) -> PaymentFacts:
    """What a checkout session says of its payment."""
    known = PaymentFacts(session_id=text(session, "id"), payment_id=optional(session, "payment_intent"))
    if optional(session, "payment_status") == "paid":
        return replace(known, outcome=Outcome.PAID, received=_money(session, "amount_total"))
    return replace(known, outcome=Outcome.EXPIRED) if optional(session, "status") == "expired" else known


def facts_of_checkout(session: Object) -> PaymentFacts:
    """What a session says together with its payment, which must be in it: a method that takes days may have failed
    after the session was complete, and then nobody can try again."""
    facts = facts_of_session(session)
    intent = inner(session, "payment_intent") if facts.payment_id is not None else {}
    ended = optional(session, "status") == "complete" and optional(intent, "status") in (
        "requires_payment_method",
        "canceled",
    )
    if facts.outcome is Outcome.UNKNOWN and ended:
        return replace(facts, outcome=Outcome.FAILED, failure=_code_of(inner(intent, "last_payment_error")))
    return facts


def facts_of_intent(intent: Object) -> PaymentFacts:
    """What a payment says of itself, without its refunds and disputes."""
    known = PaymentFacts(payment_id=text(intent, "id"))
    status = text(intent, "status")
    unattended = _is_unattended(intent)
    if status == "succeeded":
        return replace(known, outcome=Outcome.PAID, received=_money(intent, "amount_received"), card=_card_of(intent))
    if not unattended:
        return known
    if status == "requires_action":
        return replace(known, outcome=Outcome.REQUIRES_ACTION, failure=NEEDS_OWNER)
    error = inner(intent, "last_payment_error")
    if status == "canceled":
        return replace(known, outcome=Outcome.FAILED, failure=_code_of(error) or "canceled")
    return declined(known, error) if status == "requires_payment_method" and error else known


def declined(known: PaymentFacts, error: Object) -> PaymentFacts:
    """The facts after an attempt with a kept card was declined with this error."""
    if NEEDS_OWNER in (optional(error, "code"), optional(error, "decline_code")):
        return replace(known, outcome=Outcome.REQUIRES_ACTION, failure=NEEDS_OWNER)
    return replace(known, outcome=Outcome.FAILED, failure=_code_of(error))


def facts_of_charge(charge: Object) -> PaymentFacts:
    """What a charge says of refunds: each, where they are listed, else their sum."""
    known = PaymentFacts(payment_id=optional(charge, "payment_intent"))
    listed = inner(charge, "refunds")
    if listed.get("data") and not listed.get("has_more"):
        return replace(known, refunds=tuple([refund_of(refund) for refund in items(listed, "data")]))
    return replace(known, refunded_at_least=_money(charge, "amount_refunded").minor)


def refund_of(refund: Object) -> Refund:
    """A refund."""
    status = _REFUNDS.get(optional(refund, "status"))
    if status is None:
        raise UnreadableError("status is none of a refund")
    return Refund(text(refund, "id"), _money(refund, "amount").minor, status)


def dispute_of(dispute: Object) -> Dispute:
    """A dispute."""
    status = _DISPUTES.get(text(dispute, "status"))
    if status is None:
        raise UnreadableError("status is none of a dispute")
    return Dispute(text(dispute, "id"), _money(dispute, "amount").minor, status)


def _is_unattended(intent: Object) -> bool:
    return inner(intent, "metadata").get(ORIGIN) == TopUpOrigin.AUTO_RECHARGE.value


def _card_of(intent: Object) -> tuple[str, str] | None:
    customer, method = optional(intent, "customer"), optional(intent, "payment_method")
    kept = _is_unattended(intent) or optional(intent, "setup_future_usage") == "off_session"
    return (customer, method) if kept and customer is not None and method is not None else None


def _code_of(error: Object) -> str | None:
    return optional(error, "decline_code") or optional(error, "code")


def _money(found: Object, name: str) -> Money:
    amount = found.get(name)
    if type(amount) is not int:
        raise UnreadableError(f"{name} is no whole number")
    try:
        return from_stripe(amount, text(found, "currency"))
    except UnitsError as error:
        raise UnreadableError(f"{name}: {error}") from error
