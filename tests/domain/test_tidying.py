"""What jobs tidy: pauses that have ended by themselves, and lots that have expired. Neither changes what may be spent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.adjustments import ExpireLots, LotsExpired
from domain.books import EventType, Operation, Request
from domain.budgets import BudgetKey, ScopeKey, ScopeKind, ScopeStatus
from domain.controls import BudgetsReset, ResetBudgets
from domain.ledger import EntryType
from domain.tenants import TenantStatus
from tests.domain.builders import (
    BLOG_WRITER,
    CYCLE_END,
    NOW,
    TENANT_ID,
    Bookkeeper,
    agent_month,
    campaign_month,
    campaign_total,
    capped,
    nano,
    spent,
    tenant_month,
    wallet_with,
)

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TENANT = ScopeKey(ScopeKind.TENANT, "")
AGENT = ScopeKey(ScopeKind.AGENT, "blog-writer")
CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "spring")
ALL = (TENANT, AGENT, CAMPAIGN)


def paused_by(budget: BudgetKey, *, default: bool = False) -> Bookkeeper:
    """A scope that this budget of 10 dollars paused; the events so far are forgotten."""
    caps = [capped(budget, "10")]
    wallets = [wallet_with("metered", "1000")]
    books = Bookkeeper(wallets, defaults=caps) if default else Bookkeeper(wallets, budgets=caps)
    books.record(spent("9.5"), attribution=BLOG_WRITER)
    books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)
    assert [scope.status for scope in books.scopes.values()] == [ScopeStatus.PAUSED]
    books.events.clear()
    return books


def reset(books: Bookkeeper, at: datetime) -> tuple[ScopeKey, ...]:
    request = Request(TENANT_ID, "system", Operation.RESET_BUDGETS, "", b"")
    answer = books.decide(ResetBudgets(request, (*ALL, ScopeKey(ScopeKind.AGENT, "nobody"))), at).answer
    assert isinstance(answer, BudgetsReset)
    return answer.keys


@pytest.mark.parametrize(
    ("budget", "scope"), [(tenant_month(), TENANT), (agent_month(), AGENT), (campaign_month(), CAMPAIGN)]
)
def test_a_new_month_resumes_what_a_months_budget_paused_and_tells_workers_once(
    budget: BudgetKey, scope: ScopeKey
) -> None:
    books = paused_by(budget)
    assert reset(books, DECEMBER - timedelta(seconds=1)) == ()
    assert reset(books, DECEMBER) == (scope,)
    assert books.scopes[scope].status is ScopeStatus.ACTIVE
    assert reset(books, DECEMBER) == ()
    (event,) = books.events
    assert event.type is EventType.SCOPE_RESUMED
    assert dict(event.payload)["period"] == "2026-11"


def test_a_month_begins_in_the_tenants_zone() -> None:
    books = paused_by(agent_month())
    books.tenant = replace(books.tenant, zone=ZoneInfo("Asia/Kolkata"))
    assert reset(books, datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC)) == ()
    assert reset(books, datetime(2026, 11, 30, 18, 30, tzinfo=UTC)) == (AGENT,)


def test_a_total_budget_gets_no_room_from_a_new_month() -> None:
    books = paused_by(campaign_total())
    assert reset(books, DECEMBER) == ()
    assert books.scopes[CAMPAIGN].status is ScopeStatus.PAUSED


@pytest.mark.parametrize(("cap", "resumed"), [(None, (AGENT,)), ("11", (AGENT,)), ("10", ()), ("9", ())])
def test_a_default_cap_that_was_removed_or_raised_lifts_its_pauses_too(
    cap: str | None, resumed: tuple[ScopeKey, ...]
) -> None:
    books = paused_by(agent_month(), default=True)
    books.defaults = {} if cap is None else {agent_month(): capped(agent_month(), cap)}
    before = dict(books.scopes)
    assert reset(books, NOW) == resumed
    if not resumed:
        assert books.scopes == before
        assert books.events == []


def test_what_people_paused_or_deactivated_stays() -> None:
    books = paused_by(agent_month())
    books.pause(ScopeKind.AGENT, "blog-writer")
    books.deactivate(ScopeKind.CAMPAIGN, "spring")
    before = dict(books.scopes)
    assert reset(books, DECEMBER) == ()
    assert books.scopes == before


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_a_tenant_that_is_not_active_stays_as_it_is(status: TenantStatus) -> None:
    books = paused_by(agent_month())
    books.tenant = replace(books.tenant, status=status)
    assert reset(books, DECEMBER) == ()
    assert books.scopes[AGENT].status is ScopeStatus.PAUSED


def expire(books: Bookkeeper, at: datetime, *keys: str) -> int:
    request = Request(TENANT_ID, "system", Operation.EXPIRE_LOTS, "", b"")
    answer = books.decide(ExpireLots(request, keys), at).answer
    assert isinstance(answer, LotsExpired)
    return answer.wallets


def test_what_has_expired_is_booked_once_and_only_when_it_has() -> None:
    books = Bookkeeper([wallet_with("metered", "5"), wallet_with("credits", "7")])
    assert expire(books, CYCLE_END - timedelta(seconds=1), "credits", "metered", "no_such") == 0
    assert expire(books, CYCLE_END, "credits", "metered", "no_such") == 1
    assert expire(books, CYCLE_END, "credits", "metered") == 0
    assert books.wallets["credits"].expired == nano("7")
    entry = books.entries[-1]
    assert (entry.type, entry.amount, entry.voucher.actor, entry.voucher.note) == (
        EntryType.EXPIRED,
        nano("7"),
        "system",
        "expired",
    )
