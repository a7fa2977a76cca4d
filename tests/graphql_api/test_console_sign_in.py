"""Signing in to the console with a key: the session cookie, and the requests for which it counts."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from graphql_api import websocket
from graphql_api.app import create_app
from graphql_api.console.sign_in import MOST_BYTES, DemoSignIn
from graphql_api.mcp_endpoint import McpEndpoint
from graphql_api.session_cookie import LONGEST_CREDENTIAL, SessionCookie
from infra import demo, rate_limits
from infra.application import Application
from infra.demo_keys import demo_tokens
from infra.services import api_keys
from infra.services.callers import Caller
from infra.settings import Settings
from tests.graphql_api.client import SCHEMA
from tests.graphql_api.conftest import Clients
from tests.graphql_api.console_browser import Browser, opened, serving_console
from tests.graphql_api.test_alert_subscription import WATCH, raised
from tests.graphql_api.websockets_client import watching

pytestmark = pytest.mark.anyio

SLUG = "{ tenant { slug } }"
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
async def api_url(application: Application) -> AsyncIterator[str]:
    async with serving_console(application) as origin:
        yield origin


@pytest.fixture
async def browser(api_url: str) -> AsyncIterator[Browser]:
    async with opened(api_url) as browser:
        yield browser


def foreign(origin: str) -> dict[str, dict[str, str]]:
    """Headers of requests that no page of ours sends."""
    place = origin.partition("://")[2]
    host, _, port = place.partition(":")
    return {
        "no page": {"Origin": "", "Sec-Fetch-Site": ""},
        "a page that says only where it is to others": {"Origin": "", "Sec-Fetch-Site": "same-origin"},
        "a page of another host": {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
        "a host that begins as ours": {"Origin": f"{origin}.evil.example", "Sec-Fetch-Site": ""},
        "another port": {"Origin": f"http://{host}:{int(port) - 1}", "Sec-Fetch-Site": ""},
        "another name": {"Origin": f"http://localhost:{port}", "Sec-Fetch-Site": ""},
        "another scheme": {"Origin": f"ftp://{place}", "Sec-Fetch-Site": ""},
        "a page without an origin": {"Origin": "null", "Sec-Fetch-Site": ""},
        "no host": {"Origin": "http://", "Sec-Fetch-Site": ""},
        "another site that is said to be": {"Sec-Fetch-Site": "cross-site"},
        "a neighbour": {"Sec-Fetch-Site": "same-site"},
        "an address that was typed": {"Sec-Fetch-Site": "none"},
    }


async def test_a_key_becomes_a_session_in_which_a_member_sees_what_a_member_sees(
    browser: Browser, clients: Clients
) -> None:
    assert (await browser.send(SLUG))[0] == 401
    response = await browser.post("/sign-in", {"key": f" {clients.member.token}\n"})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["set-cookie"] == (f"purser_session={clients.member.token}; Path=/; HttpOnly; SameSite=Lax")
    assert await browser.ask(SLUG) == {"tenant": {"slug": "acme"}}
    assert await browser.ask(SLUG, **{"Purser-Tenant": "globex"}) == {"tenant": {"slug": "acme"}}, "whatever it names"
    for query in ("{ identityProviders { id } }", "{ apiKeys { id } }"):
        told = await browser.send(query)
        assert told[1]["errors"] == (await clients.member.send(query))["errors"]
    response = await browser.post("/sign-out", {}, Origin="https://evil.example")
    assert (response.status_code, "set-cookie" in response.headers) == (403, False)
    response = await browser.post("/sign-out", {})
    assert response.status_code == 204
    assert response.headers["set-cookie"] == "purser_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert (await browser.send(SLUG))[0] == 401


async def test_the_cookie_counts_for_our_own_pages_alone(browser: Browser, clients: Clients) -> None:
    await browser.sign_in(clients.admin.token)
    for why, headers in foreign(browser.origin).items():
        status, answer = await browser.send(SLUG, **headers)
        assert (status, answer["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED"), why
        explicit = {"Authorization": f"Bearer {clients.stranger.token}", **headers}
        assert await browser.ask(SLUG, **explicit) == {"tenant": {"slug": "globex"}}, "a key needs no page"
    own = {"Origin": browser.origin}
    assert (await browser.http.post("/usage", content=b"", headers=own)).status_code == 401
    assert (await browser.http.post("/expenses", content=b"campaign", headers=CSV)).status_code == 401
    assert (await browser.http.post("/expenses", content=b"campaign", headers=CSV | own)).status_code == 400
    wrong = {"Authorization": "Bearer psk_x"}
    assert (await browser.send(SLUG, **wrong))[0] == 401, "a key that is named counts, even where it is wrong"


async def test_agents_are_not_asked_for_by_cookie(application: Application, clients: Clients) -> None:
    app = create_app(application, SCHEMA, mcp=partial(McpEndpoint, public_url="http://purser.test"))
    headers = {"Origin": "http://purser.test", "Cookie": f"purser_session={clients.admin.token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://purser.test") as http:
        assert (await http.post("/graphql", json={"query": SLUG}, headers=headers)).status_code == 200
        assert (await http.post("/mcp", json={}, headers=headers)).status_code == 401


async def test_no_other_site_signs_its_visitors_in(browser: Browser, clients: Clients) -> None:
    key = {"key": clients.admin.token}
    for why, headers in foreign(browser.origin).items():
        response = await browser.post("/sign-in", key, **headers)
        assert (response.status_code, "set-cookie" in response.headers) == (403, False), why
        assert "pages of this installation" in response.json()["message"]
    response = await browser.post("/sign-in", key, **{"Content-Type": "text/plain"})
    assert (response.status_code, "set-cookie" in response.headers) == (415, False), "what a form can send"


async def test_what_is_no_key_signs_nobody_in(
    browser: Browser, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document, status, part in (
        ([], 400, "the body is"),
        ({}, 400, "the body is"),
        ({"key": None}, 400, "the body is"),
        ({"key": clients.admin.token, "demo": "admin"}, 400, "the body is"),
        ({"key": "x" * (LONGEST_CREDENTIAL + 1)}, 400, "browsers keep no more"),
        ({"key": "x" * MOST_BYTES}, 413, "at most"),
        ({"key": f"psk_{1:043d}"}, 401, "unknown"),
        ({"key": f"{clients.admin.token}; Domain=evil.example"}, 401, "unknown"),
        ({"demo": "admin"}, 404, "no such person"),
    ):
        response = await browser.post("/sign-in", document)
        assert (response.status_code, "set-cookie" in response.headers) == (status, False), document
        assert response.json().keys() == {"message"}
        assert part in response.json()["message"]
    own = {"Origin": browser.origin, "Content-Type": "application/json"}
    assert (await browser.http.post("/sign-in", content=b"{", headers=own)).status_code == 400
    assert (await browser.http.get("/sign-in/options")).json() == {"demo": []}
    monkeypatch.setattr(rate_limits, "monotonic_ns", lambda: 10**18)
    monkeypatch.setattr(api_keys, "WRONG_PER_MINUTE", 2)
    answers = [await browser.post("/sign-in", {"key": f"psk_{n:043d}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[-1].headers["retry-after"] == "30"


async def test_an_operator_names_the_tenant_beside_the_cookie(
    browser: Browser, clients: Clients, application: Application, acme: Caller
) -> None:
    await browser.sign_in(clients.operator.token)
    assert (await browser.send(SLUG))[1]["errors"][0]["extensions"] == {"code": "TENANT_REQUIRED"}
    for slug in ("acme", "globex"):
        assert await browser.ask(SLUG, **{"Purser-Tenant": slug}) == {"tenant": {"slug": slug}}
    headers = {"Cookie": f"purser_session={clients.operator.token}", "Origin": browser.origin}
    async with watching(browser.origin, additional_headers=headers) as watcher:
        await watcher.initialise(None, purserTenant="acme")
        await watcher.watch(WATCH)
        await raised(application, acme)
        assert await watcher.told() == {"alertRaised": {"message": "told"}}


async def test_pages_follow_by_the_cookie_until_its_key_is_revoked(
    browser: Browser, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)
    made = await clients.admin.do("createApiKey", idempotencyKey="k", name="person", role="MEMBER")
    await browser.sign_in(made["token"])
    own = {"Cookie": f"purser_session={made['token']}", "Origin": browser.origin}
    for why, headers in foreign(browser.origin).items():
        said = {name: text for name, text in (own | headers).items() if text}
        async with watching(browser.origin, additional_headers=said) as watcher:
            await watcher.send("connection_init")
            assert await watcher.closed() == (websocket.FORBIDDEN, websocket.NO_KEY), why
        async with watching(browser.origin, additional_headers=said) as watcher:
            await watcher.initialise(clients.service.token)
    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    async with watching(browser.origin, additional_headers=own) as watcher:
        await watcher.initialise(None)
        await watcher.watch(WATCH)
        await clients.admin.do("revokeApiKey", idempotencyKey="r", id=made["apiKey"]["id"])
        assert await watcher.closed() == (websocket.FORBIDDEN, "the key is unknown, expired or revoked")
    assert (await browser.send(SLUG))[0] == 401


@pytest.mark.parametrize(
    ("public_url", "host", "origin", "ours"),
    [
        ("https://purser.example/sub", "purser.example", "https://purser.example", True),
        ("https://purser.example", "10.0.0.7:8000", "https://purser.example", True),
        ("https://purser.example", "inside.example", "https://inside.example", True),
        ("https://purser.example", "purser.example", "http://purser.example", False),
        ("https://purser.example", "10.0.0.7:8000", "https://evil.example", False),
        (None, "purser.example", "https://purser.example", True),
        (None, "localhost:8000", "http://localhost:8000", True),
        (None, "localhost:8000", "", False),
        ("http://127.0.0.1:8000", "localhost:8000", "http://localhost:8000", True),
        ("http://127.0.0.1:8000", "localhost:8000", "http://localhost:8001", False),
    ],
)
def test_a_page_is_ours_at_the_public_address_or_at_the_host_that_was_asked(
    public_url: str | None, host: str, origin: str, ours: bool
) -> None:
    session = SessionCookie(public_url)
    headers = {b"host": host.encode(), b"origin": origin.encode(), b"cookie": f"a=b; {session.name}=psk_x".encode()}
    assert session.comes_from_our_page(headers) is ours
    assert session.credential_in(headers) == ("psk_x" if ours else "")


def test_where_the_public_address_is_https_the_cookie_goes_no_other_way_and_no_neighbour_sets_it() -> None:
    session = SessionCookie("https://purser.example")
    assert session.given("psk_x") == "__Host-purser_session=psk_x; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert session.taken_back() == "__Host-purser_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
    headers = {b"host": b"purser.example", b"origin": b"https://purser.example", b"cookie": b"purser_session=planted"}
    assert session.credential_in(headers) == ""


async def test_the_demo_signs_in_who_sits_at_its_machine(
    application: Application, acme: Caller, globex: Caller
) -> None:
    await demo._store_keys(application, {"acme": acme.tenant_id, "globex": globex.tenant_id})
    async with serving_console(application, demo=True) as origin, opened(origin) as browser:
        options = (await browser.http.get("/sign-in/options")).json()["demo"]
        assert [each["label"] for each in options] == ["admin", "member", "operator"]
        for label, slug in (("admin", "acme"), ("member", "acme"), ("operator", "globex")):
            response = await browser.post("/sign-in", {"demo": label})
            assert response.status_code == 204
            assert await browser.ask(SLUG, **{"Purser-Tenant": "globex"}) == {"tenant": {"slug": slug}}, label
        for document in ({"demo": "service"}, {"demo": "other_service"}, {"demo": ["admin"]}, {"demo": None}):
            assert (await browser.post("/sign-in", document)).status_code == 404, document
        rebound: dict[str, str] = {"Host": f"evil.example:{origin.rpartition(':')[2]}"}
        for why, headers in (
            ("another name that leads here", rebound | {"Origin": f"http://{rebound['Host']}"}),
            ("through a proxy", {"X-Forwarded-For": "192.0.2.7"}),
        ):
            response = await browser.post("/sign-in", {"demo": "admin"}, **headers)
            assert (response.status_code, "set-cookie" in response.headers) == (404, False), why
            assert (await browser.http.get("/sign-in/options", headers=headers)).json() == {"demo": []}, why
        response = await browser.post("/sign-in", {"demo": "admin"}, Origin="https://evil.example")
        assert response.status_code == 403


def test_a_page_of_the_demo_comes_with_the_session_of_its_administrator(settings: Settings) -> None:
    session = SessionCookie("http://127.0.0.1:8000")
    signs_in = DemoSignIn(settings, session)

    def cookie(
        signs_in: DemoSignIn = signs_in, client: Any = ("127.0.0.1", 1), http: str = "1.1", **headers: str
    ) -> str | None:
        given = {"host": "localhost:8000"} | headers
        raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in given.items()]
        scope = {"type": "http", "method": "GET", "http_version": http, "headers": raw, "client": client}
        return signs_in.cookie(Request(scope))

    admins = session.given(demo_tokens(settings)["admin"])
    for host in ("localhost:8000", "localhost", "127.0.0.1:8000", "[::1]:8000"):
        assert cookie(host=host) == admins
    assert cookie(client=("::1", 1)) == cookie(cookie="other=1") == admins
    for host in ("evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example:8000", "localhost:8000x", ""):
        assert cookie(host=host) is None
    assert cookie(cookie="purser_session=psk_mine") is None, "who is signed in stays who they are"
    assert cookie(client=("192.0.2.7", 1)) is cookie(client=None) is None, "who writes Host as they like"
    assert cookie(forwarded="for=192.0.2.7") is cookie(via="1.1 proxy") is cookie(x_real_ip="192.0.2.7") is None
    assert cookie(x_forwarded_proto="https") is cookie(http="1.0") is None, "proxies that say little, or nothing"
    for public_url in ("https://demo.example", "http://localhost.evil.example"):
        published = DemoSignIn(replace(settings, public_url=public_url), session)
        assert cookie(published) is None
    assert cookie(DemoSignIn(replace(settings, public_url="http://127.0.0.1:8000"), session)) == admins
