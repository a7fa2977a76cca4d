"""The page Campaigns: what each has cost, quick add, pausing, the import of a file, and names of any kind."""

from datetime import date

import pytest
from playwright.async_api import Page, expect

from domain.expenses import ExpenseEntry, ExpenseKind
from infra.queries import campaign_costs
from infra.queries.campaign_costs import CostsKey
from infra.services import expenses
from infra.services.callers import Caller, Role
from tests.console.pages import DIALOG, PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch
from tests.domain.builders import nano

DAY = date(2026, 11, 3)
ODD = "a/b?c=1&d#e \"f\" 'g' 100%"
NAMES = (ODD, "🚲 قافلة الربيع", "x" * 200, "<img src=x onerror=alert(1)>")
FILE = b"campaign,kind,amount,currency,incurredOn\nspring,event,20.5,EUR,2026-11-03\nspring,gift,1,EUR,2026-11-03\n"


async def enter(site: Site, caller: Caller, campaign: str, amount: str, currency: str = "EUR") -> None:
    entry = ExpenseEntry(campaign, ExpenseKind.AGENCY, currency, DAY, nano(amount), description=campaign)
    await expenses.add_expense(site.application, caller, f"{campaign[:50]} {amount} {currency}", entry)


async def booked(site: Site, caller: Caller) -> int:
    """How many expenses the tenant has."""
    key = CostsKey("spring")
    (entered,) = await campaign_costs.entered(site.application, caller.tenant_id, [key])
    return entered.expenses


async def test_each_campaign_stands_with_its_costs_and_what_a_customer_has_cost(
    page: Page, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.MEMBER)
    await follow_reads(page)
    await page.goto("/campaigns")
    rows = page.get_by_role("table", name="Campaigns").get_by_role("row")
    spring = rows.filter(has=page.get_by_role("link", name="Spring launch"))
    for text in ("for Northwind Bikes", "€3,380.00", "4 entered", "€482.86", "of US$200.00 in all"):
        await expect(spring).to_contain_text(text)
    for campaign, text in {
        "newsletter": "No customers were won.",
        "partner-webinar": "No expenses were entered.",
        "trade-fair": "Expenses in several currencies (CHF, EUR): nothing is converted.",
        "winter-clearance": "Its budget is used up.",
    }.items():
        await expect(rows.filter(has_text=campaign)).to_contain_text(text)
    assert watch.names() == ["Shell", "Campaigns"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    for deed in ("Add an expense", "Pause", "Resume", "Import expenses"):
        await expect(page.get_by_role("button", name=deed)).to_have_count(0)
    await page.get_by_label("From day").fill("2026-11-04")
    await page.get_by_label("To day").fill("2026-11-03")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_text("The first day lies after the last.")).to_be_visible()
    await page.get_by_label("To day").fill("2026-11-10")
    await page.get_by_role("button", name="Show").click()
    await expect(spring).to_contain_text("€1,380.00")
    assert page.url.endswith("/campaigns?from=2026-11-04&to=2026-11-10")
    await page.get_by_role("link", name="Show everything").click()
    await expect(spring).to_contain_text("€3,380.00")


async def test_an_expense_is_entered_in_the_row_and_the_campaign_is_paused_and_resumed(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    await enter(site, admin, "spring", "100")
    await expenses.record_customers_won(site.application, admin, "won", "spring", 4, DAY)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns")
    rows = page.get_by_role("table", name="Campaigns").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("€25.00")
    add = page.get_by_role("button", name="Add an expense of spring")
    await add.click()
    await expect(page.get_by_label("Kind")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(add).to_be_focused()
    await add.click()
    await page.get_by_label("Kind").select_option("Labor")
    await expect(page.get_by_label("Amount")).to_be_hidden()
    await page.get_by_label("Hours").fill("2.5")
    await page.get_by_label("Per hour").fill("40")
    await page.get_by_role("button", name="Add expense", exact=True).click()
    await expect(rows.nth(1)).to_contain_text("€50.00")
    await page.get_by_role("button", name="Pause spring").click()
    await page.get_by_label("Why").fill("Waits for ACME's logo")
    await page.get_by_role("button", name="Pause", exact=True).click()
    await expect(rows.nth(1)).to_contain_text("Waits for ACME's logo")
    await page.get_by_role("button", name="Resume").click()
    await expect(rows.nth(1)).to_contain_text("Active")


async def test_a_file_is_judged_row_by_row_before_it_is_booked(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, admin = await site.tenant()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns")
    await expect(page.get_by_text("There is no campaign yet")).to_be_visible()
    await page.get_by_role("button", name="Import expenses").click()
    await page.get_by_label("CSV file").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": FILE})
    await page.get_by_role("button", name="Check the file").click()
    rows = page.get_by_role("table", name="Rows of the file").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("3Rejectedkind must be one of adwords")
    await expect(rows.nth(2)).to_contain_text("2Accepted")
    assert await booked(site, admin) == 0
    assert await serious_faults(page, DIALOG) == []
    await page.get_by_role("button", name="Book the 1 accepted rows, leave the others out").click()
    await expect(page.get_by_role("heading", name="Booked")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("table", name="Campaigns").get_by_role("row").nth(1)).to_contain_text("€20.50")


@pytest.mark.slow
async def test_names_of_any_kind_fit_a_phone_and_lead_to_their_pages(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    for name in NAMES:
        await enter(site, admin, name, "123456789.5")
    await enter(site, admin, ODD, "12000", "JPY")
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns")
    await expect(page.get_by_role("link", name=NAMES[2])).to_be_visible()
    await expect(page.get_by_role("table", name="Campaigns")).to_contain_text("JP¥12,000")
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.get_by_role("link", name=ODD).click()
    await expect(page.get_by_role("heading", name=ODD)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name=ODD)).to_be_visible()
    await page.goto("/campaigns/%E0%A4%A")
    await expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    await page.goto(f"/campaigns/{NAMES[2]}")
    await expect(page.get_by_role("table", name="Expenses")).to_be_visible()
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
