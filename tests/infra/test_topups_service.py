"""Top-ups from the order to the wallet, over HTTP with Stripe's stand-in, on PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from domain.payments import TopUpState
from domain.refusals import InvalidInput, NotFound
from infra.payments import PaymentsUnavailableError
from infra.services import topups
from infra.services.callers import Caller, Refused
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance, count, nothing_moves, open_tenant, outbox, reserved
from tests.infra.payments import Shop, open_shop, ordered

CREDITS: Final = "type = 'TOPPED_UP' AND reference LIKE 'top%'"


@pytest.fixture
async def shop(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Shop]:
    async with open_shop(settings, database_url, clock) as opened:
        yield opened
        await audit(opened.application)


@pytest.fixture
async def caller(shop: Shop) -> Caller:
    return await open_tenant(shop.application, credits="10", metered="0")


async def available(shop: Shop, caller: Caller, key: str = "metered") -> str:
    return (await balance(shop.application, caller, key))[0]


async def kinds_told(shop: Shop, caller: Caller) -> list[str]:
    """The types of the tenant's events in their order."""
    return [kind for kind, _ in await outbox(shop.application, caller)]


async def test_an_order_leads_to_a_page_and_its_payment_to_the_wallet(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    assert (top_up.state, top_up.price) == (TopUpState.PENDING, (2_500, "USD"))
    assert top_up.checkout_url is not None
    assert await available(shop, caller) == "0"
    shop.pay(top_up)
    assert set(await shop.deliver()) == {200}
    credited = await shop.look(caller, top_up)
    assert (credited.state, credited.checkout_url, credited.credited_at) == (TopUpState.CREDITED, None, shop.clock.now)
    assert await available(shop, caller) == "25"
    assert await kinds_told(shop, caller) == ["top_up.credited"]


async def test_the_same_key_answers_the_same_order_in_its_present_state(shop: Shop, caller: Caller) -> None:
    top_up = await shop.paid(caller, "once", amount=nano("25"))
    again = await shop.order(caller, "once", amount=nano("25"))
    assert (again.id, again.state) == (top_up.id, TopUpState.CREDITED)
    other = await topups.start_top_up(shop.application, caller, "once", "metered", None, nano("26"))
    assert isinstance(other, Refused)
    assert len(shop.stripe.sessions) == 1


async def test_a_bundle_expires_with_the_cycle_in_which_it_is_credited(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, wallet_key="credits", bundle="credits_50")
    assert (top_up.amount, top_up.price) == (nano("50"), (210_000, "INR"))
    shop.pay(top_up)
    # Word of it comes in the next cycle.
    shop.advance(days=10)
    await shop.deliver()
    expires_at = await shop.application.across_tenants.fetchval("SELECT expires_at FROM lot WHERE id = $1", top_up.id)
    assert expires_at == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"amount": nano("0.99")}, InvalidInput),
        ({"amount": nano("10.001")}, InvalidInput),
        ({"amount": nano("100001")}, InvalidInput),
        ({}, InvalidInput),
        ({"amount": nano("5"), "bundle": "credits_50"}, InvalidInput),
        ({"bundle": "credits_50"}, NotFound),
        ({"wallet_key": "credits", "amount": nano("5")}, InvalidInput),
        ({"wallet_key": "credits", "bundle": "credits_7"}, NotFound),
        ({"wallet_key": "nothing", "amount": nano("5")}, NotFound),
    ],
)
async def test_what_is_not_sold_is_refused_and_nothing_moves(
    shop: Shop, caller: Caller, asked: dict[str, Any], refusal: type
) -> None:
    async with nothing_moves(shop.application):
        answer = await topups.start_top_up(shop.application, caller, "t", asked.pop("wallet_key", "metered"), **asked)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, refusal)
    assert not shop.stripe.sessions


async def test_the_same_webhook_fifty_times_at_once_credits_once(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.pay(top_up)
    (message,) = shop.messages("checkout.session.completed")
    answers = await asyncio.gather(*[shop.receive(message) for _ in range(50)])
    assert set(answers) == {200}
    assert await available(shop, caller) == "25"
    assert await count(shop.application, "ledger_entry", CREDITS) == 1
    assert await kinds_told(shop, caller) == ["top_up.credited"]


@pytest.mark.parametrize("first", ["payment_intent.succeeded", "checkout.session.completed"])
async def test_whichever_message_comes_first_credits_and_the_other_changes_nothing(
    shop: Shop, caller: Caller, first: str
) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.pay(top_up)
    by_type = {json.loads(payload)["type"]: (payload, signature) for payload, signature in shop.messages()}
    assert await shop.receive(by_type.pop(first)) == 200
    assert await available(shop, caller) == "25"
    for message in by_type.values():
        assert await shop.receive(message) == 200
    assert await available(shop, caller) == "25"


async def test_a_webhook_and_the_reconcile_job_at_once_credit_once(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.pay(top_up)
    shop.advance(600)
    messages = shop.messages()
    await asyncio.gather(
        *[shop.receive(message) for message in messages for _ in range(5)],
        *[topups.reconcile(shop.application, shop.clock.now) for _ in range(5)],
    )
    assert await available(shop, caller) == "25"
    assert await count(shop.application, "ledger_entry", CREDITS) == 1


async def test_an_order_whose_messages_were_lost_is_settled_by_the_job(shop: Shop, caller: Caller) -> None:
    paid = await shop.order(caller, "paid", amount=nano("25"))
    left = await shop.order(caller, "left", amount=nano("30"))
    shop.pay(paid)
    assert (await topups.reconcile(shop.application, shop.clock.now)).done == 0, "young orders are left alone"
    shop.advance(days=2)
    assert (await topups.reconcile(shop.application, shop.clock.now)).done == 2
    assert (await shop.look(caller, paid)).state is TopUpState.CREDITED
    assert (await shop.look(caller, left)).state is TopUpState.EXPIRED
    assert await available(shop, caller) == "25"
    assert (await topups.reconcile(shop.application, shop.clock.now)).done == 0


async def test_the_job_stops_in_time_and_goes_on_where_it_stopped(shop: Shop, caller: Caller) -> None:
    for number in range(3):
        shop.pay(await shop.order(caller, f"t{number}", amount=nano("25")))
    shop.advance(600)
    now = shop.clock.now
    stopped = await topups.reconcile(shop.application, now, stop_at=now)
    assert (stopped.done, stopped.complete) == (0, False)
    assert (await topups.reconcile(shop.application, now, stop_at=now + timedelta(seconds=1))).done == 3
    assert await available(shop, caller) == "75"


async def test_an_answer_that_got_lost_makes_no_second_page(shop: Shop, caller: Caller) -> None:
    shop.stripe.swallow_answers = 5
    with pytest.raises(PaymentsUnavailableError):
        await topups.start_top_up(shop.application, caller, "t", "metered", None, nano("25"))
    assert await count(shop.application, "top_up", "state = 'PENDING' AND session_id IS NULL") == 1
    shop.stripe.swallow_answers = 0
    top_up = await shop.order(caller, amount=nano("25"))
    assert await count(shop.application, "top_up") == 1
    assert list(shop.stripe.sessions) == [top_up.facts.session_id]
    shop.pay(top_up)
    await shop.deliver()
    assert await available(shop, caller) == "25"


async def test_a_page_that_nobody_was_shown_expires_with_the_job_and_money_outweighs_it(
    shop: Shop, caller: Caller
) -> None:
    shop.stripe.is_unavailable = True
    with pytest.raises(PaymentsUnavailableError):
        await topups.start_top_up(shop.application, caller, "t", "metered", None, nano("25"))
    shop.stripe.is_unavailable = False
    shop.advance(days=2)
    await topups.reconcile(shop.application, shop.clock.now)
    assert await shop.application.across_tenants.fetchval("SELECT state FROM top_up") == "EXPIRED"


async def test_a_refund_takes_back_what_is_left_and_books_the_rest_as_debt(shop: Shop, caller: Caller) -> None:
    top_up = await shop.paid(caller, amount=nano("25"))
    await reserved(shop.application, caller, feature="llm_call", cost="10")
    assert await balance(shop.application, caller, "metered") == ("12", "13", "0")
    payment = str(top_up.facts.payment_id)
    shop.stripe.refund(payment, 500)
    await shop.deliver()
    part = await shop.look(caller, top_up)
    assert (part.state, part.taken_back) == (TopUpState.PARTIALLY_REFUNDED, nano("5"))
    assert await available(shop, caller) == "7"
    shop.stripe.refund(payment)
    await shop.deliver()
    whole = await shop.look(caller, top_up)
    assert (whole.state, whole.taken_back) == (TopUpState.REFUNDED, nano("25"))
    assert await available(shop, caller) == "-13"
    refill = await shop.paid(caller, "t2", amount=nano("20"))
    assert refill.state is TopUpState.CREDITED
    assert await available(shop, caller) == "7"


async def test_a_refund_that_fails_gives_the_credit_back(shop: Shop, caller: Caller) -> None:
    top_up = await shop.paid(caller, amount=nano("25"))
    refund = shop.stripe.refund(str(top_up.facts.payment_id), 1_000)
    await shop.deliver()
    assert await available(shop, caller) == "15"
    shop.stripe.settle_refund(refund["id"], "failed")
    await shop.deliver()
    assert await available(shop, caller) == "25"
    assert (await shop.look(caller, top_up)).state is TopUpState.CREDITED


@pytest.mark.parametrize(("won", "left", "state"), [(True, "25", "CREDITED"), (False, "0", "DISPUTED")])
async def test_a_dispute_takes_credit_and_one_that_is_won_gives_it_back(
    shop: Shop, caller: Caller, won: bool, left: str, state: str
) -> None:
    top_up = await shop.paid(caller, amount=nano("25"))
    dispute = shop.stripe.dispute(str(top_up.facts.payment_id))
    await shop.deliver()
    assert (await shop.look(caller, top_up)).state is TopUpState.DISPUTED
    assert await available(shop, caller) == "0"
    shop.stripe.close_dispute(dispute["id"], won=won)
    messages = shop.messages()
    for message in [*reversed(messages), *messages]:
        assert await shop.receive(message) == 200
    assert await available(shop, caller) == left
    assert (await shop.look(caller, top_up)).state == state


async def test_messages_in_any_order_end_in_the_same_books(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.pay(top_up)
    (payment,) = shop.stripe.intents
    shop.stripe.refund(payment, 700)
    shop.stripe.close_dispute(shop.stripe.dispute(payment, 300)["id"], won=True)
    for message in reversed(shop.messages()):
        assert await shop.receive(message) == 200
    found = await shop.look(caller, top_up)
    assert (found.state, found.credited, found.taken_back) == (
        TopUpState.PARTIALLY_REFUNDED,
        nano("25"),
        nano("7"),
    )
    assert await available(shop, caller) == "18"


async def test_a_refund_whose_payment_is_not_known_yet_is_asked_about(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.pay(top_up)
    (payment,) = shop.stripe.intents
    shop.messages()
    shop.stripe.refund(payment)
    (message,) = shop.messages("refund.created")
    shop.stripe.is_unavailable = True
    assert await shop.receive(message) == 503
    shop.stripe.is_unavailable = False
    assert await shop.receive(message) == 200
    assert await available(shop, caller) == "0"


@pytest.mark.parametrize("card", ["4000000000000002", "4000000000009995"])
async def test_a_card_that_fails_at_the_checkout_leaves_the_order_open(shop: Shop, caller: Caller, card: str) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    with pytest.raises(Exception, match="card"):
        shop.pay(top_up, card)
    await shop.deliver()
    assert (await shop.look(caller, top_up)).state is TopUpState.PENDING
    shop.pay(top_up)
    await shop.deliver()
    assert (await shop.look(caller, top_up)).state is TopUpState.CREDITED


async def test_a_checkout_that_is_left_expires_and_one_by_transfer_waits(shop: Shop, caller: Caller) -> None:
    left = await shop.order(caller, "left", amount=nano("25"))
    slow = await shop.order(caller, "slow", amount=nano("30"))
    shop.stripe.expire(str(left.facts.session_id))
    shop.stripe.pay_by_transfer(str(slow.facts.session_id))
    await shop.deliver()
    assert (await shop.look(caller, left)).state is TopUpState.EXPIRED
    assert (await shop.look(caller, slow)).state is TopUpState.PENDING
    shop.stripe.arrive(str(slow.facts.session_id))
    await shop.deliver()
    assert (await shop.look(caller, slow)).state is TopUpState.CREDITED
    assert await available(shop, caller) == "30"


async def test_money_that_is_not_what_was_ordered_waits_for_a_person(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    shop.stripe.sessions[str(top_up.facts.session_id)]["amount_total"] = 2_400
    shop.pay(top_up)
    await shop.deliver()
    assert (await shop.look(caller, top_up)).state is TopUpState.PAID
    assert await available(shop, caller) == "0"
    assert await kinds_told(shop, caller) == ["top_up.unmatched"]


async def test_what_is_not_genuine_is_refused_and_nothing_is_written(shop: Shop, caller: Caller) -> None:
    top_up = await shop.order(caller, amount=nano("25"))
    stranger = await open_tenant(shop.application, "globex", metered="0")
    shop.pay(top_up)
    (event,) = [each for each in shop.stripe.deliveries.events if each["type"] == "checkout.session.completed"]
    payload, signature = shop.stripe.deliveries.signed(event)
    foreign = json.loads(payload)
    foreign["data"]["object"]["metadata"]["purser_tenant"] = f"ten_{stranger.tenant_id.hex}"
    nobodys = json.loads(payload)
    nobodys["data"]["object"]["metadata"]["purser_top_up"] = "top_" + "0" * 32
    large = json.dumps({**event, "padding": "x" * topups.MOST_BYTES})
    async with nothing_moves(shop.application):
        assert await shop.receive((payload, "t=1,v1=" + "0" * 64)) == 400
        assert await shop.receive((payload, "")) == 400
        assert await shop.receive((payload.replace(b"2500", b"9900"), signature)) == 400
        assert await shop.receive(shop.stripe.deliveries.signed(foreign)) == 400
        assert await shop.receive(shop.stripe.deliveries.signed(nobodys)) == 400
        assert await shop.receive((large.encode(), signature)) == 413
        assert await shop.receive(shop.stripe.deliveries.signed({"id": "evt_1", "type": "invoice.paid"})) == 200
        shop.clock.advance(301)
        assert await shop.receive((payload, signature)) == 400
    shop.clock.advance(-301)
    assert await shop.receive((payload, signature)) == 200
    assert await available(shop, caller) == "25"
    assert (
        ordered(await topups.start_top_up(shop.application, caller, "t", "metered", None, nano("25"))).id == top_up.id
    )
