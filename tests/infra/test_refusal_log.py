"""The log of refusals: kept for receipts, as well as can be, and never in anybody's way."""

import asyncio
import json
import logging
from datetime import timedelta

import asyncpg
import pytest

from domain.admission import Wish
from domain.attribution import Attribution
from domain.money import NANO
from domain.refusals import InsufficientFunds
from infra import refusal_log
from infra.application import Application, open_application
from infra.identifiers import new_id
from infra.queries import receipts
from infra.services import refusals, reservations
from infra.services.callers import Caller, Refused
from infra.services.progress import Progress
from infra.settings import Settings
from tests.domain.builders import nano, tenant_month
from tests.infra.builders import cap, count, open_tenant, wish


async def test_every_refusal_is_kept_with_its_figures_under_the_id_that_was_answered(
    settings: Settings, database_url: str, application: Application, caller: Caller
) -> None:
    async with open_application(settings, database_url) as leaving:
        await cap(leaving, caller, tenant_month(), "1")
        answers = [
            await reservations.reserve(
                leaving, caller, "1", Wish("context_file", 200 * NANO, attribution=Attribution())
            ),
            await reservations.reserve(leaving, caller, "2", wish("no_such_feature")),
            await reservations.reserve(leaving, caller, "", wish()),
            await reservations.release(leaving, caller, "4", caller.tenant_id),
        ]
    rows = await application.across_tenants.fetch(
        "SELECT id, operation, code, message, figures FROM refusal ORDER BY created_at, id"
    )
    assert len(rows) == 4
    kept = {row[0]: tuple(row[1:3]) for row in rows}
    assert [kept[answer.id] for answer in answers if isinstance(answer, Refused) and answer.id is not None] == [
        ("reserve", "BUDGET_EXCEEDED"),
        ("reserve", "UNKNOWN_FEATURE"),
        ("reserve", "INVALID_INPUT"),
        ("release", "NOT_FOUND"),
    ]
    for answer in answers:
        assert isinstance(answer, Refused)
        row = next(row for row in rows if row[0] == answer.id)
        assert row[3] == answer.refusal.message
    figures = next(json.loads(row[4]) for row in rows if row[2] == "BUDGET_EXCEEDED")
    assert figures == {
        "scope": "TENANT",
        "scope_id": None,
        "cap": nano("1"),
        "spent": 0,
        "held": 0,
        "requested": nano("120"),
        "retryable": False,
    }


async def test_when_too_many_wait_the_newest_are_dropped_and_counted(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusal_log, "MOST_KEPT", 3)
    refusal = InsufficientFunds("credits", 2, 1)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            application.refusals.add(caller.tenant_id, caller.tenant_id, "reserve", refusal, application.clock())
        await application.refusals.written()
    assert await count(application, "refusal") <= 3
    assert any(record.getMessage() == "refusals were dropped: 2" for record in caplog.records)


async def test_a_receipt_waits_for_its_own_refusal_and_not_for_those_that_keep_coming(
    application: Application, caller: Caller
) -> None:
    log, refusal = application.refusals, InsufficientFunds("credits", 2, 1)

    async def keep_refusing() -> None:
        while True:
            log.add(caller.tenant_id, new_id(), "reserve", refusal, application.clock())
            await asyncio.sleep(0)

    others = asyncio.create_task(keep_refusing())
    try:
        await asyncio.sleep(0)
        mine = new_id()
        log.add(caller.tenant_id, mine, "reserve", refusal, application.clock())
        async with asyncio.timeout(20):
            found = await receipts.of_refusal(application, caller.tenant_id, mine)
    finally:
        others.cancel()
    assert found is not None


async def test_figures_beyond_64_bits_are_refused_and_explained(application: Application, caller: Caller) -> None:
    answer = await reservations.reserve(application, caller, "1", Wish("landing_page", 9 * 10**18))
    assert isinstance(answer, Refused)
    assert isinstance(answer.refusal, InsufficientFunds)
    assert answer.refusal.requested > 2**64
    assert answer.id is not None
    found = await receipts.of_refusal(application, caller.tenant_id, answer.id)
    assert found is not None
    assert [line.amount for line in found.receipt.lines] == [
        answer.refusal.requested,
        answer.refusal.available,
        answer.refusal.short_by,
    ]


@pytest.mark.own_database
async def test_a_log_that_cannot_be_written_hurts_no_caller(
    settings: Settings, database_url: str, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caller = await open_tenant(application, credits="1")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("ALTER TABLE refusal RENAME TO away")
        answers = await asyncio.gather(
            *[reservations.reserve(application, caller, f"r{number}", wish()) for number in range(5)]
        )
        await application.refusals.written()
        assert all(isinstance(answer, Refused) for answer in answers)
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
            "refusals were not kept: 5"
        ]
        await connection.execute("ALTER TABLE away RENAME TO refusal")
        await reservations.reserve(application, caller, "again", wish())
        await application.refusals.written()
        assert await count(application, "refusal") == 1
    finally:
        await connection.close()


async def test_refusals_are_forgotten_after_ninety_days_and_not_before(application: Application) -> None:
    caller, other = await open_tenant(application, credits="1"), await open_tenant(application, "globex", credits="1")
    for each in (caller, other):
        await reservations.reserve(application, each, "too much", wish())
    await application.refusals.written()
    now = application.clock()
    assert await refusals.forget_old(application, now + timedelta(days=89)) == Progress(0)
    assert await refusals.forget_old(application, now + timedelta(days=91)) == Progress(2)
    assert await refusals.forget_old(application, now + timedelta(days=91)) == Progress(0)
    assert await count(application, "refusal") == 0
