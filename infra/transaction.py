"""Transactions: the only place that opens one.

A connection on which a transaction cannot be ended is in no state to be used again: it is terminated.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

# Text, because asyncpg's classes take no parameters at run time.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

# What is raised where the database does not answer as it should. The last is what a connection answers that was cut while it
# was being spoken to.
UNANSWERED: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
BEGIN: Final = "BEGIN"
BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@asynccontextmanager
async def transaction(connection: Connection, begin: str = BEGIN) -> AsyncIterator[None]:
    """Commit at the end, roll back on any exception. READ COMMITTED: what one statement locks, the next ones read."""
    assert not connection.is_in_transaction(), "transactions do not nest"
    try:
        # Who is cancelled while it waits for the answer may have begun one.
        await connection.execute(begin)
        yield
    except BaseException:
        try:
            await connection.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # the first error is the one to report
            connection.terminate()
        raise
    try:
        await connection.execute("COMMIT")
    except BaseException:
        connection.terminate()
        raise
