"""Tenancy: a suspended tenant is refused everything but its past; a closed one stays closed."""

from dataclasses import replace

import pytest

from domain.attribution import IDENTIFIER_RULE
from domain.books import NO_CHANGES, Event, EventType
from domain.budgets import ScopeKind
from domain.payments import PaymentFacts, Refund, RefundStatus, TopUpState
from domain.refusals import BudgetScope, Conflict, FieldProblem, ReservationState, ScopePaused
from domain.tenancy import TenantState, name_problems
from domain.tenants import TenantStatus
from tests.domain.builders import (
    BLOG_WRITER,
    NOW,
    Bookkeeper,
    acme,
    agent_month,
    held,
    later,
    nano,
    ordered,
    paid,
    spent,
    tenant,
)

SUSPENDED = ScopePaused(BudgetScope.TENANT, None, "tenant_suspended")
CLOSED = ScopePaused(BudgetScope.TENANT, None, "tenant_closed")


def told(status: str | None) -> tuple[tuple[str, str | None], ...]:
    return (("scope", "TENANT"), ("scopeId", None), ("reason", status))


def test_suspending_tells_workers_to_drain_and_resuming_to_queue_again() -> None:
    books = Bookkeeper(acme())
    assert books.suspend_tenant() == TenantState(replace(tenant(), status=TenantStatus.SUSPENDED))
    assert books.resume_tenant() == TenantState(tenant())
    assert books.events == [
        Event(EventType.SCOPE_PAUSED, told("tenant_suspended")),
        Event(EventType.SCOPE_RESUMED, told(None)),
    ]
    assert held(books.reserve("blog_post"))


def test_each_step_twice_changes_nothing_and_tells_once() -> None:
    books = Bookkeeper(acme())
    books.resume_tenant()
    assert books.events == []
    for _ in range(2):
        books.suspend_tenant()
    for _ in range(2):
        books.close_tenant()
    assert books.told() == [EventType.SCOPE_PAUSED] * 2
    assert books.events[-1].payload == told("tenant_closed")


def test_a_closed_tenant_stays_closed() -> None:
    books = Bookkeeper(acme())
    books.close_tenant()
    assert books.resume_tenant() == Conflict("The tenant is closed for good: create another one.")
    assert books.suspend_tenant() == Conflict("The tenant is closed: it cannot be suspended any more.")
    assert books.tenant.status is TenantStatus.CLOSED
    assert books.reserve("blog_post") == CLOSED


def test_a_tenant_is_renamed_and_keeps_its_slug() -> None:
    books = Bookkeeper(acme())
    assert books.rename_tenant("Umbrella") == TenantState(replace(tenant(), name="Umbrella"))
    assert (books.tenant.name, books.tenant.slug, books.events) == ("Umbrella", "acme", [])


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_an_operator_puts_the_books_right_and_renames_whoever_is_no_longer_active(status: TenantStatus) -> None:
    books = Bookkeeper(acme())
    _ = books.suspend_tenant() if status is TenantStatus.SUSPENDED else books.close_tenant()
    books.adjust("metered", "-50")
    assert books.balance("metered")[0] == "0"
    assert books.rename_tenant("Umbrella") == TenantState(replace(tenant(), name="Umbrella", status=status))
    books.audit()


@pytest.mark.parametrize(("name", "fits"), [("Umbrella & Söhne", True), ("", False), (" x", False), ("x" * 201, False)])
def test_a_name_is_something_to_show(name: str, fits: bool) -> None:
    assert name_problems(name) == (() if fits else (FieldProblem("name", IDENTIFIER_RULE),))


@pytest.mark.parametrize(("status", "refusal"), [("suspended", SUSPENDED), ("closed", CLOSED)])
def test_every_new_spend_and_every_control_is_refused_with_the_reason(status: str, refusal: ScopePaused) -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    books.set_budget(agent_month(), "5")
    _ = books.suspend_tenant() if status == "suspended" else books.close_tenant()
    before = books.money(), dict(books.scopes), list(books.events)
    for answer in (
        books.reserve("blog_post"),
        books.extend(work, ttl=60),
        books.extend(work, cost="1"),
        books.set_budget(agent_month(), "9"),
        books.remove_budget(agent_month()),
        books.pause(ScopeKind.AGENT, "blog-writer"),
        books.resume(ScopeKind.AGENT, "blog-writer"),
        books.deactivate(ScopeKind.AGENT, "blog-writer"),
        books.change_plan("starter"),
        books.set_cycle(20),
        books.start_top_up(amount="100"),
        books.set_auto_recharge(amount="100"),
    ):
        assert answer == refusal
    assert (books.money(), dict(books.scopes), list(books.events)) == before


def test_what_a_suspended_tenant_has_spent_is_settled_given_back_and_recorded() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="10"))
    other = held(books.reserve("llm_call", cost="10"))
    third = held(books.reserve("llm_call", cost="10", ttl=60))
    books.suspend_tenant()
    assert held(books.consume(work, spent("10"))).state is ReservationState.CONSUMED
    assert held(books.release(other)).state is ReservationState.RELEASED
    assert [found.id for found in books.expire_overdue(later(60))] == [third.id]
    books.record(spent("1"), feature="llm_call")
    assert books.balance("metered") == ("35.7", "0", "14.3")
    books.adjust("metered", "1")
    books.audit()


def test_money_that_was_paid_is_credited_and_taken_back_while_suspended() -> None:
    books = Bookkeeper(acme())
    top_up = ordered(books.start_top_up(amount="100"))
    books.suspend_tenant()
    top_up = books.settle_top_up(top_up, paid(top_up.price))
    assert (top_up.state, books.balance("metered")[0]) == (TopUpState.CREDITED, "150")
    refund = PaymentFacts(refunds=(Refund("re_1", 10_000, RefundStatus.SUCCEEDED),))
    assert books.settle_top_up(top_up, refund).taken_back == nano("100")
    books.audit()


def test_a_key_that_was_granted_before_the_suspension_is_answered_as_ever() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", key="k"))
    books.suspend_tenant()
    before = books.money()
    assert books.reserve("blog_post", key="k", at=NOW) == work
    assert books.money() == before
    assert books.start_cycle() != NO_CHANGES
