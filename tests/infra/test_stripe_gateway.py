"""The gateway with Stripe's own SDK against the stand-in, over HTTP."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from domain import ids, payments
from domain.money import Money
from domain.payments import (
    Dispute,
    DisputeStatus,
    Outcome,
    PaymentFacts,
    Refund,
    RefundStatus,
    TopUp,
    TopUpOrigin,
    disputed,
    refunded,
)
from infra.payments import (
    BadSignatureError,
    Checkout,
    OrderReference,
    PaymentEvent,
    PaymentGateway,
    PaymentsRefusedError,
    PaymentsUnavailableError,
)
from infra.stripe_gateway import StripeGateway
from infra.stripe_stand_in.cards import CARDS
from tests.infra.stand_in import RunningStandIn, running_stand_in

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TENANT = UUID(int=7)
FIFTY = Money(5000, "USD")

DECLINED = "4000000000000002"
DECLINED_LATER = "4000000000000341"
NO_FUNDS = "4000000000009995"
ASKS_OWNER = ("4000002500003155", "4000002760003184")
DISPUTED = "4000000000000259"


@pytest.fixture
async def stand_in() -> AsyncIterator[RunningStandIn]:
    async with running_stand_in() as running:
        yield running


@pytest.fixture
async def gateway(stand_in: RunningStandIn) -> AsyncIterator[StripeGateway]:
    opened = stand_in.gateway()
    yield opened
    await opened.close()


def order(origin: TopUpOrigin = TopUpOrigin.CHECKOUT, price: Money = FIFTY) -> TopUp:
    return TopUp(uuid4(), "metered", 50 * 10**9, price, None, origin, "somebody", NOW)


async def open_checkout(gateway: PaymentGateway, top_up: TopUp | None = None) -> Checkout:
    customer = await gateway.open_customer(TENANT, "Acme")
    return await gateway.open_checkout(TENANT, top_up or order(), customer, "50 dollars of metered balance")


async def keep_card(stand_in: RunningStandIn, gateway: PaymentGateway, number: str) -> tuple[str, str]:
    """A card that was kept at a checkout."""
    checkout = await open_checkout(gateway)
    assert (await stand_in.press(checkout.url, "pay", card=number)).status_code == 303
    facts = await gateway.facts_of(checkout.session_id, None)
    assert facts.card is not None
    return facts.card


async def paid(stand_in: RunningStandIn, gateway: PaymentGateway) -> PaymentFacts:
    checkout = await open_checkout(gateway)
    stand_in.controls.pay(checkout.session_id)
    return await gateway.facts_of(checkout.session_id, None)


async def prepared(gateway: PaymentGateway, card: tuple[str, str], top_up: TopUp | None = None) -> str:
    top_up = top_up or order(TopUpOrigin.AUTO_RECHARGE)
    return await gateway.prepare_charge(TENANT, top_up, *card, "Auto-recharge")


async def told(stand_in: RunningStandIn, gateway: PaymentGateway) -> list[PaymentEvent]:
    """What the messages since the last time tell."""
    await stand_in.controls.deliveries.settled()
    events = [gateway.read_event(payload, signature, stand_in.clock()) for payload, signature in stand_in.received]
    stand_in.received.clear()
    return [event for event in events if event is not None]


def joined(events: list[PaymentEvent]) -> PaymentFacts:
    facts = payments.NOTHING_KNOWN
    for event in events:
        facts = payments.joined(facts, event.facts)
    return facts


async def test_a_paid_checkout_is_told_the_same_by_messages_and_by_asking(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    top_up = order()
    checkout = await open_checkout(gateway, top_up)
    assert (await gateway.facts_of(checkout.session_id, None)).outcome is Outcome.UNKNOWN
    answer = await stand_in.press(checkout.url, "pay", card="4242 4242 4242 4242")
    assert answer.headers["location"] == f"http://shop.test/?top_up={ids.public('top_up', top_up.id)}&paid=1"
    facts = await gateway.facts_of(checkout.session_id, None)
    assert (facts.outcome, facts.received, facts.session_id) == (Outcome.PAID, FIFTY, checkout.session_id)
    assert facts.card is not None
    events = await told(stand_in, gateway)
    assert {event.type for event in events} == {"payment_intent.succeeded", "checkout.session.completed"}
    assert {event.order for event in events} == {OrderReference(TENANT, top_up.id)}
    assert joined(events) == joined(events[::-1]) == facts


async def test_the_same_order_is_one_session_however_often_it_is_opened(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    top_up = order()
    first, second = await open_checkout(gateway, top_up), await open_checkout(gateway, top_up)
    assert first == second
    assert len(stand_in.controls.sessions) == len(stand_in.controls.customers) == 1


async def test_an_order_whose_description_changed_meanwhile_can_still_be_paid(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    top_up = order()
    await open_checkout(gateway, top_up)
    customer = await gateway.open_customer(TENANT, "Acme")
    again = await gateway.open_checkout(TENANT, top_up, customer, "another name")
    stand_in.controls.pay(again.session_id)
    assert (await gateway.facts_of(again.session_id, None)).outcome is Outcome.PAID


async def test_a_checkout_that_was_left_stays_open(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    checkout = await open_checkout(gateway)
    answer = await stand_in.press(checkout.url, "leave")
    assert answer.headers["location"].endswith("&paid=0")
    assert (await gateway.facts_of(checkout.session_id, None)).outcome is Outcome.UNKNOWN


async def test_a_checkout_expires(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    top_up = order()
    checkout = await open_checkout(gateway, top_up)
    stand_in.controls.expire(checkout.session_id)
    assert (await gateway.facts_of(checkout.session_id, None)).outcome is Outcome.EXPIRED
    events = await told(stand_in, gateway)
    expired = PaymentFacts(Outcome.EXPIRED, checkout.session_id)
    assert [(event.type, event.order, event.facts) for event in events] == [
        ("checkout.session.expired", OrderReference(TENANT, top_up.id), expired)
    ]


async def test_a_checkout_that_stripe_does_not_know_counts_as_expired(gateway: StripeGateway) -> None:
    facts = await gateway.facts_of("cs_test_gone", None)
    assert facts == PaymentFacts(Outcome.EXPIRED, "cs_test_gone")


async def test_a_declined_attempt_at_the_checkout_is_no_failure_of_the_order(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    checkout = await open_checkout(gateway)
    assert (await stand_in.press(checkout.url, "pay", card=DECLINED)).status_code == 402
    facts = await gateway.facts_of(checkout.session_id, None)
    assert (facts.outcome, facts.failure) == (Outcome.UNKNOWN, None)
    assert facts.payment_id is not None
    events = await told(stand_in, gateway)
    assert [(event.type, event.facts) for event in events] == [
        ("payment_intent.payment_failed", PaymentFacts(payment_id=facts.payment_id))
    ]
    assert (await stand_in.press(checkout.url, "pay", card="4242424242424242")).status_code == 303
    assert (await gateway.facts_of(None, facts.payment_id)).outcome is Outcome.PAID
    assert len(stand_in.controls.captured) == 1


async def test_an_attempt_that_failed_before_the_checkout_expired_leaves_it_expired(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    checkout = await open_checkout(gateway)
    await stand_in.press(checkout.url, "pay", card=DECLINED)
    stand_in.controls.expire(checkout.session_id)
    facts = await gateway.facts_of(checkout.session_id, None)
    assert facts.outcome is Outcome.EXPIRED
    assert joined(await told(stand_in, gateway)) == facts


async def test_a_method_that_takes_days_is_paid_when_the_money_is_there(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    checkout = await open_checkout(gateway)
    stand_in.controls.pay_by_transfer(checkout.session_id)
    assert (await gateway.facts_of(checkout.session_id, None)).outcome is Outcome.UNKNOWN
    assert joined(await told(stand_in, gateway)).outcome is Outcome.UNKNOWN
    stand_in.controls.arrive(checkout.session_id)
    assert (await gateway.facts_of(checkout.session_id, None)).outcome is Outcome.PAID
    assert joined(await told(stand_in, gateway)).outcome is Outcome.PAID


async def test_a_method_that_takes_days_may_fail_after_all(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    checkout = await open_checkout(gateway)
    stand_in.controls.pay_by_transfer(checkout.session_id)
    stand_in.controls.arrive(checkout.session_id, decline=CARDS[NO_FUNDS].present)
    facts = await gateway.facts_of(checkout.session_id, None)
    assert (facts.outcome, facts.failure) == (Outcome.FAILED, "insufficient_funds")
    events = await told(stand_in, gateway)
    assert joined(events).outcome is Outcome.FAILED
    assert "checkout.session.async_payment_failed" in {event.type for event in events}


async def test_a_kept_card_is_charged_once_however_often_it_is_asked(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    card = await keep_card(stand_in, gateway, "4242424242424242")
    top_up = order(TopUpOrigin.AUTO_RECHARGE)
    payment_id = await prepared(gateway, card, top_up)
    assert await prepared(gateway, card, top_up) == payment_id
    assert (await gateway.facts_of(None, payment_id)).outcome is Outcome.UNKNOWN
    first, second = await gateway.charge(payment_id), await gateway.charge(payment_id)
    assert first == second == PaymentFacts(Outcome.PAID, None, payment_id, FIFTY, None, card)
    assert await gateway.order_of(payment_id) == OrderReference(TENANT, top_up.id)
    assert [charge["payment_intent"] for charge in stand_in.controls.captured[1:]] == [payment_id]


async def test_charges_of_one_payment_at_the_same_time_take_it_once(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    payment_id = await prepared(gateway, await keep_card(stand_in, gateway, "4242424242424242"))
    stand_in.controls.gate = asyncio.Event()
    charges = [asyncio.create_task(gateway.charge(payment_id)) for _ in range(3)]
    # The others are told that one is under way; they try again under the same key, or leave the outcome open.
    await asyncio.wait(charges, return_when=asyncio.FIRST_COMPLETED)
    stand_in.controls.gate.set()
    outcomes = await asyncio.gather(*charges, return_exceptions=True)
    assert any(isinstance(outcome, PaymentFacts) and outcome.outcome is Outcome.PAID for outcome in outcomes)
    assert all(isinstance(outcome, PaymentFacts | PaymentsUnavailableError) for outcome in outcomes)
    assert len(stand_in.controls.captured) == 2


@pytest.mark.parametrize(
    ("number", "outcome", "failure"),
    [
        (DECLINED_LATER, Outcome.FAILED, "generic_decline"),
        (ASKS_OWNER[0], Outcome.REQUIRES_ACTION, "authentication_required"),
        (ASKS_OWNER[1], Outcome.REQUIRES_ACTION, "authentication_required"),
    ],
)
async def test_a_decline_is_an_answer(
    stand_in: RunningStandIn, gateway: StripeGateway, number: str, outcome: Outcome, failure: str
) -> None:
    payment_id = await prepared(gateway, await keep_card(stand_in, gateway, number))
    await told(stand_in, gateway)
    expected = PaymentFacts(outcome, payment_id=payment_id, failure=failure)
    assert await gateway.charge(payment_id) == expected
    assert await gateway.charge(payment_id) == expected
    assert await gateway.facts_of(None, payment_id) == expected
    assert [event.facts for event in await told(stand_in, gateway)] == [expected]
    assert len(stand_in.controls.captured) == 1


async def test_a_payment_that_ended_otherwise_answers_what_is_true_when_it_is_charged(
    stand_in: RunningStandIn, gateway: StripeGateway
) -> None:
    card = await keep_card(stand_in, gateway, "4242424242424242")
    succeeded, canceled = await prepared(gateway, card), await prepared(gateway, card)
    stand_in.controls.confirm(succeeded, off_session=False)
    stand_in.controls.cancel(canceled)
    assert (await gateway.charge(succeeded)).outcome is Outcome.PAID
    assert await gateway.charge(canceled) == PaymentFacts(Outcome.FAILED, payment_id=canceled, failure="canceled")


async def test_a_payment_given_up_is_never_taken(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = await prepared(gateway, await keep_card(stand_in, gateway, "4242424242424242"))
    canceled = PaymentFacts(Outcome.FAILED, payment_id=payment_id, failure="canceled")
    assert await gateway.cancel(payment_id) == canceled
    assert await gateway.cancel(payment_id) == canceled
    assert await gateway.charge(payment_id) == canceled
    assert len(stand_in.controls.captured) == 1


async def test_a_payment_that_was_taken_cannot_be_given_up(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = await prepared(gateway, await keep_card(stand_in, gateway, "4242424242424242"))
    await gateway.charge(payment_id)
    assert (await gateway.cancel(payment_id)).outcome is Outcome.PAID


async def test_answers_that_are_lost_make_no_second_charge(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    card = await keep_card(stand_in, gateway, "4242424242424242")
    top_up = order(TopUpOrigin.AUTO_RECHARGE)
    stand_in.controls.swallow_answers = 2
    with pytest.raises(PaymentsUnavailableError):
        await prepared(gateway, card, top_up)
    payment_id = await prepared(gateway, card, top_up)
    stand_in.controls.swallow_answers = 2
    with pytest.raises(PaymentsUnavailableError):
        await gateway.charge(payment_id)
    assert (await gateway.facts_of(None, payment_id)).outcome is Outcome.PAID
    assert (await gateway.charge(payment_id)).outcome is Outcome.PAID
    assert len(stand_in.controls.intents) == 2
    assert [charge["payment_intent"] for charge in stand_in.controls.captured[1:]] == [payment_id]


async def test_one_lost_answer_goes_unnoticed(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = await prepared(gateway, await keep_card(stand_in, gateway, "4242424242424242"))
    stand_in.controls.swallow_answers = 1
    assert (await gateway.charge(payment_id)).outcome is Outcome.PAID
    assert len(stand_in.controls.captured) == 2


async def test_refunds_are_told_part_by_part(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = (await paid(stand_in, gateway)).payment_id
    assert payment_id is not None
    await told(stand_in, gateway)
    part = stand_in.controls.refund(payment_id, 1200)
    facts = await gateway.facts_of(None, payment_id)
    assert facts.refunds == (Refund(part["id"], 1200, RefundStatus.SUCCEEDED),)
    events = await told(stand_in, gateway)
    assert {event.type for event in events} == {"refund.created", "charge.refunded"}
    assert {refunded(event.facts) for event in events} == {refunded(joined(events))} == {1200}
    assert {event.facts.payment_id for event in events} == {payment_id}
    stand_in.controls.refund(payment_id)
    assert refunded(await gateway.facts_of(None, payment_id)) == 5000
    assert refunded(payments.joined(joined(events), joined(await told(stand_in, gateway)))) == 5000


async def test_a_refund_that_failed_gives_nothing_back(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = (await paid(stand_in, gateway)).payment_id
    assert payment_id is not None
    refund = stand_in.controls.refund(payment_id, 1200, status="pending")
    assert refunded(await gateway.facts_of(None, payment_id)) == 1200
    stand_in.controls.settle_refund(refund["id"], "failed")
    facts = await gateway.facts_of(None, payment_id)
    assert facts.refunds == (Refund(refund["id"], 1200, RefundStatus.FAILED),)
    events = await told(stand_in, gateway)
    assert {"refund.failed", "refund.updated", "charge.refund.updated"} <= {event.type for event in events}
    assert refunded(facts) == refunded(joined(events)) == refunded(joined(events[::-1])) == 0


async def test_more_refunds_than_one_page_holds_are_all_told(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = (await paid(stand_in, gateway)).payment_id
    assert payment_id is not None
    stand_in.controls.deliveries.is_holding = True
    for _ in range(101):
        stand_in.controls.refund(payment_id, 10)
    facts = await gateway.facts_of(None, payment_id)
    assert (len(facts.refunds), refunded(facts)) == (101, 1010)


@pytest.mark.parametrize(("won", "status", "taken"), [(True, DisputeStatus.WON, 0), (False, DisputeStatus.LOST, 5000)])
async def test_a_dispute_takes_the_money_until_it_is_won(
    stand_in: RunningStandIn, gateway: StripeGateway, won: bool, status: DisputeStatus, taken: int
) -> None:
    checkout = await open_checkout(gateway)
    await stand_in.press(checkout.url, "pay", card=DISPUTED)
    facts = await gateway.facts_of(checkout.session_id, None)
    dispute_id = facts.disputes[0].id
    assert facts.disputes == (Dispute(dispute_id, 5000, DisputeStatus.OPEN),)
    assert facts.outcome is Outcome.PAID
    before = await told(stand_in, gateway)
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= {event.type for event in before}
    assert joined(before) == facts
    stand_in.controls.close_dispute(dispute_id, won=won)
    facts = await gateway.facts_of(checkout.session_id, None)
    assert (facts.disputes[0].status, disputed(facts)) == (status, taken)
    assert joined([*await told(stand_in, gateway), *before]) == facts


async def test_an_inquiry_takes_no_money(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    payment_id = (await paid(stand_in, gateway)).payment_id
    assert payment_id is not None
    inquiry = stand_in.controls.dispute(payment_id, status="warning_needs_response")
    stand_in.controls.close_dispute(inquiry["id"], won=False)
    facts = await gateway.facts_of(None, payment_id)
    assert facts.disputes == (Dispute(inquiry["id"], 5000, DisputeStatus.INQUIRY),)
    assert disputed(facts) == disputed(joined(await told(stand_in, gateway))) == 0


async def test_a_payment_of_somebody_else_is_none_of_ours(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    assert await gateway.order_of("pi_gone") is None
    assert await gateway.facts_of(None, "pi_gone") == PaymentFacts(payment_id="pi_gone")
    session = stand_in.controls.open_session({"customer": None, "success_url": "http://x.test"}, {}, 700, "usd")
    payment_id = stand_in.controls.pay(session["id"])["payment_intent"]
    assert await gateway.order_of(payment_id) is None
    assert await told(stand_in, gateway) == []
    stand_in.controls.refund(payment_id)
    events = await told(stand_in, gateway)
    assert {(event.order, event.facts.payment_id) for event in events} == {(None, payment_id)}


@pytest.mark.parametrize(
    ("price", "amount"),
    [(Money(500, "JPY"), 500), (Money(5, "ISK"), 500), (Money(5, "UGX"), 500), (Money(5120, "KWD"), 5120)],
)
async def test_currencies_keep_their_worth(
    stand_in: RunningStandIn, gateway: StripeGateway, price: Money, amount: int
) -> None:
    checkout = await open_checkout(gateway, order(price=price))
    session = stand_in.controls.pay(checkout.session_id)
    assert (session["amount_total"], session["currency"]) == (amount, price.currency.lower())
    assert (await gateway.facts_of(checkout.session_id, None)).received == price
    assert joined(await told(stand_in, gateway)).received == price


@pytest.mark.parametrize("price", [Money(5124, "KWD"), Money(5123, "MGA")])
async def test_sums_that_stripe_cannot_take_exactly_are_refused(gateway: StripeGateway, price: Money) -> None:
    with pytest.raises(PaymentsRefusedError):
        await open_checkout(gateway, order(price=price))


async def test_a_wrong_key_is_refused_and_not_shown(stand_in: RunningStandIn) -> None:
    gateway = stand_in.gateway("sk_test_somebody_else")
    with pytest.raises(PaymentsRefusedError) as refused:
        await gateway.open_customer(TENANT, "Acme")
    await gateway.close()
    assert "STRIPE_API_KEY" in str(refused.value)
    assert "sk_test" not in str(refused.value)


async def test_what_stripe_does_not_take_is_refused_in_its_words(gateway: StripeGateway) -> None:
    with pytest.raises(PaymentsRefusedError, match="No such customer: 'cus_gone'"):
        await gateway.open_checkout(TENANT, order(), "cus_gone", "50 dollars")
    customer = await gateway.open_customer(TENANT, "Acme")
    with pytest.raises(PaymentsRefusedError, match="No such PaymentMethod"):
        await gateway.prepare_charge(TENANT, order(), customer, "pm_gone", "50 dollars")
    gone = PaymentFacts(Outcome.FAILED, payment_id="pi_gone", failure="resource_missing")
    assert await gateway.charge("pi_gone") == gone
    assert await gateway.cancel("pi_gone") == gone


async def test_a_rail_that_is_down_leaves_the_outcome_open(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    stand_in.controls.is_unavailable = True
    calls = [
        gateway.open_customer(TENANT, "Acme"),
        gateway.open_checkout(TENANT, order(), "cus_1", "50 dollars"),
        gateway.prepare_charge(TENANT, order(), "cus_1", "pm_1", "50 dollars"),
        gateway.charge("pi_1"),
        gateway.cancel("pi_1"),
        gateway.facts_of("cs_1", None),
        gateway.facts_of(None, "pi_1"),
        gateway.order_of("pi_1"),
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [PaymentsUnavailableError] * len(calls)


async def test_an_address_where_nobody_answers_leaves_the_outcome_open() -> None:
    gateway = StripeGateway("sk", "whsec", api_base="http://127.0.0.1:9", public_url="http://shop.test")
    with pytest.raises(PaymentsUnavailableError):
        await gateway.open_customer(TENANT, "Acme")
    await gateway.close()


async def test_a_message_under_another_secret_is_not_read(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    await paid(stand_in, gateway)
    await stand_in.controls.deliveries.settled()
    other = StripeGateway("sk", "whsec_other", api_base=None, public_url="http://shop.test")
    payload, signature = stand_in.received[0]
    with pytest.raises(BadSignatureError):
        other.read_event(payload, signature, stand_in.clock())
    await other.close()


async def test_a_message_is_read_at_the_moment_that_is_given(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    stand_in.clock.moment = NOW
    await paid(stand_in, gateway)
    assert joined(await told(stand_in, gateway)).outcome is Outcome.PAID


async def test_keys_tell_every_difference_between_two_orders(stand_in: RunningStandIn, gateway: StripeGateway) -> None:
    top_up = order()
    first = await open_checkout(gateway, top_up)
    second = await open_checkout(gateway, replace(top_up, price=Money(5100, "USD")))
    assert first != second


def test_the_gateway_is_imported_without_the_sdk() -> None:
    script = "import sys, json, infra.stripe_gateway; print(json.dumps([name for name in sys.modules]))"
    names = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert {"stripe", "httpx", "starlette"}.isdisjoint(names)
