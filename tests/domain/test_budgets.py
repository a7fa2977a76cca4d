"""Budgets: the levels in their order, what is refused, what is paused and for how long, what agents are told.

Levels, reasons and the notice are document 003's; figures are dollars of provider cost.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import budgets
from domain.admission import Wish
from domain.attribution import NOBODY, Attribution
from domain.books import Event, EventType, Operation
from domain.budgets import (
    Budget,
    BudgetKey,
    BudgetPeriod,
    BudgetWarning,
    Counter,
    CounterKey,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
)
from domain.holds import Estimate
from domain.refusals import BudgetExceeded, BudgetScope, ScopePaused
from domain.reservations import Granted, Reserve
from tests.domain.builders import (
    BLOG_WRITER,
    LLAMA,
    MONTH,
    NOW,
    Bookkeeper,
    agent_month,
    campaign_month,
    campaign_total,
    capped,
    counter_key,
    held,
    nano,
    request,
    spent,
    tag_month,
    tag_total,
    task_cap,
    tenant,
    tenant_month,
    wallet_with,
)

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TAGGED = BLOG_WRITER._replace(tags=(("team", "red"),))
AGENT = ScopeKey(ScopeKind.AGENT, "blog-writer")
CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "spring")
TENANT = ScopeKey(ScopeKind.TENANT, "")


def keeper(*caps: Budget, defaults: tuple[Budget, ...] = ()) -> Bookkeeper:
    """Plenty of dollars, so that only budgets are in the way."""
    return Bookkeeper([wallet_with("metered", "100000")], budgets=caps, defaults=defaults)


def ask(books: Bookkeeper, cost: str, attribution: Attribution = BLOG_WRITER, *, at: datetime = NOW) -> object:
    return books.reserve("llm_call", cost=cost, attribution=attribution, at=at)


def spend(books: Bookkeeper, cost: str, attribution: Attribution = BLOG_WRITER, *, at: datetime = NOW) -> None:
    """Spend counted without a hold."""
    books.record(spent(cost), attribution=attribution, at=at)


def over(scope: BudgetScope, scope_id: str | None, *figures: str, retryable: bool = False) -> BudgetExceeded:
    """cap, spent, held, requested."""
    cap, spent_, held_, requested = map(nano, figures)
    return BudgetExceeded(scope, scope_id, cap, spent_, held_, requested, retryable)


# ---- counters --------------------------------------------------------------------------------------------------


def test_spend_is_counted_for_the_tenant_the_role_the_campaign_and_each_tag_with_and_without_caps() -> None:
    books = keeper()
    held(books.reserve("llm_call", cost="2", attribution=TAGGED))
    levels = [
        tenant_month(),
        agent_month(),
        campaign_total(),
        campaign_month(),
        tag_month("team=red"),
        tag_total("team=red"),
    ]
    assert [books.counter(level) for level in levels] == [("0", "2")] * 6
    assert len(books.counters) == 6


def test_spend_without_attribution_is_counted_for_the_tenant_alone() -> None:
    books = keeper()
    spend(books, "3", NOBODY)
    assert books.counters == {counter_key(tenant_month()): Counter(counter_key(tenant_month()), nano("3"), 0)}


def test_a_new_month_starts_at_zero_and_a_total_goes_on() -> None:
    books = keeper()
    spend(books, "3")
    spend(books, "4", at=DECEMBER)
    assert books.counter(tenant_month()) == ("3", "0")
    assert books.counter(tenant_month(), "2026-12") == ("4", "0")
    assert books.counter(campaign_total()) == ("7", "0")


def test_the_month_is_that_of_the_tenants_zone() -> None:
    books = Bookkeeper(of=tenant(zone=ZoneInfo("Asia/Kolkata")))
    spend(books, "1", at=datetime(2026, 11, 30, 18, 30, tzinfo=UTC))
    assert books.counter(tenant_month(), "2026-12") == ("1", "0")


@pytest.mark.parametrize("period_key", ["2026-11", "TOTAL"])
def test_a_counter_knows_its_budget(period_key: str) -> None:
    period = BudgetPeriod.TOTAL if period_key == "TOTAL" else BudgetPeriod.MONTH
    counter = CounterKey(BudgetScope.CAMPAIGN, "spring", period_key)
    assert budgets.budget_key(counter) == BudgetKey(BudgetScope.CAMPAIGN, "spring", period)


def test_scopes_that_can_stop_work_are_the_tenant_its_role_and_its_campaign() -> None:
    assert budgets.scope_keys(TAGGED) == (TENANT, AGENT, CAMPAIGN)
    assert budgets.scope_keys(NOBODY) == (TENANT,)


# ---- the order of levels ---------------------------------------------------------------------------------------


def test_levels_are_checked_tenant_agent_campaign_task_tags() -> None:
    caps = [
        capped(tenant_month(), "0.51"),
        capped(agent_month(), "0.52"),
        capped(campaign_total(), "0.53"),
        capped(campaign_month(), "0.54"),
        capped(task_cap("blog-writer"), "0.55"),
        capped(tag_month("team=red"), "0.56"),
        capped(tag_total("team=red"), "0.57"),
    ]
    books = keeper(*caps)
    refused = []
    for cap in caps:
        answer = ask(books, "1", TAGGED)
        assert isinstance(answer, BudgetExceeded)
        refused.append((answer.scope.value, answer.scope_id, answer.cap))
        books.remove_budget(cap.key)
    assert refused == [
        ("TENANT", None, nano("0.51")),
        ("AGENT", "blog-writer", nano("0.52")),
        ("CAMPAIGN", "spring", nano("0.53")),
        ("CAMPAIGN", "spring", nano("0.54")),
        ("TASK", "blog-writer", nano("0.55")),
        ("TAG", "team=red", nano("0.56")),
        ("TAG", "team=red", nano("0.57")),
    ]
    assert held(books.reserve("llm_call", cost="1", attribution=TAGGED)).held_usd == nano("1")


def test_each_level_counts_on_its_own() -> None:
    books = keeper(capped(agent_month("blog-writer"), "1"), capped(campaign_total("spring"), "5"))
    spend(books, "0.5", Attribution(agent_role="blog-writer"))
    email = Attribution(agent_role="email-writer", campaign="spring")
    assert held(books.reserve("llm_call", cost="5", attribution=email)).held_usd == nano("5")
    writer = Attribution(agent_role="blog-writer")
    assert ask(books, "0.6", writer) == over(BudgetScope.AGENT, "blog-writer", "1", "0.5", "0", "0.6")


# ---- caps ------------------------------------------------------------------------------------------------------


def test_equality_with_the_cap_is_allowed_and_one_nano_more_is_refused() -> None:
    books = keeper(capped(tenant_month(), "10"))
    spend(books, "6")
    held(books.reserve("llm_call", cost="3", attribution=BLOG_WRITER))
    assert ask(books, "1.000000001") == over(BudgetScope.TENANT, None, "10", "6", "3", "1.000000001", retryable=True)
    assert held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)).held_usd == nano("1")
    assert books.counter(tenant_month()) == ("6", "4")


def test_a_refusal_moves_nothing() -> None:
    books = keeper(capped(agent_month(), "1"))
    spend(books, "0.5")
    before = books.money()
    assert isinstance(ask(books, "0.6"), BudgetExceeded)
    assert books.money() == before


def test_holds_and_spend_together_never_pass_the_cap() -> None:
    books = keeper(capped(campaign_total(), "1"))
    answers = [ask(books, "0.3") for _ in range(5)]
    assert [isinstance(answer, BudgetExceeded) for answer in answers] == [False, False, False, True, True]
    assert books.counter(campaign_total()) == ("0", "0.9")


def test_a_campaign_month_can_be_capped_beside_its_total() -> None:
    books = keeper(capped(campaign_total(), "100"), capped(campaign_month(), "1"))
    assert ask(books, "2") == over(BudgetScope.CAMPAIGN, "spring", "1", "0", "0", "2")


def test_tag_budgets_refuse_by_month_and_in_total_and_never_pause() -> None:
    books = keeper(capped(tag_month("team=red"), "5"), capped(tag_total("team=red"), "8"))
    spend(books, "4", TAGGED)
    assert ask(books, "1.5", TAGGED) == over(BudgetScope.TAG, "team=red", "5", "4", "0", "1.5")
    assert (books.scopes, books.events) == ({}, [])
    spend(books, "3", TAGGED, at=DECEMBER)
    assert ask(books, "1.5", TAGGED, at=DECEMBER) == over(BudgetScope.TAG, "team=red", "8", "7", "0", "1.5")
    blue = TAGGED._replace(tags=(("team", "blue"),))
    assert held(books.reserve("llm_call", cost="9", attribution=blue)).held_usd == nano("9")


# ---- the task cap ----------------------------------------------------------------------------------------------


def test_the_task_cap_of_a_role_goes_before_that_of_any_role() -> None:
    books = keeper(capped(task_cap("blog-writer"), "2"), capped(task_cap(), "1"))
    assert held(books.reserve("llm_call", cost="2", attribution=BLOG_WRITER)).max_cost_usd == nano("2")
    email = Attribution(agent_role="email-writer")
    assert ask(books, "1.5", email) == over(BudgetScope.TASK, "email-writer", "1", "0", "0", "1.5")
    assert ask(books, "1.5", NOBODY) == over(BudgetScope.TASK, None, "1", "0", "0", "1.5")
    assert (books.scopes, books.events) == ({}, [])


def test_without_task_caps_a_reservation_has_none() -> None:
    assert held(keeper().reserve("llm_call", cost="2", attribution=BLOG_WRITER)).max_cost_usd is None


def test_the_task_cap_counts_what_the_reservation_holds_already() -> None:
    books = keeper(capped(task_cap(), "3"))
    work = held(books.reserve("llm_call", cost="2"))
    assert books.extend(work, cost="1.5") == over(BudgetScope.TASK, None, "3", "0", "2", "1.5")
    assert held(books.extend(work, cost="1")).held_usd == nano("3")


# ---- defaults --------------------------------------------------------------------------------------------------


def test_an_operators_default_caps_a_role_until_the_tenant_sets_its_own() -> None:
    books = keeper(defaults=(capped(agent_month(), "1"),))
    assert ask(books, "2") == over(BudgetScope.AGENT, "blog-writer", "1", "0", "0", "2")
    books.set_budget(agent_month(), "3")
    assert held(books.reserve("llm_call", cost="2", attribution=BLOG_WRITER)).held_usd == nano("2")
    books.remove_budget(agent_month())
    assert ask(books, "0.5") == over(BudgetScope.AGENT, "blog-writer", "1", "0", "2", "0.5", retryable=True)


def test_an_operators_default_task_cap_is_overridden_by_the_tenants_own() -> None:
    books = keeper(capped(task_cap("blog-writer"), "5"), defaults=(capped(task_cap("blog-writer"), "1"),))
    assert held(books.reserve("llm_call", cost="4", attribution=BLOG_WRITER)).max_cost_usd == nano("5")


# ---- pauses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "scope", "reason", "period"),
    [
        (tenant_month(), TENANT, "tenant_monthly_budget_exceeded", MONTH),
        (agent_month(), AGENT, "monthly_budget_exceeded", MONTH),
        (campaign_total(), CAMPAIGN, "budget_exceeded", "TOTAL"),
        (campaign_month(), CAMPAIGN, "budget_exceeded", MONTH),
    ],
)
def test_a_refusal_by_what_is_spent_pauses_its_scope_and_tells_workers_to_drain(
    budget: BudgetKey, scope: ScopeKey, reason: str, period: str
) -> None:
    books = keeper(capped(budget, "10"))
    spend(books, "9.5")
    answer = ask(books, "0.6")
    assert isinstance(answer, BudgetExceeded)
    assert not answer.retryable
    assert books.scopes == {scope: Scope(scope, None, ScopeStatus.PAUSED, reason, period, nano("10"))}
    payload = (
        ("scope", scope.kind.value),
        ("scopeId", scope.id or None),
        ("reason", reason),
        ("period", period),
        ("cap", nano("10")),
    )
    assert books.events == [Event(EventType.SCOPE_PAUSED, payload)]


def test_while_paused_even_a_request_that_would_fit_is_refused_and_pauses_nothing_again() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "9.5")
    ask(books, "0.6")
    before = books.money()
    assert ask(books, "0.1") == ScopePaused(BudgetScope.AGENT, "blog-writer", "monthly_budget_exceeded")
    assert books.money() == before
    assert len(books.events) == 1


def test_a_paused_agent_stops_neither_other_agents_nor_its_campaign() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "9.5")
    ask(books, "0.6")
    assert held(books.reserve("llm_call", cost="0.6", attribution=BLOG_WRITER._replace(agent_role="email-writer")))


def test_when_only_other_holds_are_in_the_way_the_answer_is_retryable_and_nothing_is_paused() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "9")
    work = held(books.reserve("llm_call", cost="0.9", attribution=BLOG_WRITER))
    assert ask(books, "0.5") == over(BudgetScope.AGENT, "blog-writer", "10", "9", "0.9", "0.5", retryable=True)
    assert (books.scopes, books.events) == ({}, [])
    books.release(work)
    assert held(books.reserve("llm_call", cost="0.5", attribution=BLOG_WRITER))


def test_a_request_larger_than_the_whole_cap_is_refused_and_pauses_nothing() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "9.5")
    assert ask(books, "10.1") == over(BudgetScope.AGENT, "blog-writer", "10", "9.5", "0", "10.1")
    assert (books.scopes, books.events) == ({}, [])
    assert held(books.reserve("llm_call", cost="0.5", attribution=BLOG_WRITER))


def test_a_request_of_exactly_the_whole_cap_pauses() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "0.1")
    ask(books, "10")
    assert books.scopes[AGENT].pause_reason == "monthly_budget_exceeded"


@pytest.mark.parametrize(
    ("budget", "scope"),
    [(tenant_month(), TENANT), (agent_month(), AGENT), (campaign_total(), CAMPAIGN), (campaign_month(), CAMPAIGN)],
)
def test_the_settlement_that_reaches_the_cap_pauses(budget: BudgetKey, scope: ScopeKey) -> None:
    books = keeper(capped(budget, "10"))
    spend(books, "9")
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    assert books.scopes == {}
    books.consume(work, spent("1"))
    assert books.scopes[scope].status is ScopeStatus.PAUSED
    assert [event.type for event in books.events] == [EventType.SCOPE_PAUSED]
    assert isinstance(ask(books, "0.000000001"), ScopePaused)


def test_a_settlement_just_under_the_cap_pauses_nothing_and_one_far_above_pauses_once() -> None:
    books = keeper(capped(tenant_month(), "10"))
    first, second = (held(books.reserve("llm_call", cost="1")) for _ in range(2))
    books.consume(first, spent("9.999999999"))
    assert books.scopes == {}
    books.consume(second, spent("500"))
    assert books.counter(tenant_month()) == ("509.999999999", "0")
    spend(books, "1", NOBODY)
    assert [event.type for event in books.events] == [EventType.SCOPE_PAUSED]


def test_usage_without_a_reservation_pauses_as_well() -> None:
    books = keeper(capped(campaign_total(), "1"))
    spend(books, "1")
    assert books.scopes[CAMPAIGN].pause_reason == "budget_exceeded"


def test_one_settlement_that_reaches_both_caps_of_a_campaign_pauses_it_once_by_its_total() -> None:
    books = keeper(capped(campaign_total(), "1"), capped(campaign_month(), "1"))
    spend(books, "1")
    assert books.scopes[CAMPAIGN].pause_period_key == "TOTAL"
    assert len(books.events) == 1


def test_late_usage_of_a_month_that_is_over_pauses_nothing_now() -> None:
    books = keeper(capped(tenant_month(), "10"))
    books.record(spent("50")._replace(occurred_at=NOW), at=DECEMBER)
    assert books.counter(tenant_month()) == ("50", "0")
    assert books.scopes == {}


def test_work_of_a_month_that_is_over_is_refused_by_its_cap_and_pauses_nothing_now() -> None:
    books = keeper(capped(tenant_month(), "10"))
    work = held(books.reserve("llm_call", cost="1", ttl=3600, at=DECEMBER - timedelta(minutes=1)))
    spend(books, "8", at=NOW)
    assert books.extend(work, cost="3", at=DECEMBER) == over(BudgetScope.TENANT, None, "10", "8", "1", "3")
    assert books.scopes == {}


# ---- how long a pause counts -----------------------------------------------------------------------------------


def paused(budget: BudgetKey) -> Bookkeeper:
    """Cap 10, 9.5 spent, paused."""
    books = keeper(capped(budget, "10"))
    spend(books, "9.5")
    assert isinstance(ask(books, "0.6"), BudgetExceeded)
    assert books.scopes
    return books


@pytest.mark.parametrize("budget", [tenant_month(), agent_month(), campaign_month()])
def test_a_new_month_lets_work_through_at_once_though_no_job_has_run(budget: BudgetKey) -> None:
    books = paused(budget)
    assert isinstance(ask(books, "0.1", at=DECEMBER - timedelta(microseconds=1)), ScopePaused)
    assert held(books.reserve("llm_call", cost="10", attribution=BLOG_WRITER, at=DECEMBER))


def test_a_campaigns_total_gets_no_room_from_a_new_month() -> None:
    books = paused(campaign_total())
    assert ask(books, "0.1", at=DECEMBER) == ScopePaused(BudgetScope.CAMPAIGN, "spring", "budget_exceeded")


def test_a_pause_of_an_old_month_gives_way_to_one_of_the_new() -> None:
    books = paused(agent_month())
    spend(books, "9.9", at=DECEMBER)
    assert isinstance(ask(books, "0.2", at=DECEMBER), BudgetExceeded)
    assert books.scopes[AGENT].pause_period_key == "2026-12"
    assert len(books.events) == 2


def test_a_default_cap_that_the_operator_changes_lets_work_through_at_once() -> None:
    books = keeper(defaults=(capped(agent_month(), "10"),))
    spend(books, "9.5")
    ask(books, "0.6")
    assert isinstance(ask(books, "0.1"), ScopePaused)
    books.defaults[agent_month()] = capped(agent_month(), "20")
    assert held(books.reserve("llm_call", cost="0.6", attribution=BLOG_WRITER))


def test_a_pause_whose_budget_is_gone_counts_no_more() -> None:
    books = keeper(defaults=(capped(agent_month(), "10"),))
    spend(books, "9.5")
    ask(books, "0.6")
    books.defaults.clear()
    assert held(books.reserve("llm_call", cost="5", attribution=BLOG_WRITER))


def test_a_pause_by_a_person_counts_whatever_the_month_and_the_caps() -> None:
    scope = Scope(CAMPAIGN, None, ScopeStatus.PAUSED, "manual_pause")
    assert budgets.is_current(keeper().books().book, scope)
    assert not scope.paused_by_budget


def test_a_budget_never_replaces_the_pause_of_a_person() -> None:
    books = keeper(capped(agent_month(), "10"))
    work = held(books.reserve("llm_call", cost="5", attribution=BLOG_WRITER))
    books.pause(ScopeKind.AGENT, "blog-writer")
    books.consume(work, spent("20"))
    assert books.scopes[AGENT] == Scope(AGENT, None, ScopeStatus.PAUSED, "manual_pause")


def test_a_current_pause_by_the_total_is_not_replaced_by_one_of_the_month() -> None:
    books = keeper(capped(campaign_total(), "1"), capped(campaign_month(), "2"))
    spend(books, "1")
    spend(books, "1")
    assert books.scopes[CAMPAIGN].pause_period_key == "TOTAL"
    assert len(books.events) == 1


def test_an_inactive_scope_refuses_all_work_with_its_reason() -> None:
    books = keeper()
    books.scopes[CAMPAIGN] = Scope(CAMPAIGN, None, ScopeStatus.INACTIVE, "metered_empty")
    assert ask(books, "0.1") == ScopePaused(BudgetScope.CAMPAIGN, "spring", "metered_empty")
    books.scopes[CAMPAIGN] = Scope(CAMPAIGN, None, ScopeStatus.INACTIVE)
    assert ask(books, "0.1") == ScopePaused(BudgetScope.CAMPAIGN, "spring", "inactive")


# ---- work that costs nothing -----------------------------------------------------------------------------------


def test_a_local_model_passes_exhausted_caps_and_the_pauses_of_budgets() -> None:
    books = keeper(capped(tenant_month(), "10"), capped(task_cap(), "0"))
    spend(books, "10")
    assert books.scopes[TENANT].status is ScopeStatus.PAUSED
    assert held(books.reserve("llm_call", model=LLAMA, attribution=BLOG_WRITER)).held_usd == 0


@pytest.mark.parametrize(("kind", "identifier"), [(ScopeKind.TENANT, ""), (ScopeKind.AGENT, "blog-writer")])
def test_a_local_model_does_not_pass_the_pause_of_a_person(kind: ScopeKind, identifier: str) -> None:
    books = keeper()
    books.pause(kind, identifier)
    answer = books.reserve("llm_call", model=LLAMA, attribution=BLOG_WRITER)
    assert answer == ScopePaused(BudgetScope(kind.value), identifier or None, "manual_pause")


# ---- what is said ----------------------------------------------------------------------------------------------


def granted(books: Bookkeeper, attribution: Attribution = BLOG_WRITER) -> Granted:
    wish = Wish("llm_call", estimate=Estimate(cost=nano("0.01")), attribution=attribution)
    answer = books.decide(Reserve(request(Operation.RESERVE, books.key()), books.fresh_id(), wish)).answer
    assert isinstance(answer, Granted)
    return answer


NOTICE = """⚠️ BUDGET NOTICE: You have used 80% of your monthly token budget for this client.
You are approaching your limit. For this task:
- Be concise in your responses
- Skip optional research or elaboration steps
- Focus only on the core deliverable
- Avoid making unnecessary tool calls
"""


def test_the_notice_is_document_003s_text() -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, "8")
    assert granted(books).prompt_notice == NOTICE


@pytest.mark.parametrize(
    ("cost", "percent"),
    [("7.999999999", None), ("8", "80"), ("9.55", "95"), ("9.989", "99"), ("10", None), ("11", None)],
)
def test_the_notice_stands_from_80_to_99_percent_of_the_roles_month(cost: str, percent: str | None) -> None:
    books = keeper(capped(agent_month(), "10"))
    spend(books, cost)
    notice = budgets.prompt_notice(budgets.levels(books.books().book, BLOG_WRITER, MONTH))
    assert (notice is None) == (percent is None)
    if notice is not None:
        assert f"You have used {percent}% of" in notice


def test_there_is_no_notice_without_a_role_or_without_its_cap() -> None:
    books = keeper(capped(tenant_month(), "10"), capped(campaign_total(), "10"))
    spend(books, "9")
    assert granted(books).prompt_notice is None
    assert granted(books, Attribution(campaign="spring")).prompt_notice is None


def test_every_budget_at_or_above_its_first_threshold_is_warned_of() -> None:
    books = keeper(
        capped(tenant_month(), "10", 9_000, 8_500),
        capped(agent_month(), "20", 4_000),
        capped(campaign_total(), "1000"),
    )
    spend(books, "8.5")
    assert granted(books).warnings == (
        BudgetWarning(BudgetScope.TENANT, None, 8_500, nano("10"), nano("8.5"), 0),
        BudgetWarning(BudgetScope.AGENT, "blog-writer", 4_250, nano("20"), nano("8.5"), 0),
    )


def test_a_budget_without_thresholds_is_never_warned_of() -> None:
    books = keeper(Budget(tenant_month(), nano("10"), ()))
    spend(books, "9")
    assert granted(books).warnings == ()


def test_a_cap_of_zero_is_used_up_and_refuses_what_costs_anything() -> None:
    books = keeper(capped(agent_month(), "0"))
    assert budgets.used_percent(0, 0) == 10_000
    assert ask(books, "0.000000001") == over(BudgetScope.AGENT, "blog-writer", "0", "0", "0", "0.000000001")
    assert (books.scopes, budgets.prompt_notice(budgets.levels(books.books().book, BLOG_WRITER, MONTH))) == ({}, None)
    assert [
        warning.used_percent for warning in budgets.warnings(budgets.levels(books.books().book, BLOG_WRITER, MONTH))
    ] == [10_000]


# ---- arithmetic ------------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_admission_refuses_exactly_above_the_cap_and_pauses_exactly_when_spend_alone_is_over(
    cap: int, spent_: int, held_: int, requested: int
) -> None:
    key = counter_key(tenant_month())
    book = budgets.BudgetBook(
        MONTH, {tenant_month(): Budget(tenant_month(), cap)}, {}, {key: Counter(key, spent_, held_)}, {}
    )
    refusal = budgets.admit(book, NOBODY, budgets.levels(book, NOBODY, MONTH), requested)
    assert (refusal is not None) == (requested > 0 and spent_ + held_ + requested > cap)
    if refusal is not None:
        assert isinstance(refusal.refusal, BudgetExceeded)
        alone = spent_ + requested > cap
        assert refusal.refusal.retryable == (not alone)
        assert (refusal.paused is not None) == (alone and requested <= cap)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
def test_a_settlement_pauses_exactly_when_it_crosses_the_cap(before: int, cost: int, cap: int) -> None:
    key = counter_key(tenant_month())
    book = budgets.BudgetBook(
        MONTH, {tenant_month(): Budget(tenant_month(), cap)}, {}, {key: Counter(key, before, 0)}, {}
    )
    paused_scopes = budgets.pauses_after(book, budgets.settle(budgets.levels(book, NOBODY, MONTH), cost, 0))
    assert bool(paused_scopes) == (before < cap <= before + cost)
