"""The page Plan: what the plan gives, what fits into it, and what administrators change about it."""

import pytest
from playwright.async_api import Locator, Page, expect

from domain.attribution import Attribution
from domain.ids import NIL
from infra.services.callers import Caller, Refused, Role
from infra.services.tenants import TenantOrder, create_tenant
from tests.console.pages import PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch


async def subscribed(site: Site, slug: str, plan: str) -> str:
    """A tenant in the first cycle of a plan."""
    order = TenantOrder(slug, slug, "india", plan, False, "UTC")
    made = await create_tenant(site.application, Caller(NIL, Role.OPERATOR, "key:test"), slug, order)
    assert not isinstance(made, Refused), made.refusal
    return slug


def plan(page: Page, name: str) -> Locator:
    return page.get_by_role("table", name="Plans", exact=True).get_by_role("row", name=name)


async def test_the_plan_its_figures_and_its_rates_are_those_of_the_api_and_no_more_is_asked(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", attribution=Attribution(agent_role="writer"))
    await signed_in(page, Role.ADMIN, slug)
    await follow_reads(page)
    await page.goto("/plan")
    own = page.get_by_role("region", name="Your plan: Professional")
    for figure in ("₹49,999.00", "1 of 15", "1 of 25", "300", "10,000"):
        await expect(own).to_contain_text(figure)
    await expect(plan(page, "Starter")).to_contain_text("100 credits")
    await expect(page.get_by_role("table", name="Bundles")).to_contain_text("₹2,100.00")
    assert watch.names() == ["Shell", "Plan"]
    assert await unread(page) == []
    assert await serious_faults(page) == []
    rates = page.get_by_role("table", name="Rates")
    await page.get_by_role("searchbox", name="Find a rate").fill("blog post")
    await expect(rates.get_by_role("row", name="SEO Blog Post")).to_contain_text("2")
    await expect(rates.get_by_role("row", name="Profile draft")).to_have_count(0)
    await page.get_by_role("searchbox", name="Find a rate").fill("nothing is called so")
    await expect(page.get_by_text("Nothing is called so.")).to_be_visible()


async def test_what_is_wanted_is_added_up_and_every_plan_says_whether_it_holds_it(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant()
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/plan")
    await page.get_by_label("What", exact=True).select_option(label="SEO Blog Post")
    await page.get_by_label("How many").fill("100")
    await page.get_by_role("button", name="Add").click()
    fitting = page.get_by_role("table", name="Which plans hold it")
    await expect(fitting.get_by_role("row", name="Starter")).to_contain_text("too small")
    await expect(fitting.get_by_role("row", name="Starter")).to_contain_text("100 credits")
    await expect(fitting.get_by_role("row", name="Professional")).to_contain_text("fits")
    await page.get_by_label("What", exact=True).select_option(label="Strategy Document")
    await page.get_by_label("How many").fill("30")
    await page.get_by_role("button", name="Add").click()
    await expect(fitting.get_by_role("row", name="Professional")).to_contain_text("too small")
    await expect(page.get_by_role("table", name="What it takes").get_by_role("row")).to_have_count(3)
    await page.get_by_label("How many").fill("9999999999999999")
    await page.get_by_role("button", name="Add").click()
    await expect(page.get_by_role("region", name="What fits in the plan").get_by_role("alert")).not_to_be_empty()
    await page.get_by_role("button", name="Begin anew").click()
    await expect(fitting).to_have_count(0)


@pytest.mark.slow
async def test_a_month_is_played_again_under_another_cap(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", cost="1", attribution=Attribution(agent_role="writer"))
    await signed_in(page, Role.MEMBER, slug)
    await follow_reads(page)
    await page.goto("/plan")
    question = page.get_by_role("region", name="What if")
    await question.get_by_label("Month", exact=True).fill(f"{site.application.clock():%Y-%m}")
    await question.get_by_label("Tenant's monthly cap").fill("0.1")
    await question.get_by_role("button", name="Play it again").click()
    twice = page.get_by_role("table", name="The month, twice")
    await expect(twice.get_by_role("row", name="Cost")).to_contain_text("$1.00")
    await expect(twice.get_by_role("row", name="Refused: budget exceeded, tenant")).to_contain_text("1, US$1.00")
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await question.get_by_label("Month", exact=True).fill("2099-01")
    await question.get_by_role("button", name="Play it again").click()
    await expect(question.get_by_text("has not begun yet")).to_be_visible()


async def test_a_cheaper_plan_comes_with_the_next_cycle_and_is_taken_back(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug = await subscribed(site, "saving", "professional")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/plan")
    await plan(page, "Starter").get_by_role("button", name="Change to Starter").click()
    asked = page.get_by_role("dialog")
    await expect(asked).to_contain_text("It holds from the next cycle, ")
    await expect(asked).to_contain_text("for ₹34,999.00 a month. Until then Professional stays.")
    await asked.get_by_role("button", name="Change to Starter").click()
    await expect(plan(page, "Starter")).to_contain_text("from the next cycle")
    own = page.get_by_role("region", name="Your plan: Professional")
    await expect(own).to_contain_text("From the next cycle on, ")
    await plan(page, "Professional").get_by_role("button", name="Keep Professional").click()
    await asked.get_by_role("button", name="Keep Professional").click()
    await expect(own).not_to_contain_text("From the next cycle on")


@pytest.mark.slow
async def test_a_dearer_plan_holds_at_once(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug = await subscribed(site, "small", "starter")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/plan")
    await plan(page, "Professional").get_by_role("button", name="Change to Professional").click()
    asked = page.get_by_role("dialog")
    await expect(asked).to_contain_text("It holds at once, for ₹49,999.00 a month")
    await asked.get_by_role("button", name="Change to Professional").click()
    await expect(page.get_by_role("region", name="Your plan: Professional")).to_contain_text("of 25")
    await expect(page.get_by_role("banner")).to_contain_text("Professional")


@pytest.mark.slow
async def test_cycles_move_with_the_next_one(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug = await subscribed(site, "moving", "professional")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/plan")
    await page.get_by_role("button", name="Change the cycle").click()
    await page.get_by_label("Cycles begin on day").fill("15")
    await page.get_by_label("Time zone").fill("Atlantis/Capital")
    await page.get_by_role("button", name="Save").click()
    zone = page.get_by_label("Time zone")
    await expect(zone).to_have_accessible_description(
        "An IANA name such as Asia/Kolkata. Months of budgets follow it too. must be an IANA name such as Asia/Kolkata"
    )
    await zone.fill("Asia/Kolkata")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("region", name="Your plan: Professional")).to_contain_text(
        "cycles begin on day 15, the clock of Asia/Kolkata."
    )


@pytest.mark.slow
async def test_members_read_it_on_a_phone_in_the_dark_and_are_offered_no_change(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant()
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/plan")
    await expect(plan(page, "Professional")).to_contain_text("yours")
    await expect(page.get_by_role("main").get_by_role("button")).to_have_text(["Add", "Play it again"])
    await expect(page.get_by_role("link", name="Buy one")).to_have_count(0)
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
