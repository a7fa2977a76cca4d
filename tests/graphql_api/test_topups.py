"""Top-ups over GraphQL and HTTP: order, pay at the stand-in's page, and see what its webhook did."""

import asyncio
from typing import Any

import pytest

from infra.application import Application
from infra.payments import PaymentsRefusedError, PaymentsUnavailableError
from infra.stripe_gateway import StripeGateway
from tests.graphql_api.client import AUTO_RECHARGE, MONEY, TOP_UP, Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves
from tests.infra.stand_in import RunningStandIn

pytestmark = pytest.mark.anyio

ONE = f"query ($id: ID!) {{ topUp(id: $id) {{ {TOP_UP} }} }}"
ALL = """query ($first: Int, $after: String) { topUps(first: $first, after: $after) {
    edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
METERED = f'{{ wallet(key: "metered") {{ autoRecharge {{ {AUTO_RECHARGE} }} }} }}'
CARD = "4242 4242 4242 4242"


@pytest.fixture
def application(paid_application: Application) -> Application:
    return paid_application


async def order(client: Client, key: str = "t", **asked: Any) -> dict[str, Any]:
    top_up: dict[str, Any] = await client.do("startTopUp", idempotencyKey=key, **asked)
    assert top_up["__typename"] == "TopUp", top_up
    return top_up


async def pay(stand_in: RunningStandIn, api_url: str, top_up: dict[str, Any]) -> None:
    stand_in.deliver_to(f"{api_url}/stripe/webhook")
    assert (await stand_in.press(top_up["checkoutUrl"], "pay", card=CARD)).status_code < 400


async def credited(client: Client, top_up: dict[str, Any]) -> dict[str, Any]:
    """The top-up, once the webhook has settled it."""
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await client.ask(ONE, id=top_up["id"]))["topUp"]
            if found["state"] != "PENDING":
                return found
            await asyncio.sleep(0.01)


async def once_a_card_is_kept(client: Client, **wanted: Any) -> dict[str, Any]:
    """The wallet with its recharge: of the two messages about one payment, the one that names the card may be the
    later one."""
    async with asyncio.timeout(20):
        while True:
            answer: dict[str, Any] = await client.do("setAutoRecharge", **wanted)
            if answer["__typename"] == "Wallet":
                return answer
            assert [field["path"] for field in answer["fields"]] == ["enabled"]
            await asyncio.sleep(0.01)


async def test_shows_what_the_tenant_can_buy(clients: Clients) -> None:
    found = await clients.member.ask(f"{{ bundles {{ key walletKey amount price {MONEY} }} }}")
    assert found["bundles"][0] == {
        "key": "credits_50",
        "walletKey": "credits",
        "amount": "50",
        "price": {"amount": "2100", "currency": "INR"},
    }


async def test_a_bundle_is_ordered_paid_and_credited(clients: Clients, stand_in: RunningStandIn, api_url: str) -> None:
    top_up = await order(clients.admin, walletKey="credits", bundle="credits_50")
    assert top_up["checkoutUrl"].startswith(stand_in.url)
    assert {**top_up, "checkoutUrl": None, "id": None, "createdAt": None, "refusalId": None} == {
        "__typename": "TopUp",
        "id": None,
        "state": "PENDING",
        "walletKey": "credits",
        "amount": "50",
        "price": {"amount": "2100", "currency": "INR"},
        "bundle": "credits_50",
        "origin": "CHECKOUT",
        "checkoutUrl": None,
        "createdAt": None,
        "creditedAt": None,
        "takenBack": "0",
        "failure": None,
        "refusalId": None,
    }
    assert (await clients.admin.balance())[0] == "300"
    await pay(stand_in, api_url, top_up)
    paid = await credited(clients.member, top_up)
    assert (paid["state"], paid["checkoutUrl"]) == ("CREDITED", None)
    assert paid["creditedAt"] is not None
    assert (await clients.admin.balance())[0] == "350"


async def test_metered_dollars_are_sold_by_the_amount(clients: Clients, stand_in: RunningStandIn, api_url: str) -> None:
    top_up = await order(clients.admin, walletKey="metered", amount="12.34")
    assert (top_up["amount"], top_up["price"]) == ("12.34", {"amount": "12.34", "currency": "USD"})
    await pay(stand_in, api_url, top_up)
    await credited(clients.admin, top_up)
    assert (await clients.admin.balance("metered"))[0] == "62.34"


async def test_the_same_key_is_the_same_order(clients: Clients) -> None:
    top_up = await order(clients.admin, walletKey="credits", bundle="credits_50")
    assert await order(clients.admin, walletKey="credits", bundle="credits_50") == top_up
    other = await clients.admin.do("startTopUp", idempotencyKey="t", walletKey="credits", bundle="credits_100")
    assert other["__typename"] == "IdempotencyKeyReused"


async def test_only_who_may_pay_sees_where(clients: Clients) -> None:
    top_up = await order(clients.admin, walletKey="credits", bundle="credits_50")
    assert (await clients.operator.ask(ONE, id=top_up["id"]))["topUp"]["checkoutUrl"] == top_up["checkoutUrl"]
    for reader in (clients.member, clients.service):
        seen = (await reader.ask(ONE, id=top_up["id"]))["topUp"]
        assert (seen["state"], seen["checkoutUrl"]) == ("PENDING", None)


@pytest.mark.parametrize(
    ("asked", "code", "what"),
    [
        ({"walletKey": "credits"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "credits", "bundle": "credits_50", "amount": "5"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "credits", "amount": "5"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "metered", "amount": "0.99"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "metered", "amount": "5.001"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "metered", "amount": "-5"}, "INVALID_INPUT", "amount"),
        ({"walletKey": "gold", "amount": "5"}, "NOT_FOUND", "wallet"),
        ({"walletKey": "credits", "bundle": "gold"}, "NOT_FOUND", "bundle gold for wallet credits"),
        ({"walletKey": "metered", "bundle": "credits_50"}, "NOT_FOUND", "bundle credits_50 for wallet metered"),
    ],
)
async def test_an_order_that_cannot_be_is_refused(
    clients: Clients, application: Application, asked: dict[str, str], code: str, what: str
) -> None:
    async with nothing_moves(application):
        answer = await clients.admin.do("startTopUp", idempotencyKey="t", **asked)
    assert answer["code"] == code
    if code == "INVALID_INPUT":
        assert [field["path"] for field in answer["fields"]] == [what]
    else:
        assert answer["message"] == f"There is no such {what}."


async def test_while_a_tenant_is_suspended_its_page_is_not_shown(clients: Clients) -> None:
    top_up = await order(clients.admin, walletKey="credits", bundle="credits_50")
    listed = "{ topUps { edges { node { checkoutUrl } } } }"
    for operation, url in (("suspendTenant", None), ("resumeTenant", top_up["checkoutUrl"]), ("closeTenant", None)):
        await clients.operator.do(operation, idempotencyKey=operation)
        for client in (clients.admin, clients.operator):
            assert (await client.ask(ONE, id=top_up["id"]))["topUp"]["checkoutUrl"] == url
            assert (await client.ask(listed))["topUps"]["edges"] == [{"node": {"checkoutUrl": url}}]
        again = await clients.admin.do("startTopUp", idempotencyKey="t", walletKey="credits", bundle="credits_50")
        assert (again["id"], again["checkoutUrl"]) == (top_up["id"], url)


async def test_a_suspended_tenant_orders_nothing(clients: Clients, application: Application) -> None:
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    async with nothing_moves(application):
        asked = {"walletKey": "metered", "amount": "5"}
        for operation, given in (("startTopUp", asked), ("setAutoRecharge", {**asked, "enabled": False})):
            answer = await clients.admin.do(operation, idempotencyKey="t", **given)
            assert (answer["__typename"], answer["reason"]) == ("ScopePaused", "tenant_suspended")


async def test_top_ups_are_listed_newest_first(clients: Clients) -> None:
    keys = [f"{n}" for n in range(5)]
    made: list[str] = []
    for key in keys:
        made.append((await order(clients.admin, key, walletKey="metered", amount="5"))["id"])
        await asyncio.sleep(0.002)
    made.reverse()
    first = (await clients.member.ask(ALL, first=3))["topUps"]
    assert [edge["node"]["id"] for edge in first["edges"]] == made[:3]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": made[0],
        "endCursor": made[2],
    }
    rest = (await clients.member.ask(ALL, after=first["pageInfo"]["endCursor"]))["topUps"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == made[3:]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert (await clients.stranger.ask(ALL))["topUps"]["edges"] == []
    (error,) = (await clients.member.send(ALL, {"after": "nonsense"}))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_a_recharge_needs_a_card_that_was_paid_with(
    clients: Clients, stand_in: RunningStandIn, api_url: str
) -> None:
    assert (await clients.member.ask(METERED))["wallet"] == {"autoRecharge": None}
    wanted = {"walletKey": "metered", "enabled": True, "amount": "25", "threshold": "10", "monthlyLimit": "100"}
    refused = await clients.admin.do("setAutoRecharge", idempotencyKey="1", **wanted)
    assert [field["path"] for field in refused["fields"]] == ["enabled"]
    top_up = await order(clients.admin, walletKey="metered", amount="5")
    await pay(stand_in, api_url, top_up)
    await credited(clients.admin, top_up)
    answer = await once_a_card_is_kept(clients.admin, idempotencyKey="1", **wanted)
    expected = {
        "enabled": True,
        "threshold": "10",
        "amount": "25",
        "monthlyLimit": "100",
        "monthOrdered": "0",
        "retryAt": None,
        "disabledReason": None,
        "inFlight": None,
    }
    assert (answer["key"], answer["autoRecharge"]) == ("metered", expected)
    assert (await clients.member.ask(METERED))["wallet"] == {"autoRecharge": expected}
    off = await clients.admin.do("setAutoRecharge", idempotencyKey="2", walletKey="metered", enabled=False)
    assert (off["autoRecharge"]["enabled"], off["autoRecharge"]["monthlyLimit"]) == (False, "100"), "left out: kept"
    unlimited = {"walletKey": "metered", "enabled": True, "monthlyLimit": None}
    on = await clients.admin.do("setAutoRecharge", idempotencyKey="3", **unlimited)
    assert (on["autoRecharge"]["enabled"], on["autoRecharge"]["monthlyLimit"]) == (True, None), "null: removed"
    assert (await clients.stranger.ask('{ wallet(key: "credits") { autoRecharge { enabled } } }'))["wallet"] == {
        "autoRecharge": None
    }


async def test_a_rail_that_does_not_answer_is_told_from_one_that_refuses(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"idempotencyKey": "t", "walletKey": "metered", "amount": "5"}

    async def fails(*_: object) -> Any:
        raise PaymentsUnavailableError("connection reset by 10.0.0.1")

    monkeypatch.setattr(StripeGateway, "open_checkout", fails)
    error = await clients.admin.refused("startTopUp", **asked)
    assert (error["message"], error["extensions"]) == (
        "The payment service does not answer: send it again with the same idempotency key.",
        {"code": "PAYMENTS_UNAVAILABLE"},
    )

    async def refuses(*_: object) -> Any:
        raise PaymentsRefusedError("no such currency")

    monkeypatch.setattr(StripeGateway, "open_checkout", refuses)
    error = await clients.admin.refused("startTopUp", **asked)
    assert (error["message"], error["extensions"]["code"]) == ("Internal error", "INTERNAL")
    monkeypatch.undo()
    assert (await order(clients.admin, walletKey="metered", amount="5"))["checkoutUrl"] is not None


async def test_with_a_payment_rail_payments_are_accepted(clients: Clients) -> None:
    assert (await clients.member.ask("{ acceptsPayments }"))["acceptsPayments"] is True
