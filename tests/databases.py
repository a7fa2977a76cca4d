"""Databases of the tests: copies of a migrated template, one of which serves many tests one after the other.

A copy takes a tenth of a second to make and to drop, emptying one a tenth of that.
"""

import asyncio
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from infra.transaction import Connection

_END_OTHERS: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
# By the size of its file a table shows that rows were written, even if they were deleted or never committed. The
# planner takes each table that was never analysed for one of ten pages at least: up to there, size changes no plan.
_WRITTEN: Final = """
SELECT oid::regclass::text, pg_relation_size(oid) > 10 * current_setting('block_size')::int FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0"""
# Rows of pg_class and pg_namespace are rewritten by TRUNCATE and by GRANT: what they say counts. Rows of the others are
# rewritten only by who alters something: which transaction wrote them says it sooner than all their columns.
_SCHEMA: Final = """
SELECT 'relation' AS what, count(*), sum(hashtextextended(
    ROW(oid, relname, relnamespace, relkind, relowner, relacl, reloptions, relrowsecurity)::text, 0))::text
FROM pg_class WHERE oid >= 16384 AND relpersistence <> 't'
UNION ALL SELECT 'schema', count(*), sum(hashtextextended(ROW(oid, nspname, nspowner, nspacl)::text, 0))::text
FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
UNION ALL SELECT 'column', count(*), sum(xmin::text::bigint)::text FROM pg_attribute WHERE attrelid >= 16384
UNION ALL SELECT 'default', count(*), sum(xmin::text::bigint)::text FROM pg_attrdef WHERE oid >= 16384
UNION ALL SELECT 'constraint', count(*), sum(xmin::text::bigint)::text FROM pg_constraint WHERE oid >= 16384
UNION ALL SELECT 'index', count(*), sum(xmin::text::bigint)::text FROM pg_index WHERE indexrelid >= 16384
UNION ALL SELECT 'trigger', count(*), sum(xmin::text::bigint)::text FROM pg_trigger WHERE oid >= 16384
UNION ALL SELECT 'function', count(*), sum(xmin::text::bigint)::text FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'policy', count(*), sum(xmin::text::bigint)::text FROM pg_policy"""
# TRUNCATE forgets how many rows there were, and not what ANALYZE found in them.
_ANALYSED: Final = """
SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND reltuples >= 0"""
_SEQUENCES: Final = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"
_RESTART: Final = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences
WHERE schemaname = 'public' AND last_value IS NOT NULL AND sequencename::text <> ALL ($1::text[])"""


class _State(NamedTuple):
    """What is left in an empty database, and how many of its tables had been analysed."""

    analysed: int
    kept: list[list[asyncpg.Record]]
    sequences: list[asyncpg.Record]
    schema: list[asyncpg.Record]


class SharedDatabase:
    """A copy of the template that is emptied after each test, and is then as a fresh copy is: no connection but that of
    whoever empties it, no row, no statistics, and sequences at their start. What a migration inserted stays."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._url: str | None = None
        self._kept: set[str] = set()
        self._fresh = _State(0, [], [], [])
        # A new connection for each test would learn all tables, and plan all statements, anew.
        self._emptying: asyncpg.Connection | None = None
        self._loop = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def url(self) -> str:
        """Its address, for one test."""
        if self._url is None:
            self._url = self._loop.run(self._made())
        return self._url

    def is_at(self, url: str) -> bool:
        """Whether this is its address."""
        return self._url == url

    def empty(self) -> bool:
        """Make it fit for the next test, or have that one get another. False: the last test altered the schema."""
        url, self._url = self._url, None
        assert url is not None
        found = self._loop.run(self._emptied(url))
        if found == self._fresh:
            self._url = url
        else:
            self._loop.run(self._leave())
            drop(self._server_url, url)
        return found.schema == self._fresh.schema

    def drop(self) -> None:
        """At the end of the run."""
        self._loop.run(self._leave())
        self._loop.close()
        if self._url is not None:
            drop(self._server_url, self._url)

    async def _leave(self) -> None:
        connection, self._emptying = self._emptying, None
        if connection is not None:
            await connection.close()

    async def _made(self) -> str:
        url = await copied(self._server_url, self._template)
        connection = await asyncpg.connect(url)
        try:
            written = [table for table, _ in await connection.fetch(_WRITTEN)]
            self._kept = {table for table in written if await connection.fetchval(f"SELECT count(*) FROM {table}")}
            self._fresh = await self._state(connection, await connection.fetchval(_ANALYSED))
        finally:
            await connection.close()
        return url

    async def _emptied(self, url: str) -> _State:
        if self._emptying is not None:
            try:
                await self._emptying.execute("SELECT")
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                self._emptying = None  # the test ended all there were
        if self._emptying is None:
            self._emptying = await asyncpg.connect(url)
        connection = self._emptying
        # Their locks are gone once they are.
        while await connection.fetchval(_END_OTHERS):  # noqa: ASYNC110  # other processes, which nobody announces
            await asyncio.sleep(0.001)
        analysed = await connection.fetchval(_ANALYSED)
        await self._empty(connection)
        return await self._state(connection, analysed)

    async def _empty(self, connection: Connection) -> None:
        written = [row for row in await connection.fetch(_WRITTEN) if row[0] not in self._kept]
        # Truncating makes new files, which takes longer than deleting the few rows that most tests leave.
        if large := ", ".join(table for table, is_large in written if is_large):
            await connection.execute(f"TRUNCATE {large} CASCADE")
        # One statement, so that no table's turn is before that of another which refers to it.
        if small := ", ".join(
            f"_{n} AS (DELETE FROM {table})" for n, (table, is_large) in enumerate(written) if not is_large
        ):
            await connection.execute(f"WITH {small} SELECT")
        used = [name for name, last_value in self._fresh.sequences if last_value is not None]
        await connection.execute(_RESTART, used)

    async def _state(self, connection: Connection, analysed: int) -> _State:
        """Of an empty database."""
        kept = [await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1") for table in sorted(self._kept)]
        return _State(analysed, kept, await connection.fetch(_SEQUENCES), await connection.fetch(_SCHEMA))


async def copied(server_url: str, template: str) -> str:
    """The URL of a new copy."""
    name = f"test_{uuid4().hex}"
    await execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return with_database(server_url, name)


def drop(server_url: str, url: str) -> None:
    """Drop a copy, whoever is connected."""
    name = urlsplit(url).path.removeprefix("/")
    asyncio.run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


def with_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def execute(url: str, statement: str) -> None:
    """One statement, in a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
