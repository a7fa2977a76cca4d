"""Reading Stripe's messages: what is genuine, and that nothing in a message surprises us."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import ids
from domain.money import Money
from domain.payments import Dispute, DisputeStatus, Outcome, PaymentFacts, Refund, RefundStatus
from infra.payments import BadSignatureError, MalformedEventError, OrderReference, PaymentEvent
from infra.stripe_events import TOLERANCE_SECONDS, read_event

SECRET = "whsec_of_the_tests"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDER = OrderReference(UUID(int=7), UUID(int=9))
METADATA = {
    "purser_tenant": ids.public("tenant", ORDER.tenant_id),
    "purser_top_up": ids.public("top_up", ORDER.top_up_id),
    "purser_origin": "CHECKOUT",
}
RECHARGE = {**METADATA, "purser_origin": "AUTO_RECHARGE"}
KNOWN_TYPES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)


def signed(payload: str, at: datetime = NOW) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(payload, SECRET, int(at.timestamp()))
    return header


def read_text(payload: str) -> PaymentEvent | None:
    return read_event(payload.encode(), signed(payload), SECRET, NOW)


def read(event_type: object, subject: object) -> PaymentEvent | None:
    return read_text(json.dumps({"id": "evt_1", "type": event_type, "data": {"object": subject}}))


def facts(event_type: str, subject: Mapping[str, Any]) -> PaymentFacts:
    event = read(event_type, subject)
    assert event is not None
    assert (event.id, event.type) == ("evt_1", event_type)
    return event.facts


def session(**fields: Any) -> dict[str, Any]:
    paid = {"payment_status": "paid", "status": "complete", "amount_total": 5000, "currency": "usd"}
    return {"id": "cs_1", "payment_intent": "pi_1", "metadata": METADATA, **paid, **fields}


def intent(status: str, metadata: Mapping[str, str] = METADATA, **fields: Any) -> dict[str, Any]:
    return {"id": "pi_1", "status": status, "metadata": metadata, "amount_received": 5000, "currency": "usd", **fields}


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_a_message_signed_within_five_minutes_is_read(seconds: int) -> None:
    payload = json.dumps({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": session()}})
    event = read_event(payload.encode(), signed(payload, NOW + timedelta(seconds=seconds)), SECRET, NOW)
    assert event is not None
    assert event.order == ORDER


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, -(10**8), 10**8])
def test_a_message_signed_long_ago_or_in_times_to_come_is_not_genuine(seconds: int) -> None:
    with pytest.raises(BadSignatureError):
        read_event(b"{}", signed("{}", NOW + timedelta(seconds=seconds)), SECRET, NOW)


def test_an_old_signature_does_not_become_new_by_a_second_time() -> None:
    old = signed("{}", NOW - timedelta(days=1))
    fresh = int(NOW.timestamp())
    for header in (f"t={fresh},{old}", f"{old},t={fresh}", old.replace(",", f"={fresh},t={fresh},", 1)):
        with pytest.raises(BadSignatureError):
            read_event(b"{}", header, SECRET, NOW)


@pytest.mark.parametrize(
    "header",
    ["", "t=", "t=1", "v1=00", "t=x,v1=00", f"t={int(NOW.timestamp())},v1=00", "t=1,v1=é", f"t={'9' * 5000},v1=00"],
)
def test_a_wrong_signature_is_refused(header: str) -> None:
    with pytest.raises(BadSignatureError):
        read_event(b"{}", header, SECRET, NOW)


def test_a_message_that_was_changed_is_not_genuine() -> None:
    for payload in (b'{"a":1}', b"\xff"):
        with pytest.raises(BadSignatureError):
            read_event(payload, signed("{}"), SECRET, NOW)


def test_an_empty_secret_lets_nothing_in() -> None:
    header = stripe.WebhookSignature.generate_signature_header("{}", "", int(NOW.timestamp()))
    with pytest.raises(BadSignatureError):
        read_event(b"{}", header, "", NOW)


def test_other_types_say_nothing() -> None:
    assert read("customer.created", {"id": "cus_1"}) is None
    assert read("charge.succeeded", {"id": "ch_1", "payment_intent": "pi_1", "metadata": METADATA}) is None


def test_a_session_tells_its_payment() -> None:
    paid = PaymentFacts(Outcome.PAID, "cs_1", "pi_1", Money(5000, "USD"))
    assert facts("checkout.session.completed", session()) == paid
    assert facts("checkout.session.completed", session(payment_intent={"id": "pi_1"})) == paid
    assert facts("checkout.session.async_payment_succeeded", session()) == paid
    unpaid = session(payment_status="unpaid")
    assert facts("checkout.session.completed", unpaid) == PaymentFacts(Outcome.UNKNOWN, "cs_1", "pi_1")
    failed = PaymentFacts(Outcome.FAILED, "cs_1", "pi_1", failure="async_payment_failed")
    assert facts("checkout.session.async_payment_failed", unpaid) == failed
    expired = session(payment_status="unpaid", status="expired", payment_intent=None)
    assert facts("checkout.session.expired", expired) == PaymentFacts(Outcome.EXPIRED, "cs_1")


def test_a_card_is_kept_where_the_payer_agreed() -> None:
    card: dict[str, Any] = {"customer": "cus_1", "payment_method": {"id": "pm_1"}}
    kept = facts("payment_intent.succeeded", intent("succeeded", setup_future_usage="off_session", **card))
    assert (kept.card, kept.received) == (("cus_1", "pm_1"), Money(5000, "USD"))
    assert facts("payment_intent.succeeded", intent("succeeded", RECHARGE, **card)).card == ("cus_1", "pm_1")
    assert facts("payment_intent.succeeded", intent("succeeded", **card)).card is None
    assert facts("payment_intent.succeeded", intent("succeeded", RECHARGE, payment_method="pm_1")).card is None


def test_a_failed_attempt_counts_only_where_nobody_can_try_again() -> None:
    error = {"code": "card_declined", "decline_code": "lost_card"}
    failed = "payment_intent.payment_failed"
    attempt = intent("requires_payment_method", last_payment_error=error)
    assert facts(failed, attempt) == PaymentFacts(payment_id="pi_1")
    charge = {**attempt, "metadata": RECHARGE}
    assert facts(failed, charge) == PaymentFacts(Outcome.FAILED, payment_id="pi_1", failure="lost_card")
    asks = {**charge, "last_payment_error": {"code": "authentication_required"}}
    action = PaymentFacts(Outcome.REQUIRES_ACTION, payment_id="pi_1", failure="authentication_required")
    assert facts(failed, asks) == action
    assert facts(failed, intent("requires_action", RECHARGE)) == action
    assert facts(failed, intent("processing", RECHARGE)) == PaymentFacts(payment_id="pi_1")


@pytest.mark.parametrize(
    ("status", "known"),
    [
        (None, RefundStatus.PENDING),
        ("pending", RefundStatus.PENDING),
        ("requires_action", RefundStatus.PENDING),
        ("succeeded", RefundStatus.SUCCEEDED),
        ("failed", RefundStatus.FAILED),
        ("canceled", RefundStatus.FAILED),
    ],
)
def test_refunds_are_told_by_themselves_and_with_their_charge(status: str | None, known: RefundStatus) -> None:
    refund = {"id": "re_1", "amount": 700, "currency": "usd", "status": status, "payment_intent": "pi_1"}
    told = PaymentFacts(payment_id="pi_1", refunds=(Refund("re_1", 700, known),))
    for event_type in ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"):
        assert facts(event_type, refund) == told
    charge = {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 700, "currency": "usd", "metadata": METADATA}
    assert facts("charge.refunded", {**charge, "refunds": {"data": [refund]}}) == told
    at_least = PaymentFacts(payment_id="pi_1", refunded_at_least=700)
    assert facts("charge.refunded", charge) == at_least
    assert facts("charge.refunded", {**charge, "refunds": {"data": [refund], "has_more": True}}) == at_least


@pytest.mark.parametrize(
    ("status", "known"),
    [
        ("warning_needs_response", DisputeStatus.INQUIRY),
        ("warning_under_review", DisputeStatus.INQUIRY),
        ("warning_closed", DisputeStatus.INQUIRY),
        ("prevented", DisputeStatus.INQUIRY),
        ("needs_response", DisputeStatus.OPEN),
        ("under_review", DisputeStatus.OPEN),
        ("appeal_needs_response", DisputeStatus.OPEN),
        ("won", DisputeStatus.WON),
        ("lost", DisputeStatus.LOST),
    ],
)
def test_disputes_are_told(status: str, known: DisputeStatus) -> None:
    dispute = {"id": "du_1", "amount": 700, "currency": "usd", "status": status, "payment_intent": "pi_1"}
    event = read("charge.dispute.updated", dispute)
    assert event is not None
    assert event.order is None
    assert event.facts == PaymentFacts(payment_id="pi_1", disputes=(Dispute("du_1", 700, known),))


def test_the_metadata_of_a_refund_names_no_order() -> None:
    # Whoever makes a refund writes them.
    refund = {"id": "re_1", "amount": 700, "currency": "usd", "status": "succeeded", "metadata": METADATA}
    assert read("refund.created", refund) is None
    event = read("refund.created", {**refund, "payment_intent": "pi_1"})
    assert event is not None
    assert event.order is None


@pytest.mark.parametrize("metadata", [None, {}, [], {"shop": "another"}])
def test_payments_of_somebody_else_say_nothing(metadata: object) -> None:
    assert read("checkout.session.completed", session(metadata=metadata)) is None
    assert read("payment_intent.succeeded", {**intent("succeeded"), "metadata": metadata}) is None
    charge = {"id": "ch_1", "payment_intent": None, "amount_refunded": 700, "currency": "usd", "metadata": metadata}
    assert read("charge.refunded", charge) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {**METADATA, "purser_top_up": "top_1"},
        {**METADATA, "purser_tenant": METADATA["purser_top_up"]},
        {**METADATA, "purser_tenant": 7},
        {"purser_tenant": METADATA["purser_tenant"]},
        {"purser_top_up": METADATA["purser_top_up"]},
        "purser_tenant",
    ],
)
def test_metadata_of_ours_that_name_no_order_are_malformed(metadata: object) -> None:
    with pytest.raises(MalformedEventError):
        read("checkout.session.completed", session(metadata=metadata))


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"id": ""},
        {"id": "cs_\u0000"},
        {"id": "\ud800"},
        {"payment_intent": 1},
        {"payment_intent": {}},
        {"payment_status": []},
        {"amount_total": None},
        {"amount_total": "5000"},
        {"amount_total": 50.0},
        {"amount_total": True},
        {"amount_total": -1},
        {"amount_total": 2**63},
        {"currency": None},
        {"currency": "dollars"},
        {"currency": "isk", "amount_total": 5050},
    ],
)
def test_a_field_of_a_wrong_type_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError):
        read("checkout.session.completed", session(**fields))


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [
        ("refund.created", {"id": "re_1", "amount": 7, "currency": "usd", "status": "new", "payment_intent": "pi_1"}),
        ("charge.dispute.closed", {"id": "du_1", "amount": 7, "currency": "usd", "status": "new"}),
        ("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "refunds": {"data": [1]}}),
        ("payment_intent.succeeded", intent("succeeded", last_payment_error=7, amount_received=None)),
        ("payment_intent.payment_failed", intent("requires_payment_method", RECHARGE, last_payment_error=7)),
        ("checkout.session.completed", None),
        (None, session()),
        ({}, session()),
    ],
)
def test_an_object_that_is_not_as_documented_is_malformed(event_type: object, subject: object) -> None:
    with pytest.raises(MalformedEventError):
        read(event_type, subject)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "x",
        "[]",
        "1",
        "null",
        "{}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 5000,
        '{"id":"evt_1","type":"refund.created"}',
    ],
)
def test_a_message_that_is_none_is_malformed(payload: str) -> None:
    with pytest.raises(MalformedEventError):
        read_text(payload)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=10)
    | st.sampled_from(["pi_1", "usd", "paid", "succeeded", "lost", "complete", METADATA["purser_tenant"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "id",
    "status",
    "metadata",
    "payment_intent",
    "payment_status",
    "amount",
    "amount_total",
    "amount_received",
    "amount_refunded",
    "currency",
    "customer",
    "payment_method",
    "setup_future_usage",
    "last_payment_error",
    "refunds",
)
WHOLE = {**intent("succeeded", RECHARGE), **session(metadata=RECHARGE), "amount": 7, "amount_refunded": 7}


@settings(max_examples=200, deadline=None)
@given(
    event_type=st.sampled_from(KNOWN_TYPES),
    changes=st.dictionaries(st.sampled_from(FIELDS), VALUES | st.dictionaries(st.sampled_from(FIELDS), VALUES)),
    left_out=st.sets(st.sampled_from(FIELDS), max_size=3),
)
def test_whatever_the_fields_hold_a_message_is_read_or_refused(
    event_type: str, changes: dict[str, Any], left_out: set[str]
) -> None:
    subject = {name: value for name, value in {**WHOLE, **changes}.items() if name not in left_out}
    try:
        event = read(event_type, subject)
    except MalformedEventError:
        return
    assert event is None or event.order is not None or event.facts.payment_id is not None


@settings(max_examples=150, deadline=None)
@given(payload=VALUES.map(json.dumps) | st.text(max_size=30), header=st.text(max_size=60) | st.none())
def test_whatever_comes_over_the_wire_is_read_or_refused(payload: str, header: str | None) -> None:
    body = payload.encode("utf-8", "replace")
    try:
        read_event(body, signed(body.decode()) if header is None else header, SECRET, NOW)
    except (BadSignatureError, MalformedEventError):
        return


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60), header=st.binary(max_size=60))
def test_bytes_that_are_no_text_are_refused(body: bytes, header: bytes) -> None:
    with pytest.raises(BadSignatureError):
        read_event(body, header.decode("latin-1"), SECRET, NOW)
