"""The pages Accounts and Account: what was spent for each of the customer's accounts."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Page, expect

from infra.services.callers import Role
from tests.console.pages import PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.usage import CLAUDE, MINI, administer, call, last_month, record
from tests.console.watching import Watch

ODD = "acct/1 ü"


async def tenant_with_accounts(site: Site) -> str:
    """A tenant that spent 3 dollars on one account and 1 on another, and 0.5 on the first in the month before."""
    slug, _ = await site.tenant()
    await record(
        site,
        slug,
        call("0.5", MINI, last_month(), account=ODD),
        call("1", MINI, account=ODD),
        call("2", CLAUDE, account=ODD),
        call("1", CLAUDE, account="acct-2"),
    )
    await administer(site, slug, "nameScope", kind="ACCOUNT", id=ODD, name="Hotel Bellevue")
    return slug


async def test_accounts_stand_by_cost_and_each_leads_to_its_own_page(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.MEMBER, await tenant_with_accounts(site))
    await follow_reads(page)
    await page.goto("/accounts")
    rows = page.get_by_role("table", name="Accounts").get_by_role("row")
    await expect(rows.nth(1)).to_have_text(f"Hotel Bellevue {ODD}2US$3.00US$0.50")
    await expect(rows.nth(2)).to_have_text("acct-21US$1.00US$0.00")
    assert watch.names() == ["Shell", "Accounts"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.get_by_role("link", name="Hotel Bellevue").click()
    await expect(page.get_by_role("heading", name="Hotel Bellevue", level=1)).to_be_visible()
    costs = page.get_by_role("region", name="What it has cost")
    month = f"{datetime.now(UTC):%B %Y}"
    for figure in (f"{month}US$3.00", "Calls of the month2", "All timeUS$3.50", "language models: US$3.50"):
        await expect(costs).to_contain_text(figure)
    for name, first in (("By model", "claude-haiku anthropic1US$2.00"), ("By feature", "Without a feature2US$3.00")):
        await expect(page.get_by_role("table", name=name).get_by_role("row").nth(1)).to_have_text(first)
    await expect(page.get_by_role("table", name="Calls").get_by_role("row")).to_have_count(3)
    await expect(page.locator(".js-plotly-plot")).to_have_count(1)
    assert watch.names() == ["Shell", "Accounts", "Account"]
    assert await unread(page) == []
    assert await serious_faults(page) == []


@pytest.mark.slow
async def test_an_account_fits_a_phone_in_the_dark_and_an_unknown_one_has_cost_nothing(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    page = await open_page(viewport=PHONE, color_scheme="dark")
    slug = await tenant_with_accounts(site)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/accounts/acct-2")
    await expect(page.locator(".js-plotly-plot")).to_have_count(1)
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.goto("/accounts/nobody")
    await expect(page.get_by_text("Nothing was recorded for it")).to_be_visible()
    await page.goto("/accounts?month=2020-01")
    await expect(page.get_by_text("Nothing was recorded in January 2020")).to_be_visible()
    assert await fits_its_width(page)
