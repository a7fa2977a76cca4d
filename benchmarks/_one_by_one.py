"""The same code with batches of one: every command in a transaction of its own, on any of several connections.

Unlike lanes, which are hashed by tenant, several connections may serve one tenant here: the fairest form that a
design without batches has.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
from typing_extensions import override

from domain.decisions import Answer, Command
from infra.application import Application
from infra.deciding import Deciding
from infra.group_commit import PINNED_PLANS, GroupCommit
from infra.transaction import Connection, transaction


class OneByOne(GroupCommit):
    """Stands in for the group commit; the services above it do not notice."""

    def __init__(self, pool: asyncpg.Pool, deciding: Deciding, connections: Iterable[Connection]) -> None:
        super().__init__(pool, deciding)
        self._idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in connections:
            self._idle.put_nowait(connection)

    @override
    def submit(self, command: Command) -> asyncio.Future[Answer]:
        return asyncio.ensure_future(self._run(command))

    async def _run(self, command: Command) -> Answer:
        connection = await self._idle.get()
        try:
            async with transaction(connection):
                answers, batch = await self.deciding.run(connection, [command])
            self.deciding.committed(batch)
        finally:
            self._idle.put_nowait(connection)
        return answers[0]


@asynccontextmanager
async def one_by_one(
    application: Application, url: str, numbers: Sequence[int]
) -> AsyncIterator[dict[int, Application]]:
    """The application, deciding one by one, for each number of connections. They share their connections, which are
    set up like the group commit's: only one of them may be used at a time."""
    most = max(numbers)
    async with asyncpg.create_pool(url, min_size=most, max_size=most, server_settings=PINNED_PLANS) as pool:
        taken = [await pool.acquire() for _ in range(most)]
        deciding = application.group_commit.deciding
        try:
            yield {
                number: replace(application, group_commit=OneByOne(pool, deciding, taken[:number]))
                for number in numbers
            }
        finally:
            for connection in taken:
                await pool.release(connection)
