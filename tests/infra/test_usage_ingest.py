"""Large batches of usage: the books come out as if each event had been recorded alone, whatever happens meanwhile."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.prices import Tokens
from domain.refusals import BudgetScope
from domain.usage import UsageKind
from infra import usage_ingest
from infra.application import Application, open_application
from infra.group_commit import Overloaded, is_connection_lost
from infra.services import cycles, settlements, usage
from infra.services.callers import Caller
from infra.services.usage import ReportedUsage
from infra.settings import DeploymentMode, Settings
from tests.domain.builders import nano
from tests.infra.builders import (
    Clock,
    audit,
    balance,
    cap,
    count,
    open_tenant,
    outbox,
    reported,
    reserved,
)
from tests.infra.proxy import Proxy, is_commit

pytestmark = pytest.mark.anyio

MANY: Final = 240
BOOKS: Final = (
    "SELECT key, granted, available, reserved, consumed FROM wallet WHERE tenant_id = $1 ORDER BY 1",
    "SELECT scope, scope_id, period_key, spent, held FROM budget_counter WHERE tenant_id = $1 ORDER BY 1, 2, 3",
    "SELECT kind, id, client, status, pause_reason, pause_cap FROM scope WHERE tenant_id = $1 ORDER BY 1, 2",
    (
        "SELECT source, event_id, cost, route, feature, campaign, tags, charges->0->>0, charges->0->>1, credits_charged,"
        " usd_charged, price_effective_from FROM usage_event WHERE tenant_id = $1 ORDER BY 1, 2"
    ),
    "SELECT DISTINCT quarter FROM usage_mark WHERE tenant_id = $1 ORDER BY 1",
    "SELECT type, (payload - 'available')::text FROM outbox WHERE tenant_id = $1 ORDER BY 1, 2",
)


def story(clock: Clock) -> list[ReportedUsage]:
    """Usage of every kind that names no reservation, some of it twice."""
    random = Random(3)
    events: list[ReportedUsage] = []
    for number in range(MANY):
        facts: dict[str, Any] = random.choice(
            (
                {"provider": "openai", "model": "gpt-4o", "tokens": Tokens(1_000, 200)},
                {"provider": "openai", "model": "gpt-99"},
                {"provider": "leadmagic", "kind": UsageKind.API, "results": 3},
                {"cost": "0.002", "own_key": True},
                {"kind": UsageKind.TOOL, "provider": "browser", "operation": "click"},
            )
        )
        occurred = clock.now - timedelta(minutes=random.randrange(60 * 24 * 45))
        attribution = Attribution(
            project=random.choice((None, "p")),
            campaign=random.choice((None, "spring", "summer")),
            client=random.choice((None, "c1")),
            agent_role=random.choice((None, "writer")),
            session=f"s{number % 7}",
            tags=random.choice(((), (("env", "prod"),))),
        )
        feature = random.choice((None, "llm_call", "email_find", "blog_post"))
        events.append(ReportedUsage(reported(f"e{number}", **facts, occurred_at=occurred), feature, None, attribution))
    return [*events, *events[:10]]


async def books_of(application: Application, caller: Caller) -> list[list[tuple[Any, ...]]]:
    return [
        [tuple(row) for row in await application.across_tenants.fetch(statement, caller.tenant_id)]
        for statement in BOOKS
    ]


async def test_a_large_batch_leaves_the_books_that_single_events_would(
    timed: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, apart = [
        await open_tenant(timed, slug, credits="100", metered="0.5", time_zone="Asia/Kolkata")
        for slug in ("acme", "globex")
    ]
    for caller in (together, apart):
        await cap(timed, caller, BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL), "0.01")
    report = await usage.record_usage(timed, together, story(clock))
    monkeypatch.setattr(usage_ingest, "SMALLEST", MANY * 2)
    assert await usage.record_usage(timed, apart, story(clock)) == report
    assert (report.accepted, report.duplicates, report.rejected) == (MANY, 10, ())
    assert await books_of(timed, together) == await books_of(timed, apart)
    assert await count(
        timed, "ledger_entry", f"tenant_id = '{together.tenant_id}' AND reference LIKE 'usage recorded %'"
    )
    assert [kind for kind, _ in await outbox(timed, together)].count("scope.paused") > 0
    await audit(timed)


async def test_the_same_events_by_every_way_at_once_count_once(
    application: Application, second_application: Application, caller: Caller
) -> None:
    work = await reserved(application, caller, feature="llm_call", cost="1")
    events = [ReportedUsage(reported(f"e{number}", "0.001"), "llm_call") for number in range(MANY)]
    ways: list[Any] = []
    for number, one in enumerate((application, second_application) * 3):
        part = events[number * 7 :] if number % 2 else list(reversed(events))
        ways.append(usage.record_usage(one, caller, part))
        ways.append(usage.record_usage(one, caller, part[:40]))
    calls = [event.usage for event in events[:20]]
    ways.append(settlements.consume(application, caller, "c", work.id, None, calls))
    reports = await asyncio.gather(*ways)
    consumed = reports.pop()
    assert sum(report.accepted for report in reports) + len(consumed.events) == MANY
    assert await count(application, "usage_event") == await count(application, "usage_key") == MANY
    charged = await application.across_tenants.fetchval("SELECT consumed FROM wallet WHERE key = 'metered'")
    assert charged == nano("0.0013") * MANY
    await audit(application)


async def test_a_batch_whose_commit_went_unheard_is_not_called_a_duplicate(
    settings: Settings, database_url: str, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_ingest, "SECONDS_BETWEEN_ATTEMPTS", 0)
    caller = await open_tenant(application, metered="1000")
    events = [ReportedUsage(reported(f"e{number}", "0.1"), "llm_call") for number in range(MANY)]
    async with Proxy(database_url).listening() as proxy, open_application(settings, proxy.url) as cut_off:
        proxy.after = is_commit
        after = await usage.record_usage(cut_off, caller, events[:120])
        proxy.before = is_commit
        before = await usage.record_usage(cut_off, caller, events[120:])
        assert proxy.cuts == 2
    assert before == after
    assert (after.accepted, after.duplicates, after.cost) == (120, 0, nano("12"))
    assert await balance(application, caller, "metered") == ("968.8", "0", "31.2")
    await audit(application)


async def test_what_the_books_cannot_hold_is_told_event_by_event(application: Application, caller: Caller) -> None:
    dear = [ReportedUsage(reported(f"d{number}", "1000000")) for number in range(9_300)]
    reports = [
        await usage.record_usage(application, caller, dear[start : start + 930]) for start in range(0, 9_300, 930)
    ]
    assert sum(report.accepted for report in reports) == 9_223
    assert sum(len(report.rejected) for report in reports) == 77
    assert {problem.path for report in reports for event in report.rejected for problem in event.problems} == {"usage"}
    await audit(application)


@pytest.mark.parametrize("deployment_mode", [DeploymentMode.SELF_HOSTED])
async def test_the_first_batch_of_a_cycle_is_rated_under_its_plan(
    timed: Application, clock: Clock, database_url: str
) -> None:
    caller = await open_tenant(timed, credits="100", metered="50")
    await cycles.start_cycle(timed, caller.tenant_id)
    owner = await asyncpg.connect(database_url)
    # The plan that ends was an unlimited one: on it the tenant's own key counts for enrichment.
    await owner.execute("UPDATE tenant SET unlimited_plan = true")
    await owner.close()
    clock.advance(days=40)
    usage_of = [reported(f"e{number}", "0.001", own_key=True, results=1) for number in range(MANY)]
    report = await usage.record_usage(timed, caller, [ReportedUsage(one, "email_find") for one in usage_of])
    assert report.accepted == MANY
    assert await count(timed, "usage_event", "route = 'MANAGED' AND usd_charged > 0") == MANY
    await audit(timed)


def test_a_connection_that_was_cut_while_it_was_spoken_to_is_lost() -> None:
    assert is_connection_lost(
        asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress")
    )


async def test_too_many_batches_at_once_are_overload(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_ingest, "MOST_WAITING", 3)
    batches = [[ReportedUsage(reported(f"{batch}-{number}", "0")) for number in range(100)] for batch in range(5)]
    answers = await asyncio.gather(
        *[usage.record_usage(application, caller, batch) for batch in batches], return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Overloaded"] * 2 + ["UsageReport"] * 3
    assert isinstance(answers[-1], Overloaded)
    report = await usage.record_usage(application, caller, batches[-1])
    assert report.accepted == 100


async def test_events_under_a_reservation_are_taken_beside_a_large_batch(
    application: Application, caller: Caller
) -> None:
    work = await reserved(application, caller, feature="llm_call", cost="1")
    public = f"rsv_{UUID(int=work.id.int).hex}"
    under = [ReportedUsage(reported(f"u{number}", "0.01"), None, public) for number in range(5)]
    alone = [ReportedUsage(reported(f"a{number}", "0.001"), "llm_call") for number in range(MANY)]
    report = await usage.record_usage(application, caller, [*alone[:7], *under, *alone[7:], under[0]])
    assert (report.accepted, report.duplicates, report.rejected) == (MANY + 5, 1, ())
    assert await count(application, "usage_event", "reservation_id IS NOT NULL") == 5
    await audit(application)
