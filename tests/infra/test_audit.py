"""The audit on a real database: a busy history holds, and whatever is changed behind its back is named."""

from collections.abc import AsyncIterator
from datetime import date

import asyncpg
import pytest

from domain.attribution import Attribution
from domain.audit import FindingKind as Kind
from domain.expenses import ExpenseEntry, ExpenseKind
from domain.ids import NIL
from domain.money import NANO
from domain.wallets import LotSource
from infra import audit as auditing
from infra.application import Application
from infra.audit import AuditReport, audit
from infra.expense_rows import ExpenseView
from infra.services import catalog, expenses, reservations, settlements, usage, wallets
from infra.services.callers import Caller, Refused, Role
from infra.services.catalog import Published
from infra.services.usage import ReportedUsage
from tests.domain.builders import BLOG_WRITER, nano
from tests.infra.builders import Clock, open_tenant, reported, reserved

ENTRY = "FROM wallet w WHERE w.id = wallet_id AND w.key = 'credits' AND ledger_entry.sequence ="
HELD = "WHERE state = 'HELD' AND task_key = 'draft'"
CONSUMED = "WHERE state = 'CONSUMED' AND feature = 'llm_call'"


NEWEST_ENTRY_OF_CREDITS = """DELETE FROM ledger_entry e USING wallet w
WHERE w.id = e.wallet_id AND w.key = 'credits' AND e.sequence = w.sequence AND e.type = 'ADJUSTED'"""


@pytest.fixture
async def busy(timed: Application, clock: Clock) -> Application:
    """Held, consumed, released and expired work, a debt repaid, recorded usage, capacity; two tenants."""
    caller = await open_tenant(timed, credits="300", metered="50", lead_storage="10")
    await _work(timed, caller, clock)
    other = await open_tenant(timed, "globex", credits="100")
    await reserved(timed, other, attribution=BLOG_WRITER)
    return timed


async def _work(application: Application, caller: Caller, clock: Clock) -> None:
    done = await reserved(application, caller, "done", attribution=BLOG_WRITER)
    await settlements.consume(application, caller, "c", done.id, None, [reported("one", "0.10")])
    told = Attribution(campaign="spring", tags=(("team", "a"),))
    call = await reserved(application, caller, "call", feature="llm_call", cost="0.50", attribution=told)
    await settlements.consume(application, caller, "c2", call.id, None, [reported("two", "0.70")])
    back = await reserved(application, caller, "back")
    await reservations.release(application, caller, "r", back.id, "not needed")
    await reserved(application, caller, "late", ttl=1)
    clock.advance(5)
    await reservations.expire_due(application, caller.tenant_id)
    await reserved(application, caller, "open", task="draft", attribution=BLOG_WRITER)
    await reserved(application, caller, "lead", feature="store_lead", task="lead-1")
    await wallets.adjust_wallet(application, caller, "down", "credits", -nano("400"), "a mistake")
    await wallets.adjust_wallet(application, caller, "up", "credits", nano("500"), "put right")
    alone = ReportedUsage(reported("three", "0.20"), "llm_call", None, Attribution(campaign="spring"))
    await usage.record_usage(application, caller, [alone])
    entry = ExpenseEntry("spring", ExpenseKind.AGENCY, "EUR", date(2026, 11, 3), nano("5"))
    added = await expenses.add_expense(application, caller, "expense", entry)
    assert isinstance(added, ExpenseView)
    await expenses.change_expense(application, caller, "more", added.id, entry._replace(amount=nano("6")))
    await expenses.delete_expense(application, caller, "gone", added.id)
    await expenses.add_expense(application, caller, "another", entry)
    await expenses.record_customers_won(application, caller, "won", "spring", 2, entry.incurred_on)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(database_url)
    yield connected
    await connected.close()


def kinds(report: AuditReport) -> set[Kind]:
    return {finding.kind for finding in report.findings}


async def test_a_busy_history_holds_and_all_of_it_is_counted(busy: Application, connection: asyncpg.Connection) -> None:
    shown: list[str] = []
    report = await audit(connection, lambda title, _done, _total: shown.append(title))
    assert report.findings == ()
    assert report.hold
    counted = dict(report.counts)
    for name, count in counted.items():
        table = {"wallets": "wallet", "lots": "lot", "ledger entries": "ledger_entry"}.get(name)
        if table is not None:
            assert count == await connection.fetchval(f"SELECT count(*) FROM {table}") > 0
    assert (counted["tenants"], counted["open reservations"], counted["tasks"]) == (2, 3, 2)
    assert counted["usage events"] == counted["usage keys"] == 3
    assert shown[0] == "ledger entries"
    assert shown[-1] == "budget counters"


async def test_an_empty_database_holds(application: Application, connection: asyncpg.Connection) -> None:
    report = await audit(connection)
    assert report.hold
    assert {count for _, count in report.counts} == {0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (f"UPDATE ledger_entry SET note = 'another' {ENTRY} 2", {Kind.ENTRY_HASH}),
        (f"UPDATE ledger_entry SET actor = 'key:other' {ENTRY} 2", {Kind.ENTRY_HASH}),
        (f"UPDATE ledger_entry SET created_at = created_at + interval '1 microsecond' {ENTRY} 1", {Kind.ENTRY_HASH}),
        (
            f"UPDATE ledger_entry SET amount = amount + 1 {ENTRY} 1",
            {Kind.ENTRY_HASH, Kind.ENTRY_BALANCES, Kind.ENTRY_DRAWS},
        ),
        (
            f"UPDATE ledger_entry SET granted_after = granted_after + 1, available_after = available_after + 1 {ENTRY} 1",
            {Kind.ENTRY_HASH, Kind.ENTRY_BALANCES},
        ),
        (f"UPDATE ledger_entry SET hash = previous_hash {ENTRY} 1", {Kind.ENTRY_HASH, Kind.ENTRY_LINK}),
        (f"UPDATE ledger_entry SET previous_hash = ledger_entry.hash {ENTRY} 2", {Kind.ENTRY_HASH, Kind.ENTRY_LINK}),
        (
            "UPDATE ledger_entry SET draws = jsonb_set(draws, '{0,1}', '1') WHERE type = 'TOPPED_UP'",
            {Kind.ENTRY_HASH, Kind.ENTRY_DRAWS, Kind.LOT_BALANCES},
        ),
        (
            "UPDATE ledger_entry SET repayments = NULL WHERE repayments IS NOT NULL",
            {Kind.ENTRY_HASH, Kind.LOT_BALANCES},
        ),
        (
            "DELETE FROM ledger_entry WHERE type = 'ADJUSTED' AND amount < 0",
            {Kind.ENTRY_NUMBER, Kind.ENTRY_LINK, Kind.ENTRY_BALANCES, Kind.LOT_BALANCES},
        ),
        (
            NEWEST_ENTRY_OF_CREDITS,
            {Kind.WALLET_HEAD, Kind.WALLET_BALANCES, Kind.LOT_BALANCES},
        ),
        (
            "UPDATE wallet SET granted = granted + 1, available = available + 1 WHERE key = 'metered'",
            {Kind.WALLET_BALANCES, Kind.WALLET_LOTS},
        ),
        ("UPDATE wallet SET head_hash = sha256('x') WHERE key = 'metered'", {Kind.WALLET_HEAD}),
        ("UPDATE wallet SET sequence = sequence + 1 WHERE key = 'metered'", {Kind.WALLET_HEAD}),
        (
            "UPDATE lot SET granted = granted + 1, available = available + 1 WHERE available > 1",
            {Kind.LOT_BALANCES, Kind.WALLET_LOTS},
        ),
        ("DELETE FROM lot WHERE reserved = 0", {Kind.LOT_BALANCES, Kind.WALLET_LOTS}),
        (
            "DELETE FROM wallet WHERE key = 'metered'",
            {Kind.ENTRY_WITHOUT_WALLET, Kind.REFERENCE, Kind.RESERVATION_ENTRIES, Kind.USAGE_CHARGED},
        ),
        (
            f"UPDATE reservation SET holds = jsonb_set(holds, '{{0,1}}', '5') {HELD}",
            {Kind.WALLET_RESERVED, Kind.HOLD_DRAWS, Kind.RESERVATION_ENTRIES},
        ),
        (
            f"UPDATE reservation SET holds = jsonb_set(holds, '{{0,2,0,1}}', '5') {HELD}",
            {Kind.LOT_RESERVED, Kind.HOLD_DRAWS},
        ),
        (
            f"UPDATE reservation SET state = 'RELEASED', ended_at = now(), remaining_usd = 0 {HELD}",
            {Kind.WALLET_RESERVED, Kind.LOT_RESERVED, Kind.COUNTER_HELD, Kind.RESERVATION_ENTRIES, Kind.TASK},
        ),
        (
            f"DELETE FROM reservation {HELD}",
            {
                Kind.WALLET_RESERVED,
                Kind.LOT_RESERVED,
                Kind.COUNTER_HELD,
                Kind.RESERVATION_ENTRIES,
                Kind.TASK,
                Kind.IDEMPOTENCY_KEY,
                Kind.REFERENCE,
            },
        ),
        (f"UPDATE reservation SET remaining_usd = remaining_usd - 1 {HELD}", {Kind.COUNTER_HELD}),
        (
            f"UPDATE reservation SET charges = jsonb_set(charges, '{{0,1}}', '5') {CONSUMED}",
            {Kind.RESERVATION_ENTRIES},
        ),
        (f"UPDATE reservation SET charges = NULL {CONSUMED}", {Kind.RESERVATION_ENTRIES}),
        ("UPDATE budget_counter SET held = held + 1 WHERE scope = 'AGENT'", {Kind.COUNTER_HELD}),
        ("DELETE FROM budget_counter WHERE scope = 'TENANT'", {Kind.COUNTER_HELD, Kind.USAGE_COUNTED}),
        ("UPDATE budget_counter SET spent = spent + 1 WHERE scope = 'TENANT'", {Kind.USAGE_COUNTED}),
        ("UPDATE usage_event SET charges = NULL WHERE charges IS NOT NULL", {Kind.USAGE_CHARGED}),
        ("UPDATE usage_event SET cost = cost + 1 WHERE event_id = 'one'", {Kind.USAGE_COUNTED}),
        ("DELETE FROM task WHERE key = 'draft'", {Kind.TASK}),
        ("UPDATE task SET key = 'other' WHERE key = 'draft'", {Kind.TASK}),
        ("UPDATE reservation SET task_feature = 'thread' " + HELD, {Kind.TASK}),
        ("DELETE FROM usage_key WHERE event_id = 'one'", {Kind.USAGE_KEY}),
        ("UPDATE usage_key SET usage_id = gen_random_uuid() WHERE event_id = 'one'", {Kind.USAGE_KEY}),
        ("DELETE FROM usage_event WHERE event_id = 'three'", {Kind.USAGE_KEY, Kind.USAGE_CHARGED, Kind.USAGE_COUNTED}),
        ("UPDATE usage_event SET reservation_id = gen_random_uuid() WHERE event_id = 'one'", {Kind.REFERENCE}),
        (
            "UPDATE idempotency_key SET result_id = gen_random_uuid() WHERE key = 'open'",
            {Kind.IDEMPOTENCY_KEY},
        ),
        ("UPDATE expense SET minor = minor + 1 WHERE version = 1", {Kind.EXPENSE}),
        ("UPDATE expense SET deleted_at = NULL WHERE version = 3", {Kind.EXPENSE}),
        ("UPDATE expense_version SET description = 'another' WHERE version = 3", {Kind.EXPENSE}),
        ("DELETE FROM expense_version WHERE version = 2", {Kind.EXPENSE}),
        ("DELETE FROM expense WHERE version = 1", {Kind.EXPENSE, Kind.IDEMPOTENCY_KEY}),
        ("DELETE FROM customers_won", {Kind.IDEMPOTENCY_KEY}),
        ("DELETE FROM tenant WHERE slug = 'globex'", {Kind.REFERENCE}),
    ],
)
async def test_whatever_is_changed_is_named(
    busy: Application, connection: asyncpg.Connection, change: str, expected: set[Kind]
) -> None:
    done = await connection.execute(change)
    assert done.split()[-1] != "0", "the change must hit something"
    report = await audit(connection)
    assert not report.hold
    assert kinds(report) == expected
    assert all(finding.place and "None" not in finding.place for finding in report.findings)


async def test_a_finding_says_where_and_with_which_figures(busy: Application, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE budget_counter SET held = held + 1 WHERE scope = 'AGENT'")
    await connection.execute("UPDATE wallet SET head_hash = sha256('x') WHERE key = 'metered'")
    report = await audit(connection)
    assert [finding.place for finding in report.findings if finding.kind is Kind.WALLET_HEAD] == ["acme/metered"]
    counters = [finding for finding in report.findings if finding.kind is Kind.COUNTER_HELD]
    assert {finding.place for finding in counters} == {
        "acme counter AGENT blog-writer 2026-11",
        "globex counter AGENT blog-writer 2026-11",
    }
    for finding in counters:
        figures = dict(finding.figures)
        assert isinstance(figures["held"], int)
        assert figures["held_by_reservations"] == figures["held"] - 1 == nano("0.6")


async def test_of_many_findings_some_are_kept_and_all_are_counted(
    busy: Application, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "MOST_FINDINGS", 3)
    await connection.execute("UPDATE ledger_entry SET note = 'another'")
    report = await audit(connection)
    assert len(report.findings) == 3
    assert report.found == await connection.fetchval("SELECT count(*) FROM ledger_entry")


async def test_more_entries_and_lots_than_fit_one_fetch(
    application: Application, caller: Caller, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "ROWS_AT_A_TIME", 7)
    for number in range(10):
        await wallets.credit(application, caller.tenant_id, "credits", NANO, LotSource.TOP_UP, f"n{number}")
        await reserved(application, caller, f"r{number}")
    report = await audit(connection)
    assert report.findings == ()
    assert dict(report.counts)["ledger entries"] == 22
    assert dict(report.counts)["lots"] == 12


async def test_a_key_leads_to_its_publication_and_that_to_its_tenant(
    application: Application, caller: Caller, connection: asyncpg.Connection
) -> None:
    operator = Caller(NIL, Role.OPERATOR, "key:anna")
    price = {"provider": "openai", "model": "gpt-4o", "input": "5"}
    provider = {"slug": "mistral", "name": "Mistral", "category": "LLM", "purpose": "Generation"}
    sold = {"region": "india", "key": "team", "price": "39999", "currency": "INR"}
    plan = {**sold, "name": "Team", "allocations": {"credits": "200"}, "seats": 7, "agents": 12}
    bundle = {**sold, "wallet": "credits", "amount": "500"}
    answers: list[Published | Refused] = []
    for tenant in (None, "acme"):
        card = catalog.publish_rate_card(application, operator, "k", {"markup": "2"}, tenant=tenant, based_on=1)
        answers += [await card, await catalog.publish_price(application, operator, "k", price, tenant=tenant)]
    answers.append(await catalog.publish_provider(application, operator, "k", provider))
    answers.append(await catalog.publish_plan(application, operator, "k", plan))
    answers.append(await catalog.publish_bundle(application, operator, "k", bundle))
    assert all(isinstance(answer, Published) for answer in answers), answers
    assert (await audit(connection)).findings == ()

    await connection.execute("DELETE FROM publication WHERE kind = 'PLAN'")
    (finding,) = (await audit(connection)).findings
    assert finding.kind is Kind.IDEMPOTENCY_KEY
    assert "key of publishPlan k" in finding.place
    await connection.execute("UPDATE publication SET tenant_id = gen_random_uuid() WHERE tenant_id IS NOT NULL")
    assert kinds(await audit(connection)) == {Kind.IDEMPOTENCY_KEY, Kind.REFERENCE}
