"""Plans of the group commit's statements: by index, however stale or absent the statistics are.

Statements are prepared while the tables are empty, the tables are filled without being analysed, or analysed; the
generic plan must find rows by index either way.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from infra import books, group_commit, statements
from infra.application import Application
from infra.group_commit import PINNED_PLANS
from tests.infra.builders import open_tenant, reserved

ROWS: Final = 4_000
STATEMENTS: Final = {
    name: statement
    for module in (books, statements, group_commit)
    for name, statement in vars(module).items()
    if name.isupper() and isinstance(statement, str) and re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", statement)
}
FILL: Final = (
    """INSERT INTO tenant (id, slug, name, region, plan, created_at)
    SELECT gen_random_uuid(), 't' || n, 'T', 'india', 'professional', now() FROM generate_series(1, {rows}) n""",
    """INSERT INTO wallet (tenant_id, id, key, kind, unit, bucket_type, head_hash)
    SELECT id, gen_random_uuid(), key, 'PLATFORM', 'CREDIT', 'CONSUMABLE', decode(repeat('00', 32), 'hex')
    FROM tenant, unnest(ARRAY['credits', 'email_sends']) key ON CONFLICT DO NOTHING""",
    """INSERT INTO lot (tenant_id, id, wallet_id, source, granted, available, reserved, consumed, expired, is_open,
        granted_at)
    SELECT tenant_id, gen_random_uuid(), id, 'PLAN', n % 2, n % 2, 0, 0, 0, n % 2 = 1, now()
    FROM wallet, generate_series(1, 3) n""",
    """INSERT INTO reservation (tenant_id, id, state, feature, route, quantity, rate_card, attribution, month, holds,
        held_usd, remaining_usd, created_at, expires_at, ended_at)
    SELECT id, gen_random_uuid(), CASE n WHEN 1 THEN 'HELD' ELSE 'CONSUMED' END, 'f', 'MANAGED', 1, 1, '{{}}',
        '2026-11', '[]', 0, 0, now(), now(), CASE n WHEN 1 THEN NULL ELSE now() END
    FROM tenant, generate_series(1, 3) n""",
    """INSERT INTO task (tenant_id, feature, key, reservation_id)
    SELECT id, 'f', 'k' || n, gen_random_uuid() FROM tenant, generate_series(1, 2) n""",
    """INSERT INTO idempotency_key (tenant_id, operation, key, request_hash, created_at)
    SELECT id, 'reserve', 'k' || n, '', now() FROM tenant, generate_series(1, 3) n""",
    """INSERT INTO budget_counter (tenant_id, scope, scope_id, period_key, spent, held)
    SELECT id, 'AGENT', 'a' || n, '2026-11', 0, 0 FROM tenant, generate_series(1, 3) n""",
    """INSERT INTO budget (tenant_id, scope, scope_id, period, cap, thresholds)
    SELECT id, 'AGENT', 'a' || n, 'MONTH', 1, '{{8000}}' FROM tenant, generate_series(1, 2) n""",
    """INSERT INTO scope (tenant_id, kind, id, status)
    SELECT id, 'AGENT', 'a' || n, 'ACTIVE' FROM tenant, generate_series(1, 3) n""",
    """INSERT INTO usage_key (tenant_id, source, event_id, usage_id)
    SELECT id, 's', 'e' || n, gen_random_uuid() FROM tenant, generate_series(1, 3) n""",
)


@asynccontextmanager
async def ledger_connection(url: str) -> AsyncIterator[Any]:
    """A connection as the group commit's are."""
    connection = await asyncpg.connect(url, server_settings=PINNED_PLANS)
    try:
        yield connection
    finally:
        await connection.close()


async def fill(connection: Any, rows: int = ROWS) -> None:
    for statement in FILL:
        await connection.execute(statement.format(rows=rows))


async def prepare(connection: Any) -> None:
    """Prepare every statement, and have it planned."""
    for name, statement in STATEMENTS.items():
        await connection.execute(f"PREPARE {name.lower()} AS {statement}")
        await plan(connection, name)


async def plan(connection: Any, name: str) -> Any:
    """The generic plan of a prepared statement."""
    parameters = {int(number) for number in re.findall(r"\$(\d+)", STATEMENTS[name])}
    nulls = ", ".join(["NULL"] * max(parameters))
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name.lower()} ({nulls})")
    return json.loads(text)[0]["Plan"]


def nodes(node: Any) -> list[Any]:
    """A plan's nodes."""
    return [node, *[below for child in node.get("Plans", ()) for below in nodes(child)]]


def unwanted(node: Any) -> list[str]:
    """What a plan of the group commit must not hold."""
    return [
        f"{below['Node Type']} on {below.get('Relation Name')}"
        for below in nodes(node)
        if below["Node Type"] in {"Seq Scan", "Hash Join", "Merge Join"}
    ]


def assert_all_found() -> None:
    assert {"LOCK_TENANTS", "USED_KEYS", "TASKS", "RESERVATIONS", "DUE", "WALLETS", "BUDGETS", "RECORDED"} <= set(
        STATEMENTS
    )
    assert {"WRITE_BALANCES", "EXTEND_RESERVATIONS", "WRITE_TASKS", "REGISTER_SCOPES", "WRITE_SCOPES"} <= set(
        STATEMENTS
    )


@pytest.mark.parametrize("analysed", [False, True], ids=["never analysed", "analysed"])
async def test_statements_prepared_on_filled_tables_find_rows_by_index(database_url: str, analysed: bool) -> None:
    assert_all_found()
    async with ledger_connection(database_url) as connection:
        await fill(connection)
        if analysed:
            await connection.execute("ANALYZE")
        await prepare(connection)
        assert {name: unwanted(await plan(connection, name)) for name in STATEMENTS} == {
            name: [] for name in STATEMENTS
        }


async def test_statements_prepared_on_empty_tables_keep_to_their_indexes_as_these_fill(database_url: str) -> None:
    async with ledger_connection(database_url) as connection:
        await prepare(connection)
        await fill(connection)
        assert {name: unwanted(await plan(connection, name)) for name in STATEMENTS} == {
            name: [] for name in STATEMENTS
        }


async def test_statements_keep_to_their_indexes_after_empty_tables_were_analysed(database_url: str) -> None:
    async with ledger_connection(database_url) as connection:
        await connection.execute("ANALYZE")
        await fill(connection)
        await prepare(connection)
        assert {name: unwanted(await plan(connection, name)) for name in STATEMENTS} == {
            name: [] for name in STATEMENTS
        }


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("LOCK_TENANTS", "tenant_pkey"),
        ("USED_KEYS", "idempotency_key_pkey"),
        ("TASKS", "task_pkey"),
        ("RESERVATIONS", "reservation_pkey"),
        ("DUE", "reservation_due"),
        ("WALLETS", "wallet_key_unique"),
        ("WALLETS", "lot_open_of_wallet"),
        ("BUDGETS", "budget_counter_pkey"),
        ("BUDGETS", "budget_pkey"),
        ("BUDGETS", "scope_pkey"),
        ("RECORDED", "usage_key_pkey"),
        ("WRITE_BALANCES", "wallet_pkey"),
        ("WRITE_BALANCES", "reservation_pkey"),
    ],
)
async def test_each_table_is_entered_by_its_own_index_with_every_key_column(
    database_url: str, name: str, index: str
) -> None:
    async with ledger_connection(database_url) as connection:
        await fill(connection, 200)
        await prepare(connection)
        scans = [node for node in nodes(await plan(connection, name)) if node.get("Index Name") == index]
        columns = await connection.fetchval(
            "SELECT indnkeyatts FROM pg_index WHERE indexrelid = $1::text::regclass", index
        )
        conditions = [scan["Index Cond"].count(" AND ") + 1 for scan in scans]
        assert columns in conditions, f"{name} uses {index} by {conditions} of {columns} columns"


async def test_the_group_commits_own_connections_have_pinned_plans(application: Application) -> None:
    caller = await open_tenant(application, credits="10")
    await reserved(application, caller)
    async with application.writers.acquire() as connection:
        for setting, value in PINNED_PLANS.items():
            assert await connection.fetchval("SELECT current_setting($1)", setting) == value


async def test_no_index_holds_a_column_that_every_command_changes(application: Application) -> None:
    rows = await application.across_tenants.fetch(
        "SELECT i.indrelid::regclass::text, a.attname FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indrelid IN ('wallet'::regclass, 'lot'::regclass, 'budget_counter'::regclass)"
    )
    changing = {"granted", "available", "reserved", "consumed", "expired", "sequence", "head_hash", "spent", "held"}
    assert {(table, column) for table, column in rows if column in changing} == set()
