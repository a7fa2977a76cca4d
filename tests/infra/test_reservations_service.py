"""Reservations through the group commit: what hundreds of callers at once are admitted to, and what is kept of it."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from domain.admission import Wish
from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.holds import Estimate, ModelName
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
from domain.reservations import Granted, Preview, Released
from domain.usage import Usage
from infra.application import Application
from infra.services import reservations, scopes, settlements, usage
from infra.services.callers import Caller, Refused
from infra.services.reservations import Order, ReleaseOrder
from infra.services.usage import ReportedUsage
from tests.domain.builders import (
    BLOG_WRITER,
    GPT_4O,
    agent_month,
    campaign_total,
    nano,
    tag_month,
    task_cap,
    tenant_month,
)
from tests.infra.builders import (
    audit,
    balance,
    cap,
    count,
    counter,
    held,
    nothing_moves,
    open_tenant,
    reported,
    reserved,
    wish,
)


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
    ("budget", "attribution"),
    [
        (tenant_month(), Attribution()),
        (agent_month("writer"), Attribution(agent_role="writer")),
        (campaign_total("spring"), Attribution(campaign="spring")),
        (tag_month("team=red"), Attribution(tags=(("team", "red"),))),
    ],
    ids=["tenant", "agent", "campaign", "tag"],
)
async def test_hundreds_of_callers_in_two_processes_never_pass_a_budget_together(
    application: Application,
    second_application: Application,
    budget: BudgetKey,
    attribution: Attribution,
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
    period = "TOTAL" if budget.period is BudgetPeriod.TOTAL else granted[0].reservation.month
    assert await counter(application, caller, budget.scope.value, budget.scope_id, period) == ("0", "6")
    assert await balance(application, caller, "credits") == ("980", "20", "0")
    assert await count(application, "scope", "status <> 'ACTIVE'") == 0
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
        reservations.reserve(application, caller, "key", wish()),
        reservations.reserve(application, other, "key", wish()),
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
    assert isinstance(answers[1], Granted)
    assert isinstance(answers[2], Granted)
    second, third = answers[1].reservation, answers[2].reservation
    assert second.id == third.id != first.id
    assert isinstance(answers[3], Refused)
    assert answers[3].refusal == ReservationEnded(ReservationState.RELEASED)
    assert answers[4] == answers[0]
    assert await balance(application, caller, "credits") == ("298", "2", "0")
    await audit(application)


REFUSED = [
    (Wish("context_file", 200 * NANO), InsufficientFunds("credits", nano("400"), nano("300"))),
    (wish("no_such_feature"), UnknownFeature("no_such_feature")),
    (Wish("llm_call", model=ModelName("openai", "gpt-99")), UnpricedModel("openai", "gpt-99", None)),
    (
        wish("llm_call", "2", Attribution(agent_role="capped")),
        BudgetExceeded(BudgetScope.AGENT, "capped", nano("1"), 0, 0, nano("2"), retryable=False),
    ),
    (
        wish("llm_call", "0.6", Attribution(agent_role="short")),
        BudgetExceeded(BudgetScope.TASK, "short", nano("0.5"), 0, 0, nano("0.6"), retryable=False),
    ),
    (
        wish("llm_call", "0.01", Attribution(campaign="stopped")),
        ScopePaused(BudgetScope.CAMPAIGN, "stopped", "manual_pause"),
    ),
]


@pytest.mark.parametrize(("asked", "refusal"), REFUSED, ids=[type(refusal).__name__ for _, refusal in REFUSED])
async def test_a_refusal_names_its_figures_and_moves_nothing(
    application: Application, caller: Caller, asked: Wish, refusal: object
) -> None:
    await cap(application, caller, agent_month("capped"), "1", "b1")
    await cap(application, caller, task_cap("short"), "0.5", "b2")
    await scopes.pause_scope(application, caller, "p", ScopeKey(ScopeKind.CAMPAIGN, "stopped"))
    async with nothing_moves(application):
        answer = await reservations.reserve(application, caller, "refused", asked)
    assert isinstance(answer, Refused)
    assert answer.refusal == refusal
    async with nothing_moves(application):
        preview = await reservations.preview(application, caller, asked)
    assert preview == Refused(answer.refusal, None)


async def test_a_refused_request_is_decided_anew_under_the_same_key(application: Application) -> None:
    caller = await open_tenant(application, credits="1")
    refused = await reservations.reserve(application, caller, "key", wish())
    assert isinstance(refused, Refused)
    blocked = await reserved(application, caller, "small", feature="in_editor_action")
    await reservations.release(application, caller, "small", blocked.id)
    poor = await reservations.reserve(application, caller, "key", wish("social_post"))
    assert isinstance(poor, Granted)


@pytest.mark.parametrize(
    ("asked", "task", "ttl", "path"),
    [
        (Wish("blog_post", 0), None, 900, "quantity"),
        (Wish("blog_post", -NANO), None, 900, "quantity"),
        (Wish(""), None, 900, "feature"),
        (wish("blog_post", "-1"), None, 900, "estimate.costUsd"),
        (wish(attribution=Attribution(campaign="")), None, 900, "attribution.campaign"),
        (wish(attribution=Attribution(agent_role="a\0b")), None, 900, "attribution.agentRole"),
        (wish(), "", 900, "taskKey"),
        (wish(), " x", 900, "taskKey"),
        (wish(), None, 0, "ttlSeconds"),
    ],
)
async def test_wrong_fields_are_named_and_never_reach_the_batch(
    application: Application, caller: Caller, asked: Wish, task: str | None, ttl: int, path: str
) -> None:
    async with nothing_moves(application):
        answer = await reservations.reserve(application, caller, "key", asked, task, ttl)
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
    assert [field.path for field in answer.refusal.fields] == [path]


async def test_an_empty_key_is_refused(application: Application, caller: Caller) -> None:
    answer = await reservations.reserve(application, caller, "", wish())
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
    assert [field.path for field in answer.refusal.fields] == ["idempotencyKey"]


async def test_a_request_beyond_all_numbers_is_an_ordinary_refusal(application: Application, caller: Caller) -> None:
    huge = Wish("strategy", 10**9 * NANO)
    answer = await reservations.reserve(application, caller, "huge", huge)
    assert isinstance(answer, Refused)
    assert answer.refusal == InsufficientFunds("credits", 5 * 10**9 * NANO, 300 * NANO)


async def test_another_tenants_reservation_answers_like_none(application: Application, caller: Caller) -> None:
    other = await open_tenant(application, "globex", credits="10")
    theirs = await reserved(application, other, "theirs")
    async with nothing_moves(application):
        answers = [
            await reservations.extend(application, caller, "e", theirs.id, 1000),
            await reservations.release(application, caller, "r", theirs.id),
            await settlements.consume(application, caller, "c", theirs.id, None, []),
        ]
        assert await reservations.check_task(application, caller, theirs.id) is None
    assert [answer.refusal for answer in answers if isinstance(answer, Refused)] == [NotFound("reservation")] * 3
    assert await reservations.check_task(application, other, theirs.id) is True


async def test_a_preview_says_what_a_reserve_holds_and_writes_nothing(application: Application, caller: Caller) -> None:
    asked = wish("llm_call", "0.02", BLOG_WRITER)
    async with nothing_moves(application):
        preview = await reservations.preview(application, caller, asked)
    assert isinstance(preview, Preview)
    reservation = held(await reservations.reserve(application, caller, "r", asked))
    assert (
        preview.holds
        == tuple((hold.wallet_key, hold.amount) for hold in reservation.holds)
        == (("metered", nano("0.026")),)
    )
    assert preview.estimated_usd == reservation.held_usd == nano("0.02")


async def test_one_action_holds_in_two_wallets_or_in_none(application: Application) -> None:
    caller = await open_tenant(application, email_sends="3", metered="0.02")
    model = ModelName("openai", "gpt-4o")
    asked = Wish("email_send", NANO, model, Estimate(cost=nano("0.01")))
    first = held(await reservations.reserve(application, caller, "1", asked))
    assert [(hold.wallet_key, hold.amount) for hold in first.holds] == [
        ("email_sends", NANO),
        ("metered", nano("0.013")),
    ]
    async with nothing_moves(application):
        second = await reservations.reserve(application, caller, "2", asked)
    assert isinstance(second, Refused)
    assert second.refusal == InsufficientFunds("metered", nano("0.013"), nano("0.007"))
    third = held(await reservations.reserve(application, caller, "3", Wish("email_send")))
    assert [(hold.wallet_key, hold.amount) for hold in third.holds] == [("email_sends", NANO)]
    await audit(application)


async def test_many_orders_are_each_decided_in_their_order(application: Application) -> None:
    caller = await open_tenant(application, credits="9")
    orders = [
        Order("1", wish("strategy")),
        Order("2", wish("strategy")),
        Order("1", wish("strategy")),
        Order("3", wish("nothing")),
        Order("4", wish("landing_page")),
        Order("1", wish("landing_page")),
        Order("5", wish("social_post"), ttl_seconds=0),
    ]
    answers = await reservations.reserve_many(application, caller, orders)
    outcome = [answer.reservation.id if isinstance(answer, Granted) else answer.refusal.code for answer in answers]
    assert outcome[1:] == [
        "INSUFFICIENT_FUNDS",
        outcome[0],
        "UNKNOWN_FEATURE",
        outcome[4],
        "IDEMPOTENCY_KEY_REUSED",
        "INVALID_INPUT",
    ]
    assert await balance(application, caller, "credits") == ("1", "8", "0")
    held_ids = [answer.reservation.id for answer in answers if isinstance(answer, Granted)]
    releases = [ReleaseOrder(f"r{index}", identifier) for index, identifier in enumerate(held_ids)]
    ended = await reservations.release_many(application, caller, releases)
    states = [answer.reservation.state if isinstance(answer, Released) else answer.refusal.code for answer in ended]
    assert states == ["RELEASED", "RESERVATION_ENDED", "RELEASED"]
    assert await balance(application, caller, "credits") == ("9", "0", "0")
    await audit(application)


async def test_capacity_is_taken_once_per_item_never_expires_and_comes_back(application: Application) -> None:
    caller = await open_tenant(application, lead_storage="2")
    answers = await asyncio.gather(
        *[
            reservations.reserve(application, caller, f"k{number}", Wish("store_lead"), f"lead-{number % 3}")
            for number in range(30)
        ]
    )
    granted = [answer.reservation for answer in answers if isinstance(answer, Granted)]
    assert {reservation.id for reservation in granted} == {reservation.id for reservation in granted[:2]}
    assert len(granted) == 20
    assert granted[0].expires_at is None
    assert await balance(application, caller, "lead_storage") == ("0", "2", "0")
    refused = await settlements.consume(application, caller, "c", granted[0].id, None, [])
    assert isinstance(refused, Refused)
    assert isinstance(refused.refusal, InvalidInput)
    await reservations.release(application, caller, "r", granted[0].id)
    await reserved(application, caller, "again", feature="store_lead", task="lead-2")
    assert await balance(application, caller, "lead_storage") == ("0", "2", "0")
    await audit(application)


async def test_an_extension_holds_more_once_per_key_and_under_the_same_caps(
    application: Application, caller: Caller
) -> None:
    await cap(application, caller, tenant_month(), "0.1")
    reservation = await reserved(application, caller, "r", feature="llm_call", cost="0.04")
    more = Estimate(cost=nano("0.05"))
    answers = await asyncio.gather(
        *[reservations.extend(application, caller, "more", reservation.id, None, more) for _ in range(20)]
    )
    assert {held(answer).held_usd for answer in answers} == {nano("0.09")}
    assert await balance(application, caller, "metered") == ("49.883", "0.117", "0")
    async with nothing_moves(application):
        refused = await reservations.extend(application, caller, "too much", reservation.id, 2000, more)
    assert isinstance(refused, Refused)
    assert refused.refusal == BudgetExceeded(
        BudgetScope.TENANT, None, nano("0.1"), 0, nano("0.09"), nano("0.05"), retryable=True
    )
    await audit(application)


async def test_ids_are_registered_when_first_seen_and_a_campaign_knows_its_client(
    application: Application, caller: Caller
) -> None:
    attribution = Attribution(project="p", campaign="spring", account="a", client="c1", agent_role="writer")
    await reserved(application, caller, "1", attribution=Attribution(campaign="spring"))
    await asyncio.gather(
        reservations.reserve(application, caller, "2", wish(attribution=attribution)),
        reservations.reserve(application, caller, "3", wish(attribution=Attribution(campaign="spring", client="c2"))),
    )
    await usage.record_usage(
        application,
        caller,
        [ReportedUsage(reported("e", "0.01"), attribution=Attribution(campaign="fall", client="c2"))],
    )
    rows = await application.across_tenants.fetch("SELECT kind, id, client, status FROM scope ORDER BY kind, id")
    assert [tuple(row) for row in rows] == [
        ("ACCOUNT", "a", None, "ACTIVE"),
        ("AGENT", "writer", None, "ACTIVE"),
        ("CAMPAIGN", "fall", "c2", "ACTIVE"),
        ("CAMPAIGN", "spring", "c1", "ACTIVE"),
        ("CLIENT", "c1", None, "ACTIVE"),
        ("CLIENT", "c2", None, "ACTIVE"),
        ("PROJECT", "p", None, "ACTIVE"),
        ("TENANT", "", None, "ACTIVE"),
    ]


async def test_a_refused_request_registers_nothing(application: Application, caller: Caller) -> None:
    asked = Wish("context_file", 200 * NANO, attribution=Attribution(campaign="never"))
    await reservations.reserve(application, caller, "r", asked)
    assert await count(application, "scope", "kind = 'CAMPAIGN'") == 0


async def test_a_task_runs_on_only_while_it_is_held_unpaused_and_within_its_cap(
    application: Application, caller: Caller
) -> None:
    await cap(application, caller, task_cap("writer"), "0.5")
    attribution = Attribution(agent_role="writer", campaign="spring")
    reservation = await reserved(application, caller, feature="llm_call", cost="0.1", attribution=attribution)

    async def goes_on(cost: str | None = None) -> bool | None:
        return await reservations.check_task(application, caller, reservation.id, None if cost is None else nano(cost))

    assert [await goes_on(), await goes_on("0.5"), await goes_on("0.500000001")] == [True, True, False]
    campaign = ScopeKey(ScopeKind.CAMPAIGN, "spring")
    await scopes.pause_scope(application, caller, "p", campaign)
    assert await goes_on() is False
    await scopes.resume_scope(application, caller, "p", campaign)
    assert await goes_on() is True
    await settlements.consume(application, caller, "c", reservation.id, None, [Usage(cost=1)])
    assert await goes_on() is False


async def test_work_that_holds_no_balance_may_be_extended_within_its_budget(
    application: Application, caller: Caller
) -> None:
    reservation = await reserved(application, caller, feature="public_data_query", cost="0.1")
    assert reservation.holds == ()
    extended = await reservations.extend(application, caller, "e", reservation.id, None, Estimate(cost=nano("0.2")))
    assert held(extended).held_usd == nano("0.3")
    consumed = await settlements.consume(application, caller, "c", reservation.id, None, [Usage(cost=nano("0.25"))])
    assert not isinstance(consumed, Refused)
    assert await counter(application, caller, "TENANT", "", reservation.month) == ("0.25", "0")
    await audit(application)


async def test_a_retry_with_an_id_that_was_read_from_the_database_is_the_same_request(
    application: Application, caller: Caller
) -> None:
    await reserved(application, caller, "key")
    read = await reserved(application, caller, "key")
    first = await reservations.release(application, caller, "release", read.id)
    again = await reservations.release(application, caller, "release", UUID(int=read.id.int))
    assert isinstance(first, Released)
    assert again == first


async def test_half_of_a_surrogate_pair_is_a_wrong_field_and_no_failure(
    application: Application, caller: Caller
) -> None:
    held_one = await reserved(application, caller)
    answers = [
        await reservations.reserve(application, caller, "key", wish("\ud800")),
        await reservations.reserve(application, caller, "key \ud800", wish()),
        await reservations.reserve(application, caller, "key", wish(attribution=Attribution(campaign="\udfff"))),
        await reservations.release(application, caller, "key", held_one.id, "because \ud800"),
    ]
    paths = [
        field.path
        for answer in answers
        if isinstance(answer, Refused) and isinstance(answer.refusal, InvalidInput)
        for field in answer.refusal.fields
    ]
    assert paths == ["feature", "idempotencyKey", "attribution.campaign", "reason"]
