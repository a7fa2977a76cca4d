"""Usage through the group commit: each event once, charged and counted where it belongs, and never lost."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from domain import ids
from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod
from domain.money import NANO
from domain.prices import Tokens
from domain.refusals import BudgetScope
from domain.reservations import Granted
from domain.settlements import Consumed
from domain.usage import Usage, UsageKind
from infra.application import Application
from infra.services import reservations, settlements, usage
from infra.services.callers import Caller, Refused
from infra.services.usage import Rejected, ReportedUsage, UsageReport
from infra.settings import DeploymentMode
from tests.domain.builders import agent_month, campaign_total, nano
from tests.infra.builders import (
    Clock,
    audit,
    balance,
    cap,
    contents,
    count,
    counter,
    nothing_moves,
    open_tenant,
    outbox,
    reported,
    reserved,
    wish,
)


def batch(size: int, feature: str | None = None, cost: str = "0.001") -> list[ReportedUsage]:
    return [ReportedUsage(reported(f"e{number}", cost), feature) for number in range(size)]


async def test_a_batch_of_a_thousand_is_taken_once_however_often_it_comes(
    application: Application, second_application: Application, caller: Caller
) -> None:
    reports = await asyncio.gather(
        *[
            usage.record_usage((application, second_application)[number % 2], caller, batch(1_000, "llm_call"))
            for number in range(4)
        ]
    )
    assert sorted(reports, key=lambda report: report.accepted) == [
        *[UsageReport(0, 1_000, (), 0)] * 3,
        UsageReport(1_000, 0, (), nano("1")),
    ]
    assert await count(application, "usage_event") == await count(application, "usage_key") == 1_000
    assert await balance(application, caller, "metered") == ("48.7", "0", "1.3")
    month = datetime.now(UTC).strftime("%Y-%m")
    assert await counter(application, caller, "TENANT", "", month) == ("1", "0")
    await audit(application)


async def test_batches_that_overlap_count_each_event_once(
    application: Application, second_application: Application, caller: Caller
) -> None:
    events = batch(100)
    reports = await asyncio.gather(
        *[
            usage.record_usage((application, second_application)[start // 10 % 2], caller, events[start : start + 30])
            for start in range(0, 80, 10)
        ]
    )
    assert sum(report.accepted for report in reports) == 100
    assert sum(report.duplicates for report in reports) == 8 * 30 - 100
    assert await count(application, "usage_event") == 100
    await audit(application)


async def test_accepted_duplicate_and_rejected_events_are_told_apart(application: Application, caller: Caller) -> None:
    other = await open_tenant(application, "globex", credits="10")
    theirs = await reserved(application, other, "theirs")
    now = datetime.now(UTC)
    events = [
        ReportedUsage(reported("good", "0.1")),
        ReportedUsage(reported("good", "0.2")),
        ReportedUsage(Usage(cost=1)),
        ReportedUsage(reported("future", "0.1", occurred_at=now + timedelta(minutes=6))),
        ReportedUsage(reported("foreign", "0.1"), reservation_id=ids.public("reservation", theirs.id)),
        ReportedUsage(reported("astray", "0.1"), reservation_id="rsv_nonsense"),
        ReportedUsage(reported("soon", "0.1", occurred_at=now + timedelta(minutes=4))),
        ReportedUsage(reported("bad", "0.1"), attribution=Attribution(campaign=" ")),
    ]
    report = await usage.record_usage(application, caller, events)
    assert (report.accepted, report.duplicates, report.cost) == (2, 1, nano("0.2"))
    assert [
        (event.index, event.event_id, [problem.path for problem in event.problems]) for event in report.rejected
    ] == [
        (2, "", ["eventId"]),
        (3, "future", ["usage.occurredAt"]),
        (4, "foreign", ["reservationId"]),
        (5, "astray", ["reservationId"]),
        (7, "bad", ["attribution.campaign"]),
    ]
    assert await count(application, "usage_event") == 2
    again = await usage.record_usage(application, caller, events[:1])
    assert again == UsageReport(0, 1, (), 0)
    await audit(application)


async def test_a_foreign_reservation_answers_like_one_that_does_not_exist(
    application: Application, caller: Caller
) -> None:
    other = await open_tenant(application, "globex", credits="10")
    theirs = await reserved(application, other, "theirs")
    nowhere = ids.public("reservation", ids.uuid7(0, 7))

    async def rejection(reservation_id: str) -> tuple[Rejected, ...]:
        async with nothing_moves(application):
            report = await usage.record_usage(
                application, caller, [ReportedUsage(reported("e", "1"), reservation_id=reservation_id)]
            )
        return report.rejected

    assert await rejection(ids.public("reservation", theirs.id)) == await rejection(nowhere) != ()


async def test_a_dry_run_foretells_and_writes_nothing(application: Application, caller: Caller) -> None:
    await usage.record_usage(application, caller, batch(3, "llm_call", "0.1"))
    async with nothing_moves(application):
        report = await usage.record_usage(application, caller, batch(5, "llm_call", "0.1"), dry_run=True)
    assert report == UsageReport(2, 3, (), nano("0.2"))
    assert await usage.record_usage(application, caller, batch(5, "llm_call", "0.1")) == report


async def test_an_empty_batch_is_nothing(application: Application, caller: Caller) -> None:
    async with nothing_moves(application):
        assert await usage.record_usage(application, caller, []) == UsageReport(0, 0, (), 0)


async def test_usage_under_an_open_reservation_moves_what_was_held_and_is_charged_on_consume(
    application: Application, caller: Caller
) -> None:
    work = Attribution(campaign="spring")
    reservation = await reserved(application, caller, feature="llm_call", cost="1", attribution=work)
    under = ids.public("reservation", reservation.id)
    await asyncio.gather(
        *[
            usage.record_usage(
                application, caller, [ReportedUsage(reported(f"e{number}", "0.3"), reservation_id=under)]
            )
            for number in range(4)
        ]
    )
    row = await application.across_tenants.fetchrow("SELECT remaining_usd, held_usd, state FROM reservation")
    assert row is not None
    assert tuple(row) == (0, nano("1"), "HELD")
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == ("1.2", "0")
    assert await balance(application, caller, "metered") == ("48.7", "1.3", "0")
    await audit(application)
    consumed = await settlements.consume(application, caller, "c", reservation.id, None, [Usage(cost=nano("0.1"))])
    assert isinstance(consumed, Consumed)
    assert consumed.reservation.cost_usd == nano("1.3")
    assert await balance(application, caller, "metered") == ("48.31", "0", "1.69")
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == ("1.3", "0")
    await audit(application)


async def test_reserve_usage_and_consume_of_one_batch_build_on_each_other(
    application: Application, caller: Caller
) -> None:
    first = await reserved(application, caller, "1", feature="llm_call", cost="1")
    under = ids.public("reservation", first.id)
    answers = await asyncio.gather(
        usage.record_usage(application, caller, [ReportedUsage(reported("a", "0.4"), reservation_id=under)]),
        settlements.consume(application, caller, "c", first.id, None, [reported("a", "0.4"), reported("b", "0.1")]),
        usage.record_usage(
            application,
            caller,
            [ReportedUsage(reported("b", "0.1")), ReportedUsage(reported("c", "0.2"), reservation_id=under)],
        ),
    )
    assert isinstance(answers[1], Consumed)
    assert answers[1].reservation.cost_usd == nano("0.5")
    assert answers[2] == UsageReport(1, 1, (), nano("0.2"))
    assert await balance(application, caller, "metered") == ("49.09", "0", "0.91")
    assert await count(application, "usage_event") == 3
    await audit(application)


@pytest.mark.parametrize("ending", ["consumed", "released", "expired"])
async def test_usage_under_a_reservation_that_has_ended_is_taken_and_charged_at_its_features_rate(
    timed: Application, clock: Clock, ending: str
) -> None:
    caller = await open_tenant(timed, metered="1")
    work = Attribution(campaign="spring", client="umbrella")
    reservation = await reserved(timed, caller, feature="llm_call", cost="0.5", attribution=work, ttl=60)
    if ending == "consumed":
        await settlements.consume(timed, caller, "c", reservation.id, None, [Usage(cost=0)])
    elif ending == "released":
        await reservations.release(timed, caller, "r", reservation.id)
    else:
        clock.advance(60)
        await reservations.expire_due(timed, caller.tenant_id)
    late = ReportedUsage(reported("late", "2"), reservation_id=ids.public("reservation", reservation.id))
    assert (await usage.record_usage(timed, caller, [late])).accepted == 1
    assert await balance(timed, caller, "metered") == ("-1.6", "0", "2.6")
    assert await counter(timed, caller, "CAMPAIGN", "spring", "TOTAL") == ("2", "0")
    row = await timed.across_tenants.fetchrow(
        "SELECT feature, reservation_id, campaign, client FROM usage_event WHERE event_id = 'late'"
    )
    assert row is not None
    assert tuple(row) == ("llm_call", reservation.id, "spring", "umbrella")
    await audit(timed)


async def test_usage_counts_in_the_month_when_it_happened_in_the_tenants_own_zone(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, time_zone="Asia/Kolkata", metered="5")
    await cap(timed, caller, agent_month("writer"), "1")
    work = Attribution(agent_role="writer")
    moments = {
        "last month": datetime(2026, 10, 31, 18, 29, 59, tzinfo=UTC),
        "this month": datetime(2026, 10, 31, 18, 30, tzinfo=UTC),
        "long ago": datetime(2001, 2, 3, tzinfo=UTC),
    }
    events = [
        ReportedUsage(reported(name, "1.5", occurred_at=moment), attribution=work) for name, moment in moments.items()
    ]
    await usage.record_usage(timed, caller, events[::2])
    assert await count(timed, "scope", "status = 'PAUSED'") == 0
    await usage.record_usage(timed, caller, events)
    for month in ("2001-02", "2026-10", "2026-11"):
        assert await counter(timed, caller, "AGENT", "writer", month) == ("1.5", "0")
    assert await count(timed, "scope", "status = 'PAUSED' AND pause_period_key = '2026-11'") == 1
    assert await count(timed, "usage_event", "tableoid = 'usage_event_default'::regclass") == 3
    await audit(timed)


async def test_usage_of_many_features_is_charged_in_one_step_per_wallet(application: Application) -> None:
    caller = await open_tenant(
        application, metered="1", email_sends="3", enrich_leads="1", credits="5", lead_storage="9"
    )
    events = [
        ReportedUsage(reported("call", "0.1"), "llm_call"),
        ReportedUsage(reported("found", "0.1", results=6), "email_find"),
        ReportedUsage(reported("sent", units=2 * NANO, kind=UsageKind.TOOL), "email_send"),
        ReportedUsage(reported("enriched", "0.02", calls=3), "enrich_lead"),
        ReportedUsage(reported("fixed", "0.6"), "blog_post"),
        ReportedUsage(reported("stored", "0"), "store_lead"),
        ReportedUsage(reported("unmetered", "0.5"), "no_such_feature"),
        ReportedUsage(reported("free", "0.5"), "public_data_query"),
    ]
    report = await usage.record_usage(application, caller, events)
    assert (report.accepted, report.cost) == (8, nano("1.82"))
    assert await balance(application, caller, "metered") == ("0.75", "0", "0.25")
    assert await balance(application, caller, "email_sends") == ("1", "0", "2")
    assert await balance(application, caller, "enrich_leads") == ("-2", "0", "3")
    assert await balance(application, caller, "credits") == ("5", "0", "0")
    assert await balance(application, caller, "lead_storage") == ("9", "0", "0")
    rows = await application.across_tenants.fetch(
        "SELECT event_id, route, charges IS NULL FROM usage_event ORDER BY event_id"
    )
    assert [tuple(row) for row in rows] == [
        ("call", "MANAGED", False),
        ("enriched", "MANAGED", False),
        ("fixed", "MANAGED", True),
        ("found", "MANAGED", False),
        ("free", "FREE", True),
        ("sent", "MANAGED", False),
        ("stored", "MANAGED", True),
        ("unmetered", "MANAGED", True),
    ]
    assert await count(application, "ledger_entry", "type = 'CONSUMED'") == 3
    await audit(application)


@pytest.mark.parametrize(("deployment_mode", "charged"), [(DeploymentMode.SELF_HOSTED, "0"), (None, "0.13")])
async def test_usage_on_an_own_key_counts_toward_caps_and_is_not_charged(
    application: Application, caller: Caller, charged: str
) -> None:
    event = ReportedUsage(reported("own", "0.1", own_key=True), "llm_call", attribution=Attribution(campaign="spring"))
    await usage.record_usage(application, caller, [event])
    assert (await balance(application, caller, "metered"))[2] == charged
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == ("0.1", "0")


async def test_a_model_without_a_price_is_kept_unpriced_and_told_once_per_batch(
    application: Application, caller: Caller
) -> None:
    events = [
        ReportedUsage(reported(f"e{number}", provider="openai", model="gpt-99", tokens=Tokens(10)), "llm_call")
        for number in range(3)
    ]
    assert await usage.record_usage(application, caller, events) == UsageReport(3, 0, (), 0)
    assert await count(application, "usage_event", "cost IS NULL AND charges IS NULL") == 3
    assert [kind for kind, _ in await outbox(application, caller)] == ["usage.unpriced"]


async def test_usage_and_admissions_at_once_never_let_an_admission_pass_the_cap(
    application: Application, second_application: Application
) -> None:
    caller = await open_tenant(application, credits="1000")
    key = campaign_total("spring")
    await cap(application, caller, key, "6")
    work = Attribution(campaign="spring")
    answers = await asyncio.gather(
        *[
            reservations.reserve(
                (application, second_application)[number % 2], caller, f"r{number}", wish(attribution=work)
            )
            if number % 4
            else usage.record_usage(
                second_application, caller, [ReportedUsage(reported(f"e{number}", "0.06"), attribution=work)]
            )
            for number in range(100)
        ]
    )
    granted = [answer for answer in answers if isinstance(answer, Granted)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(granted) + len(refused) == 75
    assert await counter(application, caller, "CAMPAIGN", "spring", "TOTAL") == (
        "1.5",
        f"{6 * len(granted) // 10}.{6 * len(granted) % 10}".removesuffix(".0"),
    )
    assert 7 <= len(granted) <= 10
    assert key == BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL)
    await audit(application)
    assert len((await contents(application))["usage_event"]) == 25
