"""The console by keyboard alone: the focus stays where its reader left it, whatever is drawn anew."""

from datetime import date

from playwright.async_api import Page, expect

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.expenses import ExpenseEntry, ExpenseKind
from domain.refusals import BudgetScope
from infra.services import expenses
from infra.services.callers import Role
from tests.console.pages import PHONE, OpenPage, SignedIn
from tests.console.site import Site
from tests.console.watching import Watch
from tests.domain.builders import nano
from tests.infra.builders import cap


async def test_the_skip_link_leads_to_the_page_and_asks_for_nothing(
    page: Page, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.ADMIN)
    await page.goto("/alerts")
    await expect(page.get_by_role("heading", name="Alerts", exact=True)).to_be_visible()
    asked = watch.names()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()
    assert watch.names() == asked


async def test_a_way_out_leads_to_the_card_that_it_speaks_of(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, caller = await site.tenant(credits="100")
    await cap(site.application, caller, BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL), "10", "c")
    await site.call(caller, "1", cost="10", attribution=Attribution(campaign="spring"))
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/plan")
    await page.get_by_role("link", name="Raise the cap").click()
    await expect(page.get_by_role("region", name="Caps", exact=True)).to_be_focused()
    change = page.get_by_role("row", name="A campaign in all").get_by_role("button", name="Change")
    await change.focus()
    await page.keyboard.press("Enter")
    amount = page.get_by_label("At most (US dollars)")
    await expect(amount).to_be_focused()
    await amount.fill("20")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row", name="A campaign in all")).to_contain_text("US$20.00")
    await expect(change).to_be_focused()


async def test_more_rows_leave_the_focus_beside_them(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, caller = await site.tenant()
    entry = ExpenseEntry("spring", ExpenseKind.EVENT, "EUR", date(2026, 11, 3), nano("1"))
    for number in range(41):
        await expenses.add_expense(site.application, caller, f"expense-{number}", entry)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns/spring")
    rows = page.get_by_role("table", name="Expenses").get_by_role("row")
    more = page.get_by_role("button", name="Show more")
    await more.focus()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(41)
    await expect(more).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(42)
    await expect(page.get_by_role("group", name="Expenses")).to_be_focused()
    await expect(page.locator("#said")).to_have_text("One more row")


async def test_the_menu_of_a_phone_closes_with_escape_and_with_the_page_that_was_chosen(
    open_page: OpenPage, signed_in: SignedIn
) -> None:
    page = await open_page(viewport=PHONE)
    await signed_in(page, Role.ADMIN)
    await page.goto("/plan")
    menu = page.get_by_role("button", name="Menu")
    await menu.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Audit log")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(menu).to_be_focused()
    await expect(menu).to_have_attribute("aria-expanded", "false")
    # What cannot wait stands folded, or it would take half of the screen.
    paused = page.get_by_role("region", name="Notices").get_by_text("Paused (4)")
    await expect(page.get_by_role("link", name="Resume it")).to_be_hidden()
    await paused.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Resume it")).to_be_visible()
    await menu.click()
    await page.get_by_role("link", name="Audit log").click()
    await expect(page.get_by_role("heading", name="Audit log", exact=True)).to_be_visible()
    await expect(page.get_by_role("link", name="Alerts", exact=True)).to_be_hidden()
    await expect(page.get_by_role("link", name="Resume it")).to_be_visible()
