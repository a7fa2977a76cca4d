"""What stands around every page: signing in, the banners with the way out, and a connection that comes back."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.refusals import BudgetScope
from infra.services.callers import Role
from tests.console.pages import OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import COOKIE, Site
from tests.console.watching import Watch
from tests.console.wire import Wire
from tests.infra.builders import cap, new_key


async def test_the_demo_signs_in_by_itself_and_out_and_in_as_somebody_else(page: Page, watch: Watch) -> None:
    watch.expect("status of 401")
    await page.goto("/")
    await expect(page.get_by_role("banner")).to_contain_text("Acme")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in to Purser")).to_be_visible()
    assert await serious_faults(page) == []
    await page.get_by_role("textbox", name="Key").fill("psk_nobody")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="unknown")).to_be_visible()
    await page.get_by_role("button", name="Operator of this installation").click()
    await expect(page.get_by_role("heading", name="Tenants")).to_be_visible()


async def test_who_is_not_signed_in_comes_back_to_the_page_that_they_wanted(
    page: Page, site: Site, watch: Watch
) -> None:
    watch.expect("status of 401")
    slug, _ = await site.tenant()
    await page.context.add_cookies([{"name": COOKIE, "value": "psk_ended", "url": site.origin}])
    await page.goto("/plan")
    await page.get_by_role("textbox", name="Key").fill(await site.token(Role.MEMBER, slug))
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    assert page.url == f"{site.origin}/plan"


@pytest.mark.slow
async def test_a_session_never_leads_to_another_host(page: Page, site: Site) -> None:
    slug, _ = await site.tenant()
    token = await site.token(Role.MEMBER, slug)
    for elsewhere in (
        "https://example.com/",
        "//example.com",
        "/\\example.com",
        "/%09/example.com",
        "javascript:alert(1)",
    ):
        await page.goto(f"/sign-in?next={elsewhere}")
        await page.get_by_role("textbox", name="Key").fill(token)
        await page.get_by_role("button", name="Sign in", exact=True).click()
        await expect(page.get_by_role("heading", name="Usage", exact=True)).to_be_visible()
        assert page.url == f"{site.origin}/"


async def test_a_foreign_tenant_is_refused(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, _ = await site.tenant(credits="123")
    foreign, caller = await site.tenant(credits="456")
    await site.call(caller, "6")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto(f"/?tenant={foreign}")
    await expect(page.get_by_role("region", name="Credits", exact=True)).to_contain_text("123 available")
    await expect(page.get_by_text("450")).to_have_count(0)
    await page.goto(f"/operator/tenants/{foreign}")
    await expect(page.get_by_text("These pages are for who runs Purser.")).to_be_visible()


async def test_banners_tell_of_what_is_near_its_cap_and_of_what_is_paused_with_the_way_out(
    open_page: OpenPage, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="100")
    spring = "spring" * 33
    work = Attribution(campaign=spring)
    await cap(site.application, caller, BudgetKey(BudgetScope.CAMPAIGN, spring, BudgetPeriod.TOTAL), "10", "c")
    await site.call(caller, "1", cost="8.4", attribution=work)
    page = await open_page()
    await page.clock.install()
    await signed_in(page, Role.ADMIN, slug)
    await follow_reads(page)
    await page.goto("/plan")
    banners = page.get_by_role("region", name="Notices")
    await expect(page.get_by_role("heading", name="Plan", level=1)).to_be_visible()
    await expect(banners).to_contain_text(f"campaign {spring} at 84")
    assert await unread(page) == []
    assert await fits_its_width(page)
    await site.call(caller, "1", cost="1.6", attribution=work)
    await page.clock.fast_forward("00:31")
    await expect(banners).to_contain_text(f"campaign {spring}: its budget is used up. Raise the cap")
    assert await serious_faults(page) == []
    await banners.get_by_role("link", name="Raise the cap").click()
    await page.get_by_role("row", name="A campaign in all").get_by_role("button", name="Change").click()
    await page.get_by_label("At most (US dollars)").fill("100")
    await page.get_by_role("button", name="Save").click()
    await expect(banners).to_have_text("")
    member = await open_page(alone=True)
    await signed_in(member, Role.MEMBER, slug)
    await member.goto("/settings")
    await expect(member.get_by_role("row", name="A campaign in all")).to_contain_text("US$100.00")
    await expect(member.get_by_role("button", name="Change")).to_have_count(0)


@dataclass
class Cable:
    """The page's websockets, which the test can cut."""

    open: list[WebSocketRoute] = field(default_factory=list)
    cut: bool = False

    async def take(self, opened: WebSocketRoute) -> None:
        if self.cut:
            await opened.close(code=1012)
        else:
            self.open.append(opened)
            opened.connect_to_server()

    async def lose(self) -> None:
        self.cut = True
        for opened in self.open:
            await opened.close(code=1012)


async def test_a_page_left_open_for_a_day_reconnects_and_is_right(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, caller = await site.tenant(credits="300")
    wire = Cable()
    await page.route_web_socket("**/graphql", wire.take)
    await page.clock.install()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(shown).to_contain_text("300 available")
    await wire.lose()
    await expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    await site.call(caller, "100")
    await page.clock.fast_forward("24:00:00")
    # Without a connection it asks anew now and then.
    await expect(shown).to_contain_text("200 available")
    wire.cut = False
    await site.call(caller, "50")
    await page.clock.fast_forward("01:00")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(shown).to_contain_text("150 available")
    await site.call(caller, "50")
    await expect(shown).to_contain_text("100 available")


@pytest.mark.slow
async def test_who_is_in_the_middle_of_something_keeps_it_when_the_connection_is_back(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant(metered="50")
    wire = Cable()
    await page.route_web_socket("**/graphql", wire.take)
    await page.clock.install()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/plan")
    await page.get_by_label("How many").fill("7")
    await wire.lose()
    await page.clock.fast_forward("24:00:00")
    wire.cut = False
    await page.clock.fast_forward("01:00")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await expect(page.get_by_label("How many")).to_have_value("7")
    await expect(page.get_by_label("How many")).to_be_focused()


@pytest.mark.slow
async def test_a_session_that_ends_leads_to_the_sign_in(page: Page, site: Site, watch: Watch) -> None:
    _, caller = await site.tenant()
    soon = datetime.now(UTC) + timedelta(seconds=3)
    key = await new_key(site.application, caller.tenant_id, Role.ADMIN, "for a moment", soon)
    await page.context.add_cookies([{"name": COOKIE, "value": key.token, "url": site.origin}])
    await page.goto("/plan")
    await expect(page.get_by_role("heading", name="Sign in to Purser")).to_be_visible()
    watch.expect("status of 401")
    await page.goto("/plan")
    await expect(page.get_by_role("heading", name="Sign in to Purser")).to_be_visible()
    assert page.url == f"{site.origin}/sign-in?next=%2Fplan"


async def test_what_fell_behind_is_followed_anew_and_the_page_read_again(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    wire = Wire()
    await wire.attach(page)
    await page.clock.install()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    await wire.end("Balance credits", "FELL_BEHIND")
    await site.call(caller, "100")
    await page.clock.fast_forward("00:02")
    await expect(shown).to_contain_text("200 available")
    await site.call(caller, "50")
    await expect(shown).to_contain_text("150 available")


@pytest.mark.slow
async def test_a_session_that_ends_or_becomes_anothers_does_so_in_all_tabs(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant(credits="123")
    other, _ = await site.tenant(credits="456")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(shown).to_contain_text("123 available")
    tab = await page.context.new_page()
    await signed_in(tab, Role.ADMIN, other)
    await tab.goto("/")
    await expect(shown).to_contain_text("456 available")
    await page.evaluate("window.isOld = true; dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await page.wait_for_function("!window.isOld")
    await expect(shown).to_contain_text("456 available")
    await tab.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in to Purser")).to_be_visible()


async def test_who_could_not_be_signed_out_is_told(page: Page, signed_in: SignedIn, watch: Watch) -> None:
    watch.expect("ERR_FAILED")
    await signed_in(page, Role.ADMIN)
    await page.route("**/sign-out", lambda route: route.abort())
    await page.goto("/plan")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are still signed in")).to_be_visible()
    assert page.url.endswith("/plan")


async def test_a_connection_of_the_tenant_before_tells_nothing_of_the_next(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    first, _ = await site.tenant(credits="123")
    second, _ = await site.tenant(credits="456")
    tenants: list[str | None] = []

    async def refuse(opened: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            sent = json.loads(message)
            if sent["type"] == "connection_init":
                tenants.append(sent["payload"].get("purserTenant"))
                opened.send(json.dumps({"type": "connection_ack"}))
            elif sent["type"] == "ping":
                opened.send(json.dumps({"type": "pong"}))
            elif sent["type"] == "subscribe" and tenants[-1] == first:
                refused = {"type": "error", "id": sent["id"], "payload": [{"message": "too often"}]}
                opened.send(json.dumps(refused))

        opened.on_message(answer)

    await page.route_web_socket("**/graphql", refuse)
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/plan?tenant={first}")
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    await expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Usage", exact=True).evaluate(
        "(link, tenant) => { link.search = `?tenant=${tenant}`; link.click(); }", second
    )
    await expect(page.get_by_role("region", name="Credits", exact=True)).to_contain_text("456 available")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    assert tenants[-1] == second
