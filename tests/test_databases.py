"""The database that tests share: whatever one of them leaves, the next one finds nothing of it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import asyncpg
import pytest

from tests.databases import SharedDatabase

REFUSALS = """
INSERT INTO refusal (tenant_id, id, operation, code, message, figures, created_at)
SELECT gen_random_uuid(), gen_random_uuid(), 'o', 'C', 'm', '{}', now() FROM generate_series(1, $1::int)"""
PUBLICATION = """
INSERT INTO publication (kind, body, actor, published_at) VALUES ('PLAN', '{}', 'a', now()) RETURNING sequence"""
KEY = """
WITH owner AS (INSERT INTO tenant (id, slug, name, region, plan, created_at)
    VALUES (gen_random_uuid(), 's', 'n', 'r', 'p', now()) RETURNING id)
INSERT INTO api_key (id, tenant_id, name, role, hash, created_at)
SELECT id, id, 'n', 'ADMIN', sha256('k'), now() FROM owner"""


@pytest.fixture(scope="module")
def shared(postgres_url: str, template: str) -> Iterator[SharedDatabase]:
    """What one test leaves is what the next one must not find."""
    shared = SharedDatabase(postgres_url, template)
    yield shared
    shared.drop()


async def ask(url: str, statement: str, *values: object) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


@pytest.mark.parametrize("rows", [3, 3_000], ids=["few rows", "many rows"])
def test_rows_are_gone_and_sequences_begin_anew(shared: SharedDatabase, rows: int) -> None:
    url = shared.url()
    for _ in range(2):
        assert asyncio.run(ask(url, PUBLICATION)) == 1
        asyncio.run(ask(url, KEY))
        asyncio.run(ask(url, REFUSALS, rows))
        migrations = asyncio.run(ask(url, "SELECT count(*) FROM migration"))
        assert shared.empty()
        assert shared.url() == url
        for table in ("publication", "api_key", "tenant", "refusal"):
            assert asyncio.run(ask(url, f"SELECT count(*) FROM {table}")) == 0
        assert asyncio.run(ask(url, "SELECT count(*) FROM migration")) == migrations


def test_an_open_transaction_and_a_lock_are_ended(shared: SharedDatabase) -> None:
    url = shared.url()

    async def left_behind() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_advisory_lock(1)")
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE refusal")
        assert await asyncio.to_thread(shared.empty)
        assert await ask(url, "SELECT pg_try_advisory_lock(1)") is True
        with suppress(asyncpg.PostgresError, OSError):
            await connection.close(timeout=5)

    asyncio.run(left_behind())


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE refusal RENAME TO away",
        "ALTER TABLE refusal ALTER message DROP NOT NULL",
        "CREATE TABLE forgotten ()",
        "DROP INDEX outbox_unpublished",
        "GRANT DELETE ON ledger_entry TO purser_ledger",
    ],
)
def test_an_altered_schema_is_noticed_and_made_anew(shared: SharedDatabase, statement: str) -> None:
    url = shared.url()
    asyncio.run(ask(url, statement))
    assert not shared.empty()
    assert shared.url() != url


@pytest.mark.parametrize("statement", ["ANALYZE", "DELETE FROM migration"])
def test_what_cannot_be_undone_is_made_anew(shared: SharedDatabase, statement: str) -> None:
    url = shared.url()
    asyncio.run(ask(url, statement))
    assert shared.empty()
    assert shared.url() != url
