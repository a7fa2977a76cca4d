"""Stripe's messages: which are genuine, and what they tell.

A message counts if it is signed with the secret of our endpoint, at most five minutes ago or ahead
(https://docs.stripe.com/webhooks). Each tells facts, to be joined with those known; none is a command.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from domain.payments import Outcome, PaymentFacts
from infra import stripe_objects
from infra.payments import BadSignatureError, MalformedEventError, PaymentEvent
from infra.stripe_objects import Object, UnreadableError

TOLERANCE_SECONDS: Final = 300

# Exactly one time, in front: the SDK and we must not read different ones from a header that somebody made up.
_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12})(?:,v[0-9]+=[0-9a-f]{1,128}){1,10}", re.ASCII)


def read_event(payload: bytes, signature: str, secret: str, now: datetime) -> PaymentEvent | None:
    """What a message tells; None for a type that says nothing to us and for payments that are none of ours.

    Raises BadSignatureError and MalformedEventError.
    """
    _verify(payload, signature, secret, now)
    try:
        return _read(_decoded(payload))
    except UnreadableError as error:
        raise MalformedEventError(str(error)) from error


def _verify(payload: bytes, signature: str, secret: str, now: datetime) -> None:
    import stripe

    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise BadSignatureError("the signature is missing or no signature of Stripe's")
    try:
        stripe.WebhookSignature.verify_header(payload, signature, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
        raise BadSignatureError("the signature does not fit the message") from error
    if abs(int(now.timestamp()) - int(match.group(1))) > TOLERANCE_SECONDS:
        raise BadSignatureError("the signature is too old, or of a time to come")


def _decoded(payload: bytes) -> Object:
    try:
        decoded = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("the message is no JSON") from error
    if not isinstance(decoded, Mapping):
        raise UnreadableError("the message is no object")
    return decoded


def _read(event: Object) -> PaymentEvent | None:
    event_id, event_type = stripe_objects.text(event, "id"), stripe_objects.text(event, "type")
    facts_of = _TOLD.get(event_type)
    if facts_of is None:
        return None
    subject: Any = stripe_objects.inner(event, "data").get("object")
    if not isinstance(subject, Mapping):
        raise UnreadableError("data.object is missing")
    order = stripe_objects.order_of(subject) if event_type.startswith(_NAMING_THE_ORDER) else None
    if order is None and event_type.startswith(_OURS_NAME_THE_ORDER):
        return None
    facts = facts_of(subject)
    return None if order is None and facts.payment_id is None else PaymentEvent(event_id, event_type, order, facts)


def _failed_session(session: Object) -> PaymentFacts:
    facts = stripe_objects.facts_of_session(session)
    return replace(facts, outcome=Outcome.FAILED, received=None, failure="async_payment_failed")


def _refund(refund: Object) -> PaymentFacts:
    payment_id = stripe_objects.optional(refund, "payment_intent")
    return PaymentFacts(payment_id=payment_id, refunds=(stripe_objects.refund_of(refund),))


def _dispute(dispute: Object) -> PaymentFacts:
    payment_id = stripe_objects.optional(dispute, "payment_intent")
    return PaymentFacts(payment_id=payment_id, disputes=(stripe_objects.dispute_of(dispute),))


# Ours name the order from the start; what names none is a payment of somebody else who uses the same account.
_OURS_NAME_THE_ORDER: Final = ("checkout.session.", "payment_intent.")
# A charge has the metadata that its payment had; refunds and disputes have their own, and their payment leads on.
_NAMING_THE_ORDER: Final = (*_OURS_NAME_THE_ORDER, "charge.refunded")

_TOLD: Final[Mapping[str, Callable[[Object], PaymentFacts]]] = {
    "checkout.session.completed": stripe_objects.facts_of_session,
    "checkout.session.async_payment_succeeded": stripe_objects.facts_of_session,
    "checkout.session.async_payment_failed": _failed_session,
    "checkout.session.expired": stripe_objects.facts_of_session,
    "payment_intent.succeeded": stripe_objects.facts_of_intent,
    "payment_intent.payment_failed": stripe_objects.facts_of_intent,
    "charge.refunded": stripe_objects.facts_of_charge,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
}
