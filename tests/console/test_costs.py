"""The page Costs: the month against its cap, where it went, and call by call; its charts; months before."""

import csv
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from playwright.async_api import Page, expect

from infra.services.callers import Role
from tests.console.pages import PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.usage import CLAUDE, GPT, MINI, administer, call, last_month, record
from tests.console.watching import Watch
from tests.console.wire import Wire

CHARTS = ".js-plotly-plot"
THIS_MONTH = f"{datetime.now(UTC):%B %Y}"


async def busy_tenant(site: Site) -> str:
    """A tenant that spent 7.75 of 10 dollars this month, and 8 in the month before."""
    slug, _ = await site.tenant()
    writer = {"agentRole": "writer", "campaign": "spring", "client": "umbrella", "project": "relaunch"}
    await record(
        site,
        slug,
        call("8", GPT, last_month(), agentRole="analyst"),
        call("1", GPT, **writer),
        call("2.5", MINI, **writer, research="hotels"),
        call("0.25", CLAUDE, agentRole="analyst"),
        call("4", GPT, agentRole="analyst", account="acct-1"),
        call(None, ("nobody", "no-such"), agentRole="analyst"),
    )
    await administer(site, slug, "setBudget", scope="TENANT", period="MONTH", cap="10")
    await administer(site, slug, "setBudget", scope="AGENT", scopeId="writer", period="MONTH", cap="4")
    await administer(site, slug, "nameScope", kind="CAMPAIGN", id="spring", name="Spring <sale>")
    return slug


async def downloaded_costs(page: Page) -> Decimal:
    """What the FOCUS file of this month says that all has cost."""
    async with page.expect_download() as begun:
        await page.get_by_role("button", name="Download (FOCUS CSV)").click()
    download = await begun.value
    assert download.suggested_filename == f"focus-{datetime.now(UTC):%Y-%m}.csv"
    rows = csv.DictReader((await download.path()).read_text().splitlines())
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal())


async def test_every_figure_of_the_month_has_its_place_and_no_more_is_asked(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.MEMBER, await busy_tenant(site))
    await follow_reads(page)
    await page.goto("/costs")
    spent = page.get_by_role("region", name=f"Spent in {THIS_MONTH}")
    for figure in ("US$7.75", f"{last_month():%B %Y}: US$8.00", "US$10.00", "77.5% spent", "if it goes on as it began"):
        await expect(spent).to_contain_text(figure)
    for figure in ("Calls5", "Input tokens6,000", "Output tokens1,500", "Without a price1"):
        await expect(spent).to_contain_text(figure)
    await expect(spent.get_by_role("meter")).to_have_attribute("aria-valuetext", "77.5%")
    agents = page.get_by_role("table", name=f"Agents in {THIS_MONTH}").get_by_role("row")
    await expect(agents.nth(1)).to_have_text("analystUS$4.25none–Active")
    await expect(agents.nth(2)).to_have_text("writerUS$3.50US$4.0087.5%Warning")
    near = page.get_by_role("table", name="Budgets at 80 % and above").get_by_role("row")
    await expect(near.nth(1)).to_have_text(f"writer agent{THIS_MONTH}US$3.50US$4.0087.5%Warning")
    for name, first in (
        ("By campaign", "Without a campaign3US$4.25"),
        ("By client", "Without a client3US$4.25"),
        ("By provider", "openai3US$7.50"),
        ("By project", "Without a project3US$4.25"),
        ("By research", "Without research4US$5.25"),
        ("By model", "gpt-4o openai2US$5.002,400600"),
    ):
        await expect(page.get_by_role("table", name=name).get_by_role("row").nth(1)).to_have_text(first)
    campaign = page.get_by_role("table", name="By campaign").get_by_role("link", name="Spring <sale>")
    await expect(campaign).to_have_attribute("href", "/campaigns/spring")
    calls = page.get_by_role("table", name="Calls")
    await expect(calls.get_by_role("row")).to_have_count(6)
    await expect(calls).to_contain_text("No price yet")
    assert watch.names() == ["Shell", "Costs"]
    assert await downloaded_costs(page) == Decimal("7.75")
    assert await unread(page) == []
    await expect(page.locator(CHARTS)).to_have_count(4)
    await expect(page.locator(".donut")).to_contain_text("55%")
    await expect(page.locator(".plot.bars")).to_contain_text("US$3.50")
    assert await serious_faults(page) == []
    await page.locator(".chart summary").nth(1).click()
    figures = page.get_by_role("table", name=f"Spend by agent, {THIS_MONTH}").get_by_role("row")
    assert await figures.all_inner_texts() == ["Agent\tCost", "analyst\tUS$4.25", "writer\tUS$3.50"]
    await calls.get_by_role("button", name="gpt-4o-mini").click()
    await expect(page.get_by_role("dialog", name="Receipt")).to_contain_text("US$2.50")


@pytest.mark.slow
async def test_the_log_is_narrowed_without_asking_for_the_rest_again(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug = await busy_tenant(site)
    await record(site, slug, *[call("0.01", MINI, agentRole="scout") for _ in range(25)])
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/costs")
    rows = page.get_by_role("table", name="Calls").get_by_role("row")
    await expect(rows).to_have_count(21)
    await page.get_by_role("button", name="Show more").click()
    await expect(rows).to_have_count(31)
    await page.get_by_label("Agent", exact=True).select_option("analyst")
    await page.get_by_label("Model", exact=True).select_option("gpt-4o")
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(2)
    await expect(rows.nth(1)).to_contain_text("US$4.00")
    assert watch.names() == ["Shell", "Costs", "CallLog", "CallLog"]
    assert page.url.endswith("/costs?agentRole=analyst&model=gpt-4o")
    month = f"{datetime.now(UTC):%Y-%m}"
    await page.get_by_label("From", exact=True).fill(f"{month}-02")
    await page.get_by_label("To", exact=True).fill(f"{month}-01")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_role("alert").filter(has_text="firstDay must not lie after")).to_be_visible()
    assert page.url.endswith("/costs?agentRole=analyst&model=gpt-4o")
    await page.get_by_label("From", exact=True).fill(f"{month}-01")
    await page.get_by_label("To", exact=True).fill("")
    await page.get_by_label("Campaign", exact=True).select_option("spring")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.get_by_text("No call is like this")).to_be_visible()
    await page.go_back()
    await expect(rows).to_have_count(2)
    await expect(page.get_by_label("Agent", exact=True)).to_have_value("analyst")
    await expect(page.get_by_label("Campaign", exact=True)).to_have_value("")


@pytest.mark.slow
async def test_the_month_moves_while_calls_come_in_and_the_reader_keeps_the_place(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug = await busy_tenant(site)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/costs?agentRole=writer")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    rows = page.get_by_role("table", name="Calls").get_by_role("row")
    await expect(rows).to_have_count(3)
    await record(site, slug, call("0.5", CLAUDE, agentRole="analyst"))
    spent = page.get_by_role("region", name=f"Spent in {THIS_MONTH}")
    await expect(spent).to_contain_text("US$8.25")
    await record(site, slug, call("0.5", CLAUDE, agentRole="writer"))
    await expect(spent).to_contain_text("US$8.75")
    await expect(spent.locator(".filled.near")).to_be_visible()
    await expect(rows).to_have_count(3)
    await page.get_by_role("button", name="One new call: show it").click()
    await expect(rows).to_have_count(4)
    await expect(rows.nth(1)).to_contain_text("claude-haiku")
    await expect(page.get_by_role("button", name="show it")).to_be_hidden()


@pytest.mark.slow
async def test_an_operator_downloads_the_costs_of_the_tenant_looked_at(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug = await busy_tenant(site)
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/costs?tenant={slug}")
    assert await downloaded_costs(page) == Decimal("7.75")


@pytest.mark.slow
async def test_months_before_are_chosen_and_stand_in_the_address(page: Page, site: Site, signed_in: SignedIn) -> None:
    await signed_in(page, Role.ADMIN, await busy_tenant(site))
    await page.goto("/costs")
    await expect(page.locator(CHARTS)).to_have_count(4)
    await page.get_by_role("link", name="The month before").click()
    before = last_month()
    await expect(page.get_by_role("region", name=f"Spent in {before:%B %Y}")).to_contain_text("US$8.00")
    await expect(page.get_by_role("table", name="Calls").get_by_role("row")).to_have_count(2)
    await expect(page.locator(CHARTS)).to_have_count(4)
    assert page.url.endswith(f"/costs?month={before:%Y-%m}")
    await page.get_by_role("combobox", name="Month").select_option(f"{datetime.now(UTC):%Y-%m}")
    await expect(page.get_by_role("region", name=f"Spent in {THIS_MONTH}")).to_contain_text("US$7.75")
    assert page.url.endswith("/costs")


async def test_where_nothing_was_recorded_the_page_says_what_to_do_and_loads_no_charts(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/costs")
    await expect(page.get_by_text(f"Nothing was recorded in {THIS_MONTH}")).to_be_visible()
    spent = page.get_by_role("region", name=f"Spent in {THIS_MONTH}")
    await expect(spent.get_by_role("link", name="Set one")).to_have_attribute("href", "/settings#caps")
    await expect(spent.get_by_role("meter")).to_have_count(0)
    assert await serious_faults(page) == []
    assert [url for url in loaded if "plotly" in url] == []


@pytest.mark.slow
async def test_charts_follow_the_theme_and_are_given_back_when_the_page_is_left(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    page = await open_page(viewport=PHONE, color_scheme="dark", locale="de-DE")
    await signed_in(page, Role.ADMIN, await busy_tenant(site))
    await page.goto("/costs")
    await expect(page.locator(CHARTS)).to_have_count(4)
    await expect(page.locator(".line")).to_contain_text("2\xa0$")
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    line = page.locator(".line .js-line")
    await expect(line).to_have_css("stroke", "rgb(167, 139, 250)")
    await page.emulate_media(color_scheme="light")
    await expect(line).to_have_css("stroke", "rgb(109, 40, 217)")
    await page.evaluate(f"window.chart = document.querySelector('{CHARTS}')")
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Accounts").click()
    await expect(page.get_by_role("heading", name="Accounts", exact=True)).to_be_visible()
    await page.wait_for_function("window.chart._fullLayout === undefined")


@pytest.mark.slow
async def test_without_the_bundle_the_figures_stand_in_for_the_charts(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.ADMIN, await busy_tenant(site))
    await page.route("**/plotly.min.js", lambda route: route.abort())
    watch.expect("plotly")
    watch.expect("The charts could not be loaded")
    await page.goto("/costs")
    await expect(page.get_by_role("table", name=f"Spend by client, {THIS_MONTH}")).to_contain_text("umbrella")
    await expect(page.locator(".plot")).to_have_count(0)


async def test_a_share_is_never_rounded_up_to_a_threshold_and_nothing_small_is_nothing(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant()
    spent = {"79": "79.99", "80": "80", "99": "99.99", "57": "57.3", "100": "100", "tiny": "0.0000004"}
    await record(site, slug, call("100"), *(call(cost, agentRole=role) for role, cost in spent.items()))
    for role in spent:
        await administer(site, slug, "setBudget", scope="AGENT", scopeId=role, period="MONTH", cap="100")
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/costs?agentRole=nobody")
    agents = page.get_by_role("table", name=f"Agents in {THIS_MONTH}")
    for role, used, level in (
        ("79", "79.9%", "fine"),
        ("80", "80%", "near"),
        ("99", "99.9%", "near"),
        ("57", "57.3%", "fine"),
        ("100", "100%", "full"),
    ):
        row = agents.get_by_role("row").filter(has=page.get_by_role("rowheader", name=role, exact=True))
        await expect(row.get_by_role("cell").nth(2)).to_have_text(used)
        await expect(row.locator(".bar span")).to_have_class(f"filled {level}")
    await expect(agents).to_contain_text("US$0.0000004")
    # The donut is of all that was spent, and a filter of the address shows although nobody is called so.
    await page.locator(".chart summary").nth(1).click()
    await expect(page.get_by_role("table", name=f"Spend by agent, {THIS_MONTH}")).to_contain_text("Without an agent")
    await expect(page.get_by_role("combobox", name="Agent", exact=True)).to_have_value("nobody")


async def test_a_page_left_open_over_the_end_of_a_month_shows_the_new_one(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, _ = await site.tenant()
    await record(site, slug, call("1"))
    await signed_in(page, Role.MEMBER, slug)
    wire = Wire()
    await wire.attach(page)
    for path in (f"/costs?month={datetime.now(UTC):%Y-%m}", "/costs"):
        wire.newest.clear()
        await page.goto(path)
        while "Spending" not in wire.newest:
            await page.evaluate("new Promise(requestAnimationFrame)")
        told = wire.newest["Spending"]["usageRecorded"]
        await wire.tell("Spending", {"usageRecorded": {**told, "spending": {**told["spending"], "month": "9999-01"}}})
    while watch.names().count("Costs") < 3:
        await page.evaluate("new Promise(requestAnimationFrame)")
    assert [asked.variables["key"] for asked in watch.asked if asked.name == "Costs"][1:] == [None, None]
