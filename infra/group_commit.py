"""Group commit: the only way to move money.

Commands that arrive while a commit is in flight become the next batch: one transaction that locks the
tenants' rows, reads what the commands need, decides each in turn over the state that the one before
left, writes everything and commits; then every caller is answered. There is no timer, so a lone caller
waits for nobody, and a hundred callers share one fsync. Nothing runs while nothing waits.

A refusal is a value and hurts no neighbour. An error rolls the batch back and its halves are run, down to
the one command that causes it. If the connection is lost, at COMMIT too, the outcome is unknown: the batch is
run again, and what was committed answers by its idempotency key.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from domain.decisions import Command
from domain.recordings import Recording
from domain.tenants import Tenant
from infra.deciding import Decided, Deciding
from infra.transaction import UNANSWERED, Connection, transaction

LARGEST_BATCH: Final = 256
MOST_WAITING: Final = 20_000
MOST_ATTEMPTS: Final = 20
SECONDS_BETWEEN_ATTEMPTS: Final = 0.5
RECORDED_AS: Final = "SELECT usage_id FROM usage_key WHERE tenant_id = $1 AND source = $2 AND event_id = $3"
# Startup parameters of its connections: stale statistics must not choose another plan (DESIGN.md 3).
PINNED_PLANS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "application_name": "purser-ledger",
}


class Overloaded(Exception):
    """Too many commands wait already. Nothing was done: send it again."""


@dataclass(slots=True)
class _Waiting:
    command: Command
    decided: asyncio.Future[Decided]


class GroupCommit:
    """Lanes of batches, one connection each; a tenant's commands take the same lane, in their order."""

    def __init__(
        self, pool: asyncpg.Pool, deciding: Deciding, *, lanes: int = 1, largest_batch: int = LARGEST_BATCH
    ) -> None:
        self._pool = pool
        self.deciding = deciding
        self._lanes = [_Lane(pool, deciding, largest_batch) for _ in range(lanes)]

    def submit(self, command: Command) -> asyncio.Future[Decided]:
        """Queue a command; its future answers after the commit. Raises Overloaded where the queue is full."""
        return self._lane_of(command.request.tenant_id).submit(command)

    def require_room(self, tenant_id: UUID, commands: int) -> None:
        """Raises Overloaded where so many commands of a tenant do not fit at once: then none of them is queued."""
        self._lane_of(tenant_id).require_room(commands)

    async def expire(self, tenant_id: UUID) -> int:
        """Book a tenant's overdue reservations, a bounded number of them; answers how many."""
        async with self._pool.acquire() as connection, transaction(connection):
            booked, batch = await self.deciding.expire(connection, tenant_id)
        self.deciding.committed(batch)
        return booked

    async def start_cycle(self, tenant_id: UUID) -> Tenant | None:
        """Grant a tenant's running cycle unless it was; harmless at any time and more than once. None: no such tenant."""
        async with self._pool.acquire() as connection, transaction(connection):
            tenant, batch = await self.deciding.start_cycle(connection, tenant_id)
        self.deciding.committed(batch)
        return tenant

    async def close(self) -> None:
        """Commit what waits and give the connections back."""
        await asyncio.gather(*[lane.close() for lane in self._lanes])

    def _lane_of(self, tenant_id: UUID) -> "_Lane":
        return self._lanes[tenant_id.int % len(self._lanes)]


class _Lane:
    def __init__(self, pool: asyncpg.Pool, deciding: Deciding, largest_batch: int) -> None:
        self._pool = pool
        self._deciding = deciding
        self._largest_batch = largest_batch
        self._queues: dict[UUID, deque[_Waiting]] = {}
        self._turns: deque[UUID] = deque()
        self._waiting = 0
        self._worker: asyncio.Task[None] | None = None
        self._connection: asyncpg.pool.PoolConnectionProxy | None = None

    def submit(self, command: Command) -> asyncio.Future[Decided]:
        self.require_room(1)
        decided: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        tenant_id = command.request.tenant_id
        queue = self._queues.get(tenant_id)
        if queue is None:
            queue = self._queues[tenant_id] = deque()
            self._turns.append(tenant_id)
        queue.append(_Waiting(command, decided))
        self._waiting += 1
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return decided

    def require_room(self, commands: int) -> None:
        if self._waiting + commands > MOST_WAITING:
            raise Overloaded

    async def close(self) -> None:
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])
        await self._drop_connection()

    def _take(self) -> list[_Waiting]:
        """The next batch. Tenants take turns, so that none fills it alone while others wait."""
        taken: list[_Waiting] = []
        share = max(1, self._largest_batch // max(1, len(self._turns)))
        while self._turns and len(taken) < self._largest_batch:
            tenant_id = self._turns.popleft()
            queue = self._queues[tenant_id]
            size = min(share, len(queue), self._largest_batch - len(taken))
            taken.extend([queue.popleft() for _ in range(size)])
            if queue:
                self._turns.append(tenant_id)
            else:
                del self._queues[tenant_id]
        self._waiting -= len(taken)
        return taken

    async def _work(self) -> None:
        while self._turns:
            # Callers that become ready in one turn of the loop share a batch, those just answered too.
            await asyncio.sleep(0)
            await self._settle(self._take())

    async def _settle(self, waiting: list[_Waiting]) -> None:
        try:
            answers = await self._commit_surely([item.command for item in waiting])
        except Exception as error:  # noqa: BLE001  # whatever it is, every caller must be answered
            if len(waiting) > 1 and not is_connection_lost(error):
                middle = len(waiting) // 2
                await self._settle(waiting[:middle])
                await self._settle(waiting[middle:])
                return
            for item in waiting:
                if not item.decided.done():
                    item.decided.set_exception(error)
            return
        for item, answer in zip(waiting, answers, strict=True):
            if not item.decided.done():
                item.decided.set_result(answer)

    async def _commit_surely(self, commands: list[Command]) -> list[Decided]:
        attempt = 1
        recordings: dict[int, Recording] = {}
        unheard = False
        while True:
            try:
                answers = await self._commit(commands, recordings)
            except Exception as error:
                lost = is_connection_lost(error)
                unheard = unheard or lost
                if not lost and not _is_taken_meanwhile(error):
                    raise
                if lost:
                    await self._drop_connection()
                if attempt == MOST_ATTEMPTS:
                    raise
                await asyncio.sleep(0 if attempt == 1 else SECONDS_BETWEEN_ATTEMPTS)
                attempt += 1
                continue
            if unheard:
                # What an attempt before has committed, this one did not.
                self._deciding.changed({command.request.tenant_id for command in commands})
            return answers

    async def _commit(self, commands: list[Command], recordings: dict[int, Recording]) -> list[Decided]:
        if self._connection is None:
            self._connection = await self._pool.acquire()
        async with transaction(self._connection):
            answers, batch = await self._deciding.run(self._connection, commands)
            for index, (answer, at) in enumerate(answers):
                if isinstance(answer, Recording):
                    told = await self._as_told(self._connection, commands[index], answer, recordings, index)
                    answers[index] = Decided(told, at)
        self._deciding.committed(batch)
        return answers

    async def _as_told(
        self,
        connection: Connection,
        command: Command,
        answer: Recording,
        recordings: dict[int, Recording],
        index: int,
    ) -> Recording:
        """Usage has no key of its own to answer by: if it was taken by an attempt whose commit went unheard, it is no
        duplicate of itself. `recordings` are the answers of the attempts before, by place in the batch."""
        if answer.events:
            recordings[index] = answer
        elif index in recordings:
            first = recordings[index].events[0]
            place = (command.request.tenant_id, first.usage.source, first.usage.event_id)
            if await connection.fetchval(RECORDED_AS, *place) == first.id:
                return recordings[index]
        return answer

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # One that is broken cannot be reset, and that it cannot is no news.
            with suppress(*UNANSWERED):
                await self._pool.release(connection)


def _is_taken_meanwhile(error: Exception) -> bool:
    """Whether an ingest (`infra.usage_ingest`), which takes the tenant's lock last, inserted the same usage at the same
    time: looked at again, it is a duplicate."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return bool(error.table_name == "usage_key")
    return isinstance(error, asyncpg.DeadlockDetectedError)


def is_connection_lost(error: Exception) -> bool:
    """Whether the server or the way to it failed, and not a statement. (asyncpg's InterfaceError is also its
    complaint about a parameter's value: then it is a ValueError too. Its InternalClientError is what a connection answers
    that was cut while it was being spoken to.)"""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)
    return isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.OperatorInterventionError
        | asyncpg.TooManyConnectionsError
        | asyncpg.InternalClientError
        | OSError,
    )
