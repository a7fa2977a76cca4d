"""The operator's pages of tenants: who spends how much, a new tenant with its first key, and what is decided about one."""

import re
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from infra.services import cycles
from infra.services.callers import Role
from tests.console.pages import DIALOG, PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch
from tests.graphql_api.client import Client


async def asked(site: Site, query: str, tenant: str | None = None, role: Role = Role.OPERATOR) -> Any:
    """What the API answers to a query of this role."""
    async with httpx.AsyncClient(base_url=site.origin) as http:
        named = tenant if role is Role.OPERATOR else None
        token = await site.token(role, None if role is Role.OPERATOR else tenant)
        return await Client(http, token, named).ask(query)


async def press(place: Page | Locator, name: str) -> None:
    await place.get_by_role("button", name=name, exact=True).click()


async def test_tenants_stand_by_what_they_spend_and_are_found_by_name(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto("/operator/tenants")
    rows = page.get_by_role("table").get_by_role("row")
    document = "{ tenantSpending(first: 100) { edges { node { spent usedPercent tenant { name } } } } }"
    tenants = [edge["node"] for edge in (await asked(site, document))["tenantSpending"]["edges"]]
    await expect(rows.nth(1)).to_contain_text(tenants[0]["tenant"]["name"])
    (acme,) = [each for each in tenants if each["tenant"]["name"] == "Acme"]
    row = page.get_by_role("row", name="Acme")
    await expect(row).to_contain_text(f"US${float(acme['spent']):,.2f}")
    await expect(row).to_contain_text("US$150.00")
    await expect(row.get_by_role("meter")).to_have_attribute("aria-valuenow", str(round(acme["usedPercent"])))
    await expect(page.get_by_role("row", name="Hooli")).to_contain_text("Suspended")
    assert watch.names() == ["Shell", "Tenants"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.get_by_label("Name or slug").fill("glob")
    await press(page, "Show")
    await expect(rows).to_have_count(2)
    assert page.url.endswith("/operator/tenants?search=glob")
    await page.get_by_label("Name or slug").fill("nobody")
    await press(page, "Show")
    await expect(page.get_by_text("No tenant's name has “nobody” in it.")).to_be_visible()
    await page.go_back()
    await page.get_by_role("link", name="Globex").click()
    await expect(page.get_by_role("heading", name="Globex", level=1)).to_be_visible()


async def test_a_tenant_is_created_with_its_first_key_which_is_shown_once(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.OPERATOR)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto("/operator/tenants")
    await press(page, "New tenant")
    form = page.get_by_role("dialog", name="New tenant")
    await form.get_by_label("Name").fill("Umbrella")
    await form.get_by_label("Slug").fill("acme")
    await form.get_by_label("Region and plan").select_option("middle_east/growth")
    await form.get_by_label("Time zone of its months").select_option("Asia/Dubai")
    assert await serious_faults(page, DIALOG) == []
    await press(form, "Create the tenant")
    await expect(form.get_by_role("alert")).to_contain_text("another tenant has it")
    await form.get_by_label("Slug").fill("umbrella")
    await press(form, "Create the tenant")
    await expect(form.get_by_role("status").first).to_contain_text("Umbrella is there.")
    await form.get_by_label("Name").fill("first-key")
    await form.get_by_label("Role").select_option("ADMIN")
    await press(form, "Create")
    shown = page.get_by_role("dialog", name="The new key")
    token = await shown.get_by_text(re.compile("^psk_.{30}")).inner_text()
    await press(shown, "Copy")
    await expect(page.get_by_text("Copied.")).to_be_attached()
    assert await page.evaluate("navigator.clipboard.readText()") == token
    await press(shown, "Close")
    async with httpx.AsyncClient(base_url=site.origin) as http:
        viewer = (await Client(http, token).ask("{ viewer { role tenant { slug timeZone plan { key } } } }"))["viewer"]
    tenant = {"slug": "umbrella", "timeZone": "Asia/Dubai", "plan": {"key": "growth"}}
    assert viewer == {"role": "ADMIN", "tenant": tenant}
    await page.goto("/operator/tenants?search=umbrella")
    await page.get_by_role("link", name="Umbrella").click()
    await expect(page.get_by_role("table", name="API keys")).to_contain_text("first-key")
    await expect(page.get_by_role("region", name="Metered")).to_contain_text("US$0.00 available")
    assert token not in await page.content()


async def test_a_tenants_account_is_what_the_api_tells_and_no_more_is_asked(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto("/operator/tenants/acme")
    usage = """{ spendAgainstCap { spent } tenantUsage {
        wallets { key available } models { total { calls } byModel { keys { value } totals { calls inputTokens } } } } }"""
    answer = await asked(site, usage, "acme")
    models = answer["tenantUsage"]["models"]
    spent = page.get_by_role("region", name="Spent in")
    await expect(spent).to_contain_text(f"US${float(answer['spendAgainstCap']['spent']):,.2f} of US$150.00")
    of_models = page.get_by_role("region", name=re.compile("^Language models, "))
    await expect(of_models.locator("dl")).to_contain_text(f"Calls{int(models['total']['calls']):,}")
    most = models["byModel"][0]
    row = page.get_by_role("table", name="Language models by model").get_by_role("row").nth(1)
    await expect(row).to_contain_text(most["keys"][1]["value"])
    await expect(row).to_contain_text(f"{int(most['totals']['inputTokens']):,}")
    await expect(page.get_by_role("table", name="Language models by agent role")).to_contain_text("Keyword research")
    assert watch.names() == ["Shell", "Tenant"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.get_by_role("link", name="Open their pages").click()
    await expect(page.get_by_role("navigation", name="Pages")).to_contain_text("Campaigns")
    await expect(page.get_by_role("region", name="Credits")).to_be_visible()
    await page.get_by_role("link", name="Back to the tenant").click()
    await expect(page).to_have_url(re.compile("/operator/tenants/acme$"))


async def test_a_balance_is_adjusted_to_what_was_shown_before(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, caller = await site.tenant(credits="300.6", metered="5")
    await site.call(caller, "0.1")
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/operator/tenants/{slug}")
    for amount, told, before, shown in (
        ("25.25", "Credits: 300.5 available now, 325.75 afterwards.", "300.5", "325.75"),
        ("-400", "Credits: 325.75 available now, -74.25 afterwards.", "325.75", "-74.25"),
    ):
        await press(page, "Adjust a balance")
        form = page.get_by_role("dialog", name="Adjust a balance")
        await form.get_by_label("Wallet").select_option("credits")
        await form.get_by_label("Amount").fill(amount)
        await expect(form.get_by_text(told)).to_be_visible()
        await press(form, "Adjust")
        await expect(form.get_by_label("Why")).to_be_focused()
        await form.get_by_label("Why").fill(f"Agreed by phone: {amount}")
        await press(form, "Adjust")
        await expect(form.get_by_role("status").first).to_contain_text(f"before{before}Available now{shown}")
        await press(form, "Close")
        await expect(page.get_by_role("region", name="Credits")).to_contain_text(f"{shown} available")
        await expect(page.get_by_role("table", name="Latest moves")).to_contain_text(f"Agreed by phone: {amount}")
    await expect(page.get_by_role("region", name="Credits")).to_contain_text("Owed74.25")


@pytest.mark.slow
async def test_a_tenant_changes_its_plan_is_suspended_resumed_and_closed_for_good(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant()
    await cycles.start_cycle(site.application, caller.tenant_id)
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/operator/tenants/{slug}")
    account = page.get_by_role("region", name="Account")
    await press(account, "Change plan")
    await page.get_by_role("dialog").get_by_label("Plan").select_option("starter")
    await press(page, "Change the plan")
    await expect(account).to_contain_text("From the next cycle on: Starter.")
    await press(account, "Suspend")
    await press(page.get_by_role("dialog", name="Suspend?"), "Suspend")
    await expect(account).to_contain_text("Suspended")
    await press(account, "Resume")
    await expect(account).to_contain_text("Active")
    await press(account, "Close for good")
    closing = page.get_by_role("dialog")
    await closing.get_by_label(f"Type {slug}").fill(f"{slug}-not")
    await press(closing, "Close it for good")
    await expect(closing.get_by_label(f"Type {slug}")).to_be_focused()
    assert watch.names()[-1] != "Decide"
    await closing.get_by_label(f"Type {slug}").fill(slug)
    await press(closing, "Close it for good")
    await expect(account).to_contain_text("Closed")
    await expect(account.get_by_role("button")).to_have_count(0)
    assert (await asked(site, "{ tenant { status } }", slug))["tenant"] == {"status": "CLOSED"}


@pytest.mark.slow
async def test_an_operator_sees_a_tenants_keys_and_the_margin_in_its_receipts(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "60")
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/operator/tenants/{slug}")
    await press(page, "Consumed")
    await expect(page.get_by_role("dialog", name="Receipt")).to_contain_text("for operators: gross margin")
    await page.keyboard.press("Escape")
    await press(page, "Create a key")
    form = page.get_by_role("dialog", name="Create an API key")
    await form.get_by_label("Name").fill("worker")
    await press(form, "Create")
    await expect(page.get_by_text(re.compile("^psk_.{30}"))).to_be_visible()
    await press(page.get_by_role("dialog"), "Close")
    row = page.get_by_role("row", name="worker")
    await press(row, "Revoke")
    await press(page.get_by_role("dialog", name="Revoke?"), "Revoke")
    await expect(row).to_contain_text("has ended")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["tenants", "tenants/acme", "margins", "rate-cards", "prices", "jobs"])
async def test_a_phone_in_the_dark_shows_every_operators_page(
    open_page: OpenPage, signed_in: SignedIn, path: str
) -> None:
    page = await open_page(color_scheme="dark", viewport=PHONE)
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/operator/{path}")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
