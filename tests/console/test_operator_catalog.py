"""The operator's pages of what is charged and what is left: rate cards, prices, margins, jobs; and who may not see them."""

from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import pytest
from playwright.async_api import Page, expect

from infra.services import job_runs
from infra.services.callers import Role
from infra.services.progress import Progress
from tests.console.pages import DIALOG, SignedIn, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.test_operator_tenants import asked, press
from tests.console.watching import Watch
from tests.graphql_api.client import Client

OPERATIONS: Final = {
    "tenants": "{ tenantSpending { edges { cursor } } }",
    "tenants/globex": "{ tenantUsage { recentEntries { id } } }",
    "margins": '{ metering(filter: {from: "2026-11-01T00:00:00Z", to: "2026-12-01T00:00:00Z"}) { total { calls } } }',
    "rate-cards": "{ rateCards { markup } }",
    "prices": "{ priceDifferences { release } }",
    "jobs": "{ jobRuns { job } }",
}


async def record(site: Site, slug: str, model: str, at: datetime) -> None:
    """A call that a worker of the tenant reports afterwards, for no feature."""
    usage = {"provider": "openai", "model": model, "inputTokens": 1_000_000, "occurredAt": at.isoformat()}
    event = {"source": "test", "eventId": f"{slug}-{model}", "kind": "LLM", "usage": usage}
    async with httpx.AsyncClient(base_url=site.origin) as http:
        service = Client(http, await site.token(Role.SERVICE, slug))
        result = await service.do("recordUsage", events=[event])
    assert result["accepted"] == 1, result


async def test_rate_cards_stand_with_what_tenants_never_see(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto("/operator/rate-cards")
    card = page.get_by_role("region", name="Version 1")
    await expect(card).to_contain_text("In force now")
    await expect(card).to_contain_text("A credit is worthUS$0.50")
    await expect(card).to_contain_text("Markup on cost× 1.3")
    rates = card.get_by_role("table").get_by_role("row")
    terms = (await asked(site, "{ rateCards { terms { floorUsd defaultEstimateUsd } } }"))["rateCards"][0]["terms"]
    await expect(rates).to_have_count(len(terms) + 1)
    await expect(rates.nth(1)).to_contain_text(f"Cost × markupUS${terms[0]['floorUsd']}")
    assert watch.names() == ["Shell", "RateCards"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.get_by_label("As this tenant has it").fill("globex")
    await press(page, "Show")
    await expect(page.get_by_label("As this tenant has it")).to_have_value("globex")
    assert page.url.endswith("?tenant=globex")


async def test_prices_stand_beside_the_package_and_are_found_by_name(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto("/operator/prices?search=openai gpt-4o-mini")
    prices = page.get_by_role("table", name="Prices in force now")
    found = (await asked(site, "{ prices { provider model inputPer1M } }"))["prices"]
    minis = [each for each in found if "gpt-4o-mini" in f"{each['model']}" and "openai" in f"{each}"]
    await expect(prices.get_by_role("row")).to_have_count(len(minis) + 1)
    await expect(prices).to_contain_text(f"US${minis[0]['inputPer1M']}")
    differences = page.get_by_role("region", name="Differences to genai-prices")
    opus = differences.get_by_role("row", name="claude-opus-4-6")
    await expect(opus).to_contain_text("Input US$15.00 → US$5.00")
    assert watch.names() == ["Shell", "Prices"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await press(opus, "Compare")
    beside = page.get_by_role("dialog", name="Price of claude-opus-4-6").get_by_role("row", name="Input")
    await expect(beside).to_contain_text("US$15.00US$5.00Changes")
    assert await serious_faults(page, DIALOG) == []


@pytest.mark.slow
async def test_a_price_is_published_after_both_stood_side_by_side_and_a_dry_run_tells_what_follows(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, _ = await site.tenant(credits="300", metered="50")
    now = datetime.now(UTC)
    await record(site, slug, "of-the-tests", now - timedelta(minutes=5))
    await signed_in(page, Role.OPERATOR)
    await page.goto("/operator/prices")
    await press(page, "New price")
    form = page.get_by_role("dialog", name="New price")
    await form.get_by_label("Provider (slug)").fill("nobody")
    await form.get_by_label("Model").fill("of-the-tests")
    await form.get_by_label("Input, USD").fill("2.5")
    await form.get_by_label("Holds from").fill((now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M"))
    await press(form, "Compare")
    await expect(form.get_by_role("row", name="Input")).to_contain_text("–US$2.50Changes")
    await press(form, "Publish the price")
    await expect(form.get_by_role("alert")).to_contain_text("provider")
    await press(form, "Back")
    await form.get_by_label("Provider (slug)").fill("openai")
    await press(form, "Compare")
    await press(form, "Publish the price")
    await expect(form.get_by_role("status").first).to_contain_text("Published: it holds from")
    await press(form, "What would re-rating come to?")
    row = form.get_by_role("row", name=slug)
    await expect(row).to_contain_text("US$2.50")
    await press(form, "Close")
    await page.get_by_label("Provider, model or operation").fill("of-the-tests")
    await press(page, "Show")
    await expect(page.get_by_role("table", name="Prices in force now")).to_contain_text("US$2.50")
    (dry_run,) = [question for question in watch.asked if question.name == "Rerate"]
    assert dry_run.variables["input"]["dryRun"] is True


async def test_margins_of_a_month_are_what_the_api_tells_with_what_was_not_metered(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "60")
    await record(site, slug, "gpt-4o", datetime.now(UTC))
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto(f"/operator/margins?tenant={slug}")
    whole = page.get_by_role("region", name=slug)
    await expect(whole).to_contain_text("US$27.49 gross margin, 91.6% (target 50%)")
    await expect(whole).to_contain_text("Revenue, USDUS$30.00")
    await expect(page.get_by_role("table", name="By provider")).to_contain_text("openai")
    await expect(page.get_by_role("region", name="Was every paid call metered?")).to_contain_text("1 not metered")
    unmetered = page.get_by_role("table", name="Calls that nobody was charged for")
    await expect(unmetered).to_contain_text("It names no feature")
    assert watch.names() == ["Shell", "Margins"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await press(page, "openai gpt-4o")
    await expect(page.get_by_role("dialog", name="Receipt")).to_contain_text("US$2.50")
    await page.keyboard.press("Escape")
    await page.get_by_role("navigation", name="Months").get_by_role("link", name="←").click()
    await expect(page.get_by_text("No work was recorded in this month.").first).to_be_visible()
    await page.get_by_role("link", name="show all").click()
    await expect(page.get_by_role("table", name="By tenant")).to_contain_text("Acme")
    flagged = page.get_by_role("table", name="By feature").get_by_role("row", name="Cost more than it brought in")
    await expect(flagged.first.locator("strong.bad")).to_be_visible()


async def test_a_job_without_success_for_a_day_stands_first_with_why(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    now = datetime.now(UTC)
    await signed_in(page, Role.OPERATOR)
    await page.goto("/operator/jobs")
    await expect(page.get_by_text("No job has run yet")).to_be_visible()
    before = now - timedelta(days=2)
    for job, at in (("check_alerts", now), ("roll_up_usage", before)):
        run = await job_runs.start(site.application, job, at, at)
        await job_runs.end(site.application, run, Progress(7, complete=True), at)
    run = await job_runs.start(site.application, "roll_up_usage", now, now)
    await job_runs.fail(site.application, run, TimeoutError("the database is away"), now)
    await follow_reads(page)
    await page.reload()
    rows = page.get_by_role("table").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("Roll up usage Overdue")
    await expect(rows.nth(1)).to_contain_text("TimeoutError: the database is away")
    await expect(rows.nth(2)).to_contain_text("Check alerts")
    await expect(page.get_by_text("No success for over a day: Roll up usage.")).to_be_visible()
    assert await unread(page) == []
    assert await serious_faults(page) == []


@pytest.mark.parametrize("role", [Role.ADMIN, pytest.param(Role.MEMBER, marks=pytest.mark.slow)])
async def test_nobody_of_a_tenant_sees_an_operators_page_and_the_api_refuses_what_it_would_show(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch, role: Role
) -> None:
    await signed_in(page, role)
    async with httpx.AsyncClient(base_url=site.origin) as http:
        client = Client(http, await site.token(role, "acme"))
        for path, query in OPERATIONS.items():
            await page.goto(f"/operator/{path}")
            await expect(page.get_by_role("alert")).to_contain_text("These pages are for who runs Purser.")
            await expect(page.get_by_role("main")).not_to_contain_text("Globex")
            (error,) = (await client.send(query))["errors"]
            assert error["extensions"] == {"code": "FORBIDDEN"}
    assert set(watch.names()) == {"Shell"}
    await page.get_by_role("navigation", name="Pages").get_by_role("link", name="Usage").click()
    await expect(page.get_by_role("heading", name="Usage")).to_be_visible()
