"""The page Alerts: what people were told, by kind, and what they are told meanwhile."""

from datetime import date

from playwright.async_api import Page, expect

from domain.alerts import Alert, AlertKind
from domain.refusals import BudgetScope
from infra.services.alerts import raise_alert
from infra.services.callers import Role
from tests.console.pages import PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch

DAY = date(2026, 11, 21)
FULL = Alert(AlertKind.BUDGET, BudgetScope.CAMPAIGN, "a/b", 10_000, DAY, "The campaign is paused.", "It is at 100 %.")
LOW = Alert(AlertKind.LOW_BALANCE, None, "metered", 0, DAY, None, "It runs low: " + "x" * 150)


async def test_alerts_stand_newest_first_and_are_narrowed_by_kind(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, admin = await site.tenant()
    for alert in (FULL, LOW):
        await raise_alert(site.application, admin.tenant_id, alert)
    await signed_in(page, Role.MEMBER, slug)
    await follow_reads(page)
    await page.goto("/alerts")
    rows = page.get_by_role("table", name="Alerts").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("Low balancemeteredIt runs low")
    await expect(rows.nth(2)).to_contain_text("BudgetCampaigna/b100%It is at 100 %.The campaign is paused.")
    await expect(page.get_by_role("link", name="a/b")).to_have_attribute("href", "/campaigns/a%2Fb")
    assert watch.names() == ["Shell", "Alerts"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await page.get_by_label("About").select_option("Budget")
    await page.get_by_role("button", name="Show").click()
    await expect(rows).to_have_count(2)
    assert page.url.endswith("/alerts?kind=budget")


async def test_a_new_alert_appears_by_itself_but_takes_no_form_away(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/alerts")
    await expect(page.get_by_text("Nobody had to be told anything yet.")).to_be_visible()
    # What the shell follows has begun when the state is live, and the alert comes after.
    await expect(page.get_by_title("Figures move by themselves")).to_contain_text("Live")
    await raise_alert(site.application, admin.tenant_id, LOW)
    # On a phone there is no row of heads.
    rows = page.get_by_role("table", name="Alerts").get_by_role("row")
    await expect(rows).to_have_count(1)
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.get_by_label("About").focus()
    await raise_alert(site.application, admin.tenant_id, FULL)
    await expect(page.get_by_role("status")).to_contain_text("It is at 100 %.")
    await expect(page.get_by_label("About")).to_be_focused()
    await expect(rows).to_have_count(1)
