"""The page Audit log: who decided what, narrowed by the address; members are refused."""

from datetime import date

import pytest
from playwright.async_api import Page, expect

from domain.budgets import ScopeKey, ScopeKind
from infra.services import expenses, scopes
from infra.services.callers import Role
from tests.console.pages import PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch

CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "a/b")


async def test_decisions_stand_with_their_details_and_are_narrowed(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, admin = await site.tenant()
    await site.token(Role.ADMIN, slug)
    await expenses.record_customers_won(site.application, admin, "won", "a/b", 4, date(2026, 11, 3))
    await scopes.pause_scope(site.application, admin, "pause", CAMPAIGN, "Waits for the logo")
    await signed_in(page, Role.ADMIN, slug)
    await follow_reads(page)
    await page.goto("/audit-log")
    rows = page.get_by_role("table", name="Decisions").get_by_role("row")
    await expect(rows.nth(1)).to_contain_text("key:testAdminPause scopeCampaigna/bReason Waits for the logo")
    await expect(rows.nth(2)).to_contain_text("Record customers wonCampaigna/bCount 4On 2026-11-03")
    assert watch.names() == ["Shell", "AuditLog"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await rows.nth(2).get_by_role("link", name="Record customers won").click()
    await expect(rows).to_have_count(2)
    assert page.url.endswith("/audit-log?operations=recordCustomersWon")
    await page.get_by_label("By").fill("key:nobody")
    await page.get_by_label("From day").fill("2026-11-01")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_text("Nothing was decided that fits.")).to_be_visible()
    await page.go_back()
    await expect(rows).to_have_count(2)


@pytest.mark.slow
async def test_members_are_refused_and_operators_see_it_on_a_phone(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, admin = await site.tenant()
    await scopes.name_scope(site.application, admin, "name", ScopeKey(ScopeKind.CAMPAIGN, "x" * 200), "y" * 200)
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/audit-log")
    await expect(page.get_by_text("This is not for you to see or do")).to_be_visible()
    await signed_in(page, Role.OPERATOR)
    await page.goto(f"/audit-log?tenant={slug}")
    await expect(page.get_by_role("table", name="Decisions")).to_contain_text("y" * 200)
    await expect(page.get_by_role("link", name="x" * 200)).to_have_attribute(
        "href", f"/campaigns/{'x' * 200}?tenant={slug}"
    )
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
