"""Controls: which budgets and pauses there can be, and what a person's decision does to them at once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.attribution import IDENTIFIER_RULE
from domain.books import Event, EventType
from domain.budgets import Budget, BudgetKey, BudgetPeriod, Counter, CounterKey, Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.controls import (
    BudgetState,
    ScopeNamed,
    ScopeState,
    budget_problems,
    deactivation_problems,
    naming_problems,
    scope_problems,
)
from domain.refusals import BudgetScope, FieldProblem, InsufficientFunds, NotFound, PlanLimit, ScopePaused
from tests.domain.builders import (
    BLOG_WRITER,
    LLAMA,
    MONTH,
    Bookkeeper,
    agent_month,
    campaign_month,
    campaign_total,
    capped,
    counter_key,
    held,
    nano,
    spent,
    tag_month,
    tag_total,
    task_cap,
    tenant,
    tenant_month,
    wallet_with,
)

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
AGENT = ScopeKey(ScopeKind.AGENT, "blog-writer")
CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "spring")


def paused_at(cap: str, spent_so_far: str, budget: BudgetKey) -> Bookkeeper:
    """Paused by a budget; the events so far are forgotten."""
    books = Bookkeeper([wallet_with("metered", "1000")], budgets=[capped(budget, cap)])
    books.record(spent(spent_so_far), attribution=BLOG_WRITER)
    books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)
    assert books.scopes
    books.events.clear()
    return books


def works(books: Bookkeeper) -> bool:
    return not isinstance(books.reserve("llm_call", cost="0.000000001", attribution=BLOG_WRITER), ScopePaused)


# ---- addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        tenant_month(),
        agent_month(),
        task_cap("blog-writer"),
        task_cap(),
        campaign_total(),
        campaign_month(),
        tag_month("team=red"),
        tag_total("team=a=b"),
    ],
)
def test_the_budgets_of_the_documents_can_be_addressed(key: BudgetKey) -> None:
    assert budget_problems(key, capped(key, "0")) == ()
    assert budget_problems(key, None) == ()


@pytest.mark.parametrize(
    ("scope", "scope_id", "period", "path", "message"),
    [
        ("TASK", "", "TASK", "scope", "a task cap is set with scope AGENT and period TASK"),
        ("TENANT", "", "TOTAL", "period", "a budget of scope TENANT has the period MONTH"),
        ("TENANT", "", "TASK", "period", "a budget of scope TENANT has the period MONTH"),
        ("AGENT", "x", "TOTAL", "period", "a budget of scope AGENT has the period MONTH or TASK"),
        ("CAMPAIGN", "x", "TASK", "period", "a budget of scope CAMPAIGN has the period TOTAL or MONTH"),
        ("TAG", "a=b", "TASK", "period", "a budget of scope TAG has the period MONTH or TOTAL"),
        ("TENANT", "acme", "MONTH", "scopeId", "the tenant's own budget has no scopeId: leave it out"),
        ("AGENT", "", "MONTH", "scopeId", "name the agent that the budget is for"),
        ("CAMPAIGN", "", "TOTAL", "scopeId", "name the campaign that the budget is for"),
        ("TAG", "", "TOTAL", "scopeId", "name the tag that the budget is for"),
        ("TAG", "red", "TOTAL", "scopeId", "a tag is addressed as key=value"),
        ("TAG", "=red", "TOTAL", "scopeId", "a tag is addressed as key=value"),
        ("TAG", "team=", "TOTAL", "scopeId", "a tag is addressed as key=value"),
        ("AGENT", "x ", "TASK", "scopeId", IDENTIFIER_RULE),
    ],
)
def test_no_other_budget_can_be(scope: str, scope_id: str, period: str, path: str, message: str) -> None:
    key = BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period))
    assert budget_problems(key, None) == (FieldProblem(path, message),)


@pytest.mark.parametrize(
    ("cap", "thresholds", "problem"),
    [
        (-1, (8_000,), FieldProblem("cap", "must not be negative")),
        (1, (), FieldProblem("thresholds", "1 to 10 percents above 0 and up to 1000")),
        (1, (0,), FieldProblem("thresholds", "1 to 10 percents above 0 and up to 1000")),
        (1, (100_001,), FieldProblem("thresholds", "1 to 10 percents above 0 and up to 1000")),
        (1, (1,) * 11, FieldProblem("thresholds", "1 to 10 percents above 0 and up to 1000")),
    ],
)
def test_a_cap_is_not_negative_and_thresholds_are_percents(
    cap: int, thresholds: tuple[int, ...], problem: FieldProblem
) -> None:
    assert budget_problems(tenant_month(), Budget(tenant_month(), cap, thresholds)) == (problem,)
    assert budget_problems(tenant_month(), Budget(tenant_month(), 0, (1, 100_000))) == ()


@pytest.mark.parametrize("key", [ScopeKey(ScopeKind.TENANT, ""), AGENT, CAMPAIGN])
def test_the_tenant_roles_and_campaigns_can_be_paused(key: ScopeKey) -> None:
    assert scope_problems(key, "approval_pending") == ()


@pytest.mark.parametrize(
    ("kind", "identifier", "reason", "path", "message"),
    [
        ("TENANT", "acme", "r", "scopeId", "the tenant itself has no scopeId: leave it out"),
        ("AGENT", "", "r", "scopeId", IDENTIFIER_RULE),
        ("AGENT", "x", "", "reason", IDENTIFIER_RULE),
        ("AGENT", "x", "budget_exceeded", "reason", "this reason is Purser's own: use another"),
        ("CLIENT", "umbrella", "r", "scope", "only TENANT, AGENT and CAMPAIGN can be paused"),
        ("PROJECT", "site", "r", "scope", "only TENANT, AGENT and CAMPAIGN can be paused"),
    ],
)
def test_no_other_pause_can_be(kind: str, identifier: str, reason: str, path: str, message: str) -> None:
    assert scope_problems(ScopeKey(ScopeKind(kind), identifier), reason) == (FieldProblem(path, message),)


# ---- budgets ---------------------------------------------------------------------------------------------------


def test_setting_a_budget_answers_with_its_newest_counter_and_moves_no_money() -> None:
    books = Bookkeeper([wallet_with("metered", "1000")])
    books.record(spent("3"), attribution=BLOG_WRITER)
    wallets, counters = dict(books.wallets), dict(books.counters)
    budget = capped(agent_month(), "10")
    key = counter_key(agent_month())
    assert books.set_budget(agent_month(), "10") == BudgetState(
        agent_month(), budget, Counter(key, nano("3"), 0), Scope(AGENT)
    )
    assert (books.wallets, books.counters, books.budgets) == (wallets, counters, {agent_month(): budget})
    assert (books.scopes, books.events) == ({}, [])


def test_a_total_answers_with_its_total_and_a_task_cap_with_zero() -> None:
    books = Bookkeeper()
    books.record(spent("3"), attribution=BLOG_WRITER)
    total = books.set_budget(campaign_total(), "10")
    task = books.set_budget(task_cap("blog-writer"), "10")
    assert isinstance(total, BudgetState)
    assert isinstance(task, BudgetState)
    assert total.counter == Counter(counter_key(campaign_total()), nano("3"), 0)
    assert task.counter == Counter(CounterKey(BudgetScope.AGENT, "blog-writer", "TASK"), 0, 0)
    assert task.scope is None


def test_removing_a_budget_that_is_not_there_is_refused() -> None:
    books = Bookkeeper(defaults=[capped(agent_month(), "1")])
    assert books.remove_budget(agent_month()) == NotFound("budget")


def test_removing_a_budget_brings_the_operators_default_back() -> None:
    default = capped(agent_month(), "1")
    books = Bookkeeper(budgets=[capped(agent_month(), "5")], defaults=[default])
    answer = books.remove_budget(agent_month())
    assert isinstance(answer, BudgetState)
    assert answer.budget == default
    assert books.budgets == {}


def test_a_raised_cap_resumes_at_once_and_tells_workers_to_queue_again() -> None:
    books = paused_at("10", "9.5", agent_month())
    pause = books.scopes[AGENT]
    answer = books.set_budget(agent_month(), "20")
    assert isinstance(answer, BudgetState)
    assert answer.scope == Scope(AGENT)
    assert books.scopes == {AGENT: Scope(AGENT)}
    payload = (
        ("scope", "AGENT"),
        ("scopeId", "blog-writer"),
        ("reason", pause.pause_reason),
        ("period", MONTH),
        ("cap", nano("10")),
    )
    assert books.events == [Event(EventType.SCOPE_RESUMED, payload)]
    assert works(books)


def test_a_removed_cap_resumes_at_once() -> None:
    books = paused_at("10", "10", campaign_total())
    books.remove_budget(campaign_total())
    assert books.scopes == {CAMPAIGN: Scope(CAMPAIGN)}
    assert [event.type for event in books.events] == [EventType.SCOPE_RESUMED]


def test_a_cap_raised_by_less_than_what_is_spent_stays_paused_under_the_new_cap() -> None:
    books = paused_at("10", "12", agent_month())
    books.set_budget(agent_month(), "12")
    assert books.scopes[AGENT] == Scope(AGENT, None, ScopeStatus.PAUSED, "monthly_budget_exceeded", MONTH, nano("12"))
    assert books.events == []
    assert not works(books)
    books.set_budget(agent_month(), "12.000000001")
    assert books.scopes[AGENT].status is ScopeStatus.ACTIVE


@pytest.mark.parametrize("cap", ["10", "9.6", "9", "0"])
def test_a_cap_that_is_not_raised_keeps_its_pause(cap: str) -> None:
    books = paused_at("10", "9.5", agent_month())
    books.set_budget(agent_month(), cap)
    assert books.scopes[AGENT].status is ScopeStatus.PAUSED
    assert books.scopes[AGENT].pause_cap == nano(cap)
    assert books.events == []
    assert not works(books)


def test_new_thresholds_under_the_same_cap_write_no_scope() -> None:
    books = paused_at("10", "9.5", agent_month())
    before = dict(books.scopes)
    books.set_budget(agent_month(), "10")
    assert books.scopes == before


def test_a_cap_set_after_the_month_lifts_the_old_months_pause() -> None:
    books = paused_at("10", "9.5", agent_month())
    books.set_budget(agent_month(), "5", at=DECEMBER)
    assert books.scopes[AGENT].status is ScopeStatus.ACTIVE


def test_another_budget_of_a_paused_scope_leaves_its_pause_alone() -> None:
    books = paused_at("10", "9.5", campaign_total())
    before = dict(books.scopes)
    books.set_budget(campaign_month(), "1000")
    books.set_budget(agent_month(), "1000")
    assert books.scopes == before
    assert books.events == []


def test_a_raised_cap_does_not_lift_the_pause_of_a_person() -> None:
    books = paused_at("10", "9.5", agent_month())
    books.pause(ScopeKind.AGENT, "blog-writer", reason="approval_pending")
    books.set_budget(agent_month(), "100")
    assert books.scopes[AGENT] == Scope(AGENT, None, ScopeStatus.PAUSED, "approval_pending")


# ---- pauses ----------------------------------------------------------------------------------------------------


def test_a_person_pauses_a_scope_that_was_never_seen_and_resumes_it() -> None:
    books = Bookkeeper([wallet_with("metered", "1000")])
    paused = Scope(CAMPAIGN, None, ScopeStatus.PAUSED, "approval_pending")
    assert books.pause(ScopeKind.CAMPAIGN, "spring", reason="approval_pending") == ScopeState(paused)
    answer = books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)
    assert answer == ScopePaused(BudgetScope.CAMPAIGN, "spring", "approval_pending")
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == ScopeState(Scope(CAMPAIGN))
    assert [event.type for event in books.events] == [EventType.SCOPE_PAUSED, EventType.SCOPE_RESUMED]
    assert held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)).held_usd == nano("1")


def test_pausing_twice_tells_workers_once() -> None:
    books = Bookkeeper()
    first = books.pause(ScopeKind.TENANT)
    assert books.pause(ScopeKind.TENANT) == first
    assert len(books.events) == 1


def test_a_person_may_resume_what_a_budget_paused_and_the_next_refusal_pauses_it_again() -> None:
    books = paused_at("10", "9.5", agent_month())
    books.resume(ScopeKind.AGENT, "blog-writer")
    assert held(books.reserve("llm_call", cost="0.4", attribution=BLOG_WRITER)).held_usd == nano("0.4")
    books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)
    assert books.scopes[AGENT].pause_reason == "monthly_budget_exceeded"
    assert [event.type for event in books.events] == [EventType.SCOPE_RESUMED, EventType.SCOPE_PAUSED]


def test_the_name_of_a_scope_outlives_pauses() -> None:
    books = paused_at("10", "9.5", agent_month())
    books.scopes[AGENT] = replace(books.scopes[AGENT], name="Writer")
    books.set_budget(agent_month(), "9")
    books.pause(ScopeKind.AGENT, "blog-writer")
    books.resume(ScopeKind.AGENT, "blog-writer")
    assert books.scopes[AGENT] == Scope(AGENT, "Writer")


def test_resuming_what_is_not_there_is_refused_and_what_is_active_changes_nothing() -> None:
    books = Bookkeeper()
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == NotFound("scope")
    books.scopes[CAMPAIGN] = Scope(CAMPAIGN, "Spring")
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == ScopeState(Scope(CAMPAIGN, "Spring"))
    assert books.events == []


# ---- out of use ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "identifier"), [("AGENT", "blog-writer"), ("CAMPAIGN", "spring")])
def test_a_person_takes_a_scope_out_of_use_and_activates_it_again(kind: str, identifier: str) -> None:
    books = Bookkeeper([wallet_with("metered", "1000")])
    books.record(spent("1"), attribution=BLOG_WRITER)
    key = ScopeKey(ScopeKind(kind), identifier)
    inactive = Scope(key, None, ScopeStatus.INACTIVE, "deactivated")
    assert books.deactivate(key.kind, identifier) == ScopeState(inactive)
    answer = books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)
    assert answer == ScopePaused(BudgetScope(kind), identifier, "deactivated")
    assert books.resume(key.kind, identifier) == ScopeState(Scope(key))
    assert books.told() == [EventType.SCOPE_PAUSED, EventType.SCOPE_RESUMED]
    assert held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))


def test_what_is_inactive_is_refused_even_to_work_that_costs_nothing() -> None:
    books = Bookkeeper([wallet_with("metered", "1000")])
    books.record(spent("1"), attribution=BLOG_WRITER)
    books.deactivate(ScopeKind.CAMPAIGN, "spring")
    answer = books.reserve("llm_call", model=LLAMA, attribution=BLOG_WRITER)
    assert answer == ScopePaused(BudgetScope.CAMPAIGN, "spring", "deactivated")


def test_taking_out_of_use_twice_tells_once_and_keeps_the_name() -> None:
    books = Bookkeeper()
    books.scopes[CAMPAIGN] = Scope(CAMPAIGN, "Spring", ScopeStatus.PAUSED, "approval_pending")
    first = books.deactivate(ScopeKind.CAMPAIGN, "spring")
    assert first == ScopeState(Scope(CAMPAIGN, "Spring", ScopeStatus.INACTIVE, "deactivated"))
    assert books.deactivate(ScopeKind.CAMPAIGN, "spring") == first
    assert len(books.events) == 1


def test_what_nobody_has_seen_is_not_taken_out_of_use() -> None:
    books = Bookkeeper()
    assert books.deactivate(ScopeKind.AGENT, "nobody") == NotFound("scope")
    assert books.scopes == {}


def test_no_budget_moves_what_is_out_of_use() -> None:
    books = paused_at("10", "9.5", agent_month())
    books.deactivate(ScopeKind.AGENT, "blog-writer")
    before = dict(books.scopes)
    books.set_budget(agent_month(), "1000")
    books.remove_budget(agent_month())
    assert books.scopes == before


def test_a_tenant_is_not_deactivated_but_suspended() -> None:
    tenant_itself = ScopeKey(ScopeKind.TENANT, "")
    only = FieldProblem("scope", "only AGENT and CAMPAIGN can be deactivated; an operator suspends a tenant")
    assert deactivation_problems(tenant_itself, "r") == (only,)
    assert deactivation_problems(ScopeKey(ScopeKind.CAMPAIGN, "spring"), "r") == ()
    purser_own = (FieldProblem("reason", "this reason is Purser's own: use another"),)
    assert deactivation_problems(ScopeKey(ScopeKind.CAMPAIGN, "spring"), "metered_empty") == purser_own


# ---- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in ScopeKind if kind is not ScopeKind.TENANT])
def test_whatever_the_customer_calls_its_own_can_have_a_name(kind: ScopeKind) -> None:
    books = Bookkeeper()
    key = ScopeKey(kind, "x-1")
    assert naming_problems(key, "The first", None) == ()
    assert books.name(key, "The first") == ScopeNamed(key)
    assert books.scopes[key] == Scope(key, "The first")
    assert books.name(key, None) == ScopeNamed(key)
    assert books.scopes[key] == Scope(key)
    assert books.events == []


def test_a_name_leaves_a_pause_as_it_is() -> None:
    books = Bookkeeper()
    books.pause(ScopeKind.CAMPAIGN, "spring")
    books.name(CAMPAIGN, "Spring sale", "umbrella")
    assert books.scopes[CAMPAIGN] == Scope(CAMPAIGN, "Spring sale", ScopeStatus.PAUSED, "manual_pause")
    assert ScopeKey(ScopeKind.CLIENT, "umbrella") in books.seen


def test_a_name_brings_no_agent_role_beyond_the_plan() -> None:
    books = Bookkeeper(of=tenant(plan="starter"))
    for number in range(10):
        books.name(ScopeKey(ScopeKind.AGENT, f"role-{number}"), f"Role {number}")
    assert books.name(AGENT, "The writer") == PlanLimit("agent roles", 10, 10)
    assert AGENT not in books.scopes


def test_a_name_activates_no_campaign_while_the_prepaid_wallet_is_empty() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    books.adjust("metered", "-1")
    assert isinstance(books.name(CAMPAIGN, "Spring sale"), InsufficientFunds)
    books.scopes[CAMPAIGN] = Scope(CAMPAIGN, None, ScopeStatus.INACTIVE, "metered_empty")
    assert books.name(CAMPAIGN, "Spring sale") == ScopeNamed(CAMPAIGN)


@pytest.mark.parametrize(
    ("key", "name", "client", "problem"),
    [
        (ScopeKey(ScopeKind.TENANT, ""), "Acme", None, ("kind", "an operator renames a tenant: renameTenant")),
        (ScopeKey(ScopeKind.CLIENT, ""), "Acme", None, ("id", IDENTIFIER_RULE)),
        (AGENT, " ", None, ("name", IDENTIFIER_RULE)),
        (AGENT, "Writer", "umbrella", ("client", "only a campaign has a client: leave it out")),
        (CAMPAIGN, None, "", ("client", IDENTIFIER_RULE)),
    ],
)
def test_says_what_is_wrong_with_a_name(
    key: ScopeKey, name: str | None, client: str | None, problem: tuple[str, str]
) -> None:
    assert naming_problems(key, name, client) == (FieldProblem(*problem),)
