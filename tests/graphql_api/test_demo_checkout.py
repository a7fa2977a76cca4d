"""The demo's checkout: the stand-in's pay page in the demo's own server, and nothing of it without `--demo`."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.application import Application
from infra.services.callers import Caller, Role
from tests.infra.builders import new_key
from tests.servers import demo_keys, eventually, serving

START = """mutation ($input: StartTopUpInput!) { startTopUp(input: $input) {
    __typename ... on TopUp { id state checkoutUrl } ... on Refusal { code message } } }"""
BALANCE = '{ wallet(key: "metered") { available } }'
TOP_UP = 'query ($id: ID!) { topUp(id: $id) { state creditedAt } wallet(key: "metered") { available } }'


def test_a_top_up_is_paid_on_the_demos_page_and_credited_at_once(database_url: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--demo", "--no-traffic", DATABASE_URL=database_url) as server:
        admin = demo_keys(tmp_path)["admin"]
        before = Decimal(server.ask(admin, BALANCE)["wallet"]["available"])
        wanted = {"idempotencyKey": "t", "walletKey": "metered", "amount": "25"}
        top_up = server.ask(admin, START, input=wanted)["startTopUp"]
        page = httpx.get(top_up["checkoutUrl"])
        assert (page.status_code, "no real money" in page.text.lower()) == (200, True)
        paid = httpx.post(top_up["checkoutUrl"], data={"card": "4242424242424242", "action": "pay"})
        back = paid.headers["location"]
        assert (paid.status_code, back) == (303, f"{server.url}/?top_up={top_up['id']}&paid=1")
        assert httpx.get(back).status_code == 200

        def look() -> Any:
            return server.ask(admin, TOP_UP, id=top_up["id"])

        eventually(lambda: look()["topUp"]["state"] == "CREDITED")
        assert Decimal(look()["wallet"]["available"]) == before + 25
        assert httpx.post(f"{server.url}/stripe-stand-in/v1/customers").status_code == 401


@pytest.mark.anyio
async def test_without_the_demo_there_is_no_stand_in_and_no_payment(
    application: Application, acme: Caller, database_url: str, tmp_path: Path
) -> None:
    admin = (await new_key(application, acme.tenant_id, Role.ADMIN, "anna")).token
    await asyncio.to_thread(no_payment, admin, database_url, tmp_path)


def no_payment(admin: str, database_url: str, folder: Path) -> None:
    with serving(folder, DATABASE_URL=database_url) as server:
        for path in ("/stripe-stand-in", "/stripe-stand-in/pay/cs_test_1", "/stripe-stand-in/v1/customers"):
            assert httpx.get(f"{server.url}{path}").status_code == 404
        assert httpx.post(f"{server.url}/stripe/webhook", content=b"{}").status_code == 503
        nobody = httpx.post(f"{server.url}/sign-in", json={"demo": "admin"}, headers={"Origin": server.url})
        assert nobody.status_code == 404
        wanted = {"idempotencyKey": "t", "walletKey": "metered", "amount": "25"}
        answer = httpx.post(
            f"{server.url}/graphql",
            json={"query": START, "variables": {"input": wanted}},
            headers={"Authorization": f"Bearer {admin}"},
        ).json()
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "PAYMENTS_NOT_SET_UP"
