"""Consume through the group commit: charged once, never lost, below zero if need be, and repaid by what comes next."""

import asyncio
import json

from domain.admission import Wish
from domain.attribution import Attribution
from domain.holds import Estimate, Reservation
from domain.money import NANO
from domain.refusals import IdempotencyKeyReused, InsufficientFunds, InvalidInput, ReservationEnded, ReservationState
from domain.reservations import Granted, Released
from domain.settlements import Consumed
from domain.usage import Usage
from domain.wallets import LotSource
from infra.application import Application
from infra.services import reservations, settlements, wallets
from infra.services.callers import Caller, Refused
from tests.domain.builders import campaign_total, nano
from tests.infra.builders import (
    BALANCE,
    audit,
    balance,
    cap,
    count,
    counter,
    nothing_moves,
    open_tenant,
    outbox,
    reported,
    reserved,
    wish,
)


async def consumed(
    application: Application, caller: Caller, key: str, reservation: Reservation, *usage: Usage
) -> Consumed:
    """A consume that must be accepted."""
    answer = await settlements.consume(application, caller, key, reservation.id, None, usage)
    assert isinstance(answer, Consumed), answer
    return answer


async def test_what_is_not_used_of_a_hold_comes_back(application: Application, caller: Caller) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="1")
    assert await balance(application, caller, "metered") == ("48.7", "1.3", "0")
    answer = await consumed(application, caller, "c", reservation, Usage(cost=nano("0.2")), Usage(cost=nano("0.1")))
    assert answer.reservation.charges == (("metered", nano("0.39")),)
    assert answer.reservation.cost_usd == nano("0.3")
    assert [event.charges[0][1] for event in answer.events] == [nano("0.26"), nano("0.13")]
    assert await balance(application, caller, "metered") == ("49.61", "0", "0.39")
    assert await counter(application, caller, "TENANT", "", reservation.month) == ("0.3", "0")
    await audit(application)


async def test_one_consume_sent_fifty_times_at_once_charges_once(
    application: Application, second_application: Application, caller: Caller
) -> None:
    reservation = await reserved(application, caller)
    answers = await asyncio.gather(
        *[
            settlements.consume((application, second_application)[number % 2], caller, "c", reservation.id, None, [])
            for number in range(50)
        ]
    )
    assert {answer.reservation.state for answer in answers if isinstance(answer, Consumed)} == {"CONSUMED"}
    assert all(isinstance(answer, Consumed) for answer in answers)
    assert await balance(application, caller, "credits") == ("298", "0", "2")
    await audit(application)


async def test_of_many_endings_of_one_reservation_exactly_one_counts(
    application: Application, second_application: Application, caller: Caller
) -> None:
    reservation = await reserved(application, caller)
    answers = await asyncio.gather(
        *[
            settlements.consume((application, second_application)[n % 2], caller, f"c{n}", reservation.id, None, [])
            if n % 3
            else reservations.release((application, second_application)[n % 2], caller, f"r{n}", reservation.id)
            for n in range(60)
        ]
    )
    won = [answer for answer in answers if isinstance(answer, Consumed | Released)]
    refused = {answer.refusal for answer in answers if isinstance(answer, Refused)}
    assert len(won) == 1
    assert refused == {ReservationEnded(won[0].reservation.state)}
    left = ("298", "0", "2") if isinstance(won[0], Consumed) else ("300", "0", "0")
    assert await balance(application, caller, "credits") == left
    await audit(application)


async def test_the_same_key_with_other_usage_is_refused(application: Application, caller: Caller) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="1")
    await consumed(application, caller, "c", reservation, Usage(cost=1))
    async with nothing_moves(application):
        answer = await settlements.consume(application, caller, "c", reservation.id, None, [Usage(cost=2)])
    assert isinstance(answer, Refused)
    assert answer.refusal == IdempotencyKeyReused("c")


async def test_spend_above_the_hold_is_a_debt_that_stops_the_next_admission_until_it_is_repaid(
    application: Application, second_application: Application
) -> None:
    caller = await open_tenant(application, metered="1")
    reservation = await reserved(application, caller, feature="llm_call", cost="0.5")
    await consumed(application, caller, "c", reservation, Usage(cost=nano("2")))
    assert await balance(application, caller, "metered") == ("-1.6", "0", "2.6")
    overdraft = await application.across_tenants.fetchrow(
        "SELECT l.available, l.consumed, l.is_open FROM lot l JOIN wallet w ON w.id = l.id"
    )
    assert overdraft is not None
    assert tuple(overdraft) == (nano("-1.6"), nano("1.6"), True)
    async with nothing_moves(application):
        refused = await reservations.reserve(second_application, caller, "next", wish("llm_call", "0.01"))
    assert isinstance(refused, Refused)
    assert refused.refusal == InsufficientFunds("metered", nano("0.013"), nano("-1.6"))
    await wallets.adjust_wallet(second_application, caller, "part", "metered", nano("1"), "a part of it")
    assert await outbox(application, caller, *BALANCE) == []
    assert isinstance(await reservations.reserve(application, caller, "next", wish("llm_call", "0.01")), Refused)
    await wallets.credit(application, caller.tenant_id, "metered", nano("1"), LotSource.TOP_UP, "paid")
    assert await outbox(application, caller, *BALANCE) == [
        ("wallet.debt_repaid", {"wallet": "metered", "available": nano("0.4")})
    ]
    assert isinstance(await reservations.reserve(application, caller, "next", wish("llm_call", "0.01")), Granted)
    rows = await application.across_tenants.fetch(
        "SELECT granted, available, reserved, consumed FROM lot WHERE tenant_id = $1 ORDER BY granted_at, id",
        caller.tenant_id,
    )
    lots = sorted(tuple(row) for row in rows)
    assert lots == sorted(
        [
            (nano("1"), 0, 0, nano("1")),
            (0, 0, 0, 0),
            (nano("1"), 0, 0, nano("1")),
            (nano("1"), nano("0.387"), nano("0.013"), nano("0.6")),
        ]
    )
    repaid = await application.across_tenants.fetch(
        "SELECT repayments FROM ledger_entry WHERE repayments IS NOT NULL ORDER BY sequence"
    )
    assert [json.loads(row[0])[0][1:] for row in repaid] == [[nano("1"), 0], [nano("0.6"), 0]]
    await audit(application)


async def test_a_second_debt_begins_a_new_overdraft(application: Application) -> None:
    caller = await open_tenant(application, metered="1")
    for round_ in range(3):
        reservation = await reserved(application, caller, f"r{round_}", feature="llm_call", cost="0.01")
        await consumed(application, caller, f"c{round_}", reservation, Usage(cost=nano("1")))
        await wallets.adjust_wallet(application, caller, f"a{round_}", "metered", nano("1.3"), "repaid")
        assert await balance(application, caller, "metered") == (
            "1",
            "0",
            f"{13 * (round_ + 1) // 10}.{13 * (round_ + 1) % 10}",
        )
        await audit(application)
    assert [kind for kind, _ in await outbox(application, caller, *BALANCE)] == ["wallet.debt_repaid"] * 3


async def test_a_settlement_that_reaches_the_cap_pauses_and_tells(application: Application, caller: Caller) -> None:
    await cap(application, caller, campaign_total("spring"), "1")
    work = Attribution(campaign="spring")
    first = await reserved(application, caller, "1", feature="llm_call", cost="0.5", attribution=work)
    second = await reserved(application, caller, "2", feature="llm_call", cost="0.5", attribution=work)
    await asyncio.gather(
        consumed(application, caller, "1", first, Usage(cost=nano("0.7"))),
        consumed(application, caller, "2", second, Usage(cost=nano("0.7"))),
    )
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == ("1.4", "0")
    paused = {
        "scope": "CAMPAIGN",
        "scopeId": "spring",
        "reason": "budget_exceeded",
        "period": "TOTAL",
        "cap": nano("1"),
    }
    assert await outbox(application, caller, *BALANCE) == [("scope.paused", paused)]
    assert await count(application, "scope", "status = 'PAUSED' AND pause_cap = 1000000000") == 1


async def test_a_model_without_a_price_is_charged_at_the_hold_and_told(
    application: Application, caller: Caller
) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="1")
    answer = await consumed(application, caller, "c", reservation, Usage(provider="openai", model="gpt-99"))
    assert answer.reservation.cost_usd is None
    assert answer.reservation.charges == (("metered", nano("1.3")),)
    assert await outbox(application, caller, *BALANCE) == [
        ("usage.unpriced", {"provider": "openai", "model": "gpt-99", "operation": None})
    ]
    assert await count(application, "usage_event", "cost IS NULL") == 1
    await audit(application)


async def test_events_recorded_before_are_charged_once_by_the_consume(application: Application, caller: Caller) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="1")
    event = reported("e1", "0.2")
    await consumed(application, caller, "c", reservation, event, event, reported("e2", "0.1"))
    other = await reserved(application, caller, "other", feature="llm_call", cost="1")
    answer = await consumed(application, caller, "c2", other, event, reported("e3", "0.1"))
    assert len(answer.events) == 1
    assert await balance(application, caller, "metered") == ("49.48", "0", "0.52")
    assert await count(application, "usage_event") == await count(application, "usage_key") == 3
    await audit(application)


async def test_cost_plus_work_without_any_usage_is_invalid_and_moves_nothing(
    application: Application, caller: Caller
) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="1")
    async with nothing_moves(application):
        answer = await settlements.consume(application, caller, "c", reservation.id, None, [])
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InvalidInput)
    assert [field.path for field in answer.refusal.fields] == ["usage"]


async def test_only_what_was_found_is_charged(application: Application, caller: Caller) -> None:
    granted = await reservations.reserve(application, caller, "r", Wish("email_find", 1_000 * NANO))
    assert isinstance(granted, Granted)
    assert await balance(application, caller, "metered") == ("30", "20", "0")
    await consumed(application, caller, "c", granted.reservation, Usage(cost=nano("9"), results=600))
    assert await balance(application, caller, "metered") == ("38", "0", "12")
    await audit(application)


async def test_an_extended_hold_is_settled_as_one(application: Application, caller: Caller) -> None:
    reservation = await reserved(application, caller, feature="llm_call", cost="0.5")
    answers = await asyncio.gather(
        reservations.extend(application, caller, "e", reservation.id, 60, Estimate(cost=nano("0.5"))),
        settlements.consume(application, caller, "c", reservation.id, None, [Usage(cost=nano("0.9"))]),
        reservations.extend(application, caller, "late", reservation.id, 60, Estimate(cost=nano("0.5"))),
    )
    assert isinstance(answers[0], Granted)
    assert isinstance(answers[1], Consumed)
    assert isinstance(answers[2], Refused)
    assert answers[2].refusal == ReservationEnded(ReservationState.CONSUMED)
    row = await application.across_tenants.fetchrow("SELECT state, held_usd, remaining_usd, cost_usd FROM reservation")
    assert row is not None
    assert tuple(row) == ("CONSUMED", nano("1"), 0, nano("0.9"))
    assert await balance(application, caller, "metered") == ("48.83", "0", "1.17")
    await audit(application)
