"""The second wall: past the WHERE of a statement, a connection shows the rows of its tenant alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from typing_extensions import override

from domain.breakdowns import Dimension, UsageFilter
from domain.ids import NIL
from infra import roles
from infra.application import Application, open_application
from infra.books import LOCK_TENANTS
from infra.database import DatabaseError, connect_to_books, prepare
from infra.group_commit import PINNED_PLANS
from infra.queries import (
    agent_budgets,
    alerts,
    budgets,
    channels,
    provider_keys,
    spending,
    tenant_usage,
    tenants,
    topups,
    usage_breakdowns,
    usage_events,
    wallets,
)
from infra.roles import APPLICATION, LEDGER, OVERSEER
from infra.schema import migrate
from infra.services.callers import Caller
from infra.services.partitions import make_partitions
from infra.settings import Settings
from infra.statements import WRITE_BALANCES
from infra.tenant_readers import TenantReader, TenantReaders
from infra.transaction import BEGIN_READING, Connection, transaction
from tests.infra.builders import open_tenant, reserved

ACME: Final = UUID("0190a000-0000-7000-8000-00000000000a")
GLOBEX: Final = UUID("0190b000-0000-7000-8000-00000000000b")
WALLED: Final = """
SELECT c.relname, c.relispartition, c.relrowsecurity,
    (SELECT array_agg(polname::text ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid) AS policies
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND (c.relname = 'tenant' OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
ORDER BY 1"""
# A row of each table and tenant, whatever the table is: without its rules, a value of each column's type.
UNRULE: Final = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace AND coninhcount = 0"""
COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND (attnotnull OR attname = 'tenant_id')"""
VALUES: Final = {
    "uuid": "gen_random_uuid()",
    "text": "gen_random_uuid()::text",
    "timestamp with time zone": "now()",
    "date": "now()::date",
    "bytea": "uuid_send(gen_random_uuid())",
    "boolean": "false",
    "json": "'{}'",
    "jsonb": "'{}'",
    "text[]": "'{}'",
    "integer[]": "'{}'",
}
UNSET: Final = "SELECT current_setting('purser.tenant', true), current_user::text"


async def tables(connection: Connection) -> list[str]:
    """Those that are walled, but for partitions."""
    return [name for name, is_partition, *_ in await connection.fetch(WALLED) if not is_partition]


async def fill(owner: Connection) -> None:
    """One row of each tenant in every table that is a tenant's, and one that belongs to all."""
    for (statement,) in await owner.fetch(UNRULE):
        with suppress(asyncpg.UndefinedObjectError):
            await owner.execute(statement)
    for table in await tables(owner):
        columns = [(name, kind) for name, kind in await owner.fetch(COLUMNS, table)]
        own = "id" if table == "tenant" else "tenant_id"
        values = ", ".join("$1" if name == own else VALUES.get(kind, "1") for name, kind in columns)
        names = ", ".join(f'"{name}"' for name, _ in columns)
        for tenant_id in (ACME, GLOBEX, *([NIL] if table == "budget" else [])):
            await owner.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", tenant_id)


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_every_table_of_a_tenants_rows_is_walled(owner: Connection) -> None:
    """Fails for a table with a tenant_id that somebody adds past the wall."""
    for table, is_partition, is_walled, policies in await owner.fetch(WALLED):
        assert is_walled, f"{table} needs row-level security"
        assert policies == (None if is_partition else ["every_tenant", "one_tenant"]), table
    for table, _, privileges in await owner.fetch(
        """
SELECT c.relname, c.relispartition, array_agg(privilege_type) FROM pg_class c CROSS JOIN aclexplode(c.relacl) g
WHERE c.relkind IN ('r', 'p', 'v') AND g.grantee = $1::regrole GROUP BY 1, 2""",
        APPLICATION,
    ):
        assert privileges == ["SELECT"], f"{APPLICATION} reads alone: {table}"
        assert table in await tables(owner), f"{APPLICATION} reads nothing but tenants' rows: {table}"


@pytest.mark.own_database
async def test_without_any_where_a_connection_shows_its_tenants_rows_alone(
    application: Application, owner: Connection
) -> None:
    await fill(owner)
    names = await tables(owner)
    assert {"wallet", "ledger_entry", "usage_event", "api_key", "provider_key", "tenant"} <= set(names)
    seen: dict[UUID, dict[str, set[UUID]]] = {}
    for tenant_id in (ACME, GLOBEX):
        async with application.readers.of(tenant_id).acquire() as connection:
            seen[tenant_id] = {table: await tenants_in(connection, table) for table in names}
    # What everybody sees: the catalog, which each process keeps as a whole, and the operator's default caps.
    for tenant_id in (ACME, GLOBEX):
        assert seen[tenant_id].pop("publication") == {ACME, GLOBEX}
        assert seen[tenant_id].pop("budget") == {tenant_id, NIL}
        assert seen[tenant_id] == {table: {tenant_id} for table in seen[tenant_id]}
    async with raw(application).acquire() as connection:
        shown = {table: found for table in names if (found := await tenants_in(connection, table))}
        assert shown == {"publication": {ACME, GLOBEX}, "budget": {NIL}}
        for closed in ("usage_event_default", "usage_event_2026_11", "job_run", "migration"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SELECT FROM {closed}")
    for table in names:  # else all this would prove nothing
        assert await tenants_in(application.across_tenants, table) >= {ACME, GLOBEX}, table


async def test_a_query_whose_where_was_forgotten_shows_nothing_foreign(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = await open_tenant(application, "globex", credits="7")
    wrong = wallets._ALL.replace("WHERE w.tenant_id = $1", "WHERE $1::uuid IS NOT NULL")
    assert wrong != wallets._ALL
    found = {row[0] for row in await application.across_tenants.fetch(wrong, NIL, datetime.now(UTC))}
    assert found == {caller.tenant_id, stranger.tenant_id}, "the statement is wrong enough"
    monkeypatch.setattr(wallets, "_ALL", wrong)
    for one in (caller, stranger):
        shown = await wallets.list_wallets(application, one.tenant_id)
        assert {view.wallet.tenant_id for view in shown} == {one.tenant_id}


class _Mistaken(TenantReaders):
    """Lends connections of one tenant, whomever they are asked for."""

    def __init__(self, pool: asyncpg.Pool, tenant_id: UUID) -> None:
        super().__init__(pool)
        self.tenant_id = tenant_id

    @override
    def of(self, tenant_id: UUID) -> TenantReader:
        assert tenant_id != self.tenant_id
        return super().of(self.tenant_id)


async def test_queries_find_nothing_of_another_tenant_on_a_connection_of_ones_own(
    application: Application, caller: Caller
) -> None:
    """Queries about acme, on connections that were borrowed for globex."""
    stranger = await open_tenant(application, "globex", credits="7")
    await reserved(application, caller)
    now = datetime.now(UTC)
    wanted = UsageFilter(now - timedelta(days=1), now + timedelta(days=1))

    mistaken = replace(application, readers=_Mistaken(raw(application), stranger.tenant_id))
    acme = caller.tenant_id
    for query in (wallets.list_wallets, tenant_usage.recent_entries):
        assert await query(application, acme)
        assert await query(mistaken, acme) == []
    assert await tenants.get(mistaken, acme) is None
    assert (await usage_events.page(mistaken, acme, wanted, 10, None)).events == ()
    assert (await alerts.page(mistaken, acme, 10, None)).alerts == ()
    assert (await topups.page(mistaken, acme, 10, None)).top_ups == ()
    assert await channels.list_channels(mistaken, acme) == []
    assert await provider_keys.list_provider_keys(mistaken, acme) == []
    for refuses in (
        budgets.list_budgets(mistaken, acme, at_or_above_percent=None, first=10),
        agent_budgets.list_agent_budgets(mistaken, acme, None, 10),
        spending.of_month(mistaken, acme, None),
    ):
        with pytest.raises(AssertionError, match="callers' tenants exist"):
            await refuses
    with pytest.raises(TypeError):  # it has no time zone to ask in
        await usage_breakdowns.usage_breakdown(mistaken, acme, wanted, [Dimension.MODEL])


async def test_no_connection_comes_back_with_a_tenant_or_another_role(settings: Settings, database_url: str) -> None:
    """One connection, borrowed again and again, however it was left."""
    async with open_application(settings, database_url, most_readers=1) as application:
        own = application.readers.of(ACME)

        async def left() -> list[Any]:
            return [tuple(row) for row in await raw(application).fetch(UNSET)]

        async with own.acquire() as connection:
            assert [tuple(row) for row in await connection.fetch(UNSET)] == [(str(ACME), APPLICATION)]
            first: int = connection.get_server_pid()
        assert await left() == [("", APPLICATION)]

        with pytest.raises(asyncpg.DivisionByZeroError):
            async with own.acquire() as connection, transaction(connection, BEGIN_READING):
                await connection.execute("SELECT 1/0")
        assert await left() == [("", APPLICATION)]

        # asyncpg's own reset leaves a role as it is.
        async with own.acquire() as connection:
            await connection.execute(f"SET ROLE {LEDGER}")
            await connection.execute("SELECT set_config('purser.tenant', $1, false)", str(GLOBEX))
        assert await left() == [("", APPLICATION)]
        async with raw(application).acquire() as connection:
            assert connection.get_server_pid() == first, "it was the same connection all the time"

        async def work(statement: str) -> None:
            await own.fetch(statement)

        for statement, wait in (("SELECT pg_sleep(60)", 0.05), ("SELECT pg_sleep(0)", 0), ("SELECT 1", 0)):
            task = asyncio.create_task(work(statement))
            await asyncio.sleep(wait)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            ((tenant, role),) = await left()
            assert not tenant, statement  # null: it was closed, and this is a new one
            assert role == APPLICATION


@pytest.mark.own_database
async def test_partitions_and_tables_that_come_later_are_walled_too(
    application: Application, database_url: str, owner: Connection
) -> None:
    await make_partitions(database_url, datetime(2027, 2, 10, tzinfo=UTC))
    await owner.execute("CREATE TABLE novelty (tenant_id uuid NOT NULL, id uuid)")
    for tenant_id in (ACME, GLOBEX):
        await owner.execute("INSERT INTO novelty VALUES ($1, $1)", tenant_id)
    reader = application.readers.of(ACME)
    for again in (False, True):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch("SELECT FROM usage_event_2028_01")
        if not again:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch("SELECT FROM novelty")
            await migrate(database_url)
    assert [tuple(row) for row in await reader.fetch("SELECT tenant_id FROM novelty")] == [(ACME,)]
    await test_every_table_of_a_tenants_rows_is_walled(owner)


@pytest.fixture
async def modest(owner: Connection, database_url: str) -> AsyncIterator[tuple[str, str]]:
    """A role that may make no roles, and the URL that it comes with."""
    name, parts = f"purser_modest_{uuid4().hex}", urlsplit(database_url)
    await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'modest'")
    yield name, parts._replace(netloc=f"{name}:modest@{parts.hostname}:{parts.port}").geturl()
    await owner.execute(f"DROP ROLE {name}")


async def test_roles_that_an_administrator_made_and_granted_are_taken(
    owner: Connection, modest: tuple[str, str]
) -> None:
    name, url = modest
    connection = await asyncpg.connect(url)
    try:
        assert not await roles.make(connection)
        await owner.execute(f"GRANT {APPLICATION}, {LEDGER}, {OVERSEER} TO {name}")
        assert await roles.make(connection)
        await connection.execute(f"SET ROLE {LEDGER}")
    finally:
        await connection.close()


async def test_who_cannot_see_the_ledger_is_told_so_and_does_not_take_it_for_empty(
    owner: Connection, modest: tuple[str, str]
) -> None:
    name, url = modest
    for opens in (prepare, connect_to_books):
        with pytest.raises(DatabaseError, match="The ledger is hidden from the role of DATABASE_URL"):
            await opens(url)
    await owner.execute(f"GRANT {APPLICATION}, {LEDGER}, {OVERSEER} TO {name}")
    await (await connect_to_books(url)).close()


async def test_the_group_commits_plans_are_those_of_an_owner_whom_no_policy_binds(
    application: Application, database_url: str
) -> None:
    unbound = await asyncpg.connect(database_url, server_settings=PINNED_PLANS)
    try:
        async with application.writers.acquire() as bound:
            for statement in (f"{LOCK_TENANTS} FOR UPDATE", WRITE_BALANCES):
                assert await plan(bound, statement) == await plan(unbound, statement)
    finally:
        await unbound.close()


async def plan(connection: Connection, statement: str) -> list[str]:
    """How a statement is carried out, whatever its parameters."""
    await connection.execute(f"PREPARE asked AS {statement}")
    nothing = ", ".join("NULL" for n in range(1, 100) if f"${n}" in statement)
    shown = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE asked({nothing})")
    await connection.execute("DEALLOCATE asked")
    return [line for (line,) in shown]


def raw(application: Application) -> asyncpg.Pool:
    """The pool behind the wall, without being told a tenant."""
    return application.readers._pool


async def tenants_in(connection: Any, table: str) -> set[UUID]:
    """Whose rows a table shows."""
    column = "id" if table == "tenant" else "tenant_id"
    return {row[0] for row in await connection.fetch(f"SELECT {column} FROM {table}")}
