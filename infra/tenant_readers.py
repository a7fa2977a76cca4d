"""Tenants' readers: connections that see the rows of one tenant (`infra.row_security`).

A connection is told its tenant when it is borrowed. When it comes back, all settings that it was given are reset, the tenant
and the role too; one that cannot be reset is closed and never lent again.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
from typing_extensions import override

from infra.row_security import SETTING
from infra.transaction import Connection

_SET: Final = f"SELECT set_config('{SETTING}', $1, false)"


class TenantConnection(asyncpg.Connection):
    """A connection of the pool. RESET ALL, which asyncpg sends, forgets the tenant, and leaves a role as it was set."""

    @override
    def get_reset_query(self) -> str:
        return f"{super().get_reset_query()}\nRESET ROLE;"


class TenantReader:
    """What reads of one tenant; nothing of any other is there."""

    __slots__ = ("_pool", "_tenant_id")

    def __init__(self, pool: asyncpg.Pool, tenant_id: UUID) -> None:
        self._pool = pool
        self._tenant_id = str(tenant_id)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection for several statements."""
        async with self._pool.acquire() as connection:
            await connection.execute(_SET, self._tenant_id)
            yield connection

    async def fetch(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """The rows of one statement."""
        async with self.acquire() as connection:
            return await connection.fetch(statement, *parameters)

    async def fetchrow(self, statement: str, *parameters: Any) -> asyncpg.Record | None:
        """The first row of one statement; None where it has none."""
        async with self.acquire() as connection:
            return await connection.fetchrow(statement, *parameters)

    async def fetchval(self, statement: str, *parameters: Any) -> Any:
        """The first value of one statement; None where it has no row."""
        async with self.acquire() as connection:
            return await connection.fetchval(statement, *parameters)


class TenantReaders:
    """The pool of them."""

    __slots__ = ("_pool",)

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    def of(self, tenant_id: UUID) -> TenantReader:
        """What reads of this tenant."""
        return TenantReader(self._pool, tenant_id)
