"""The stand-in answers as Stripe documents it, where Purser depends on it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from infra.stripe_stand_in.cards import CARDS
from tests.infra.stand_in import API_KEY, WEBHOOK_SECRET, RunningStandIn, running_stand_in

CUSTOMER = {"name": "Acme", "metadata[order]": "1"}
SESSION = {
    "mode": "payment",
    "line_items[0][price_data][currency]": "usd",
    "line_items[0][price_data][unit_amount]": "2500",
    "line_items[0][price_data][product_data][name]": "<b>50 credits</b>",
    "line_items[0][quantity]": "2",
    "payment_intent_data[setup_future_usage]": "off_session",
    "payment_intent_data[description]": "<b>50 credits</b>",
    "success_url": "https://shop.test/?session={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.test/left",
}


@pytest.fixture
async def stand_in() -> AsyncIterator[RunningStandIn]:
    async with running_stand_in() as running:
        yield running


@pytest.fixture
async def client(stand_in: RunningStandIn) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=stand_in.url, headers=headers, trust_env=False) as opened:
        yield opened


async def post(
    client: httpx.AsyncClient, path: str, key: str | None = None, **params: str
) -> tuple[int, dict[str, Any]]:
    answer = await client.post(path, data=params, headers={} if key is None else {"Idempotency-Key": key})
    return answer.status_code, answer.json()


async def kept_card(stand_in: RunningStandIn, client: httpx.AsyncClient, number: str) -> dict[str, str]:
    """Parameters of a charge by a card that was kept at a checkout."""
    customer = (await post(client, "/v1/customers", **CUSTOMER))[1]["id"]
    session = (await post(client, "/v1/checkout/sessions", customer=customer, **SESSION))[1]
    intent = stand_in.controls.intent(stand_in.controls.pay(session["id"], number)["payment_intent"])
    return {"customer": customer, "payment_method": intent["payment_method"], "amount": "5000", "currency": "usd"}


async def test_a_request_without_the_key_is_answered_nothing(stand_in: RunningStandIn) -> None:
    async with httpx.AsyncClient(base_url=stand_in.url, trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer sk_other"}, {"Authorization": f"Basic {API_KEY}"}):
            answer = await client.post("/v1/customers", data=CUSTOMER, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "invalid_request_error"
    assert stand_in.controls.customers == {}


async def test_the_same_key_and_request_has_the_same_answer(
    stand_in: RunningStandIn, client: httpx.AsyncClient
) -> None:
    first = await client.post("/v1/customers", data=CUSTOMER, headers={"Idempotency-Key": "1"})
    again = await client.post("/v1/customers", data=CUSTOMER, headers={"Idempotency-Key": "1"})
    assert first.json() == again.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = await client.post("/v1/customers", data=CUSTOMER, headers={"Idempotency-Key": "2"})
    assert other.json()["id"] != first.json()["id"]
    assert len(stand_in.controls.customers) == 2


async def test_the_same_key_with_another_request_is_refused(client: httpx.AsyncClient) -> None:
    await post(client, "/v1/customers", "1", **CUSTOMER)
    for path, params in (("/v1/customers", {"name": "Other"}), ("/v1/checkout/sessions", SESSION)):
        status, body = await post(client, path, "1", **params)
        assert (status, body["error"]["type"]) == (400, "idempotency_error")


async def test_the_same_key_while_the_first_request_runs_is_a_conflict(
    stand_in: RunningStandIn, client: httpx.AsyncClient
) -> None:
    stand_in.controls.gate = asyncio.Event()
    running = [asyncio.create_task(post(client, "/v1/customers", "1", **CUSTOMER)) for _ in range(2)]
    done, waiting = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    status, body = done.pop().result()
    assert (status, body["error"]["code"]) == (409, "idempotency_key_in_use")
    stand_in.controls.gate.set()
    status, created = await waiting.pop()
    assert status == 200
    assert await post(client, "/v1/customers", "1", **CUSTOMER) == (200, created)


async def test_errors_of_executed_requests_are_kept_and_those_of_checks_are_not(
    stand_in: RunningStandIn, client: httpx.AsyncClient
) -> None:
    card = await kept_card(stand_in, client, "4000000000000341")
    _, intent = await post(client, "/v1/payment_intents", **card)
    confirm = f"/v1/payment_intents/{intent['id']}/confirm"
    declined = await post(client, confirm, "1", off_session="true")
    assert (declined[0], declined[1]["error"]["code"]) == (402, "card_declined")
    assert await post(client, confirm, "1", off_session="true") == declined
    assert (await post(client, confirm, "2", off_session="true"))[1]["error"]["code"] == (
        "payment_intent_unexpected_state"
    )
    status, body = await post(client, "/v1/customers", "3", nickname="Acme")
    assert (status, body["error"]["code"]) == (400, "parameter_unknown")
    assert (await post(client, "/v1/customers", "3", **CUSTOMER))[0] == 200


async def test_an_answer_that_is_swallowed_was_executed(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    stand_in.controls.swallow_answers = 1
    with pytest.raises(httpx.RemoteProtocolError):
        await post(client, "/v1/customers", "1", **CUSTOMER)
    (customer,) = stand_in.controls.customers
    assert (await post(client, "/v1/customers", "1", **CUSTOMER))[1]["id"] == customer


async def test_while_it_is_unavailable_nothing_is_executed(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    stand_in.controls.is_unavailable = True
    assert (await post(client, "/v1/customers", "1", **CUSTOMER))[0] == 503
    assert stand_in.controls.customers == {}
    stand_in.controls.is_unavailable = False
    assert (await post(client, "/v1/customers", "1", **CUSTOMER))[0] == 200


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/v1/checkout/sessions", {**SESSION, "line_items[0][quantity]": "0"}, "parameter_invalid_integer"),
        ("/v1/checkout/sessions", {**SESSION, "success_url": ""}, "parameter_missing"),
        ("/v1/checkout/sessions", {**SESSION, "payment_intent_data[colour]": "red"}, "parameter_unknown"),
        ("/v1/payment_intents", {"amount": "x", "currency": "usd"}, "parameter_invalid_integer"),
        ("/v1/payment_intents", {"currency": "usd"}, "parameter_missing"),
        ("/v1/payment_intents", {"amount": "1", "currency": "usd", "customer": "cus_no"}, "resource_missing"),
        ("/v1/refunds", {"payment_intent": "pi_no"}, "resource_missing"),
    ],
)
async def test_bad_parameters_are_named(
    client: httpx.AsyncClient, path: str, params: dict[str, str], code: str
) -> None:
    status, body = await post(client, path, **params)
    assert 400 <= status < 500
    assert body["error"]["code"] == code


async def test_a_card_of_another_customer_is_not_charged(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    card = await kept_card(stand_in, client, "4242424242424242")
    other = (await post(client, "/v1/customers", **CUSTOMER))[1]["id"]
    status, body = await post(client, "/v1/payment_intents", **{**card, "customer": other})
    assert (status, body["error"]["code"]) == (400, "resource_missing")


async def test_a_session_shows_its_payment_when_asked(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    assert (session["object"], session["status"], session["payment_status"]) == ("checkout.session", "open", "unpaid")
    assert (session["amount_total"], session["payment_intent"]) == (5000, None)
    paid = stand_in.controls.pay(session["id"])
    path = f"/v1/checkout/sessions/{session['id']}"
    assert (await client.get(path)).json()["payment_intent"] == paid["payment_intent"]
    whole = (await client.get(path, params={"expand[]": "payment_intent.latest_charge"})).json()
    assert whole["payment_intent"]["latest_charge"]["amount_captured"] == 5000
    assert stand_in.controls.sessions[session["id"]]["payment_intent"] == paid["payment_intent"]


async def test_a_session_that_ended_takes_no_money(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    assert (await post(client, f"/v1/checkout/sessions/{session['id']}/expire"))[1]["status"] == "expired"
    assert (await stand_in.press(session["url"], "pay", card="4242424242424242")).status_code == 410
    assert (await post(client, f"/v1/checkout/sessions/{session['id']}/expire"))[0] == 400
    assert stand_in.controls.captured == []


async def test_a_session_expires_after_a_day(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    stand_in.clock.moment = stand_in.clock() + timedelta(hours=24)
    assert (await client.get(f"/v1/checkout/sessions/{session['id']}")).json()["status"] == "expired"
    assert [event["type"] for event in stand_in.controls.deliveries.events] == ["checkout.session.expired"]


async def test_the_pay_page_says_what_it_is(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    assert session["url"].startswith(f"{stand_in.url}/pay/")
    page = await client.get(session["url"])
    assert page.status_code == 200
    for part in (
        "Demo checkout: no real money",
        '<label for="card">',
        'value="4242424242424242"',
        "50.00 USD",
        "&lt;b&gt;50 credits&lt;/b&gt;",
        'value="pay">Pay</button>',
        ">Leave</button>",
        '<html lang="en">',
    ):
        assert part in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'self' https://shop.test;" in policy
    assert "<script" not in page.text


async def test_the_payer_comes_back_to_the_shop(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    left = await stand_in.press(session["url"], "leave")
    assert (left.status_code, left.headers["location"]) == (303, "https://shop.test/left")
    paid = await stand_in.press(session["url"], "pay", card=" 4242 4242 4242 4242 ")
    assert (paid.status_code, paid.headers["location"]) == (303, f"https://shop.test/?session={session['id']}")
    again = await stand_in.press(session["url"], "pay", card="4242424242424242")
    assert again.status_code == 410
    assert len(stand_in.controls.captured) == 1
    assert (await client.get(f"{stand_in.url}/pay/cs_test_no")).status_code == 404


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
        ("<script>1", "This is none of the test cards below."),
        ("", "This is none of the test cards below."),
    ],
)
async def test_the_pay_page_says_why_a_card_does_not_do(
    stand_in: RunningStandIn, client: httpx.AsyncClient, card: str, message: str
) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    page = await stand_in.press(session["url"], "pay", card=card)
    assert page.status_code == 402
    assert f'role="alert" id="failure">{message}<' in page.text
    assert "<script" not in page.text
    assert stand_in.controls.captured == []


@pytest.mark.parametrize("number", CARDS)
async def test_cards_behave_by_their_numbers_when_they_are_charged_later(
    stand_in: RunningStandIn, client: httpx.AsyncClient, number: str
) -> None:
    card = await kept_card(stand_in, client, "4242424242424242")
    method = stand_in.controls.payment_method(f"pm_kept_{number}", card["customer"])
    _, intent = await post(client, "/v1/payment_intents", **{**card, "payment_method": method["id"]})
    assert intent["status"] == "requires_confirmation"
    status, body = await post(client, f"/v1/payment_intents/{intent['id']}/confirm", off_session="true")
    decline = CARDS[number].absent
    if decline is None:
        assert (status, body["status"], body["amount_received"]) == (200, "succeeded", 5000)
    else:
        assert (status, body["error"]["type"], body["error"]["code"]) == (402, "card_error", decline.code)
        assert body["error"]["payment_intent"]["last_payment_error"]["decline_code"] == decline.decline_code
    assert bool(stand_in.controls.disputes) == CARDS[number].disputed


async def test_refunds_and_disputes_are_listed_by_payment(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    payment = stand_in.controls.pay(session["id"])["payment_intent"]
    made = [(await post(client, "/v1/refunds", payment_intent=payment, amount="100"))[1]["id"] for _ in range(3)]
    page = (await client.get("/v1/refunds", params={"payment_intent": payment, "limit": 2})).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[:0:-1], True)
    more = {"payment_intent": payment, "limit": 2, "starting_after": made[1]}
    page = (await client.get("/v1/refunds", params=more)).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (made[:1], False)
    dispute = stand_in.controls.dispute(payment)
    page = (await client.get("/v1/disputes", params={"payment_intent": payment})).json()
    assert [each["id"] for each in page["data"]] == [dispute["id"]]
    assert (await client.get("/v1/disputes", params={"payment_intent": "pi_other"})).json()["data"] == []


async def test_no_more_is_refunded_than_was_paid(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    payment = stand_in.controls.pay(session["id"])["payment_intent"]
    assert (await post(client, "/v1/refunds", payment_intent=payment, amount="5001"))[0] == 400
    assert (await post(client, "/v1/refunds", payment_intent=payment))[1]["amount"] == 5000
    _, body = await post(client, "/v1/refunds", payment_intent=payment)
    assert body["error"]["code"] == "charge_already_refunded"


async def test_messages_are_signed_and_sent_until_they_are_taken(
    stand_in: RunningStandIn, client: httpx.AsyncClient
) -> None:
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    stand_in.refuse = 2
    stand_in.controls.expire(session["id"])
    await stand_in.controls.deliveries.settled()
    assert [status for _, status in stand_in.controls.deliveries.answers] == [500, 500, 200]
    ((payload, signature),) = stand_in.received
    assert stripe.WebhookSignature.verify_header(payload, signature, WEBHOOK_SECRET)
    event = json.loads(payload)
    assert (event["object"], event["type"]) == ("event", "checkout.session.expired")
    assert event["data"]["object"]["status"] == "expired"


async def test_messages_are_given_up_after_some_attempts(stand_in: RunningStandIn) -> None:
    stand_in.deliver_to("http://127.0.0.1:9/")
    stand_in.controls.open_session({"success_url": ""}, {}, 5, "usd")
    stand_in.controls.expire(next(iter(stand_in.controls.sessions)))
    await stand_in.controls.deliveries.settled()
    assert [status for _, status in stand_in.controls.deliveries.answers] == [None] * 4


async def test_messages_come_twice_and_out_of_order_when_asked(
    stand_in: RunningStandIn, client: httpx.AsyncClient
) -> None:
    deliveries = stand_in.controls.deliveries
    deliveries.is_holding, deliveries.copies = True, 2
    _, session = await post(client, "/v1/checkout/sessions", **SESSION)
    stand_in.controls.pay(session["id"])
    await deliveries.settled()
    assert stand_in.received == []
    await deliveries.release(newest_first=True)
    types = [json.loads(payload)["type"] for payload, _ in stand_in.received]
    made = [event["type"] for event in deliveries.events]
    assert types == [kind for kind in reversed(made) for _ in range(2)]
    assert made == ["charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]


async def test_nothing_that_a_test_does_can_be_done_over_http(client: httpx.AsyncClient) -> None:
    for path in ("/v1/events", "/v1/test_helpers", "/v1/disputes/du_1/close", "/control", "/"):
        assert (await client.post(path)).status_code in (404, 405)


async def test_a_request_that_is_too_large_is_refused(client: httpx.AsyncClient) -> None:
    status, _ = await post(client, "/v1/customers", name="x" * 100_000)
    assert status == 400
    status, body = await post(client, "/v1/customers", **{f"metadata{'[a]' * 20}": "1"})
    assert (status, "Invalid parameter name" in body["error"]["message"]) == (400, True)


async def test_customers_and_cards_outlive_a_restart(stand_in: RunningStandIn, client: httpx.AsyncClient) -> None:
    card = await kept_card(stand_in, client, "4242424242424242")
    stand_in.controls.customers.clear()
    stand_in.controls.payment_methods.clear()
    _, intent = await post(client, "/v1/payment_intents", **card)
    _, confirmed = await post(client, f"/v1/payment_intents/{intent['id']}/confirm", off_session="true")
    assert confirmed["status"] == "succeeded"
