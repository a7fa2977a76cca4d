"""The schema as the migrations make it."""

import asyncio

import asyncpg
import pytest

from infra.application import Application
from infra.schema import migrate
from infra.services.callers import Caller
from tests.infra.builders import nothing_moves, open_tenant, reserved


async def test_two_processes_may_migrate_at_once_and_again(application: Application, database_url: str) -> None:
    await open_tenant(application, credits="1")
    async with nothing_moves(application):
        await asyncio.gather(migrate(database_url), migrate(database_url))
        await migrate(database_url)


async def test_a_fresh_database_has_no_statistics_of_empty_tables(application: Application) -> None:
    rows = await application.across_tenants.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname <> 'migration' AND reltuples >= 0"
    )
    assert rows == []


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE wallet SET available = available + 1", "wallet_compartments"),
        ("UPDATE wallet SET granted = granted - 1", "wallet_compartments"),
        ("UPDATE wallet SET reserved = reserved - 3, available = available + 3000000000", "wallet"),
        ("UPDATE lot SET consumed = consumed + 1", "lot_compartments"),
        ("UPDATE lot SET available = -1, granted = reserved - 1", "lot_below_zero"),
        ("UPDATE lot SET is_open = false", "lot_open"),
        ("UPDATE ledger_entry SET reserved_after = reserved_after + 1", "ledger_entry_compartments"),
        ("UPDATE reservation SET remaining_usd = held_usd + 1", "reservation_check"),
        ("UPDATE reservation SET state = 'CONSUMED'", "reservation"),
        ("UPDATE budget_counter SET held = -1", "budget_counter_held_check"),
        ("UPDATE budget_counter SET spent = -1", "budget_counter_spent_check"),
        ("UPDATE scope SET status = 'PAUSED'", "scope_pause"),
        ("INSERT INTO wallet SELECT * FROM wallet LIMIT 1", "wallet_pkey"),
        ("INSERT INTO ledger_entry SELECT * FROM ledger_entry LIMIT 1", "ledger_entry_pkey"),
        ("INSERT INTO idempotency_key SELECT * FROM idempotency_key LIMIT 1", "idempotency_key_pkey"),
    ],
)
async def test_a_row_that_breaks_the_rules_is_refused_by_its_table(
    application: Application, database_url: str, caller: Caller, statement: str, constraint: str
) -> None:
    await reserved(application, caller)
    owner = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await owner.execute(statement)
    finally:
        await owner.close()
    assert str(refused.value.constraint_name).startswith(constraint)


async def test_neither_a_cap_nor_zero_stops_a_settlement(application: Application, caller: Caller) -> None:
    await application.writers.execute("UPDATE wallet SET available = -5, granted = consumed + reserved - 5 + expired")
    await application.writers.execute(
        "INSERT INTO budget VALUES ($1, 'TENANT', '', 'MONTH', 1, '{8000}')", caller.tenant_id
    )
    await application.writers.execute(
        "INSERT INTO budget_counter VALUES ($1, 'TENANT', '', '2026-11', 100, 100)", caller.tenant_id
    )


@pytest.mark.parametrize(
    ("occurred_at", "partition"),
    [
        ("2026-10-31T23:59:59.999999Z", "usage_event_default"),
        ("2026-11-01T00:00:00Z", "usage_event_2026_11"),
        ("2027-12-31T23:59:59Z", "usage_event_2027_12"),
        ("2028-01-01T00:00:00Z", "usage_event_default"),
    ],
)
async def test_usage_lands_in_the_partition_of_its_month(
    application: Application, occurred_at: str, partition: str
) -> None:
    landed = await application.writers.fetchval(
        "INSERT INTO usage_event (tenant_id, id, occurred_at, recorded_at, kind, route, calls, input_tokens,"
        " output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, success)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), $1::text::timestamptz, now(), 'LLM', 'MANAGED', 1, 0, 0, 0, 0, 0, true)"
        " RETURNING tableoid::regclass::text",
        occurred_at,
    )
    assert landed == partition
