"""Servers, connections and browsers that fail: what is shown stays, what was sent is done once, nothing is left behind."""

import pytest
from playwright.async_api import Page, Route, WebSocketRoute, expect

from infra.services.callers import Role
from tests.console.pages import OpenPage, SignedIn
from tests.console.site import Site
from tests.console.watching import Watch


async def test_a_page_that_fails_leaves_the_way_to_the_others(page: Page, signed_in: SignedIn, watch: Watch) -> None:
    async def fail(route: Route) -> None:
        if "query Shell" in (route.request.post_data or ""):
            await route.continue_()
        else:
            await route.fulfill(status=500, body="no")

    watch.expect("status 500")
    watch.expect("status of 500")
    await page.route("**/graphql", fail, times=2)
    await signed_in(page, Role.ADMIN)
    await page.goto("/plan")
    await expect(page.get_by_text("The server answered with status 500")).to_be_visible()
    await expect(page.get_by_role("link", name="Plan", exact=True)).to_have_attribute("aria-current", "page")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()


async def test_a_script_that_does_not_arrive_is_asked_for_again(page: Page, signed_in: SignedIn, watch: Watch) -> None:
    watch.expect("alerts.js")
    await page.route("**/alerts.js", lambda route: route.abort(), times=1)
    await signed_in(page, Role.ADMIN)
    await page.goto("/alerts")
    await expect(page.get_by_text("The page did not arrive.")).to_be_visible()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()


async def test_figures_stay_while_the_server_cannot_be_reached_and_say_of_when_they_are(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300")
    watch.expect("ERR_INTERNET_DISCONNECTED")
    # A connection that comes back has the page ask by itself, and the test is about the reader who asks.
    await page.route_web_socket("**/graphql", lambda _silent: None)
    await page.clock.install()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(shown).to_contain_text("300 available")
    await page.context.set_offline(True)
    await page.clock.fast_forward("06:00")
    await expect(page.get_by_text("Not up to date")).to_be_visible()
    await expect(shown).to_contain_text("300 available")
    await page.context.set_offline(False)
    await site.call(caller, "100")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Not up to date")).to_have_count(0)
    await expect(shown).to_contain_text("200 available")


async def test_a_connection_that_is_closed_at_once_is_not_asked_for_by_every_page(
    page: Page, signed_in: SignedIn
) -> None:
    opened: list[WebSocketRoute] = []

    async def refuse(connection: WebSocketRoute) -> None:
        opened.append(connection)
        await connection.close(code=1011)

    await page.route_web_socket("**/graphql", refuse)
    await page.clock.install()
    await page.clock.pause_at("2030-01-01")
    await signed_in(page, Role.ADMIN)
    await page.goto("/")
    await expect(page.get_by_text("Not live", exact=True)).to_be_visible()
    for name in ("Plan", "Usage", "Plan", "Usage"):
        await page.get_by_role("link", name=name, exact=True).click()
        await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    assert len(opened) == 1


async def test_an_expense_whose_answer_was_lost_is_booked_once(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    watch.expect("ERR_FAILED")
    slug, _ = await site.tenant()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns/spring")
    await page.get_by_label("Amount").fill("250")
    await page.get_by_label("Currency").fill("EUR")
    await page.route("**/graphql", lose, times=1)
    await page.get_by_label("What for").press("Enter")
    await expect(page.get_by_text("The server does not answer.")).to_be_visible()
    for _ in range(5):
        await page.keyboard.down("Enter")
    await page.keyboard.up("Enter")
    await expect(page.get_by_role("region", name="Cost of acquisition")).to_contain_text("€250.00")
    await expect(page.get_by_role("table", name="Expenses").get_by_role("row")).to_have_count(2)


@pytest.mark.slow
async def test_going_from_page_to_page_leaves_no_listeners_behind(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant(credits="5")
    # The browser counts those of a whole process.
    page = await open_page(alone=True)
    await signed_in(page, Role.ADMIN, slug)
    browser = await page.context.new_cdp_session(page)
    await browser.send("Performance.enable")

    async def listeners() -> float:
        await browser.send("HeapProfiler.collectGarbage")
        metrics = (await browser.send("Performance.getMetrics"))["metrics"]
        return next(float(metric["value"]) for metric in metrics if metric["name"] == "JSEventListeners")

    async def round_trip() -> None:
        for name in ("Accounts", "Alerts"):
            await page.get_by_role("link", name=name, exact=True).click()
            await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()

    await page.goto("/alerts")
    await round_trip()
    before = await listeners()
    for _ in range(5):
        await round_trip()
    assert await listeners() <= before
