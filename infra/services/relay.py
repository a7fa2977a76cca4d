"""Relay: what committed is told to the bus, at least once.

Rows are marked only after the bus has taken them, so a relay that is killed anywhere loses nothing and may tell a few events
twice: consumers drop those by the event's id. While the bus is asked, no transaction is open and nothing is locked; two
relays at once tell more events twice, and do no other harm. A tenant's events go out in their order: where one was not taken,
the tenant's later ones wait for the next run.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from domain.event_data import event_data
from domain.ids import NIL
from infra.application import Application
from infra.events import EventBus, Message, chunks
from infra.services.progress import Progress

AT_ONCE: Final = 500

_WAITING: Final = """
SELECT tenant_id, id, type, payload, created_at FROM outbox
WHERE published_at IS NULL AND (created_at, id) > ($1::timestamptz, $2::uuid) ORDER BY created_at, id LIMIT $3"""
_PUBLISHED: Final = """
UPDATE outbox o SET published_at = $3 FROM unnest($1::uuid[], $2::uuid[]) AS taken (tenant_id, id)
WHERE o.tenant_id = taken.tenant_id AND o.id = taken.id AND published_at IS NULL"""


async def relay_outbox(application: Application, bus: EventBus, *, stop_at: datetime | None = None) -> Progress:
    """Tell the bus what it was not told yet. Counts the events that it has taken; what it left is for the next run. Raises
    EventsUnavailableError."""
    done = 0
    behind: set[UUID] = set()
    after = (datetime.min.replace(tzinfo=UTC), NIL)
    while messages := [_message(row) for row in await application.across_tenants.fetch(_WAITING, *after, AT_ONCE)]:
        after = (messages[-1].at, messages[-1].id)
        for chunk in chunks(messages):
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            # One that a failure overtakes within a call cannot be held back any more.
            sent = [message for message in chunk if message.tenant_id not in behind]
            if not sent:
                continue
            answers = await bus.put(sent)
            taken = [message for message, was_taken in zip(sent, answers, strict=True) if was_taken]
            behind.update(message.tenant_id for message, was_taken in zip(sent, answers, strict=True) if not was_taken)
            await _mark(application, taken)
            done += len(taken)
    return Progress(done, complete=not behind)


async def _mark(application: Application, taken: list[Message]) -> None:
    tenant_ids, identifiers = [message.tenant_id for message in taken], [message.id for message in taken]
    await application.writers.execute(_PUBLISHED, tenant_ids, identifiers, application.clock())


def _message(row: asyncpg.Record) -> Message:
    tenant_id, identifier, kind, payload, created_at = row
    return Message(tenant_id, identifier, kind, orjson.dumps(event_data(kind, orjson.loads(payload))), created_at)
