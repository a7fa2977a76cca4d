"""Reservations that run out and lots that expire: decided by time, whoever books them and when."""

import asyncio

import pytest

from domain.attribution import Attribution
from domain.money import NANO
from domain.refusals import BudgetExceeded, BudgetScope, InsufficientFunds, ReservationState
from domain.reservations import Granted, Preview, Released
from domain.settlements import Consumed
from domain.usage import Usage
from domain.wallets import LotSource
from infra import books
from infra.application import Application, open_application
from infra.services import reservations, settlements, wallets
from infra.services.callers import Caller, Refused
from infra.settings import Settings
from tests.domain.builders import later, nano, tenant_month
from tests.infra.builders import (
    Clock,
    audit,
    balance,
    cap,
    count,
    counter,
    nothing_moves,
    open_tenant,
    reserved,
    wish,
)


async def credited_until(application: Application, caller: Caller, amount: str, seconds: float) -> None:
    """A lot of credits that expires."""
    await wallets.credit(
        application, caller.tenant_id, "credits", nano(amount), LotSource.PLAN, f"until {seconds}", later(seconds)
    )


async def test_an_overdue_hold_blocks_nobody_even_if_no_job_runs(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="5")
    overdue = await reserved(timed, caller, "dead", feature="strategy", ttl=60)
    clock.advance(59)
    refused = await reservations.reserve(timed, caller, "early", wish("strategy"))
    assert isinstance(refused, Refused)
    assert refused.refusal == InsufficientFunds("credits", nano("5"), 0)
    clock.advance(1)
    async with nothing_moves(timed):
        preview = await reservations.preview(timed, caller, wish("strategy"))
    assert isinstance(preview, Preview)
    assert await reserved(timed, caller, "late", feature="strategy") != overdue
    assert await count(timed, "reservation", "state = 'EXPIRED'") == 1
    assert await balance(timed, caller, "credits") == ("0", "5", "0")
    await audit(timed)


async def test_an_overdue_hold_leaves_the_room_of_a_budget_to_others(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="50")
    await cap(timed, caller, tenant_month(), "1.5")
    await reserved(timed, caller, "dead", feature="strategy", ttl=60)
    exceeded = await reservations.reserve(timed, caller, "early", wish("strategy"))
    assert isinstance(exceeded, Refused)
    assert exceeded.refusal == BudgetExceeded(
        BudgetScope.TENANT, None, nano("1.5"), 0, nano("1.5"), nano("1.5"), retryable=True
    )
    clock.advance(60)
    await reserved(timed, caller, "late", feature="strategy")
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("0", "1.5")
    await audit(timed)


async def test_hundreds_of_callers_behind_dead_work_are_admitted_to_what_it_gives_back(
    timed: Application, clock: Clock, settings: Settings, database_url: str
) -> None:
    caller = await open_tenant(timed, credits="20")
    await asyncio.gather(*[reserved(timed, caller, f"dead-{number}", ttl=60) for number in range(10)])
    clock.advance(61)
    async with open_application(settings, database_url, clock=clock) as second:
        answers = await asyncio.gather(
            *[reservations.reserve((timed, second)[number % 2], caller, f"r{number}", wish()) for number in range(100)]
        )
    assert sum(isinstance(answer, Granted) for answer in answers) == 10
    assert await count(timed, "reservation", "state = 'EXPIRED'") == 10
    assert await balance(timed, caller, "credits") == ("0", "20", "0")
    await audit(timed)


async def test_more_dead_work_than_is_read_at_once_blocks_nobody_either(
    timed: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "MOST_DUE", 3)
    caller = await open_tenant(timed, credits="10")
    await asyncio.gather(
        *[reserved(timed, caller, f"dead-{number}", feature="social_post", ttl=60) for number in range(10)]
    )
    clock.advance(61)
    await reserved(timed, caller, "r", feature="strategy")
    assert await balance(timed, caller, "credits") == ("1", "9", "0")
    await audit(timed)


async def test_the_job_books_what_is_overdue_once(
    timed: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "MOST_DUE", 4)
    caller = await open_tenant(timed, credits="50")
    for number in range(10):
        await reserved(timed, caller, f"r{number}", ttl=60 + number)
    clock.advance(66)
    assert await reservations.expire_due(timed, caller.tenant_id) == 7
    async with nothing_moves(timed):
        assert await reservations.expire_due(timed, caller.tenant_id) == 0
    clock.advance(60)
    booked = await asyncio.gather(*[reservations.expire_due(timed, caller.tenant_id) for _ in range(4)])
    assert sum(booked) == 3
    assert await balance(timed, caller, "credits") == ("50", "0", "0")
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("0", "0")
    await audit(timed)


async def test_the_job_of_a_tenant_that_does_not_exist_does_nothing(timed: Application) -> None:
    caller = await open_tenant(timed)
    async with nothing_moves(timed):
        assert await reservations.expire_due(timed, caller.tenant_id) == 0


async def test_until_it_is_booked_overdue_work_is_extended_and_consumed_as_ever(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, credits="50")
    first = await reserved(timed, caller, "1", ttl=60)
    second = await reserved(timed, caller, "2", ttl=60)
    clock.advance(3_600)
    extended = await reservations.extend(timed, caller, "e", first.id, 60)
    assert isinstance(extended, Granted)
    assert extended.reservation.expires_at == later(3_660)
    assert isinstance(await settlements.consume(timed, caller, "c", second.id, None, []), Consumed)
    assert await reservations.expire_due(timed, caller.tenant_id) == 0
    assert await balance(timed, caller, "credits") == ("46", "2", "2")
    await audit(timed)


async def test_work_that_was_booked_as_expired_is_still_settled_below_zero_if_need_be(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, credits="5")
    work = Attribution(campaign="spring")
    late = await reserved(timed, caller, "late", feature="strategy", ttl=60, task="t", attribution=work)
    clock.advance(60)
    await reservations.expire_due(timed, caller.tenant_id)
    await reserved(timed, caller, "other", feature="strategy")
    consumed = await settlements.consume(timed, caller, "c", late.id, None, [Usage(cost=nano("0.4"))])
    assert isinstance(consumed, Consumed)
    assert await balance(timed, caller, "credits") == ("-5", "5", "5")
    assert await counter(timed, caller, "CAMPAIGN", "spring", "TOTAL") == ("0.4", "0")
    again = await reserved(timed, caller, "retry", feature="strategy", task="t")
    assert (again.id, again.state) == (late.id, ReservationState.CONSUMED)
    await audit(timed)


async def test_a_release_after_expiry_answers_released_and_moves_nothing(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="5")
    reservation = await reserved(timed, caller, ttl=60)
    clock.advance(60)
    await reservations.expire_due(timed, caller.tenant_id)
    async with nothing_moves(timed, "idempotency_key"):
        released = await reservations.release(timed, caller, "r", reservation.id)
    assert isinstance(released, Released)
    assert released.reservation.state is ReservationState.EXPIRED


async def test_a_task_that_expired_begins_anew(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="5")
    first = await reserved(timed, caller, "1", ttl=60, task="t")
    clock.advance(60)
    await reservations.expire_due(timed, caller.tenant_id)
    second = await reserved(timed, caller, "2", task="t")
    assert second.id != first.id
    assert await balance(timed, caller, "credits") == ("3", "2", "0")
    await audit(timed)


async def test_what_a_lot_that_expired_gets_back_expires_at_once(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed)
    await credited_until(timed, caller, "10", 100)
    first = await reserved(timed, caller, "1", feature="strategy")
    second = await reserved(timed, caller, "2", feature="landing_page")
    clock.advance(100)
    async with nothing_moves(timed):
        refused = await reservations.reserve(timed, caller, "3", wish("social_post"))
    assert isinstance(refused, Refused)
    assert refused.refusal == InsufficientFunds("credits", nano("1"), 0)
    await reservations.release(timed, caller, "1", first.id)
    await settlements.consume(timed, caller, "2", second.id, nano("0.5"), [])
    rows = await timed.across_tenants.fetch("SELECT type, amount FROM ledger_entry ORDER BY sequence")
    assert [(row[0], row[1] / NANO) for row in rows] == [
        ("ALLOCATED", 10),
        ("RESERVED", 5),
        ("RESERVED", 3),
        ("EXPIRED", 2),
        ("RELEASED", 5),
        ("EXPIRED", 5),
        ("CONSUMED", 1.5),
        ("RELEASED", 1.5),
        ("EXPIRED", 1.5),
    ]
    assert await balance(timed, caller, "credits") == ("0", "0", "1.5")
    await audit(timed)


async def test_a_lot_expires_in_the_very_moment_that_it_names(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed)
    await credited_until(timed, caller, "4", 100)
    clock.advance(99.999999)
    await reserved(timed, caller, "1")
    clock.advance(0.000001)
    refused = await reservations.reserve(timed, caller, "2", wish())
    assert isinstance(refused, Refused)
    assert refused.refusal == InsufficientFunds("credits", nano("2"), 0)


async def test_time_never_runs_backwards_in_a_ledger_of_two_processes(
    application: Application, second_application: Application, caller: Caller
) -> None:
    await asyncio.gather(
        *[
            reserved((application, second_application)[number % 2], caller, f"r{number}", feature="in_editor_action")
            for number in range(200)
        ]
    )
    rows = await application.across_tenants.fetch(
        "SELECT e.created_at FROM ledger_entry e JOIN wallet w ON w.id = wallet_id WHERE key = 'credits' ORDER BY e.sequence"
    )
    times = [row[0] for row in rows]
    assert len(times) == 201
    assert times == sorted(times)
