"""The page Usage: balances that move, lots, the ledger with its receipts, top-ups and auto-recharge."""

import asyncio
import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from domain.holds import ModelName
from infra.replay import Recording, play
from infra.services import reservations
from infra.services.callers import Caller, Role
from tests.console.pages import DIALOG, PHONE, OpenPage, SignedIn, fits_its_width, follow_reads, serious_faults, unread
from tests.console.site import Site
from tests.console.usage import record
from tests.console.watching import Watch
from tests.console.wire import Wire
from tests.domain.builders import nano
from tests.infra.builders import balance

CARD = "4242424242424242"
MODEL = {"provider": "openai", "model": "gpt-4o-mini"}
STATEMENT_OF_A_MONTH = re.compile(r"statement-metered-\d{4}-\d\d\.csv")
REPLAYED = "SELECT slug FROM tenant WHERE slug LIKE 'replay-%' ORDER BY created_at DESC LIMIT 1"


async def test_balances_lots_and_ledger_are_what_the_api_tells_and_no_more_is_asked(
    page: Page, site: Site, signed_in: SignedIn, watch: Watch
) -> None:
    slug, caller = await site.tenant(credits="300", metered="50")
    await site.call(caller, "60")
    await signed_in(page, Role.ADMIN, slug)
    await follow_reads(page)
    await page.goto("/?wallet=credits")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(shown).to_contain_text("240 available")
    await expect(shown).to_contain_text("Used20%of the lots that count nowUsed in all60since the beginning")
    await expect(shown.get_by_role("meter")).to_have_attribute("aria-valuetext", "20%")
    await expect(page.get_by_role("region", name="Metered", exact=True)).to_contain_text("US$50.00 available")
    await expect(page.get_by_role("table", name="Lots")).to_contain_text("Never")
    ledger = page.get_by_role("table", name="Ledger of Credits")
    await expect(ledger.get_by_role("row")).to_have_count(4)
    assert watch.names() == ["Shell", "Usage"]
    assert not await unread(page)
    assert await serious_faults(page) == []
    await ledger.get_by_role("button", name="Consumed").click()
    receipt = page.get_by_role("dialog", name="Receipt")
    await expect(receipt).to_contain_text("Charged to credits")
    assert await serious_faults(page, DIALOG) == []
    await page.keyboard.press("Escape")
    await expect(receipt).to_be_hidden()
    await expect(ledger.get_by_role("button", name="Consumed")).to_be_focused()
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download (JSON lines)").click()
    assert (await downloading.value).suggested_filename == "statement-credits.jsonl"
    downloaded = await asyncio.to_thread(Path(await (await downloading.value).path()).read_text)
    assert [json.loads(line)["record"] for line in downloaded.splitlines()] == ["opening", *["entry"] * 3, "closing"]
    await page.get_by_role("combobox", name="Ledger of").select_option("metered")
    await expect(page.get_by_role("table", name="Ledger of Metered")).to_contain_text("Topped up")
    await page.get_by_role("combobox", name="Statement of").select_option(index=1)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download (CSV)").click()
    assert STATEMENT_OF_A_MONTH.fullmatch((await downloading.value).suggested_filename)
    assert page.url.endswith("/?wallet=metered")


async def test_a_balance_moves_by_itself_and_new_entries_are_offered(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="300", metered="50")
    await signed_in(page, Role.MEMBER, slug)
    await page.goto("/")
    await expect(page.get_by_role("region", name="Credits", exact=True)).to_contain_text("300 available")
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    for spent, left in (("45", "255"), ("200", "55"), ("55", "0")):
        await site.call(caller, spent)
        await expect(page.get_by_role("region", name="Credits", exact=True)).to_contain_text(f"{left} available")
    bar = page.get_by_role("region", name="Credits", exact=True).get_by_role("meter")
    await expect(bar.locator("span")).to_have_class("filled full")
    ledger = page.get_by_role("table", name="Ledger of Credits")
    await expect(ledger.get_by_role("row")).to_have_count(2)
    await page.get_by_role("button", name="There are new entries: show them").click()
    await expect(ledger.get_by_role("row")).to_have_count(8)
    # Lots add up to the balance, so they move with it.
    await expect(page.get_by_role("table", name="Lots").get_by_role("row").nth(1)).to_contain_text("Top up30000")
    await expect(page.get_by_role("button", name="Top up")).to_have_count(0)


async def test_what_ends_by_time_alone_leaves_the_balance_at_once(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, _ = await site.tenant(credits="300")
    await signed_in(page, Role.MEMBER, slug)
    wire = Wire()
    await wire.attach(page)
    await page.goto("/")
    shown = page.get_by_role("region", name="Credits", exact=True)
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    while "Balance credits" not in wire.newest:
        await page.evaluate("new Promise(requestAnimationFrame)")
    told = wire.newest["Balance credits"]["walletBalance"]
    # The version is that of the newest entry: there is none yet.
    await wire.tell("Balance credits", {"walletBalance": {**told, "available": "120", "expired": "180"}})
    await expect(shown).to_contain_text("120 available")
    await expect(shown).to_contain_text("Expired in all180")
    await expect(page.get_by_role("button", name="There are new entries")).to_be_hidden()
    older = {**told, "version": str(int(told["version"]) - 1), "available": "1"}
    await wire.tell("Balance credits", {"walletBalance": older})
    newer = {**told, "version": str(int(told["version"]) + 1), "available": "-5", "debt": "5"}
    await wire.tell("Balance credits", {"walletBalance": newer})
    await expect(shown).to_contain_text("-5 available")
    await expect(shown).to_contain_text("Owed5")
    await expect(page.get_by_role("button", name="There are new entries")).to_be_visible()


@pytest.mark.slow
async def test_a_receipt_speaks_the_readers_locale(open_page: OpenPage, site: Site, signed_in: SignedIn) -> None:
    slug, _ = await site.tenant(metered="50")
    page = await open_page(locale="de-DE")
    await signed_in(page, Role.MEMBER, slug)
    await record(site, slug, {"kind": "LLM", "usage": {**MODEL, "inputTokens": 1_200_000}})
    await page.goto("/costs")
    await page.get_by_role("table", name="Calls").get_by_role("button", name="gpt-4o-mini").first.click()
    lines = page.get_by_role("table", name="Lines of the receipt")
    await expect(lines).to_contain_text("1.200.000")
    await expect(lines).to_contain_text("0,15\xa0$ / 1.000.000")


async def test_a_top_up_is_paid_and_credited_and_its_card_serves_auto_recharge(
    page: Page, site: Site, signed_in: SignedIn
) -> None:
    slug, _ = await site.tenant(metered="50")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    await page.get_by_role("button", name="Top up", exact=True).click()
    await page.get_by_label("US dollars").fill("25")
    await page.get_by_role("button", name="Pay", exact=True).click()
    await page.get_by_label("Card").fill(CARD)
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_text("Thank you: the payment is credited.")).to_be_visible()
    await expect(page.get_by_role("region", name="Metered", exact=True)).to_contain_text("US$75.00 available")
    await expect(page.get_by_role("table", name="Top-ups")).to_contain_text("Credited")
    top_ups = page.get_by_role("region", name="Top-ups", exact=True)
    await expect(top_ups).to_contain_text("does not fill up by itself")
    await top_ups.get_by_role("button", name="Change").click()
    await page.get_by_label("Fill up by itself").check()
    await page.get_by_label("Below (US dollars)").fill("20")
    await page.get_by_label("Buy (US dollars)").fill("100")
    await page.get_by_label("At most a month").fill("300")
    await page.get_by_role("button", name="Save").click()
    await expect(top_ups).to_contain_text("Below US$20.00, US$100.00 are bought")
    await expect(top_ups).to_contain_text("at most US$300.00 a month")


async def test_a_refused_order_says_why_and_keeps_what_was_typed(page: Page, site: Site, signed_in: SignedIn) -> None:
    slug, _ = await site.tenant(metered="50")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    await page.get_by_role("button", name="Top up", exact=True).click()
    await page.get_by_label("US dollars").fill("0.001")
    await page.get_by_role("button", name="Pay", exact=True).click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("whole cents")
    await expect(page.get_by_label("US dollars")).to_have_value("0.001")


async def test_it_fits_a_phone_in_the_dark_and_speaks_the_readers_locale(
    open_page: OpenPage, site: Site, signed_in: SignedIn
) -> None:
    slug, caller = await site.tenant(credits="1234.5", metered="0")
    await site.call(caller, "0.5")
    page = await open_page(viewport=PHONE, color_scheme="dark", locale="de-DE")
    await signed_in(page, Role.ADMIN, slug)
    await page.goto("/")
    await expect(page.get_by_role("region", name="Credits", exact=True)).to_contain_text("1.234 available")
    await expect(page.get_by_role("region", name="Metered", exact=True)).to_contain_text("0,00\xa0$ available")
    assert await fits_its_width(page)
    assert await serious_faults(page) == []
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("link", name="Plan").click()
    await expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()


async def test_a_balance_moves_while_a_replay_runs_and_ends_where_the_replay_does(
    page: Page, site: Site, signed_in: SignedIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "calls.csv"
    calls = [f"2026-11-01 00:00:{number:02}.0,90000,9000" for number in range(24)]
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(calls) + "\n")
    recording = Recording(
        file, ModelName("openai", "gpt-4o-mini"), nano("50"), max_output_tokens=9000, concurrency=2, speed=None
    )
    # The calls come as the page shows those before them, however long that takes here.
    may_begin = asyncio.Semaphore(0)
    reserve = reservations.reserve

    async def reserve_in_turn(*given: Any) -> Any:
        await may_begin.acquire()
        return await reserve(*given)

    monkeypatch.setattr(reservations, "reserve", reserve_in_turn)
    await signed_in(page, Role.OPERATOR)
    async with asyncio.TaskGroup() as running:
        replay = running.create_task(play(site.application, recording, asyncio.Event(), lambda _: None))
        while (slug := await site.application.across_tenants.fetchval(REPLAYED)) is None:
            assert not replay.done()
        await page.goto(f"/?tenant={slug}")
        shown = page.get_by_role("region", name="Metered", exact=True).locator("strong")
        left = "US$50.00"
        await expect(shown).to_have_attribute("title", left)
        for _ in range(3):
            may_begin.release()
            await expect(shown).not_to_have_attribute("title", left)
            left = await shown.get_attribute("title") or ""
        for _ in calls:
            may_begin.release()
    report = replay.result()
    assert (report.differences, report.tally.calls) == ((), len(calls))
    rest, _, _ = await balance(site.application, Caller(report.tenant_id, Role.ADMIN, "test"), "metered")
    await expect(shown).to_have_attribute("title", f"US${Decimal(rest).quantize(Decimal('0.01'), ROUND_HALF_UP)}")
