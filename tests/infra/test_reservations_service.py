"""Reservations through the group commit: what hundreds of callers at once are admitted to, and what is kept of it."""

import asyncio
from collections import Counter

import pytest

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.money import NANO
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    ReservationEnded,
    ReservationState,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
)
from domain.holds import ModelName
from domain.reservations import Estimate, Granted, Preview, Released, Wish
from infra.application import Application
from infra.services import reservations, scopes, settlements, usage
from infra.services.callers import Caller, Refused
from infra.services.reservations import Order, ReleaseOrder
from infra.services.usage import ReportedUsage
from domain.budgets import ScopeKey, ScopeKind
from domain.usage import Usage
from tests.domain.builders import BLOG_WRITER, GPT_4O, agent_month, campaign_total, nano, tag_month, task_cap, tenant_month
from tests.infra.builders import (
    audit,
    balance,
    cap,
    contents,
    count,
    counter,
    held,
    nothing_moves,
    open_tenant,
    reported,
    reserved,
    wish,
)


def month_of(answer: Granted) -> str:
    return answer.reservation.month


async def test_hundreds_of_callers_in_two_processes_are_admitted_to_exactly_what_the_wallet_holds(
    application: Application, second_application: Application
) -> None:
    caller = await open_tenant(application, credits="101")
    answers = await asyncio.gather(
        *[
            reservations.reserve((application, second_application)[number % 2], caller, f"r{number}", wish())
            for number in range(300)
        ]
    )
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    refused = [answer.refusal for answer in answers if isinstance(answer, Refused)]
    assert len(granted) == 50
    assert Counter(refused) == {InsufficientFunds("credits", nano("2"), nano("1")): 250}
    assert await balance(application, caller, "credits") == ("1", "100", "0")
    assert await count(application, "reservation") == 50
    await audit(application)


@pytest.mark.parametrize(
    ("budget", "attribution", "pauses"),
    [
        (tenant_month(), Attribution(), 0),
        (agent_month("writer"), Attribution(agent_role="writer"), 0),
        (campaign_total("spring"), Attribution(campaign="spring"), 0),
        (tag_month("team=red"), Attribution(tags=(("team", "red"),)), 0),
    ],
    ids=["tenant", "agent", "campaign", "tag"],
)
async def test_hundreds_of_callers_in_two_processes_never_pass_a_budget_together(
    application: Application,
    second_application: Application,
    budget: BudgetKey,
    attribution: Attribution,
    pauses: int,
) -> None:
    caller = await open_tenant(application, credits="1000")
    await cap(application, caller, budget, "6.5")
    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[number % 2], caller, f"r{number}", wish(attribution=attribution)
            )
            for number in range(200)
        ]
    )
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    refused = [answer.refusal for answer in answers if isinstance(answer, Refused)]
    assert len(granted) == 10
    exceeded = BudgetExceeded(
        budget.scope, budget.scope_id or None, nano("6.5"), 0, nano("6"), nano("0.6"), retryable=True
    )
    assert Counter(refused) == {exceeded: 190}
    period = "TOTAL" if budget.period is BudgetPeriod.TOTAL else month_of(granted[0])
    assert await counter(application, caller, budget.scope.value, budget.scope_id, period) == ("0", "6")
    assert await balance(application, caller, "credits") == ("980", "20", "0")
    assert await count(application, "scope", "status <> 'ACTIVE'") == pauses
    await audit(application)


async def test_one_key_sent_fifty_times_at_once_makes_one_reservation(
    application: Application, second_application: Application, caller: Caller
) -> None:
    answers = await asyncio.gather(
        *[
            reservations.reserve((application, second_application)[number % 2], caller, "once", wish())
            for number in range(50)
        ]
    )
    assert len({held(answer).id for answer in answers}) == 1
    assert await count(application, "reservation") == 1
    assert await balance(application, caller, "credits") == ("298", "2", "0")
    await audit(application)


async def test_the_same_key_with_another_request_is_refused_whoever_comes_first(
    application: Application, second_application: Application, caller: Caller
) -> None:
    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[number % 2],
                caller,
                "once",
                wish("blog_post" if number % 4 < 2 else "strategy"),
            )
            for number in range(40)
        ]
    )
    granted = [held(answer) for answer in answers if isinstance(answer, Granted)]
    refused = [answer.refusal for answer in answers if isinstance(answer, Refused)]
    assert len(granted) == 20
    assert len({reservation.id for reservation in granted}) == 1
    assert refused == [IdempotencyKeyReused("once")] * 20
    async with nothing_moves(application):
        other = await reservations.reserve(application, caller, "once", wish("landing_page"))
    assert isinstance(other, Refused)
    assert other.refusal == IdempotencyKeyReused("once")


async def test_every_part_of_a_request_is_bound_to_its_key(application: Application, caller: Caller) -> None:
    first = wish("llm_call", "0.02", Attribution(campaign="spring"))
    granted = await reservations.reserve(application, caller, "key", first)
    again = await reservations.reserve(application, caller, "key", first)
    assert held(again).id == held(granted).id
    others: list[tuple[Wish, str | None, int]] = [
        (wish("llm_call", "0.03", Attribution(campaign="spring")), None, 900),
        (wish("llm_call", "0.02", Attribution(campaign="summer")), None, 900),
        (wish("llm_call", "0.02", Attribution(campaign="spring", tags=(("a", "b"),))), None, 900),
        (wish("warmup_email", "0.02", Attribution(campaign="spring")), None, 900),
        (Wish("llm_call", 2 * NANO, None, Estimate(cost=nano("0.02")), Attribution(campaign="spring")), None, 900),
        (Wish("llm_call", NANO, GPT_4O, Estimate(cost=nano("0.02")), Attribution(campaign="spring")), None, 900),
        (first, "task", 900),
        (first, None, 901),
    ]
    for asked, task, ttl in others:
        refused = await reservations.reserve(application, caller, "key", asked, task, ttl)
        assert isinstance(refused, Refused), asked
        assert refused.refusal == IdempotencyKeyReused("key")


async def test_keys_are_apart_by_tenant_and_by_operation(application: Application, caller: Caller) -> None:
    other = await open_tenant(application, "globex", credits="10")
    mine, theirs = await asyncio.gather(
        reservations.reserve(application, caller, "key", wish()), reservations.reserve(application, other, "key", wish())
    )
    assert held(mine).id != held(theirs).id
    extended = await reservations.extend(application, caller, "key", held(mine).id, 1000)
    released = await reservations.release(application, caller, "key", held(mine).id)
    assert isinstance(extended, Granted)
    assert isinstance(released, Released)


async def test_one_task_reserved_by_a_hundred_retries_is_held_once(
    application: Application, second_application: Application, caller: Caller
) -> None:
    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[number % 2],
                caller,
                f"r{number}",
                wish(("brand_voice_score", "ai_search_visibility_score")[number // 2 % 2]),
                "draft-7",
            )
            for number in range(100)
        ]
    )
    assert len({held(answer).id for answer in answers}) == 1
    assert await balance(application, caller, "credits") == ("299.75", "0.25", "0")
    assert await count(application, "task") == 1
    assert await count(application, "idempotency_key", "operation = 'reserve'") == 100
    await audit(application)


async def test_a_task_begins_anew_after_a_release_and_not_after_a_consume(
    application: Application, caller: Caller
) -> None:
    first = await reserved(application, caller, "1", task="lead-1")
    await reservations.release(application, caller, "1", first.id)
    second = await reserved(application, caller, "2", task="lead-1")
    assert second.id != first.id
    await settlements.consume(application, caller, "2", second.id, None, [])
    third = await reserved(application, caller, "3", task="lead-1")
    assert (third.id, third.state) == (second.id, ReservationState.CONSUMED)
    assert await balance(application, caller, "credits") == ("298", "0", "2")
    await audit(application)


async def test_commands_of_one_batch_build_on_each_other(application: Application, caller: Caller) -> None:
    first = await reserved(application, caller, "1", task="t")
    answers = await asyncio.gather(
        reservations.release(application, caller, "1", first.id),
        reservations.reserve(application, caller, "2", wish(), "t"),
        reservations.reserve(application, caller, "3", wish(), "t"),
        settlements.consume(application, caller, "1", first.id, None, []),
        reservations.release(application, caller, "1", first.id),
    )
    assert isinstance(answers[0], Released)
    second, third = held_of(answers[1]), held_of(answers[2])
    assert second.id == third.id != first.id
    assert isinstance(answers[3], Refused)
    assert answers[3].refusal == ReservationEnded(ReservationState.RELEASED)
    assert answers[4] == answers[0]
    assert await balance(application, caller, "credits") == ("298", "2", "0")
    await audit(application)


def held_of(answer: object) -> "reservations_type":
    assert isinstance(answer, Granted), answer
    return answer.reservation
