"""Partitions of usage: the coming months have theirs, and nobody who records or reads waits for it."""

import asyncio
import logging
from datetime import UTC, datetime

import asyncpg
import pytest

from infra.application import Application
from infra.services import partitions
from infra.services.partitions import Made, make_ahead, make_partitions
from infra.services.progress import Progress
from infra.transaction import Connection

pytestmark = pytest.mark.own_database
# The migration makes the months from 2026-11 to 2027-12.
FEBRUARY = datetime(2027, 2, 10, tzinfo=UTC)
NEXT = ("2028_01", "2028_02", "2028_03")
RECORD = """
INSERT INTO usage_event (tenant_id, id, occurred_at, recorded_at, kind, route, calls, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, success)
VALUES (gen_random_uuid(), gen_random_uuid(), $1, $1, 'API', 'MANAGED', 1, 0, 0, 0, 0, 0, true)"""
PLACES = "SELECT tableoid::regclass::text FROM usage_event ORDER BY occurred_at"
# What would refuse usage for ever if it was left over.
PROOFS = "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'usage\\_before\\_%'"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are asked for twice, and briefly."""
    monkeypatch.setattr(partitions, "ATTEMPTS", 2)
    monkeypatch.setattr(partitions, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(partitions, "_LIMITS", "SET LOCAL lock_timeout = '20ms'; SET LOCAL statement_timeout = '1s'")


async def test_the_next_thirteen_months_are_made_once(application: Application) -> None:
    assert await make_ahead(application, datetime(2026, 11, 21, tzinfo=UTC)) == Progress(0)
    assert await make_ahead(application, FEBRUARY) == Progress(3)
    assert await make_ahead(application, FEBRUARY) == Progress(0)
    connection: Connection
    async with application.across_tenants.acquire() as connection:
        indexes = "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass"
        assert await connection.fetchval(indexes, "usage_event_2028_03") == await connection.fetchval(
            indexes, "usage_event_2027_12"
        )
        assert await connection.fetchval(PROOFS) == 0


async def test_usage_goes_to_its_month(application: Application) -> None:
    await make_ahead(application, FEBRUARY)
    for at in (datetime(2020, 5, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 3, 31, tzinfo=UTC)):
        await application.writers.execute(RECORD, at)
    places = [place for (place,) in await application.across_tenants.fetch(PLACES)]
    assert places == ["usage_event_default", "usage_event_2028_01", "usage_event_2028_03"]


async def test_a_month_whose_usage_lies_in_the_default_partition_stays_there_and_is_named(
    application: Application, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await application.writers.execute(RECORD, datetime(2028, 2, 29, 12, tzinfo=UTC))
    with caplog.at_level(logging.WARNING, "infra.services.partitions"):
        assert await make_partitions(database_url, FEBRUARY) == Made(("2028_01", "2028_03"), ("2028_02",), ())
    assert "2028_02" in caplog.text
    await application.writers.execute(RECORD, datetime(2028, 2, 29, 13, tzinfo=UTC))
    assert {place for (place,) in await application.across_tenants.fetch(PLACES)} == {"usage_event_default"}


async def test_a_month_that_has_begun_is_made_too(database_url: str) -> None:
    made = await make_partitions(database_url, datetime(2030, 1, 15, tzinfo=UTC))
    assert (made.months[0], made.months[-1], len(made.months)) == ("2030_01", "2031_02", 14)


async def test_several_at_once_make_each_month_once(database_url: str) -> None:
    made = await asyncio.gather(*[make_partitions(database_url, FEBRUARY) for _ in range(3)])
    assert sorted(made, key=lambda one: one.months) == [Made((), (), ()), Made((), (), ()), Made(NEXT, (), ())]


async def test_a_lock_that_is_not_to_be_had_is_left_to_the_next_run(database_url: str, impatient: None) -> None:
    reader = await asyncpg.connect(database_url)
    async with reader.transaction():
        await reader.execute("LOCK TABLE usage_event_default IN ACCESS SHARE MODE")
        assert await make_partitions(database_url, FEBRUARY) == Made((), (), NEXT)
    assert await make_partitions(database_url, FEBRUARY) == Made(NEXT, (), ())
    await reader.close()


async def test_what_a_killed_run_left_is_cleared_by_the_next(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "ALTER TABLE usage_event_default ADD CONSTRAINT usage_before_2028_01"
        " CHECK (occurred_at < '2028-01-01T00:00Z' OR occurred_at >= '2028-02-01T00:00Z') NOT VALID"
    )
    assert await make_partitions(database_url, FEBRUARY) == Made(NEXT, (), ())
    assert await connection.fetchval(PROOFS) == 0
    await connection.close()


async def test_usage_is_recorded_meanwhile(application: Application, database_url: str) -> None:
    making = asyncio.create_task(make_partitions(database_url, FEBRUARY))
    recorded = 0
    while not making.done():
        await application.writers.execute(RECORD, datetime(2020, 5, 1, tzinfo=UTC))
        await application.writers.execute(RECORD, datetime(2027, 2, 1, tzinfo=UTC))
        recorded += 2
    assert (await making).months == NEXT
    assert await application.across_tenants.fetchval("SELECT count(*) FROM usage_event") == recorded
