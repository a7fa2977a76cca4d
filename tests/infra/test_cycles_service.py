"""Cycles on PostgreSQL: granted once, by whoever comes first, in however many processes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.money import NANO
from domain.reservations import Granted, Preview
from infra.application import Application, open_application
from infra.services import cycles, reservations, subscriptions, tenants
from infra.services.callers import Caller, Role
from infra.services.tenants import TenantOrder
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance, count, nothing_moves, outbox, wish

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def beside(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    """Another process under the same clock."""
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def subscribed(application: Application, slug: str = "acme", plan: str = "starter") -> Caller:
    """A tenant in its first cycle."""
    found = application.catalog.plan("india", plan, application.clock())
    assert found is not None
    order = TenantOrder(slug, slug, "india", plan, metered=False)
    tenant_id = await tenants.set_up(application, order, found)
    await cycles.start_cycle(application, tenant_id)
    return Caller(tenant_id, Role.ADMIN, "key:test")


async def credits_of(application: Application, caller: Caller) -> str:
    return (await balance(application, caller, "credits"))[0]


async def test_the_first_command_of_a_cycle_finds_it_granted_however_many_come_at_once(
    timed: Application, beside: Application, clock: Clock
) -> None:
    caller = await subscribed(timed)
    assert await credits_of(timed, caller) == "100"
    clock.now = DECEMBER
    answers = await asyncio.gather(
        *[reservations.reserve((timed, beside)[number % 2], caller, f"r{number}", wish()) for number in range(60)],
        *[cycles.start_due((timed, beside)[number % 2], DECEMBER) for number in range(4)],
    )
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    assert len(granted) == 50, "100 credits, 2 each"
    assert await balance(timed, caller, "credits") == ("0", "100", "0")
    assert await count(timed, "ledger_entry", "type = 'ALLOCATED' AND reference LIKE 'plan:starter:2026-12%'") == 4
    assert [kind for kind, _ in await outbox(timed, caller)] == ["cycle.started"] * 2
    await audit(timed)


async def test_a_preview_in_a_new_cycle_counts_its_credits_and_writes_nothing(timed: Application, clock: Clock) -> None:
    caller = await subscribed(timed)
    await reservations.reserve(timed, caller, "r", wish())
    clock.now = DECEMBER
    async with nothing_moves(timed):
        answer = await reservations.preview(timed, caller, replace(wish(), quantity=50 * NANO))
    assert isinstance(answer, Preview)
    assert answer.holds == (("credits", nano("100")),)


async def test_missed_cycles_are_not_granted_afterwards(timed: Application, clock: Clock) -> None:
    caller = await subscribed(timed)
    clock.advance(days=130)
    assert (await cycles.start_due(timed, clock.now)).done == 1
    assert (await cycles.start_due(timed, clock.now)).done == 0
    assert await credits_of(timed, caller) == "100"
    assert await count(timed, "allocation", "wallet_key = 'credits'") == 2
    await audit(timed)


async def test_a_job_that_has_no_time_left_goes_on_in_the_next_run(timed: Application, clock: Clock) -> None:
    for number in range(3):
        await subscribed(timed, f"tenant-{number}")
    clock.now = DECEMBER
    stopped = await cycles.start_due(timed, DECEMBER, stop_at=DECEMBER)
    assert (stopped.done, stopped.complete) == (0, False)
    assert (await cycles.start_due(timed, DECEMBER, stop_at=DECEMBER + timedelta(seconds=1))).done == 3


async def test_a_tenant_whose_making_was_interrupted_is_granted_by_the_job(timed: Application, clock: Clock) -> None:
    plan = timed.catalog.plan("india", "starter", clock.now)
    assert plan is not None
    tenant_id = await tenants.set_up(timed, TenantOrder("late", "Late", "india", "starter", metered=False), plan)
    assert (await cycles.start_due(timed, clock.now)).done == 1
    assert await credits_of(timed, Caller(tenant_id, Role.ADMIN, "key:test")) == "100"


async def test_an_upgrade_at_once_from_two_processes_grants_the_difference_once(
    timed: Application, beside: Application
) -> None:
    caller = await subscribed(timed)
    await asyncio.gather(
        *[
            subscriptions.change_plan((timed, beside)[number % 2], caller, f"u{number}", "professional")
            for number in range(20)
        ]
    )
    assert await credits_of(timed, caller) == "300"
    await subscriptions.change_plan(timed, caller, "down", "starter")
    await subscriptions.change_plan(timed, caller, "up", "professional")
    assert await credits_of(timed, caller) == "300"
    await audit(timed)


async def test_a_downgrade_a_new_anchor_and_a_new_zone_hold_from_the_next_cycle(
    timed: Application, clock: Clock
) -> None:
    caller = await subscribed(timed, plan="professional")
    await subscriptions.change_plan(timed, caller, "down", "starter")
    await subscriptions.set_cycle(timed, caller, "cycle", 31, "Pacific/Kiritimati")
    assert await credits_of(timed, caller) == "300"
    clock.now = DECEMBER
    tenant = await cycles.start_cycle(timed, caller.tenant_id)
    assert (tenant.plan, tenant.cycle_anchor_day, str(tenant.zone)) == ("starter", 31, "Pacific/Kiritimati")
    assert tenant.cycle == (DECEMBER, datetime(2026, 12, 30, 10, tzinfo=UTC))
    assert await credits_of(timed, caller) == "100"
    clock.now = datetime(2027, 2, 27, 10, tzinfo=UTC)
    tenant = await cycles.start_cycle(timed, caller.tenant_id)
    assert tenant.cycle == (clock.now, datetime(2027, 3, 30, 10, tzinfo=UTC)), "February has no 31st"
    await audit(timed)
