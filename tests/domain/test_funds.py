"""Funds: an empty prepaid wallet stops campaigns until there is balance and a person activates them again."""

from dataclasses import replace

import pytest

from domain import admission, funds
from domain.admission import Admission, Wish
from domain.attribution import Attribution
from domain.books import Event, EventType
from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.controls import ScopeState
from domain.money import Money
from domain.payments import PaymentFacts
from domain.refusals import BudgetScope, InsufficientFunds, PlanLimit, ScopePaused
from tests.domain.builders import (
    BLOG_WRITER,
    CATALOG,
    NO_CARD,
    NOW,
    Bookkeeper,
    acme,
    agent_month,
    campaign_total,
    capped,
    empty_wallet,
    held,
    later,
    nano,
    ordered,
    paid,
    selling,
    sold,
    spent,
    tenant,
    wallet_with,
)

card = CATALOG.rate_cards.at(NOW, NOW)
assert card is not None
LEAST = card.least_metered
SPRING = ScopeKey(ScopeKind.CAMPAIGN, "spring")
AUTUMN = ScopeKey(ScopeKind.CAMPAIGN, "autumn")
WINTER = ScopeKey(ScopeKind.CAMPAIGN, "winter")
WRITER = ScopeKey(ScopeKind.AGENT, "blog-writer")
OUT_OF_MONEY = Scope(SPRING, None, ScopeStatus.INACTIVE, "metered_empty")


def running(*campaigns: str, balance: str = "10") -> Bookkeeper:
    """Campaigns that have spent a little of what is in the prepaid wallet, which has no threshold."""
    books = Bookkeeper([wallet_with("credits", "100"), wallet_with("metered", balance)])
    for campaign in campaigns or ("spring",):
        books.reserve("blog_post", attribution=Attribution(campaign=campaign, agent_role="blog-writer"))
    books.events.clear()
    return books


def emptied(*campaigns: str) -> Bookkeeper:
    books = running(*campaigns)
    books.record(spent("10"), feature="llm_call")
    return books


def status(books: Bookkeeper, key: ScopeKey = SPRING) -> tuple[str, str | None]:
    scope = books.registered()[key]
    return scope.status.value, scope.pause_reason


# ---- events of wallets -----------------------------------------------------------------------------------------


def test_only_a_wallet_that_came_back_from_below_zero_is_told_of() -> None:
    below, zero, above = (empty_wallet()._replace(available=nano(amount)) for amount in ("-1", "0", "1"))
    payload = (("wallet", "credits"), ("available", 0))

    def told(before: object, after: object) -> tuple[Event, ...]:
        books = Bookkeeper()
        if before is not None:
            books.wallets["credits"] = before  # type: ignore[assignment]
        return funds.events_of(books.books(), (after,), NOW)  # type: ignore[arg-type]

    assert told(below, zero) == (Event(EventType.DEBT_REPAID, payload),)
    assert told(below, below) == ()
    assert told(zero, above) == ()
    assert told(None, above) == ()


def test_the_threshold_and_the_end_are_told_by_the_command_that_reaches_them() -> None:
    books = Bookkeeper([wallet_with("metered", "60")])
    books.record(spent("10"), feature="llm_call")
    assert books.told() == [EventType.BALANCE_LOW]
    books.record(spent("30"), feature="llm_call")
    assert len(books.events) == 1
    books.record(spent("10"), feature="llm_call")
    assert books.told() == [EventType.BALANCE_LOW, EventType.BALANCE_EMPTY]
    books.record(spent("10"), feature="llm_call")
    assert len(books.events) == 2


def test_one_charge_may_cross_the_threshold_and_the_end_at_once() -> None:
    books = Bookkeeper([wallet_with("metered", "60")])
    books.record(spent("60"), feature="llm_call")
    assert books.told() == [EventType.BALANCE_LOW, EventType.BALANCE_EMPTY]


# ---- empty -----------------------------------------------------------------------------------------------------


def test_the_cheapest_call_of_the_card_says_what_empty_is() -> None:
    wallet = wallet_with("metered", "1").wallet
    assert not funds.is_empty(wallet._replace(available=LEAST), card)
    assert funds.is_empty(wallet._replace(available=LEAST - 1), card)
    assert not funds.is_empty(wallet._replace(available=-5, reserved=LEAST + 5), card)
    assert funds.is_empty(wallet._replace(available=0), None)
    assert not funds.is_empty(wallet._replace(available=1), None)


def test_an_empty_prepaid_wallet_deactivates_the_campaigns_and_workers_drain() -> None:
    books = emptied("spring", "autumn")
    assert {books.scopes[key] for key in (SPRING, AUTUMN)} == {
        OUT_OF_MONEY,
        Scope(AUTUMN, None, ScopeStatus.INACTIVE, "metered_empty"),
    }
    assert status(books, WRITER) == ("ACTIVE", None)
    assert books.told() == [EventType.BALANCE_EMPTY, EventType.SCOPE_PAUSED, EventType.SCOPE_PAUSED]
    assert dict(books.events[1].payload)["reason"] == "metered_empty"
    assert books.reserve("blog_post", attribution=BLOG_WRITER) == ScopePaused(
        BudgetScope.CAMPAIGN, "spring", "metered_empty"
    )
    books.audit()


def test_holds_alone_do_not_empty_a_wallet() -> None:
    books = running()
    work = held(books.reserve("llm_call", cost="7.69"))
    assert books.wallets["metered"].available < LEAST + nano("0.01")
    assert (books.events, status(books)) == ([], ("ACTIVE", None))
    books.release(work)
    assert books.events == []


def test_the_charge_of_what_was_held_empties_it() -> None:
    books = running(balance="13")
    work = held(books.reserve("llm_call", cost="10"))
    assert books.events == []
    books.consume(work, spent("10"))
    assert books.balance("metered") == ("0", "0", "13")
    assert books.told() == [EventType.BALANCE_EMPTY, EventType.SCOPE_PAUSED]


def test_a_refund_that_empties_the_wallet_deactivates_too() -> None:
    books = Bookkeeper([wallet_with("credits", "100"), wallet_with("metered", "0.000000001")])
    top_up = books.settle_top_up(ordered(books.start_top_up(amount="100")), paid(Money(10_000, "USD")))
    held(books.reserve("blog_post", attribution=BLOG_WRITER))
    books.settle_top_up(top_up, PaymentFacts(refunded_at_least=10_000))
    assert books.balance("metered")[0] == "0.000000001"
    assert status(books) == ("INACTIVE", "metered_empty")


def test_what_a_person_paused_or_deactivated_stays_as_it_is_and_what_a_budget_paused_does_not() -> None:
    books = running("spring", "autumn", "winter")
    books.pause(ScopeKind.CAMPAIGN, "spring", reason="approval_pending")
    books.deactivate(ScopeKind.CAMPAIGN, "autumn")
    books.scopes[WINTER] = Scope(WINTER, "Winter", ScopeStatus.PAUSED, "budget_exceeded", "TOTAL", nano("1"))
    books.record(spent("10"), feature="llm_call")
    assert status(books) == ("PAUSED", "approval_pending")
    assert status(books, AUTUMN) == ("INACTIVE", "deactivated")
    assert books.scopes[WINTER] == Scope(WINTER, "Winter", ScopeStatus.INACTIVE, "metered_empty")


def test_money_does_not_activate_campaigns_a_person_does() -> None:
    books = emptied()
    books.adjust("metered", "20")
    assert status(books) == ("INACTIVE", "metered_empty")
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == ScopeState(Scope(SPRING))
    assert held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))


def test_no_campaign_is_activated_before_there_is_balance() -> None:
    books = emptied("spring", "autumn")
    available = books.wallets["metered"].available
    needed = InsufficientFunds("metered", LEAST, available)
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == needed
    books.pause(ScopeKind.CAMPAIGN, "autumn")
    assert books.resume(ScopeKind.CAMPAIGN, "autumn") == needed
    assert status(books) == ("INACTIVE", "metered_empty")
    books.adjust("metered", "3.009999999")
    assert isinstance(books.resume(ScopeKind.CAMPAIGN, "spring"), InsufficientFunds)
    books.adjust("metered", "0.000000001")
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == ScopeState(Scope(SPRING))


def test_without_a_rate_card_nothing_at_all_is_empty() -> None:
    books = Bookkeeper([wallet_with("metered", "1")], catalog=NO_CARD)
    books.scopes[SPRING] = OUT_OF_MONEY
    books.adjust("metered", "-1")
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == InsufficientFunds("metered", 1, 0)
    assert books.told() == [EventType.BALANCE_EMPTY]


def test_a_new_campaign_is_refused_while_the_wallet_is_empty_and_a_known_one_goes_by_its_status() -> None:
    books = emptied()
    new = Attribution(campaign="autumn")
    before = books.money(), dict(books.scopes)
    assert books.reserve("blog_post", attribution=new) == ScopePaused(BudgetScope.CAMPAIGN, "autumn", "metered_empty")
    assert (books.money(), dict(books.scopes)) == before
    assert held(books.reserve("blog_post", attribution=Attribution(agent_role="new")))
    books.adjust("metered", "20")
    assert held(books.reserve("blog_post", attribution=new))


def test_a_tenant_without_a_prepaid_wallet_is_not_concerned() -> None:
    books = Bookkeeper([wallet_with("credits", "100")])
    assert held(books.reserve("blog_post", attribution=BLOG_WRITER))
    books.pause(ScopeKind.CAMPAIGN, "spring")
    books.adjust("credits", "-200")
    assert books.events[1:] == []
    assert books.resume(ScopeKind.CAMPAIGN, "spring") == ScopeState(Scope(SPRING))
    assert funds.metered_is_empty(books.books(), NOW) is None


def test_an_empty_credit_wallet_deactivates_nothing() -> None:
    books = running()
    books.adjust("credits", "-200")
    assert (books.events, status(books)) == ([], ("ACTIVE", None))


# ---- agent roles -----------------------------------------------------------------------------------------------


def crew(plan: str, size: int) -> Bookkeeper:
    books = Bookkeeper(acme(), of=tenant(plan=plan))
    for place in range(size):
        assert held(books.reserve("in_editor_action", attribution=Attribution(agent_role=f"agent-{place}")))
    return books


@pytest.mark.parametrize(("plan", "limit"), [("starter", 10), ("professional", 25)])
def test_the_plan_limits_agent_roles_and_known_ones_go_on(plan: str, limit: int) -> None:
    books = crew(plan, limit)
    before = books.money(), dict(books.scopes)
    one_more = Attribution(agent_role="one-more")
    assert books.reserve("in_editor_action", attribution=one_more) == PlanLimit("agent roles", limit, limit)
    assert (books.money(), dict(books.scopes)) == before
    assert held(books.reserve("in_editor_action", attribution=Attribution(agent_role="agent-0")))
    assert held(books.reserve("in_editor_action"))


def test_an_inactive_role_does_not_count_and_comes_back_only_where_there_is_room() -> None:
    books = crew("starter", 10)
    books.deactivate(ScopeKind.AGENT, "agent-0")
    assert held(books.reserve("in_editor_action", attribution=Attribution(agent_role="one-more")))
    assert books.reserve("in_editor_action", attribution=Attribution(agent_role="agent-0")) == ScopePaused(
        BudgetScope.AGENT, "agent-0", "deactivated"
    )
    assert books.resume(ScopeKind.AGENT, "agent-0") == PlanLimit("agent roles", 10, 10)
    books.deactivate(ScopeKind.AGENT, "agent-1")
    assert isinstance(books.resume(ScopeKind.AGENT, "agent-0"), ScopeState)
    assert len(books.agents()) == 10


def test_a_paused_role_counts_and_is_resumed_without_a_question() -> None:
    books = crew("starter", 10)
    books.pause(ScopeKind.AGENT, "agent-0")
    assert books.reserve("in_editor_action", attribution=Attribution(agent_role="one-more")) == PlanLimit(
        "agent roles", 10, 10
    )
    assert isinstance(books.resume(ScopeKind.AGENT, "agent-0"), ScopeState)


def test_pausing_an_inactive_role_is_no_way_around_the_plan() -> None:
    books = crew("starter", 10)
    books.deactivate(ScopeKind.AGENT, "agent-0")
    books.reserve("in_editor_action", attribution=Attribution(agent_role="one-more"))
    state = books.pause(ScopeKind.AGENT, "agent-0")
    assert isinstance(state, ScopeState)
    assert state.scope.status is ScopeStatus.INACTIVE
    assert books.resume(ScopeKind.AGENT, "agent-0") == PlanLimit("agent roles", 10, 10)
    assert len(books.agents()) == 10


def test_pausing_a_role_that_nobody_has_seen_is_no_way_around_the_plan() -> None:
    books = crew("starter", 10)
    assert books.pause(ScopeKind.AGENT, "one-more") == PlanLimit("agent roles", 10, 10)
    books.deactivate(ScopeKind.AGENT, "agent-0")
    assert isinstance(books.pause(ScopeKind.AGENT, "one-more"), ScopeState)
    assert isinstance(books.resume(ScopeKind.AGENT, "one-more"), ScopeState)


def test_a_tenant_over_a_smaller_plan_may_resume_what_it_paused() -> None:
    books = crew("starter", 10)
    books.record(spent("1"), attribution=Attribution(agent_role="one-more"))
    books.pause(ScopeKind.AGENT, "agent-0")
    assert isinstance(books.resume(ScopeKind.AGENT, "agent-0"), ScopeState)


def test_usage_is_always_recorded_and_its_roles_count() -> None:
    books = crew("starter", 10)
    books.record(spent("1"), attribution=Attribution(agent_role="one-more"))
    assert books.reserve("in_editor_action", attribution=Attribution(agent_role="another")) == PlanLimit(
        "agent roles", 10, 11
    )


def test_a_tenant_whose_plan_is_unknown_is_not_limited() -> None:
    books = Bookkeeper(acme(), of=tenant(plan="bespoke"))
    assert funds.agents_limit(books.books(), "one-more", NOW) is None


def test_the_version_of_the_plan_that_is_current_limits() -> None:
    books = Bookkeeper(
        acme(),
        of=tenant(plan="p"),
        catalog=selling(sold("p", 1, agents=1), sold("p", 1, agents=2, since=later(60))),
    )
    assert held(books.reserve("in_editor_action", attribution=Attribution(agent_role="a")))
    assert books.reserve("in_editor_action", attribution=Attribution(agent_role="b")) == PlanLimit("agent roles", 1, 1)
    assert held(books.reserve("in_editor_action", attribution=Attribution(agent_role="b"), at=later(60)))


def test_work_of_which_nobody_asked_who_is_new_brings_no_newcomer() -> None:
    books = crew("starter", 10).books()
    assert funds.newcomer(books, "one-more", "spring", NOW) == PlanLimit("agent roles", 10, 10)
    unread = type(books)(*[getattr(books, name) for name in list(books.__slots__)[:9]])
    assert unread.agents is None
    assert funds.newcomer(unread, "one-more", "spring", NOW) is None


def test_a_pause_of_a_budget_ends_with_its_cap_and_deactivation_does_not() -> None:
    books = running()
    books.set_budget(campaign_total(), "5")
    books.set_budget(agent_month(), "100")
    books.record(spent("10"), feature="llm_call", attribution=BLOG_WRITER)
    assert status(books) == ("INACTIVE", "metered_empty")
    books.set_budget(campaign_total(), "500")
    assert status(books) == ("INACTIVE", "metered_empty")
    assert books.budgets[campaign_total()] == capped(campaign_total(), "500")


def test_where_no_command_brings_anything_new_nobody_counts() -> None:
    books = replace(Bookkeeper(acme()).books(), agents=None)
    wish = Wish("blog_post", attribution=BLOG_WRITER)
    assert isinstance(admission.admit(books, wish, NOW), Admission)
