"""Resets of budgets: exactly what budgets paused in a month that is over works again, and workers hear of it once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.attribution import Attribution
from domain.budgets import ScopeKey, ScopeKind
from domain.controls import ScopeState
from domain.tenancy import TenantState
from infra.application import Application, open_application
from infra.services import scopes, tenants
from infra.services.budget_resets import reset_budgets
from infra.services.callers import Caller
from infra.services.progress import Progress
from infra.services.usage import ReportedUsage, record_usage
from infra.settings import Settings
from tests.domain.builders import agent_month, campaign_total
from tests.infra.builders import Clock, audit, cap, nothing_moves, open_tenant, outbox, reported

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def beside(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    """Another process under the same clock."""
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def with_pauses(application: Application, slug: str = "acme", time_zone: str = "UTC") -> Caller:
    """A tenant with a pause by a month's budget, one by a total budget, and one by a person."""
    caller = await open_tenant(application, slug, time_zone=time_zone, metered="50")
    await cap(application, caller, agent_month(), "1", "b1")
    await cap(application, caller, campaign_total(), "1", "b2")
    events = [
        ReportedUsage(reported("e1", "1"), attribution=Attribution(agent_role="blog-writer")),
        ReportedUsage(reported("e2", "1"), attribution=Attribution(campaign="spring")),
    ]
    report = await record_usage(application, caller, events)
    assert not report.rejected
    person = await scopes.pause_scope(application, caller, "p", ScopeKey(ScopeKind.AGENT, "by-hand"))
    assert isinstance(person, ScopeState)
    assert await paused(application, caller) == {"blog-writer", "spring", "by-hand"}
    return caller


async def paused(application: Application, caller: Caller) -> set[str]:
    rows = await application.across_tenants.fetch(
        "SELECT id FROM scope WHERE tenant_id = $1 AND status = 'PAUSED'", caller.tenant_id
    )
    return {identifier for (identifier,) in rows}


async def resumed(application: Application, caller: Caller) -> list[object]:
    return [payload["scopeId"] for kind, payload in await outbox(application, caller) if kind == "scope.resumed"]


async def test_a_new_month_resumes_what_the_old_months_budget_paused_and_nothing_else(
    timed: Application, clock: Clock
) -> None:
    caller = await with_pauses(timed)
    clock.now = DECEMBER - timedelta(seconds=1)
    async with nothing_moves(timed):
        assert await reset_budgets(timed, clock.now) == Progress(0)
    clock.now = DECEMBER
    assert await reset_budgets(timed, clock.now) == Progress(1)
    assert await paused(timed, caller) == {"spring", "by-hand"}
    assert await resumed(timed, caller) == ["blog-writer"]
    async with nothing_moves(timed):
        assert await reset_budgets(timed, clock.now) == Progress(0)
        clock.advance(days=100)
        assert await reset_budgets(timed, clock.now) == Progress(0)
    await audit(timed)


async def test_each_tenants_month_begins_in_its_own_zone(timed: Application, clock: Clock) -> None:
    london, calcutta = await with_pauses(timed), await with_pauses(timed, "globex", "Asia/Kolkata")
    clock.now = datetime(2026, 11, 30, 19, tzinfo=UTC)
    assert await reset_budgets(timed, clock.now) == Progress(1)
    assert (await resumed(timed, london), await resumed(timed, calcutta)) == ([], ["blog-writer"])
    clock.now = DECEMBER
    assert await reset_budgets(timed, clock.now) == Progress(1)
    assert (await resumed(timed, london), await resumed(timed, calcutta)) == (["blog-writer"], ["blog-writer"])


async def test_zones_that_the_database_takes_for_fixed_offsets_keep_their_summer_time(
    timed: Application, clock: Clock
) -> None:
    clock.now = datetime(2027, 6, 15, tzinfo=UTC)
    caller = await with_pauses(timed, time_zone="CET")
    clock.now = datetime(2027, 6, 30, 21, 59, tzinfo=UTC)
    assert await reset_budgets(timed, clock.now) == Progress(0)
    clock.advance(60)
    assert await reset_budgets(timed, clock.now) == Progress(1)
    assert await resumed(timed, caller) == ["blog-writer"]


async def test_a_suspended_tenant_is_left_until_it_is_resumed(timed: Application, clock: Clock) -> None:
    caller = await with_pauses(timed)
    assert isinstance(await tenants.suspend_tenant(timed, caller, "s"), TenantState)
    clock.now = DECEMBER
    assert await reset_budgets(timed, clock.now) == Progress(0)
    assert isinstance(await tenants.resume_tenant(timed, caller, "r"), TenantState)
    assert await reset_budgets(timed, clock.now) == Progress(1)


async def test_several_runs_at_once_tell_workers_once(timed: Application, beside: Application, clock: Clock) -> None:
    callers = [await with_pauses(timed, slug) for slug in ("acme", "globex", "initech")]
    clock.now = DECEMBER
    runs = await asyncio.gather(*[reset_budgets((timed, beside)[number % 2], DECEMBER) for number in range(6)])
    assert sum(run.done for run in runs) == len(callers)
    for caller in callers:
        assert await resumed(timed, caller) == ["blog-writer"]


async def test_a_run_that_is_killed_or_out_of_time_is_taken_up_where_it_stopped(
    timed: Application, beside: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers = [await with_pauses(timed, slug) for slug in ("acme", "globex", "initech")]
    clock.now = DECEMBER
    assert await reset_budgets(timed, DECEMBER, stop_at=DECEMBER) == Progress(0, complete=False)
    submit = beside.group_commit.submit
    taken = asyncio.Event()

    def submit_and_hang(command: object) -> object:
        if taken.is_set():
            return asyncio.get_running_loop().create_future()
        taken.set()
        return submit(command)  # type: ignore[arg-type]

    monkeypatch.setattr(beside.group_commit, "submit", submit_and_hang)
    killed = asyncio.create_task(reset_budgets(beside, DECEMBER))
    await taken.wait()
    await beside.group_commit.close()
    killed.cancel()
    assert await reset_budgets(timed, DECEMBER) == Progress(2)
    assert [await resumed(timed, caller) for caller in callers] == [["blog-writer"]] * 3
