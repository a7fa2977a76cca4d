"""Caps and pauses through the group commit, while work goes on."""

import asyncio

from domain.attribution import Attribution
from domain.budgets import Budget, BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.controls import BudgetState, ScopeState
from domain.refusals import BudgetExceeded, BudgetScope, IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused
from domain.reservations import Granted
from domain.usage import Usage
from infra.application import Application
from infra.services import budgets, reservations, scopes, settlements
from infra.services.callers import Caller, Refused
from tests.domain.builders import agent_month, campaign_total, capped, later, nano, task_cap, tenant_month
from tests.infra.builders import (
    BALANCE,
    OPERATOR,
    Clock,
    audit,
    cap,
    count,
    counter,
    nothing_moves,
    open_tenant,
    outbox,
    reserved,
    wish,
)

SPRING = Attribution(campaign="spring")
CAMPAIGN = ScopeKey(ScopeKind.CAMPAIGN, "spring")


async def test_caps_that_are_raised_while_hundreds_reserve_admit_what_each_allows(
    application: Application, second_application: Application
) -> None:
    caller = await open_tenant(application, credits="1000")
    key = campaign_total()
    await cap(application, caller, key, "1.2")

    async def raise_it(step: int) -> None:
        await cap(second_application, caller, key, f"{12 * step // 10}.{12 * step % 10}", f"step-{step}")

    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[number % 2], caller, f"r{number}", wish(attribution=SPRING)
            )
            if number % 50
            else raise_it(2 + number // 50)
            for number in range(200)
        ]
    )
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    row = await application.across_tenants.fetchrow("SELECT cap FROM budget")
    assert row is not None
    held = nano((await counter(application, caller, "CAMPAIGN", "spring", "TOTAL"))[1])
    assert held == len(granted) * nano("0.6") <= row[0]
    for answer in answers:
        if isinstance(answer, Refused):
            refusal = answer.refusal
            assert isinstance(refusal, BudgetExceeded)
            assert refusal.spent + refusal.held + refusal.requested > refusal.cap
            assert refusal.retryable
    await audit(application)


async def test_commands_of_one_batch_see_the_caps_and_pauses_before_them(
    application: Application, caller: Caller
) -> None:
    ask = wish("llm_call", "0.5", SPRING)
    answers = await asyncio.gather(
        reservations.reserve(application, caller, "1", ask),
        budgets.set_budget(application, caller, "a", capped(campaign_total(), "0.9")),
        reservations.reserve(application, caller, "2", ask),
        budgets.set_budget(application, caller, "b", capped(campaign_total(), "1")),
        reservations.reserve(application, caller, "3", ask),
        scopes.pause_scope(application, caller, "p", CAMPAIGN),
        reservations.reserve(application, caller, "4", ask),
        scopes.resume_scope(application, caller, "p", CAMPAIGN),
        budgets.remove_budget(application, caller, "r", campaign_total()),
        reservations.reserve(application, caller, "5", ask),
    )
    outcome = [answer.refusal.code if isinstance(answer, Refused) else type(answer).__name__ for answer in answers]
    assert outcome == [
        "Granted",
        "BudgetState",
        "BUDGET_EXCEEDED",
        "BudgetState",
        "Granted",
        "ScopeState",
        "SCOPE_PAUSED",
        "ScopeState",
        "BudgetState",
        "Granted",
    ]
    assert await count(application, "budget") == 0
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == ("0", "1.5")
    assert [kind for kind, _ in await outbox(application, caller, *BALANCE)] == ["scope.paused", "scope.resumed"]
    await audit(application)


async def test_an_id_seen_earlier_in_the_batch_can_be_resumed_like_one_seen_before(
    application: Application, caller: Caller
) -> None:
    answers = await asyncio.gather(
        scopes.resume_scope(application, caller, "1", CAMPAIGN),
        reservations.reserve(application, caller, "r", wish(attribution=SPRING)),
        scopes.resume_scope(application, caller, "2", CAMPAIGN),
    )
    assert isinstance(answers[0], Refused)
    assert answers[0].refusal == NotFound("scope")
    assert isinstance(answers[2], ScopeState)
    assert isinstance(await scopes.resume_scope(application, caller, "3", CAMPAIGN), ScopeState)


async def test_a_refusal_over_what_is_spent_pauses_once_and_tells_once(
    application: Application, second_application: Application, caller: Caller
) -> None:
    await cap(application, caller, campaign_total(), "1")
    first = await reserved(application, caller, "r", feature="llm_call", cost="0.8", attribution=SPRING)
    await settlements.consume(application, caller, "c", first.id, None, [Usage(cost=nano("0.8"))])
    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[n % 2], caller, f"r{n}", wish("llm_call", "0.3", SPRING)
            )
            for n in range(40)
        ]
    )
    refusals = [answer.refusal for answer in answers if isinstance(answer, Refused)]
    exceeded = BudgetExceeded(BudgetScope.CAMPAIGN, "spring", nano("1"), nano("0.8"), 0, nano("0.3"), retryable=False)
    assert refusals.count(exceeded) == 1
    assert refusals.count(ScopePaused(BudgetScope.CAMPAIGN, "spring", "budget_exceeded")) == 39
    assert [kind for kind, _ in await outbox(application, caller, *BALANCE)] == ["scope.paused"]
    small = await reservations.reserve(application, caller, "small", wish("llm_call", "0.01", SPRING))
    assert isinstance(small, Refused)
    await cap(application, caller, campaign_total(), "2", "raised")
    assert [kind for kind, _ in await outbox(application, caller, *BALANCE)] == ["scope.paused", "scope.resumed"]
    assert isinstance(
        await reservations.reserve(application, caller, "small", wish("llm_call", "0.01", SPRING)), Granted
    )


async def test_a_new_month_lets_work_through_without_any_job(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="50")
    await cap(timed, caller, agent_month("writer"), "1")
    work = Attribution(agent_role="writer")
    reservation = await reserved(timed, caller, "r", feature="llm_call", cost="1", attribution=work, ttl=7 * 86_400)
    await settlements.consume(timed, caller, "c", reservation.id, None, [Usage(cost=nano("1"))])
    refused = await reservations.reserve(timed, caller, "next", wish("llm_call", "0.1", work))
    assert isinstance(refused, Refused)
    assert refused.refusal == ScopePaused(BudgetScope.AGENT, "writer", "monthly_budget_exceeded")
    clock.now = later(days=10)
    assert isinstance(await reservations.reserve(timed, caller, "next", wish("llm_call", "0.1", work)), Granted)
    assert await counter(timed, caller, "AGENT", "writer", "2026-11") == ("1", "0")
    assert await counter(timed, caller, "AGENT", "writer", "2026-12") == ("0", "0.1")
    await audit(timed)


async def test_a_hold_is_settled_in_the_month_of_its_reservation(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="50")
    clock.now = later(days=9, seconds=20 * 3_600)
    reservation = await reserved(timed, caller, feature="llm_call", cost="1", ttl=86_400)
    clock.advance(6 * 3_600)
    await settlements.consume(timed, caller, "c", reservation.id, None, [Usage(cost=nano("0.4"))])
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("0.4", "0")
    assert await counter(timed, caller, "TENANT", "", "2026-12") == ("0", "0")


async def test_one_key_sets_a_budget_once(application: Application, caller: Caller) -> None:
    answers = await asyncio.gather(
        *[budgets.set_budget(application, caller, "key", capped(tenant_month(), "5")) for _ in range(10)]
    )
    assert all(isinstance(answer, BudgetState) for answer in answers)
    other = await budgets.set_budget(application, caller, "key", capped(tenant_month(), "6"))
    assert isinstance(other, Refused)
    assert other.refusal == IdempotencyKeyReused("key")
    assert await count(application, "budget") == 1
    await budgets.remove_budget(application, caller, "remove", tenant_month())
    again = await budgets.set_budget(application, caller, "key", capped(tenant_month(), "5"))
    assert isinstance(again, BudgetState)
    assert again.budget is None


async def test_an_operators_default_caps_roles_that_have_no_cap_of_their_own(
    application: Application, caller: Caller
) -> None:
    default = agent_month("writer")
    assert await budgets.set_default_budget(application, OPERATOR, default, nano("1")) == Budget(default, nano("1"))
    work = Attribution(agent_role="writer")
    refused = await reservations.reserve(application, caller, "1", wish("llm_call", "2", work))
    assert isinstance(refused, Refused)
    await cap(application, caller, default, "3")
    assert isinstance(await reservations.reserve(application, caller, "1", wish("llm_call", "2", work)), Granted)
    state = await budgets.remove_budget(application, caller, "r", default)
    assert isinstance(state, BudgetState)
    assert state.budget == Budget(default, nano("1"))
    assert await budgets.set_default_budget(application, OPERATOR, default, None) is None
    assert isinstance(await reservations.reserve(application, caller, "2", wish("llm_call", "2", work)), Granted)


async def test_budgets_that_cannot_be_are_refused_and_nothing_is_written(
    application: Application, caller: Caller
) -> None:
    wrong = [
        Budget(BudgetKey(BudgetScope.TENANT, "x", BudgetPeriod.MONTH), 1),
        Budget(BudgetKey(BudgetScope.TASK, "", BudgetPeriod.TASK), 1),
        Budget(BudgetKey(BudgetScope.AGENT, "", BudgetPeriod.MONTH), 1),
        Budget(BudgetKey(BudgetScope.TAG, "no equals sign", BudgetPeriod.MONTH), 1),
        Budget(campaign_total(), -1),
    ]
    async with nothing_moves(application):
        for number, budget in enumerate(wrong):
            answer = await budgets.set_budget(application, caller, f"b{number}", budget)
            assert isinstance(answer, Refused), budget
            assert isinstance(answer.refusal, InvalidInput)
        missing = await budgets.remove_budget(application, caller, "r", task_cap("writer"))
    assert isinstance(missing, Refused)
    assert missing.refusal == NotFound("budget")


async def test_only_what_budgets_act_on_can_be_paused(application: Application, caller: Caller) -> None:
    async with nothing_moves(application):
        answer = await scopes.pause_scope(application, caller, "p", ScopeKey(ScopeKind.CLIENT, "umbrella"))
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
