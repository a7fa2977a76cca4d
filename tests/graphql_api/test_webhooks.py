"""The webhook's route: what it lets in, and what it tells."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from graphql_api.app import create_app
from infra.application import Application
from infra.services.topups import MOST_BYTES
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves
from tests.infra.stand_in import RunningStandIn

pytestmark = pytest.mark.anyio

PATH = "/stripe/webhook"
CARD = "4242 4242 4242 4242"


@pytest.fixture
def application(paid_application: Application) -> Application:
    return paid_application


async def paid(client: Client, stand_in: RunningStandIn) -> tuple[bytes, dict[str, str]]:
    """A message of the stand-in about a paid top-up, as it was sent: body and headers."""
    top_up = await client.do("startTopUp", idempotencyKey="t", walletKey="metered", amount="5")
    await stand_in.press(top_up["checkoutUrl"], "pay", card=CARD)
    async with asyncio.timeout(20):
        while True:
            for body, signature in stand_in.received:
                if b"checkout.session.completed" in body:
                    return body, {"Stripe-Signature": signature}
            await asyncio.sleep(0.01)


async def test_a_signed_message_credits_once_however_often_it_comes(
    clients: Clients, http: httpx.AsyncClient, stand_in: RunningStandIn
) -> None:
    body, headers = await paid(clients.admin, stand_in)
    for _ in range(3):
        answer = await http.post(PATH, content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"message": "done"})
    assert (await clients.admin.balance("metered"))[0] == "55"


async def test_what_is_not_signed_as_it_came_is_refused_alike(
    clients: Clients, http: httpx.AsyncClient, stand_in: RunningStandIn, application: Application
) -> None:
    body, headers = await paid(clients.admin, stand_in)
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, {"Stripe-Signature": ""}),
        (body, {"Stripe-Signature": "t=1,v1=00"}),
        (body + b" ", headers),
        (b"", headers),
        (b"{}", {}),
    ]
    async with nothing_moves(application):
        for content, signature in wrong:
            answer = await http.post(PATH, content=content, headers=signature)
            assert (answer.status_code, answer.json()) == (
                400,
                {"message": "the signature does not fit, or is too old"},
            )


async def test_a_message_that_is_too_large_is_not_read_to_its_end(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 64 * 1024
            yield bytes(64 * 1024)

    answer = await http.post(PATH, content=bytes(MOST_BYTES + 1))
    assert (answer.status_code, answer.json()) == (413, {"message": "the message is too large"})
    streamed: Any = await http.post(PATH, content=endless())
    assert streamed.status_code == 413


async def test_without_a_payment_rail_nothing_is_taken_and_the_operator_is_told_what_to_set(
    clients: Clients, application: Application
) -> None:
    app = create_app(replace(application, gateway=None))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://purser.test") as http:
        answer = await http.post(PATH, content=b"{}")
        assert (answer.status_code, answer.json()) == (503, {"message": "payments are not set up here"})
        admin = Client(http, clients.admin.token)
        async with nothing_moves(application):
            error = await admin.refused("startTopUp", idempotencyKey="t", walletKey="metered", amount="5")
    assert error["extensions"] == {"code": "PAYMENTS_NOT_SET_UP"}
    assert "STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET" in error["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_only_posts_are_taken(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
