"""Signing in to the console at an identity provider, and all the ways in which nobody is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from domain.identity import GrantedRole, RoleMapping, SignInClient
from graphql_api.console import identity_provider_sign_in
from graphql_api.console.identity_provider_sign_in import own_page
from graphql_api.session_cookie import LONGEST_CREDENTIAL
from infra import rate_limits
from infra.application import Application
from infra.authorization_code import AuthorizationCode, Begun, Failure, SignInFailedError
from infra.queries.identity_providers import IdentityProviderView, signing_in
from infra.services.callers import Caller, Refused
from infra.services.identity_providers import set_identity_provider
from infra.settings import Settings
from tests.graphql_api.client import IDENTITY_PROVIDER
from tests.graphql_api.conftest import Clients
from tests.graphql_api.console_browser import Browser, opened, serving_console
from tests.infra.sign_in_provider import CLIENT_ID, SignInProvider, kept, sign_in_provider

pytestmark = pytest.mark.anyio

MAPPING = RoleMapping("roles", ((GrantedRole.ADMIN, ("boss",)), (GrantedRole.MEMBER, ("staff",))))
SLUG = "{ tenant { slug } }"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, local_identity_providers_allowed=True)


@pytest.fixture
async def provider(application: Application, acme: Caller) -> AsyncIterator[SignInProvider]:
    """Registered for acme, whose people have its ID tokens."""
    async with sign_in_provider() as running:
        await register(application, acme, running)
        yield running


@pytest.fixture
async def api_url(application: Application) -> AsyncIterator[str]:
    async with serving_console(application) as origin:
        yield origin


@pytest.fixture
async def browser(api_url: str) -> AsyncIterator[Browser]:
    async with opened(api_url) as browser:
        yield browser


async def register(
    application: Application,
    caller: Caller,
    provider: SignInProvider,
    audience: str = CLIENT_ID,
    client: SignInClient | None = SignInClient(CLIENT_ID, "email groups"),  # noqa: B008  # a value
) -> None:
    key = f"{provider.url} {audience} {client}"
    registered = await set_identity_provider(
        application, caller, key, provider.issuer, audience, provider.url, MAPPING, client
    )
    assert not isinstance(registered, Refused), registered.refusal


async def sent_to_provider(browser: Browser, next_page: str = "/costs?by=model", tenant: str = "acme") -> str:
    """Where the provider sends the browser back to."""
    begun = await browser.http.get("/sign-in/with", params={"tenant": tenant, "next": next_page})
    assert begun.status_code == 303, begun.text
    async with httpx.AsyncClient() as elsewhere:
        back = await elsewhere.get(begun.headers["location"])
    assert back.status_code == 303, back.text
    return back.headers["location"]


async def came_back(browser: Browser, address: str) -> str:
    """Where the browser is sent on to from the callback."""
    response = await browser.http.get(address)
    assert response.status_code == 303
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    assert "purser_sign_in" not in browser.cookies(), "an attempt is one"
    return response.headers["location"]


async def signed_in(browser: Browser, next_page: str = "/costs?by=model") -> str:
    """Where somebody is who signs in at the provider."""
    return await came_back(browser, await sent_to_provider(browser, next_page))


async def test_people_sign_in_at_their_provider_and_are_who_it_says(
    browser: Browser, provider: SignInProvider, clients: Clients
) -> None:
    begun = await browser.http.get("/sign-in/with", params={"tenant": "acme"})
    attributes = begun.headers["set-cookie"].partition("; ")[2]
    assert attributes == "Path=/; Max-Age=600; HttpOnly; SameSite=Lax"
    assert await signed_in(browser) == "/costs?by=model"
    assert provider.asked["scope"] == "openid email groups"
    assert provider.asked["redirect_uri"] == f"{browser.origin}/sign-in/callback/acme"
    assert "audience" not in provider.asked
    assert await browser.ask(SLUG, **{"Purser-Tenant": "globex"}) == {"tenant": {"slug": "acme"}}
    status, answer = await browser.send("{ apiKeys { id } }")
    assert (status, answer["errors"]) == (200, (await clients.member.send("{ apiKeys { id } }"))["errors"])
    provider.claims = {"sub": "eve", "roles": ["boss"]}
    assert await signed_in(browser, "/settings") == "/settings"
    made = """mutation { createApiKey(input: {idempotencyKey: "k", name: "made", role: SERVICE}) {
        ... on ApiKeyCreated { apiKey { createdBy } } } }"""
    assert (await browser.ask(made))["createApiKey"] == {"apiKey": {"createdBy": "jwt:eve"}}
    assert (await browser.post("/sign-out", {})).status_code == 204
    assert (await browser.send(SLUG))[0] == 401


async def test_where_the_audience_is_another_the_access_token_counts(
    browser: Browser, provider: SignInProvider, clients: Clients, application: Application, globex: Caller
) -> None:
    await register(application, globex, provider, "purser-api")
    address = await sent_to_provider(browser, "/", "globex")
    assert provider.asked["audience"] == "purser-api"
    assert await came_back(browser, address) == "/"
    assert await browser.ask(SLUG) == {"tenant": {"slug": "globex"}}
    provider.access_claims = {"aud": CLIENT_ID}
    address = await sent_to_provider(browser, "/", "globex")
    assert await came_back(browser, address) == "/sign-in?error=untrusted", "that is acme's"


async def test_what_another_site_or_an_earlier_attempt_sends_back_signs_nobody_in(
    browser: Browser, api_url: str, provider: SignInProvider
) -> None:
    address = await sent_to_provider(browser)
    async with opened(api_url) as victim:
        assert await came_back(victim, address) == "/sign-in?error=expired", "it has begun nothing"
        await victim.http.get("/sign-in/with", params={"tenant": "acme"})
        assert await came_back(victim, address) == "/sign-in?error=expired", "it has begun another"
        assert victim.cookies() == {}
        for cookie in ("bm8", "e30", "W10", "x", "eyJzdGF0ZSI6MX0"):
            victim.http.cookies.set("purser_sign_in", cookie, domain="127.0.0.1")
            assert await came_back(victim, address) == "/sign-in?error=expired", cookie
            victim.http.cookies.clear()
    begun = browser.cookies()["purser_sign_in"]
    assert await came_back(browser, address) == "/costs?by=model"
    await browser.post("/sign-out", {})
    assert await came_back(browser, address) == "/sign-in?error=expired", "it was used"
    browser.http.cookies.set("purser_sign_in", begun, domain="127.0.0.1")
    assert await came_back(browser, address) == "/sign-in?error=refused", "the provider remembers, too"
    assert browser.cookies() == {}


async def test_another_site_may_lead_to_the_page_but_not_past_it(browser: Browser, provider: SignInProvider) -> None:
    asked = {"tenant": "acme", "next": "/plan"}
    for site in ("cross-site", "same-site", "none", ""):
        begun = await browser.http.get("/sign-in/with", params=asked, headers={"Sec-Fetch-Site": site})
        assert begun.headers["location"] == "/sign-in?organisation=acme&next=%2Fplan"
        assert browser.cookies() == {}
    begun = await browser.http.get("/sign-in/with", params=asked, headers={"Sec-Fetch-Site": "same-origin"})
    assert begun.headers["location"].startswith(f"{provider.origin}/authorize?")


async def test_no_provider_passes_off_what_another_one_answers_as_its_own(
    browser: Browser, provider: SignInProvider, application: Application, globex: Caller
) -> None:
    async with sign_in_provider() as evil:
        await register(application, globex, evil)
        evil.token_answer = JSONResponse({}, 503)
        begun = await browser.http.get("/sign-in/with", params={"tenant": "globex"})
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        # It sends people on to acme's provider, whose code it wants. What that one knows of us is acme's callback alone.
        asked["redirect_uri"] = [f"{browser.origin}/sign-in/callback/acme"]
        async with httpx.AsyncClient() as elsewhere:
            there = {name: values[0] for name, values in asked.items()}
            back = await elsewhere.get(f"{provider.origin}/authorize?kept=1", params={"kept": "1", **there})
        address = back.headers["location"].partition("&iss=")[0]
        assert await came_back(browser, address) == "/sign-in?error=expired", "else evil would have been asked"


async def test_the_code_is_of_no_use_without_what_the_browser_kept(browser: Browser, provider: SignInProvider) -> None:
    first = parse_qs(urlsplit(await sent_to_provider(browser)).query)
    second = kept(await begun_cookie(browser))
    stolen = {"code": first["code"][0], "state": second["state"]}
    response = await browser.http.get("/sign-in/callback/acme", params=stolen)
    assert response.headers["location"] == "/sign-in?error=refused"
    assert "purser_session" not in browser.cookies()


async def begun_cookie(browser: Browser) -> str:
    await browser.http.get("/sign-in/with", params={"tenant": "acme"})
    return browser.cookies()["purser_sign_in"]


async def test_a_token_that_is_not_as_it_must_be_signs_nobody_in(
    browser: Browser, provider: SignInProvider, application: Application, globex: Caller
) -> None:
    await register(application, globex, provider, "purser-api")
    spoilt: list[tuple[dict[str, Any], str]] = [
        ({"nonce": "another"}, "untrusted"),
        ({"nonce": None}, "untrusted"),
        ({"aud": "another"}, "untrusted"),
        ({"aud": [CLIENT_ID, "purser-api"]}, "untrusted"),
        ({"iss": "https://id.acme.example/"}, "untrusted"),
        ({"exp": 1}, "untrusted"),
        ({"roles": ["visitor"]}, "untrusted"),
        ({"much": "x" * LONGEST_CREDENTIAL}, "too-long"),
    ]
    for claims, error in spoilt:
        provider.spoilt = claims
        assert await signed_in(browser) == f"/sign-in?error={error}", claims
        assert browser.cookies() == {}


async def test_whatever_the_provider_answers_to_the_code_the_page_is_told_in_a_word(
    browser: Browser, provider: SignInProvider, caplog: pytest.LogCaptureFixture
) -> None:
    for answer, error in (
        (JSONResponse({"error": "invalid_client"}, 401), "refused"),
        (JSONResponse({"access_token": "a", "token_type": "Bearer"}), "untrusted"),
        (JSONResponse({"access_token": "a", "id_token": "b"}), "untrusted"),
        (JSONResponse({"access_token": "a", "id_token": ["b"]}), "untrusted"),
        (JSONResponse([]), "unavailable"),
        (JSONResponse({"access_token": "a", "expires_in": ["1"]}), "unavailable"),
        (Response('{"access_token": "a", "expires_in": 1e999}', media_type="application/json"), "unavailable"),
        (Response("[" * 100_000, media_type="application/json"), "unavailable"),
        (Response(b"\xff", media_type="application/json"), "unavailable"),
        (Response("<html>", media_type="text/html"), "unavailable"),
        (Response(status_code=503), "unavailable"),
        (Response(status_code=307, headers={"location": "/elsewhere"}), "unavailable"),
        (Response(" " * 300_000, media_type="application/json"), "unavailable"),
    ):
        caplog.clear()
        address = await sent_to_provider(browser)
        provider.token_answer = answer
        assert await came_back(browser, address) == f"/sign-in?error={error}"
        assert browser.cookies() == {}
        assert "nobody of 'acme' was signed in" in caplog.text
        assert parse_qs(urlsplit(address).query)["code"][0] not in caplog.text


async def test_what_comes_back_in_the_address_is_told_to_nobody(
    browser: Browser, provider: SignInProvider, caplog: pytest.LogCaptureFixture
) -> None:
    for said, error in (
        ({"error": "access_denied", "error_description": "<script>"}, "refused"),
        ({"error": "<script>" * 100}, "refused"),
        ({}, "refused"),
        ({"code": "x" * 5_000}, "refused"),
        ({"code": "x", "iss": "https://evil.example"}, "untrusted"),
    ):
        state = kept(await begun_cookie(browser))["state"]
        response = await browser.http.get("/sign-in/callback/acme", params={"state": state, **said})
        assert (response.status_code, response.headers["location"]) == (303, f"/sign-in?error={error}")
        assert "script" not in response.text
    assert all(len(record.getMessage()) < 300 for record in caplog.records)


async def test_a_provider_that_does_not_say_where_to_sign_in_is_not_asked(
    browser: Browser, provider: SignInProvider
) -> None:
    documents: list[dict[str, Any]] = [
        {"issuer": "https://another.example"},
        {"token_endpoint": None},
        {"token_endpoint": "ftp://id.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://id.example/" + "x" * 1_000},
        {"authorization_endpoint": ["https://id.example/"]},
    ]
    for document in documents:
        provider.document = document
        response = await browser.http.get("/sign-in/with", params={"tenant": "acme"})
        assert response.headers["location"] == "/sign-in?error=unavailable", document
    provider.document = {}
    assert await signed_in(browser) == "/costs?by=model", "as soon as it does"


async def test_a_tenant_without_a_provider_is_as_one_that_does_not_exist(
    browser: Browser, provider: SignInProvider, application: Application, acme: Caller, globex: Caller
) -> None:
    await register(application, globex, provider, "machines", None)
    for tenant in ("globex", "nobody", "", "\0", "x" * 2_000, "%'--"):
        response = await browser.http.get("/sign-in/with", params={"tenant": tenant})
        assert (response.status_code, response.headers["location"]) == (303, "/sign-in?error=no-provider"), tenant
        assert "set-cookie" not in response.headers
    address = await sent_to_provider(browser)
    await register(application, acme, provider, CLIENT_ID, None)
    assert await came_back(browser, address) == "/sign-in?error=no-provider", "it was one when it began"


async def test_nobody_tries_without_end(
    browser: Browser, provider: SignInProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "monotonic_ns", lambda: 10**18)
    monkeypatch.setattr(identity_provider_sign_in, "ATTEMPTS_PER_MINUTE", 3)
    address = await sent_to_provider(browser)
    answers = [await browser.http.get("/sign-in/with", params={"tenant": "x"}) for _ in range(3)]
    assert [answer.headers["location"] for answer in answers] == [
        "/sign-in?error=no-provider",
        "/sign-in?error=no-provider",
        "/sign-in?error=too-many",
    ]
    assert await came_back(browser, address) == "/sign-in?error=too-many"


async def test_nobody_is_sent_to_another_site(browser: Browser, provider: SignInProvider) -> None:
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "javascript:x"):
        assert await signed_in(browser, elsewhere) == "/", elsewhere


def test_only_paths_of_ours_are_gone_on_to() -> None:
    for page in ("/", "/costs", "/campaigns/spring%20sale?by=model&x=a+b#top"):
        assert own_page(page) == page
    for page in ("", "costs", "/a\n", "/a b", "/é", "/" + "x" * 1_000, "/a\\b", "///evil.example"):
        assert own_page(page) == "/"


async def test_a_next_page_that_was_put_into_the_cookie_is_one_of_ours_too(
    browser: Browser, provider: SignInProvider
) -> None:
    address = await sent_to_provider(browser)
    begun = Begun(**kept(browser.cookies()["purser_sign_in"]) | {"next": "//evil.example"})
    packed = identity_provider_sign_in._packed(begun)
    browser.http.cookies.set("purser_sign_in", packed, domain="127.0.0.1", path="/")
    assert await came_back(browser, address) == "/"


async def test_providers_inside_our_own_network_are_not_asked(
    application: Application, provider: SignInProvider
) -> None:
    registered = await signing_in(application, "acme")
    assert isinstance(registered, IdentityProviderView)
    guarded = AuthorizationCode(local_allowed=False)
    for issuer in (provider.issuer, "https://127.0.0.1:1/", "https://localhost", "https://169.254.169.254"):
        with pytest.raises(SignInFailedError) as failed:
            await guarded.begin(replace(registered, issuer=issuer), "https://purser.example/x", "acme", "/")
        assert failed.value.failure is Failure.UNAVAILABLE
        assert failed.value.reason == "its host has no public address"


async def test_operators_say_where_people_sign_in(clients: Clients, provider: SignInProvider) -> None:
    registered = (await clients.operator.ask(f"{{ identityProviders {{ {IDENTITY_PROVIDER} }} }}"))["identityProviders"]
    assert [(each["clientId"], each["signInScope"]) for each in registered] == [(CLIENT_ID, "email groups")]
    given = {
        "idempotencyKey": "k",
        "issuer": provider.issuer,
        "audience": CLIENT_ID,
        "jwksUrl": provider.url,
        "roleClaim": "roles",
        "memberValues": ["staff"],
    }
    wrong = await clients.operator.do("setIdentityProvider", **given, signInScope="email")
    assert [field["path"] for field in wrong["fields"]] == ["clientId"]
    changed = await clients.operator.do("setIdentityProvider", **given | {"idempotencyKey": "k2"}, clientId="other")
    assert (changed["clientId"], changed["signInScope"]) == ("other", None)
    log = "{ auditLog(first: 1) { edges { node { details { name value } } } } }"
    (edge,) = (await clients.operator.ask(log))["auditLog"]["edges"]
    assert {"name": "clientId", "value": "other"} in edge["node"]["details"]
    again = await clients.operator.do("setIdentityProvider", **given | {"idempotencyKey": "k3"})
    assert (again["clientId"], again["signInScope"]) == (None, None)
