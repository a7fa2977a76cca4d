"""Ingest: large batches of usage, beside admission and not in its way (docs/decisions/0010).

One transaction inserts the events' keys, rates what is new, copies it in, and only then takes the tenant's lock, for what
the batch adds to counters and wallets. The work in Python is cut into slices, so that what admission is about to do need
not wait for a batch. The books come out as if the group commit had recorded each event.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.books import Books, Request
from domain.postings import Posted, Sums
from domain.recordings import Recording, Reported, new_events, rate
from domain.usage import UsageEvent
from infra.deciding import CycleDue, Deciding
from infra.group_commit import MOST_ATTEMPTS, SECONDS_BETWEEN_ATTEMPTS, Overloaded, is_connection_lost
from infra.statements import MARK_COLUMNS, USAGE_COLUMNS
from infra.transaction import Connection, transaction
from infra.usage_rows import event_row

# Smaller batches share the group commit's fsync.
SMALLEST: Final = 100
AT_ONCE: Final = 2
MOST_WAITING: Final = 64
# Events between two turns of the loop, and rows that are encoded in one.
SLICE: Final = 25
ROWS_AT_ONCE: Final = 250
# Who inserts the same keys under the tenant's lock waits for this batch, and it for them: it gives way soon and tries again,
# so that nobody behind that lock waits for PostgreSQL to find the deadlock. Later it is as patient as the others.
IMPATIENT: Final = "SET LOCAL lock_timeout = '100ms'"
PATIENT_AFTER: Final = 5
SECONDS_AFTER_STUCK: Final = 0.02
# In one order, so that two batches never wait for each other in a circle.
_INSERT_KEYS: Final = """
INSERT INTO usage_key (tenant_id, source, event_id, usage_id)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::uuid[]) AS fresh (source, event_id, usage_id) ORDER BY 2, 3
ON CONFLICT DO NOTHING RETURNING usage_id"""
_KEPT: Final = """
SELECT k.usage_id FROM unnest($2::text[], $3::text[], $4::uuid[]) AS asked (source, event_id, usage_id)
JOIN usage_key k ON k.tenant_id = $1 AND k.source = asked.source AND k.event_id = asked.event_id
WHERE k.usage_id = asked.usage_id"""


class Unfit(Exception):
    """The books could not hold the batch as a whole; nothing was written. One by one the events show which is too much."""


class UsageIngest:
    """Takes large batches, a few at once; refuses what does not fit into its queue as Overloaded."""

    def __init__(self, pool: asyncpg.Pool, deciding: Deciding) -> None:
        self._pool = pool
        self._deciding = deciding
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def record(self, request: Request, reported: Sequence[Reported]) -> Recording:
        """Take what is new of events that name no reservation. Raises Unfit where the books cannot hold them."""
        if self._waiting >= MOST_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._turns:
                return await self._surely(request, reported)
        finally:
            self._waiting -= 1

    async def _surely(self, request: Request, reported: Sequence[Reported]) -> Recording:
        attempt = 1
        while True:
            try:
                async with self._pool.acquire() as connection:
                    return await self._record(connection, request, reported, attempt)
            except CycleDue:
                async with self._pool.acquire() as connection, transaction(connection):
                    _, batch = await self._deciding.start_cycle(connection, request.tenant_id)
                self._deciding.committed(batch)
            except Exception as error:
                stuck = isinstance(error, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError)
                if not (stuck or is_connection_lost(error)) or attempt == MOST_ATTEMPTS:
                    raise
                attempt += 1
                await asyncio.sleep(SECONDS_AFTER_STUCK if stuck else SECONDS_BETWEEN_ATTEMPTS)

    async def _record(
        self, connection: Connection, request: Request, reported: Sequence[Reported], attempt: int
    ) -> Recording:
        unique = new_events(reported, frozenset())
        keys = _keys(unique)
        batch = None
        async with transaction(connection):
            # An attempt whose commit went unheard has left its keys: then all that it took is taken.
            kept = await connection.fetch(_KEPT, request.tenant_id, *keys) if attempt > 1 else []
            fresh = kept or await connection.fetch(_INSERT_KEYS, request.tenant_id, *keys)
            taken = {row[0] for row in fresh}
            new = [event for event in unique if event.id in taken]
            view, now = await self._deciding.rating(connection, request.tenant_id, {event.feature for event in new})
            events = await _rated(view, new, now)
            if events and not kept:
                sums = await _copied(connection, request.tenant_id, events)
                named = self._deciding.unregistered(request.tenant_id, sums.named())
                if attempt <= PATIENT_AFTER:
                    await connection.execute(IMPATIENT)
                post = sums.post(request, now, named)
                ((answer, _),), batch = await self._deciding.run(connection, [post])
                assert isinstance(answer, Posted), "the tenant was there a moment ago"
                if not answer.fits:
                    raise Unfit
        if batch is not None:
            self._deciding.committed(batch)
        if events:
            self._deciding.changed((request.tenant_id,))
        return Recording(tuple(events), len(reported) - len(events))


async def _rated(view: Books, new: Sequence[Reported], now: datetime) -> list[UsageEvent]:
    events: list[UsageEvent] = []
    for start in range(0, len(new), SLICE):
        events.extend([rate(view, event, now) for event in new[start : start + SLICE]])
        await asyncio.sleep(0)
    return events


async def _copied(connection: Connection, tenant_id: UUID, events: Sequence[UsageEvent]) -> Sums:
    """Copy the events in, with the marks of when they happened; answers what they add up to."""
    sums = Sums()
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(events), SLICE):
        for event in events[start : start + SLICE]:
            sums.add(event)
            rows.append(event_row(tenant_id, event))
        await asyncio.sleep(0)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        await connection.copy_records_to_table("usage_event", records=part, columns=USAGE_COLUMNS)
    marks = [(tenant_id, quarter) for quarter in sums.quarters()]
    await connection.copy_records_to_table("usage_mark", records=marks, columns=MARK_COLUMNS)
    return sums


def _keys(events: Sequence[Reported]) -> tuple[list[str | None], list[str | None], list[UUID]]:
    return (
        [event.usage.source for event in events],
        [event.usage.event_id for event in events],
        [event.id for event in events],
    )
