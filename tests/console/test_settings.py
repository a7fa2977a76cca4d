"""The page Settings: caps, agents, names, channels, keys, and who may come in; a secret is shown once and nowhere else."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import Locator, Page, expect

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.refusals import BudgetScope
from infra.services.callers import Role
from tests.console.pages import DIALOG, PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.watching import Watch
from tests.infra.builders import cap

WRITER = Attribution(agent_role="writer", campaign="spring")


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


async def sure(page: Page, label: str) -> None:
    await dialog(page).get_by_role("button", name=label, exact=True).click()


async def test_caps_and_agents_show_their_figures_and_a_higher_cap_lifts_the_pause(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300")
    await cap(site.application, caller, BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH), "10", "c")
    await site.call(caller, "1", cost="10", attribution=WRITER)
    await signed_in(page, Role.ADMIN, slug)
    await follow_reads(page)
    await page.goto("/settings")
    banners = page.get_by_role("region", name="Notices")
    await expect(banners).to_contain_text("agent writer: its budget of this month is used up.")
    row = page.get_by_role("table", name="Caps").get_by_role("row", name="writer")
    for figure in ("US$10.00", "US$0.00", "100%", "80%, 100%", "Paused"):
        await expect(row).to_contain_text(figure)
    agent = page.get_by_role("table", name="Agents").get_by_role("row", name="writer")
    await expect(agent).to_contain_text("Its budget of this month is used up.")
    await expect(card(page, "Agents")).to_contain_text("1 of 25 in the plan")
    assert watch.names() == ["Shell", "Settings"]
    assert await serious_faults(page) == []
    await agent.get_by_role("button", name="Raise the cap").click()
    await expect(dialog(page)).to_contain_text("paused until the cap is raised or the next month begins")
    await expect(dialog(page).get_by_label("Agent role")).to_have_count(0)
    await dialog(page).get_by_label("At most (US dollars)").fill("20")
    await dialog(page).get_by_label("Alerts at").fill("50, 90.5")
    assert await serious_faults(page, DIALOG) == []
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("50%")
    await expect(row).to_contain_text("50%, 90.5%")
    await expect(agent).to_contain_text("Warning")
    await expect(banners).not_to_contain_text("writer")
    await page.reload()
    await expect(row).to_contain_text("50%")
    assert await unread(page) == []
    await row.get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(page.get_by_text("There is no cap: nothing but the balance stops a call.")).to_be_visible()


@pytest.mark.slow
async def test_a_caps_form_fits_what_is_capped_and_says_beside_a_field_what_is_wrong(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", attribution=WRITER)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/settings")
    await page.get_by_role("button", name="Set a cap").click()
    kind = dialog(page).get_by_label("Of", exact=True)
    await expect(kind).to_have_value("month")
    await expect(dialog(page).locator("form input")).to_have_count(2)
    await kind.select_option("agent")
    field = dialog(page).get_by_label("Agent role")
    known = page.locator(f"datalist#{await field.get_attribute('list')} option")
    await expect(known).to_have_attribute("value", "writer")
    await kind.select_option("tag")
    tag = dialog(page).get_by_label("Tag", exact=True)
    await tag.fill("blue")
    await dialog(page).get_by_label("At most (US dollars)").fill("5")
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(tag).to_have_accessible_description("As key=value, such as team=blue. a tag is addressed as key=value")
    await expect(tag).to_be_focused()
    await tag.fill("team=blue")
    await dialog(page).get_by_label("Alerts at").fill("0")
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(dialog(page).get_by_label("Alerts at")).to_have_attribute("aria-invalid", "true")
    await expect(tag).not_to_have_attribute("aria-invalid", "true")
    await dialog(page).get_by_label("Alerts at").fill("80")
    await dialog(page).get_by_role("button", name="Save").click()
    row = page.get_by_role("table", name="Caps").get_by_role("row", name="team=blue")
    await expect(row).to_contain_text("A tag's month")
    await expect(row).to_contain_text("US$5.00")


async def test_agents_are_paused_with_a_reason_resumed_and_taken_out_of_use(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", attribution=WRITER)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/settings")
    agent = page.get_by_role("table", name="Agents").get_by_role("row", name="writer")
    await agent.get_by_role("button", name="Pause").click()
    await dialog(page).get_by_label("Why").fill("waits for the brief")
    await dialog(page).get_by_role("button", name="Pause").click()
    await expect(agent).to_contain_text("waits for the brief")
    await expect(page.get_by_role("region", name="Notices")).to_contain_text("agent writer: waits for the brief")
    await agent.get_by_role("button", name="Resume").click()
    await expect(agent).to_contain_text("Active")
    await agent.get_by_role("button", name="Take out of use").click()
    await dialog(page).get_by_role("button", name="Take out of use").click()
    await expect(agent).to_contain_text("Inactive")
    await expect(card(page, "Agents")).to_contain_text("0 of 25 in the plan")


@pytest.mark.slow
async def test_campaigns_and_clients_are_named_and_the_kind_stands_in_the_address(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", attribution=WRITER)
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/settings")
    row = page.get_by_role("table", name="Names of campaigns").get_by_role("row", name="spring")
    await row.get_by_role("button", name="Name").click()
    await dialog(page).get_by_label("Name", exact=True).fill("Spring launch")
    await dialog(page).get_by_label("Client's id").fill("bikes")
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Spring launch")
    await expect(row).to_contain_text("bikes")
    await page.get_by_role("combobox", name="Names of").select_option("CLIENT")
    await expect(page.get_by_role("table", name="Names of clients").get_by_role("row", name="bikes")).to_be_visible()
    assert page.url.endswith("/settings?names=CLIENT")
    await page.get_by_role("button", name="Name another client").click()
    await dialog(page).get_by_label("Client's id").fill("hotels")
    await dialog(page).get_by_label("Name", exact=True).fill("Harbor Hotels")
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(page.get_by_role("row", name="hotels")).to_contain_text("Harbor Hotels")


async def test_an_api_key_is_shown_once_replaced_and_revoked(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, _ = await site.tenant()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/settings")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    await page.get_by_role("button", name="Create a key").click()
    await dialog(page).get_by_label("Name").fill("night worker")
    await dialog(page).get_by_label("Ends").fill("2020-01-01T00:00")
    await dialog(page).get_by_label("Requests a minute").fill("90")
    await dialog(page).get_by_role("button", name="Create").click()
    await expect(dialog(page).get_by_label("Ends")).to_have_attribute("aria-invalid", "true")
    await dialog(page).get_by_label("Ends").fill("2099-03-01T12:30")
    await dialog(page).get_by_role("button", name="Create").click()
    shown = page.get_by_role("dialog", name="The new key")
    token = await shown.locator("code").inner_text()
    assert token.startswith("psk_")
    row = page.get_by_role("table", name="API keys").get_by_role("row", name="night worker")
    await expect(row).to_contain_text("1 Mar 2099, 12:30")
    await expect(row).to_contain_text("90 requests a minute")
    assert await serious_faults(page, DIALOG) == []
    await page.keyboard.press("Escape")
    await expect(shown).to_have_count(0)
    kept = "[document.documentElement.outerHTML, location.href, JSON.stringify(history.state), document.cookie, "
    kept += "JSON.stringify({ ...localStorage }), JSON.stringify({ ...sessionStorage })].join()"
    assert token not in await page.evaluate(kept)
    assert not [text for text in said if token in text]
    assert [question.name for question in watch.asked if token in question.document] == []
    await row.get_by_role("button", name="Replace").click()
    await dialog(page).get_by_label("The old key ends").select_option("86400")
    await dialog(page).get_by_role("button", name="Replace").click()
    second = await shown.locator("code").inner_text()
    assert second != token
    # Whoever goes back leaves no secret behind.
    await page.get_by_role("link", name="Plan", exact=True).evaluate("link => link.click()")
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    assert second not in await page.evaluate(kept)
    await page.go_back()
    await expect(row).to_have_count(2)
    old = row.filter(has_text="replaced")
    await expect(old.get_by_role("button", name="Replace")).to_have_count(0)
    await old.get_by_role("button", name="Revoke").click()
    await sure(page, "Revoke")
    await expect(row.filter(has_text="ended")).to_contain_text(f"{datetime.now(UTC).year}")


@pytest.mark.slow
async def test_channels_and_provider_keys_are_set_and_removed(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, _ = await site.tenant()
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/settings")
    await page.get_by_role("button", name="Add a channel").click()
    await dialog(page).get_by_label("Kind").select_option("WEBHOOK")
    await dialog(page).get_by_label("Name").fill("On call")
    await dialog(page).get_by_label("Address").fill("https://1.1.1.1/purser")
    await dialog(page).get_by_label("Events").fill("alert.raised, nonsense")
    await dialog(page).get_by_role("button", name="Add").click()
    await expect(dialog(page).get_by_text("each once, and of these: ")).to_be_visible()
    await dialog(page).get_by_label("Events").fill("alert.raised, wallet.low")
    await dialog(page).get_by_role("button", name="Add").click()
    secret = page.get_by_role("dialog", name="The webhook's signing secret").locator("code")
    await expect(secret).to_contain_text("whsec_")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("whsec_")).to_have_count(0)
    channel = page.get_by_role("table", name="Channels").get_by_role("row", name="On call")
    await expect(channel).to_contain_text("alert.raised, wallet.low")
    await channel.get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(card(page, "Channels")).to_contain_text("Alerts go nowhere but to this console's log.")
    keys = card(page, "Own keys at providers")
    await keys.get_by_role("button", name="Set a key").click()
    await dialog(page).get_by_label("Provider").select_option("openai")
    await dialog(page).get_by_label("Key", exact=True).fill("sk-of-the-test-1234")
    await dialog(page).get_by_role("button", name="Set", exact=True).click()
    await expect(keys.get_by_role("row", name="OpenAI")).to_contain_text("1234")
    await expect(page.get_by_text("sk-of-the-test")).to_have_count(0)
    await keys.get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(keys).to_contain_text("There is none: calls run on the platform's keys.")


@pytest.mark.slow
async def test_operators_set_identity_providers_and_default_caps(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300")
    await site.call(caller, "1", cost="1", attribution=Attribution(agent_role="only-here", campaign="spring"))
    await site.token(Role.MEMBER, slug)
    await signed_in(page, Role.OPERATOR)
    await follow_reads(page)
    await page.goto(f"/settings?tenant={slug}")
    await page.get_by_role("button", name="Add a provider").click()
    for label, text in {
        "Issuer": "https://login.example.com/realm",
        "Audience": "purser",
        "Address of its keys": "ftp://127.0.0.1/keys",
        "Claim that names the role": "groups",
        "Values of administrators": "finance, owners",
        "Client's id": "console",
        "Scopes besides openid": "email groups",
    }.items():
        await dialog(page).get_by_label(label).fill(text)
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(dialog(page).get_by_label("Address of its keys")).to_have_attribute("aria-invalid", "true")
    await dialog(page).get_by_label("Address of its keys").fill("https://127.0.0.1/keys")
    await dialog(page).get_by_role("button", name="Save").click()
    providers = card(page, "Identity providers")
    row = providers.get_by_role("row", name="https://login.example.com/realm")
    for text in ("for purser", "Administrators: finance, owners", "as console, asks for email groups"):
        await expect(row).to_contain_text(text)
    await expect(providers).to_contain_text(f"{site.origin}/sign-in?organisation={slug}")
    await row.get_by_role("button", name="Change").click()
    await dialog(page).get_by_label("Values of members").fill("staff")
    await dialog(page).get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Members: staff")
    await page.get_by_role("button", name="Set a default cap").click()
    await dialog(page).get_by_label("Agent role").fill("only-here")
    await dialog(page).get_by_label("At most (US dollars)").fill("8")
    await dialog(page).get_by_role("button", name="Save").click()
    capped = page.get_by_role("table", name="Caps", exact=True).get_by_role("row", name="only-here")
    for text in ("US$8.00", "default", "12.5%"):
        await expect(capped).to_contain_text(text)
    await expect(capped.get_by_role("button")).to_have_text(["Set your own"])
    await page.reload()
    await expect(capped).to_contain_text("US$8.00")
    assert await unread(page) == []
    assert await serious_faults(page) == []
    await card(page, "Default caps of agents, for all tenants").get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(capped).to_have_count(0)
    await row.get_by_role("button", name="Remove").click()
    await sure(page, "Remove")
    await expect(providers).to_contain_text("There is none: people come with API keys.")
    assert watch.names()[:2] == ["Shell", "Settings"]


@pytest.mark.slow
async def test_members_and_workers_read_on_a_phone_in_the_dark_and_are_offered_nothing_to_change(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300")
    await cap(site.application, caller, BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH), "100", "c")
    await site.call(caller, "1", cost="25", attribution=WRITER)
    for role in (Role.MEMBER, Role.SERVICE):
        page = await open_page(viewport=PHONE, color_scheme="dark", alone=True)
        await signed_in(page, role, slug)
        await page.goto("/settings")
        await expect(page.get_by_role("table", name="Caps")).to_contain_text("25%")
        await expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
        await expect(card(page, "API keys")).to_have_count(0)
        await expect(card(page, "Own keys at providers")).to_have_count(1 if role is Role.MEMBER else 0)
        assert await fits_its_width(page)
        assert await serious_faults(page) == []


@pytest.mark.slow
async def test_administrators_settings_fit_a_phone(open_page: OpenPage, site: Site, signed_in: SignedIn) -> None:
    page = await open_page(viewport=PHONE, color_scheme="dark")
    await signed_in(page, Role.ADMIN)
    await page.goto("/settings")
    await expect(page.get_by_role("table", name="API keys")).to_be_visible()
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.get_by_role("button", name="Set a cap").click()
    await expect(dialog(page).get_by_label("Of", exact=True)).to_be_focused()
    assert await fits_its_width(page)
