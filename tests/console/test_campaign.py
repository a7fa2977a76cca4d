"""The page of one campaign: what was tracked beside what was entered, from an expense to the new CAC, and its cap."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from domain.expenses import ExpenseEntry, ExpenseKind
from infra.services import expenses
from infra.services.callers import Role
from tests.console.pages import SignedIn, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch
from tests.domain.builders import nano

DAY = date(2026, 11, 3)
COSTS = """{ campaignCosts(campaign: "spring") { autoTrackedUsd autoTrackedLlmUsd models(top: 1) { model calls costUsd } } }"""


async def told(page: Page, site: Site, query: str) -> dict[str, Any]:
    """What the API tells the administrator of acme."""
    headers = {"Authorization": f"Bearer {await site.token(Role.ADMIN, 'acme')}"}
    answer = await page.request.post("/graphql", data={"query": query}, headers=headers)
    data: dict[str, Any] = (await answer.json())["data"]
    return data


def usd(text: str) -> str:
    """Dollars of one or more, as the page writes them."""
    assert Decimal(text) >= 1
    return f"US${Decimal(text):,.2f}"


def card(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


async def test_what_was_tracked_stands_beside_what_was_entered_and_is_not_added_in(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.ADMIN)
    await follow_reads(page)
    await page.goto("/campaigns/spring")
    await expect(page.get_by_role("heading", name="Spring launch")).to_be_visible()
    acquisition = card(page, "Cost of acquisition (CAC)")
    await expect(acquisition).to_contain_text("€482.86 for each customer")
    await expect(acquisition).to_contain_text("it is never added in")
    costs = (await told(page, site, COSTS))["campaignCosts"]
    tracked = card(page, "Tracked by itself, in US dollars")
    await expect(tracked).to_contain_text(f"{usd(costs['autoTrackedLlmUsd'])} for language models")
    await expect(tracked).to_contain_text(f"All calls{usd(costs['autoTrackedUsd'])}")
    (model,) = costs["models"]
    first = page.get_by_role("table", name="Models by cost").get_by_role("row").nth(1)
    await expect(first).to_contain_text(model["model"])
    await expect(first).to_contain_text(f"{model['calls']}{usd(model['costUsd'])}")
    entered = page.get_by_role("table", name="Expenses").get_by_role("row")
    await expect(entered).to_have_count(5)
    await expect(entered.nth(1)).to_contain_text("€750.0012.5 h × €60.00")
    await expect(card(page, "Budget")).to_contain_text("of US$200.00 in all")
    assert watch.names() == ["Shell", "Campaign"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.goto("/campaigns/spring?from=2026-11-04&to=2026-11-10")
    await expect(entered).to_have_count(3)
    await expect(acquisition).to_contain_text("No customers were won.")


async def test_an_expense_leads_to_the_new_cac_and_keeps_its_history(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns/spring")
    acquisition = card(page, "Cost of acquisition (CAC)")
    await expect(acquisition).to_contain_text("No expenses were entered.")
    await page.get_by_label("Amount").fill("1000")
    await page.get_by_label("Currency").fill("eur")
    await page.get_by_label("Day", exact=True).fill("2026-11-03")
    await page.get_by_label("What for").fill("=1+1 <b>")
    await page.get_by_role("button", name="Add expense").click()
    await expect(acquisition).to_contain_text("No customers were won.")
    await page.get_by_label("Customers won").fill("3")
    await page.get_by_role("button", name="Record customers").click()
    await expect(acquisition).to_contain_text("€333.34 for each customer")
    await page.get_by_role("button", name="Edit Adwords").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Kind").select_option("Labor")
    await dialog.get_by_label("Hours").fill("7.5")
    await dialog.get_by_label("Per hour").fill("33.333333333")
    await dialog.get_by_role("button", name="Save").click()
    await expect(acquisition).to_contain_text("€83.34 for each customer")
    await page.get_by_role("button", name="History of Labor").click()
    versions = page.get_by_role("table", name="History of Labor").get_by_role("row")
    await expect(versions.nth(1)).to_contain_text("1. Added")
    await expect(versions.nth(2)).to_contain_text("€250.00")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Delete Labor").click()
    await page.get_by_label("Why").fill("Entered twice")
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(acquisition).to_contain_text("No expenses were entered.")
    await page.get_by_role("button", name="Deleted expenses").click()
    await expect(page.get_by_role("table", name="Deleted expenses")).to_contain_text("€250.00")
    await page.keyboard.press("Escape")
    for currency in ("EUR", "INR"):
        entry = ExpenseEntry("spring", ExpenseKind.OTHER, currency, DAY, nano("5"))
        await expenses.add_expense(site.application, admin, currency, entry)
    await page.reload()
    await expect(acquisition).to_contain_text("Expenses in several currencies (EUR, INR)")


@pytest.mark.slow
async def test_a_cap_is_set_and_removed_and_the_campaign_is_named_and_taken_out_of_use(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    await expenses.record_customers_won(site.application, admin, "won", "spring", 4, DAY)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/campaigns/spring")
    budget = card(page, "Budget")
    await budget.get_by_role("button", name="Set a cap").click()
    await page.get_by_label("At most (US dollars)").fill("0")
    await page.get_by_role("button", name="Set the cap").click()
    await expect(budget).to_contain_text("US$0.00 of US$0.00 in all")
    await expect(budget).to_contain_text("People are told at 80%, 100%.")
    await budget.get_by_role("button", name="Change the cap").click()
    await page.get_by_role("button", name="Remove").click()
    await expect(budget).to_contain_text("No cap")
    await page.get_by_role("button", name="Name").click()
    await page.get_by_label("Name", exact=True).fill("Spring sale")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Spring sale")).to_be_visible()
    await budget.get_by_role("button", name="Take out of use").click()
    await page.get_by_role("dialog").get_by_role("button", name="Take out of use").click()
    await expect(budget).to_contain_text("InactiveTaken out of use.")
    await budget.get_by_role("button", name="Resume").click()
    await expect(budget).to_contain_text("Active")


@pytest.mark.slow
async def test_what_is_used_up_says_the_way_out_and_members_are_offered_nothing(
    page: Page, signed_in: SignedIn
) -> None:
    await signed_in(page, Role.ADMIN)
    await page.goto("/campaigns/winter-clearance")
    budget = card(page, "Budget")
    await expect(budget).to_contain_text("Its budget is used up.Raise the cap, and it may spend again.")
    await signed_in(page, Role.MEMBER)
    await page.reload()
    await expect(budget).to_contain_text("Its budget is used up.")
    await expect(budget.get_by_role("button")).to_have_count(0)
    for deed in ("Add expense", "Edit", "Delete Adwords", "Record customers", "Name"):
        await expect(page.get_by_role("button", name=deed)).to_have_count(0)
    await expect(page.get_by_role("button", name="History of Adwords").first).to_be_visible()
