"""Re-rating on PostgreSQL: what was published later corrects what happened, once, whoever runs it and however often."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from domain.breakdowns import Dimension, UsageFilter
from domain.holds import ModelName, Reservation
from domain.ids import NIL
from domain.money import format_amount
from domain.prices import Tokens
from domain.usage import Usage, UsageEvent
from infra.application import Application, open_application
from infra.audit import audit as prove
from infra.database import connect_to_books
from infra.queries import usage_events
from infra.queries.usage_breakdowns import usage_breakdown
from infra.services import catalog, rerating, reservations, settlements
from infra.services import usage as service
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.services.rerating import Place, RerateReport, Selection
from infra.services.rollups import roll_up
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import (
    Clock,
    audit,
    balance,
    contents,
    count,
    counter,
    held,
    nothing_moves,
    open_tenant,
    reported,
    wish,
)

pytestmark = pytest.mark.anyio

OPERATOR: Final = Caller(NIL, Role.OPERATOR, "key:anna")
GPT_4O: Final = ModelName("openai", "gpt-4o")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR: Final = "key:anna"
MIGRATION: Final[Any] = import_module("infra.migrations.purser_2026_11_21t14_00_00_000000")


def call(model: str = "gpt-99", event_id: str | None = None, tokens: int = 1_000_000, **fields: Any) -> Usage:
    """A call of so many input tokens."""
    source = None if event_id is None else "worker"
    return Usage(provider="openai", model=model, tokens=Tokens(tokens), source=source, event_id=event_id, **fields)


async def publish(application: Application, figure: str, model: str = "gpt-99") -> None:
    """What a million input tokens cost, since May."""
    body = {"provider": "openai", "model": model, "input": figure, "effective_from": "2026-05-01T00:00:00Z"}
    answer = await catalog.publish_price(application, OPERATOR, f"{model} {figure}", body)
    assert isinstance(answer, Published), answer


def selected(clock: Clock, caller: Caller | None = None, **asked: Any) -> Selection:
    tenant_id = None if caller is None else caller.tenant_id
    return replace(Selection(tenant_id, "openai", None, None, START, clock.now + timedelta(hours=1)), **asked)


async def rerated(application: Application, clock: Clock, *, dry_run: bool = False, **asked: Any) -> RerateReport:
    return await rerating.rerate(application, ACTOR, selected(clock, **asked), dry_run=dry_run)


async def worked(application: Application, caller: Caller, key: str, *calls: Usage, cost: str = "1") -> Reservation:
    """Work that was held by a model with a price and done with these calls."""
    ask = replace(wish("llm_call", cost), model=GPT_4O)
    work = held(await reservations.reserve(application, caller, key, ask))
    await settlements.consume(application, caller, f"{key} done", work.id, None, calls)
    return work


async def recorded(application: Application, caller: Caller, *calls: Usage, feature: str | None = None) -> None:
    report = await service.record_usage(application, caller, [ReportedUsage(each, feature) for each in calls])
    assert report.accepted == len(calls), report


async def proven(application: Application) -> None:
    """The books hold, and every charge is on an event or beside them."""
    await audit(application)
    connection = await connect_to_books(application.url)
    try:
        assert (await prove(connection)).findings == ()
    finally:
        await connection.close()
    rows = await application.across_tenants.fetch(
        "SELECT w.tenant_id, w.key, (SELECT coalesce(sum(CASE WHEN e.type = 'CONSUMED' THEN e.amount ELSE -e.amount END), 0)"
        " FROM ledger_entry e WHERE e.tenant_id = w.tenant_id AND e.wallet_id = w.id"
        " AND (e.type = 'CONSUMED' OR e.type = 'ADJUSTED' AND e.reference = 'rerate')) AS booked,"
        " (SELECT coalesce(sum((c->>1)::bigint), 0) FROM ("
        "SELECT tenant_id, charges FROM usage_event UNION ALL SELECT tenant_id, charges FROM usage_amendment) f,"
        " jsonb_array_elements(f.charges) c WHERE f.tenant_id = w.tenant_id AND c->>0 = w.key) AS attributed FROM wallet w"
    )
    assert [tuple(row) for row in rows if row[2] != row[3]] == []


async def event(application: Application, caller: Caller, identifier: UUID) -> UsageEvent:
    (found,) = await usage_events.get_many(application, caller.tenant_id, [identifier])
    assert found is not None
    return found


def told(report: RerateReport) -> list[tuple[str, int, int, str, dict[str, str]]]:
    """Slug, events, corrected, cost, charges."""
    return [
        (
            each.slug,
            each.events,
            each.rerated.corrected,
            format_amount(each.rerated.cost),
            {key: format_amount(amount) for key, amount in each.rerated.charges},
        )
        for each in report.tenants
    ]


async def test_unpriced_usage_gets_its_price_and_the_dry_run_says_what_it_comes_to(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, metered="50")
    work = await worked(timed, caller, "w", call())
    assert await balance(timed, caller, "metered") == ("48.7", "0", "1.3")
    clock.advance(60)
    await publish(timed, "0.4")
    clock.advance(60)
    async with nothing_moves(timed):
        foreseen = await rerated(timed, clock, dry_run=True)
    assert told(foreseen) == [("acme", 1, 1, "0.4", {"metered": "-0.78"})]
    assert await rerated(timed, clock) == foreseen
    assert await balance(timed, caller, "metered") == ("49.48", "0", "1.3")
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("0.4", "0")
    row = await timed.across_tenants.fetchrow(
        "SELECT cost_usd, charges, settled_events FROM reservation WHERE id = $1", work.id
    )
    assert row is not None
    assert (row[0], row[1]) == (nano("0.4"), '[["metered", 520000000]]')
    shown = await event(timed, caller, UUID(row[2].strip('[]"')))
    assert (shown.priced.cost, shown.counted) == (nano("0.4"), None)
    assert [charge[:2] for charge in shown.charges] == [("metered", nano("0.52"))]
    await proven(timed)
    async with nothing_moves(timed):
        assert told(await rerated(timed, clock)) == [("acme", 1, 0, "0", {})]
        assert (await rerated(timed, clock, only_unpriced=True)).tenants == ()


async def test_a_charge_without_a_call_and_without_a_task_is_attributed(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="50")
    work = held(await reservations.reserve(timed, caller, "r", wish()))
    await settlements.consume(timed, caller, "c", work.id, None, ())
    assert await count(timed, "usage_amendment") == 1
    await proven(timed)


async def test_a_corrected_price_moves_wallets_and_the_month_of_each_event(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="5")
    await worked(timed, caller, "w", call("gpt-4o"), cost="3")
    october = clock.now - timedelta(days=40)
    await recorded(timed, caller, call("gpt-4o", "e", occurred_at=october), feature="llm_call")
    assert await balance(timed, caller, "metered") == ("-1.5", "0", "6.5")
    clock.advance(60)
    await publish(timed, "4", "gpt-4o")
    clock.advance(60)
    assert told(await rerated(timed, clock)) == [("acme", 2, 2, "3", {"metered": "3.9"})]
    assert await balance(timed, caller, "metered") == ("-5.4", "0", "10.4")
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("4", "0")
    assert await counter(timed, caller, "TENANT", "", "2026-10") == ("4", "0")
    await publish(timed, "1", "gpt-4o")
    clock.advance(60)
    october_only = selected(clock, end=october + timedelta(days=1))
    report = await rerating.rerate(timed, ACTOR, october_only, dry_run=False)
    assert told(report) == [("acme", 1, 1, "-3", {"metered": "-3.9"})]
    assert await counter(timed, caller, "TENANT", "", "2026-10") == ("1", "0")
    assert await counter(timed, caller, "TENANT", "", "2026-11") == ("4", "0")
    await proven(timed)


async def test_breakdowns_know_the_correction_before_and_after_the_roll_up(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="50")
    clock.now = clock.now.replace(hour=1)
    await worked(timed, caller, "w", call())
    everything = UsageFilter(START, clock.now + timedelta(days=2))
    clock.advance(days=1)
    await roll_up(timed, clock.now)
    assert await count(timed, "usage_mark") == 0
    await publish(timed, "0.4")
    clock.advance(60)
    await rerated(timed, clock)
    for _ in range(2):
        answer = await usage_breakdown(timed, caller.tenant_id, everything, [Dimension.MODEL])
        rows = [(row.keys[0].value, row.totals.cost, row.totals.usd_charged) for row in answer.rows]
        assert sorted(rows, key=str) == [("gpt-4o", 0, 0), ("gpt-99", nano("0.4"), nano("0.52"))]
        assert (answer.total.unpriced, answer.total.events) == (0, 1)
        await roll_up(timed, clock.now)
    assert await count(timed, "usage_mark") == 0


async def test_two_at_once_and_one_that_is_stopped_half_way_correct_everything_once(
    settings: Settings, database_url: str, timed: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerating, "EVENTS_PER_COMMAND", 3)
    caller = await open_tenant(timed, metered="100")
    other = await open_tenant(timed, "globex", metered="100")
    for number in range(3):
        await worked(timed, caller, f"w{number}", call(), call(tokens=500_000), call("gpt-4o", tokens=7))
    await recorded(timed, caller, *[call(event_id=f"e{number}") for number in range(4)], feature="llm_call")
    await recorded(timed, other, call(event_id="e"), feature="llm_call")
    clock.advance(60)
    await publish(timed, "0.1")
    clock.advance(60)
    foreseen = await rerated(timed, clock, dry_run=True, model="gpt-99")
    assert sorted(each[:3] for each in told(foreseen)) == [("acme", 10, 10), ("globex", 1, 1)]
    before = await balance(timed, caller, "metered")

    for steps in range(1, 60, 6):
        stopped = asyncio.create_task(rerated(timed, clock, model="gpt-99"))
        for _ in range(steps):
            await asyncio.sleep(0)
        stopped.cancel()
        await asyncio.wait([stopped])
    async with open_application(settings, database_url, clock=clock) as second:
        reports = await asyncio.gather(*[rerated(each, clock, model="gpt-99") for each in (timed, second, timed)])
    assert all(report.complete for report in reports)
    assert await count(timed, "usage_amendment", "event_id IS NOT NULL") == 11
    (mine,) = [each.rerated for each in foreseen.tenants if each.slug == "acme"]
    after = await balance(timed, caller, "metered")
    assert nano(before[0]) - nano(after[0]) == dict(mine.charges)["metered"]
    assert mine.cost == nano("0.85")
    await proven(timed)


async def test_a_call_is_bounded_and_goes_on_where_it_ended(timed: Application, clock: Clock) -> None:
    callers = [await open_tenant(timed, slug, metered="100") for slug in ("acme", "globex", "initech")]
    for caller in callers:
        await recorded(timed, caller, *[call(event_id=f"e{number}") for number in range(3)], feature="llm_call")
    clock.advance(60)
    await publish(timed, "1")
    clock.advance(60)
    selection = selected(clock, only_unpriced=True)
    assert await rerating.count(timed, selection) == 9
    assert await rerating.count(timed, replace(selection, tenant_id=callers[0].tenant_id)) == 3
    report = RerateReport()
    place: Place | None = None
    calls = 0
    while place is not None or calls == 0:
        part = await rerating.rerate(timed, ACTOR, selection, dry_run=False, after=place, most=2 if calls else 3)
        report, place, calls = report.plus(part), part.end, calls + 1
    assert calls == 4
    assert sorted(told(report)) == [(slug, 3, 3, "3", {"metered": "3.9"}) for slug in ("acme", "globex", "initech")]
    assert await rerating.count(timed, selection) == 0
    await proven(timed)


async def test_other_models_operations_moments_and_tenants_are_left_alone(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100")
    other = await open_tenant(timed, "globex", metered="100")
    await recorded(timed, caller, call(event_id="a"), call(event_id="b", operation="chat"), call("gpt-98", "c"))
    await recorded(timed, caller, reported("d", "2", provider="openai", model="gpt-99"))
    await recorded(timed, other, call(event_id="a"))
    clock.advance(60)
    await publish(timed, "1")
    await publish(timed, "1", "gpt-98")
    clock.advance(60)

    async def looked_at(**asked: Any) -> int:
        report = await rerated(timed, clock, dry_run=True, **asked)
        return sum(each.events for each in report.tenants)

    assert await looked_at() == 4
    assert await looked_at(model="gpt-99") == 3
    assert await looked_at(operation="chat") == 1
    assert await looked_at(provider="anthropic") == 0
    assert await looked_at(start=clock.now) == 0
    assert await looked_at(caller=other) == 1


async def test_open_work_is_told_of_and_corrected_when_it_is_settled(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="50")
    ask = replace(wish("llm_call", "1"), model=GPT_4O)
    work = held(await reservations.reserve(timed, caller, "r", ask))
    under = ReportedUsage(call(event_id="e"), None, f"rsv_{work.id.hex}")
    assert (await service.record_usage(timed, caller, [under])).accepted == 1
    clock.advance(60)
    await publish(timed, "0.4")
    clock.advance(60)
    before = await contents(timed)
    assert (await rerated(timed, clock)).tenants[0].rerated.held == 1
    assert await contents(timed) == before
    await settlements.consume(timed, caller, "c", work.id, None, ())
    assert told(await rerated(timed, clock)) == [("acme", 1, 1, "0.4", {"metered": "-0.78"})]
    await proven(timed)


async def test_what_was_recorded_before_there_was_re_rating_is_re_rated_too(
    timed: Application, clock: Clock, database_url: str
) -> None:
    caller = await open_tenant(timed, metered="50")
    work = await worked(timed, caller, "w", call(), call("gpt-4o", tokens=1))
    under = ReportedUsage(call(event_id="late"), "llm_call", f"rsv_{work.id.hex}")
    clock.advance(60)
    assert (await service.record_usage(timed, caller, [under])).accepted == 1
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute("UPDATE usage_event SET under_reservation = false")
        await owner.execute("UPDATE reservation SET recorded = '[2, 2500, null, true]'")
        await owner.execute("DELETE FROM usage_amendment")
        await owner.execute(MIGRATION.CARRIED_OVER)
    finally:
        await owner.close()
    assert await count(timed, "usage_event", "under_reservation") == 2
    await publish(timed, "0.4")
    clock.advance(60)
    (totals,) = (await rerated(timed, clock, model="gpt-99")).tenants
    assert (totals.rerated.corrected, totals.rerated.priced) == (2, 2)
    assert await timed.across_tenants.fetchval("SELECT cost_usd FROM reservation") == nano("0.4000025")
    await proven(timed)
