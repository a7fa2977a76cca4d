"""The schema as the migrations make it."""

import asyncio

import asyncpg

from infra.application import Application
from infra.schema import migrate


async def test_two_processes_may_migrate_at_once_and_again(database_url: str) -> None:
    await asyncio.gather(migrate(database_url), migrate(database_url))
    await migrate(database_url)


async def test_a_fresh_database_has_no_statistics_of_empty_tables(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname = 'wallet' AND reltuples >= 0"
        )
    finally:
        await connection.close()
    assert rows == []


async def test_application_opens(application: Application) -> None:
    assert await application.readers.fetchval("SELECT count(*) FROM tenant") == 0
