"""The page Sign in: at an identity provider and with a key, and what it says when nobody is let in."""

from playwright.async_api import Page, expect
from starlette.responses import JSONResponse

from domain.identity import GrantedRole, RoleMapping, SignInClient
from infra.services.callers import Refused, Role
from infra.services.identity_providers import set_identity_provider
from tests.console.pages import PHONE, OpenPage, fits_its_width, serious_faults
from tests.console.site import COOKIE, Site
from tests.console.watching import Watch
from tests.infra.sign_in_provider import CLIENT_ID, sign_in_provider

MAPPING = RoleMapping("roles", ((GrantedRole.ADMIN, ("boss",)), (GrantedRole.MEMBER, ("staff",))))
TEXTS = {
    "no-provider": "This tenant has no identity provider to sign in with here.",
    "unavailable": "The identity provider does not answer.",
    "refused": "The identity provider did not let you in.",
    "expired": "That took too long, or another attempt was begun.",
    "untrusted": "what it says is not trusted here, or gives you no role.",
    "too-long": "is too long for this browser to keep.",
    "too-many": "There were too many attempts.",
}


async def test_people_sign_in_at_their_provider_and_are_who_it_says(page: Page, site: Site, watch: Watch) -> None:
    slug, caller = await site.tenant(credits="123")
    async with sign_in_provider() as provider:
        watch.expect(f"foreign: {provider.origin}")
        client = SignInClient(CLIENT_ID, "email")
        url, issuer = provider.url, provider.issuer
        given = await set_identity_provider(site.application, caller, "idp", issuer, CLIENT_ID, url, MAPPING, client)
        assert not isinstance(given, Refused), given.refusal
        await page.goto(f"/sign-in?organisation={slug}&next=/settings?names=CLIENT")
        await expect(page.get_by_role("textbox", name="Organisation")).to_have_value(slug)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        assert page.url == f"{site.origin}/settings?names=CLIENT"
        await expect(page.get_by_title("jwt:anna")).to_have_text("Member")
        provider.claims = {"sub": "eve", "roles": ["guest"]}
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("textbox", name="Organisation").fill(slug)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("alert").first).to_contain_text(TEXTS["untrusted"])
        provider.token_answer = JSONResponse({}, 503)
        await page.get_by_role("textbox", name="Organisation").fill(slug)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("alert").first).to_contain_text(TEXTS["unavailable"])
        assert COOKIE not in {cookie["name"] for cookie in await page.context.cookies()}


async def test_who_names_no_such_organisation_is_told(page: Page) -> None:
    await page.goto("/sign-in")
    await page.get_by_role("textbox", name="Organisation").fill("nobody-is-called-so")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert").first).to_contain_text(TEXTS["no-provider"])


async def test_each_way_of_not_getting_in_has_its_text(page: Page) -> None:
    for code, text in TEXTS.items():
        await page.goto(f"/sign-in?error={code}")
        await expect(page.get_by_role("alert").first).to_contain_text(text)


async def test_the_key_is_kept_by_the_cookie_alone(open_page: OpenPage, site: Site) -> None:
    slug, _ = await site.tenant()
    token = await site.token(Role.MEMBER, slug)
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await page.goto("/sign-in?error=<script>alert(1)</script>&next=/plan")
    await expect(page.locator(".banner")).to_have_count(0)
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.get_by_role("textbox", name="Key").fill(token)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    kept = "[document.documentElement.outerHTML, location.href, document.cookie, JSON.stringify(history.state), "
    kept += "JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage })].join()"
    assert token not in await page.evaluate(kept)


async def test_a_server_that_cannot_be_reached_is_said(page: Page, watch: Watch) -> None:
    watch.expect("ERR_FAILED|ERR_CONNECTION")
    await page.goto("/sign-in")
    await page.route("**/sign-in", lambda route: route.abort())
    await page.get_by_role("textbox", name="Key").fill("psk_something")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="The server does not answer.")).to_be_visible()
