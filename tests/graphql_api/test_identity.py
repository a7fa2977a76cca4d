"""Who gets in over the wire: people with tokens of their own identity provider, how often anybody may ask, and how long a
connection lives."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.responses import Response

from graphql_api import websocket
from graphql_api.http import address_of
from infra import rate_limits
from infra.application import Application
from infra.rate_limits import RateLimits
from infra.services import api_keys
from infra.services.callers import Caller, Role
from infra.settings import Settings
from tests.graphql_api.client import IDENTITY_PROVIDER, Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.test_alert_subscription import WATCH, raised
from tests.graphql_api.websockets_client import watching
from tests.infra.builders import new_key, standing_still
from tests.infra.identity_provider import AUDIENCE, ISSUER, IdentityProvider, identity_provider

pytestmark = pytest.mark.anyio

QUERY = {"query": "{ wallets { key } }"}
PROVIDERS = f"{{ identityProviders {{ {IDENTITY_PROVIDER} }} }}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Where keys of identity providers may come from this machine."""
    return replace(settings, local_identity_providers_allowed=True)


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)


@pytest.fixture
async def provider(clients: Clients) -> AsyncIterator[IdentityProvider]:
    """Registered for acme."""
    async with identity_provider() as running:
        await clients.operator.do("setIdentityProvider", **asked(running))
        yield running


def asked(provider: IdentityProvider, **change: Any) -> dict[str, Any]:
    given = {
        "idempotencyKey": "k",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwksUrl": provider.url,
        "roleClaim": "roles",
    }
    return {**given, "adminValues": ["boss"], "serviceValues": ["bot"], "memberValues": ["staff"], **change}


async def status_of(http: httpx.AsyncClient, token: str, **headers: str) -> tuple[int, str | None]:
    response = await http.post("/graphql", json=QUERY, headers={"Authorization": f"Bearer {token}", **headers})
    errors = response.json().get("errors")
    return response.status_code, errors[0]["extensions"]["code"] if errors else None


async def test_people_of_a_provider_do_what_their_role_may_and_are_named(
    clients: Clients, http: httpx.AsyncClient, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "purser")
    (known,) = (await clients.operator.ask(PROVIDERS))["identityProviders"]
    assert (known["issuer"], known["serviceValues"], known["actor"][:4]) == (ISSUER, ["bot"], "key:")
    seats = await clients.admin.ask("{ tenant { seatsUsed } }")
    boss, bot, anna = [Client(http, provider.token(roles=role, sub=role)) for role in ("boss", "bot", "staff")]
    held = await bot.reserve("r")
    assert held["__typename"] == "Reservation"
    entries = '{ wallet(key: "credits") { entries(first: 1) { edges { node { actor } } } } }'
    data = await anna.ask(entries)
    assert data["wallet"]["entries"]["edges"][0]["node"]["actor"] == "jwt:bot"
    assert (await anna.refused("reserve", idempotencyKey="r", feature="blog_post"))["extensions"] == {
        "code": "FORBIDDEN"
    }
    made = await boss.do("createApiKey", idempotencyKey="k", name="made", role="MEMBER")
    assert made["apiKey"]["createdBy"] == "jwt:boss"
    for client in (boss, anna, clients.admin):
        assert (await client.send(PROVIDERS))["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert (await clients.admin.ask("{ tenant { seatsUsed } }"))["tenant"]["seatsUsed"] == seats["tenant"][
        "seatsUsed"
    ] + 1
    # Of another tenant than the one that the header names.
    theirs = {"Purser-Tenant": "globex"}
    slug = await http.post(
        "/graphql", json={"query": "{ tenant { slug } }"}, headers={"Authorization": f"Bearer {anna.token}", **theirs}
    )
    assert slug.json()["data"]["tenant"]["slug"] == "acme"
    forged = provider.token(sub="eve", aud="another")
    response = await http.post("/graphql", json=QUERY, headers={"Authorization": f"Bearer {forged}"})
    assert response.status_code == 401
    assert response.json()["errors"][0]["message"].startswith("the token is not trusted here")
    assert forged not in response.text + caplog.text
    removed = await clients.operator.do("removeIdentityProvider", idempotencyKey="r", id=known["id"])
    assert removed["id"] == known["id"]
    assert await status_of(http, anna.token) == (401, "UNAUTHENTICATED")
    none = await clients.operator.do("removeIdentityProvider", idempotencyKey="r2", id="idp_x")
    assert none["message"] == "There is no such identity provider."


async def test_a_provider_that_does_not_answer_is_said_to(
    clients: Clients, http: httpx.AsyncClient, provider: IdentityProvider
) -> None:
    provider.answer = Response(status_code=500)
    answers = [await status_of(http, provider.token(sub=f"{n}")) for n in range(30)]
    assert answers[:20] == [(503, "IDENTITY_PROVIDER_UNAVAILABLE")] * 20
    assert (429, "RATE_LIMITED") in answers, "nor is this a way to flood the database"
    assert provider.fetches == 1
    wrong = await clients.operator.do("setIdentityProvider", **asked(provider, idempotencyKey="w", jwksUrl="ftp://x"))
    assert [field["path"] for field in wrong["fields"]] == ["jwksUrl"]


async def test_a_connection_ends_with_its_token_and_with_its_key(
    api_url: str,
    clients: Clients,
    application: Application,
    acme: Caller,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expired = (websocket.FORBIDDEN, "the key or token has expired")
    async with watching(api_url) as by_token, watching(api_url) as by_key, watching(api_url) as rotated:
        key = await clients.admin.do("createApiKey", idempotencyKey="k", name="watcher", role="SERVICE")
        await by_key.initialise(key["token"])
        await by_key.watch(WATCH)
        # Long enough for a busy machine to tell it something before its end.
        await by_token.initialise(provider.token(exp=time.time() + 2))
        await by_token.watch(WATCH)
        await raised(application, acme)
        for watcher in (by_token, by_key):
            assert await watcher.told() == {"alertRaised": {"message": "told"}}
        assert await by_token.closed() == expired, "at that moment, not at the next check"
        monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
        await rotated.initialise(key["token"])
        await rotated.watch(WATCH)
        given = {"idempotencyKey": "r", "id": key["apiKey"]["id"], "overlapSeconds": 2}
        await clients.admin.do("rotateApiKey", **given)
        await raised(application, acme, "overlap")
        assert await rotated.told() == {"alertRaised": {"message": "overlap"}}
        assert (await rotated.closed())[0] == websocket.FORBIDDEN, "when the overlap is over"
        other = await clients.admin.do("createApiKey", idempotencyKey="k2", name="other", role="SERVICE")
    async with watching(api_url) as revoked:
        await revoked.initialise(other["token"])
        await revoked.watch(WATCH)
        await clients.admin.do("revokeApiKey", idempotencyKey="v", id=other["apiKey"]["id"])
        assert await revoked.closed() == (websocket.FORBIDDEN, "the key is unknown, expired or revoked")


async def test_a_token_that_ends_while_it_is_looked_up_has_expired(
    api_url: str, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    async with watching(api_url) as watcher:
        ends = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

        async def authenticate(*_: object) -> None:
            monkeypatch.setattr(websocket, "datetime", standing_still(ends))

        await watcher.initialise(provider.token(exp=ends.timestamp()))
        monkeypatch.setattr(api_keys.Keyring, "authenticate", authenticate)
        assert await watcher.closed() == (websocket.FORBIDDEN, "the key or token has expired")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (rate_limits.RateLimitedError(1, 120), websocket.TOO_MANY),
        (ConnectionError("no database"), websocket.FULL),
        (asyncpg.InternalClientError("cut while it was spoken to"), websocket.FULL),
    ],
)
async def test_a_connection_stays_while_its_key_cannot_be_checked(
    api_url: str,
    clients: Clients,
    application: Application,
    acme: Caller,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
) -> None:
    asked = asyncio.Semaphore(0)

    async def authenticate(*_: object) -> None:
        asked.release()
        raise error

    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    async with watching(api_url) as watcher, watching(api_url) as new:
        await watcher.initialise(clients.member.token)
        await watcher.watch(WATCH)
        monkeypatch.setattr(api_keys.Keyring, "authenticate", authenticate)
        for _ in range(3):
            await asked.acquire()
        await raised(application, acme)
        assert await watcher.told() == {"alertRaised": {"message": "told"}}
        await new.send("connection_init", payload={"authorization": f"Bearer {clients.member.token}"})
        assert (await new.closed())[0] == code


async def test_all_connections_of_a_key_end_with_it_whatever_else_came_from_their_address(
    api_url: str, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    made = await clients.admin.do("createApiKey", idempotencyKey="k", name="many", role="SERVICE")
    async with AsyncExitStack() as stack:
        connected = [await stack.enter_async_context(watching(api_url)) for _ in range(5)]
        for watcher in connected:
            await watcher.initialise(made["token"])
        monkeypatch.setattr(api_keys, "WRONG_PER_MINUTE", 1)
        await clients.admin.do("revokeApiKey", idempotencyKey="r", id=made["apiKey"]["id"])
        for watcher in connected:
            assert await watcher.closed() == (websocket.FORBIDDEN, "the key is unknown, expired or revoked")


async def test_a_key_may_ask_so_often_and_is_told_when_to_come_again(
    api_url: str, clients: Clients, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(rate_limits, "monotonic_ns", clock)
    made = await clients.admin.do("createApiKey", idempotencyKey="k", name="slow", role="SERVICE", requestsPerMinute=30)
    token = made["token"]
    for _ in range(8):
        assert await status_of(http, token) == (200, None)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    assert (await http.post("/usage", content=b"", headers=headers)).status_code == 200
    async with watching(api_url) as watcher:
        await watcher.initialise(token)
        await watcher.watch(WATCH)
        await watcher.send("subscribe", "2", {"query": WATCH})
        code, message = await watcher.refused("2")
        assert (code, message) == ("RATE_LIMITED", "too many requests: there may be 30 a minute; wait 2 s")
    for path, kind in (("/graphql", "application/json"), ("/usage", "application/x-ndjson")):
        response = await http.post(path, content=b"{}", headers={**headers, "Content-Type": kind})
        assert (response.status_code, response.headers["retry-after"]) == (429, "2")
        assert response.json()["errors"][0]["extensions"] == {"code": "RATE_LIMITED"}
    assert await status_of(http, clients.service.token) == (200, None), "others are not concerned"
    clock.seconds += 2
    assert await status_of(http, token) == (200, None)
    assert (await status_of(http, token))[0] == 429


async def test_wrong_keys_of_one_address_are_no_flood_and_lock_nobody_out(
    application: Application, clients: Clients, http: httpx.AsyncClient, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "monotonic_ns", Clock())
    keys = [(await new_key(application, acme.tenant_id, Role.SERVICE, f"{n}")).token for n in range(40)]
    fleet = await asyncio.gather(*[status_of(http, token) for token in [*keys[:30], *[keys[30]] * 30]])
    assert fleet == [(200, None)] * 60, "who comes back all at once is right"
    answers = await asyncio.gather(*[status_of(http, f"psk_{n:043d}") for n in range(100)])
    assert set(answers) == {(401, "UNAUTHENTICATED"), (429, "RATE_LIMITED")}
    assert answers.count((401, "UNAUTHENTICATED")) == 20
    assert await status_of(http, keys[0]) == (200, None), "it was good before"
    assert await status_of(http, keys[31]) == (429, "RATE_LIMITED"), "nobody knows it yet"
    assert await status_of(http, keys[31], **{"X-Forwarded-For": "192.0.2.7"}) == (200, None), "from elsewhere"


def test_an_address_is_a_host_or_the_network_of_one() -> None:
    addresses = [
        address_of({"client": (host, 1)}) for host in ("192.0.2.1", "2001:db8::1", "2001:db8::2", "fe80::1%eth0", "::x")
    ]
    assert addresses == ["192.0.2.1", "2001:db8::/64", "2001:db8::/64", "fe80::/64", "::x"]
    assert address_of({}) == address_of({"client": None}) == ""


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "monotonic_ns", Clock())
    monkeypatch.setattr(rate_limits, "MOST_REMEMBERED", 3)
    limits = RateLimits()
    limits.admit("slow", 1)
    for number in range(4):
        limits.admit(f"{number}", 1)
        with pytest.raises(rate_limits.RateLimitedError):
            limits.admit("slow", 1)
    for number in range(7):
        limits.admit(f"other {number}", 1)
    limits.check("slow", 1)
    limits.admit("slow", 1)
    with pytest.raises(rate_limits.RateLimitedError):
        limits.check("slow", 1)
    assert len(limits._due) + len(limits._before) <= 6


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 1_000_000

    def __call__(self) -> int:
        return self.seconds * rate_limits.SECOND
