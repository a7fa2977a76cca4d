"""Deliveries: from the outbox to the tenants' channels.

Routing takes each event of the outbox once: it raises the alerts that the event calls for and notes one delivery for each
channel that wants it, in one transaction. Delivering leases what is due, sends with no transaction open, and notes what
became of it. A process that dies in between leaves a lease that ends: the message is sent again under the same id.
"""

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson

from domain import alerts, channels
from domain.channels import ChannelKind
from infra.application import Application
from infra.notifications import Message
from infra.sending import Sent
from infra.services.alerts import write_alerts
from infra.services.channels import REMOVED, drop, send
from infra.services.progress import Progress
from infra.transaction import Connection, transaction
from infra.vault import VaultError

MOST_ROUTED: Final = 200
MOST_AT_ONCE: Final = 50
# Neither a tenant nor a channel may keep the others waiting: of each only so many are sent at once, and if nobody answers
# at a channel, or it fails slowly or again, the rest of what is due for it waits.
MOST_OF_A_TENANT: Final = 10
MOST_OF_A_CHANNEL: Final = 5
SLOW: Final = timedelta(seconds=2)
LEASE: Final = timedelta(minutes=1)
PAUSE: Final = timedelta(minutes=1)

_UNROUTED: Final = f"""
SELECT o.tenant_id, o.id, o.type, o.payload, o.created_at, coalesce(t.time_zone, 'UTC')
FROM outbox o LEFT JOIN tenant t ON t.id = o.tenant_id
WHERE o.routed_at IS NULL ORDER BY o.created_at, o.id LIMIT {MOST_ROUTED} FOR UPDATE OF o SKIP LOCKED"""
_CHANNELS: Final = """
SELECT tenant_id, id, kind, event_types FROM channel WHERE tenant_id = ANY($1::uuid[]) AND removed_at IS NULL"""
_NOTE: Final = """
INSERT INTO delivery (tenant_id, channel_id, event_id, state, attempts, next_attempt_at)
SELECT tenant_id, channel_id, event_id, 'PENDING', 0, $4
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS wanted (tenant_id, channel_id, event_id)
ON CONFLICT DO NOTHING"""
_ROUTED: Final = """
UPDATE outbox o SET routed_at = $3
FROM unnest($1::uuid[], $2::uuid[]) AS done (tenant_id, id) WHERE (o.tenant_id, o.id) = (done.tenant_id, done.id)"""

# $3, $4: the tenant and the channel of each delivery that is being sent by this process. Who has his share of them is passed
# over, so that however much is due for one, the next lease finds the others.
_LEASE: Final = f"""
WITH of_tenant AS (
    SELECT tenant_id, count(*) AS sending FROM unnest($3::uuid[]) AS s (tenant_id) GROUP BY 1
), of_channel AS (
    SELECT channel_id, count(*) AS sending FROM unnest($4::uuid[]) AS s (channel_id) GROUP BY 1
), oldest AS (
    SELECT tenant_id, channel_id, event_id, next_attempt_at FROM delivery
    WHERE state = 'PENDING' AND next_attempt_at <= $1
      AND tenant_id NOT IN (SELECT tenant_id FROM of_tenant WHERE sending >= {MOST_OF_A_TENANT})
      AND channel_id NOT IN (SELECT channel_id FROM of_channel WHERE sending >= {MOST_OF_A_CHANNEL})
    ORDER BY next_attempt_at LIMIT 500
), in_channel AS (
    SELECT oldest.*, coalesce(sending, 0)
        + row_number() OVER (PARTITION BY tenant_id, channel_id ORDER BY next_attempt_at, event_id) AS place
    FROM oldest LEFT JOIN of_channel USING (channel_id)
), in_tenant AS (
    SELECT c.tenant_id, c.channel_id, c.event_id, c.next_attempt_at, coalesce(sending, 0)
        + row_number() OVER (PARTITION BY tenant_id ORDER BY next_attempt_at, event_id) AS place
    FROM in_channel c LEFT JOIN of_tenant USING (tenant_id) WHERE c.place <= {MOST_OF_A_CHANNEL}
), picked AS (
    SELECT d.tenant_id, d.channel_id, d.event_id
    FROM in_tenant p JOIN delivery d USING (tenant_id, channel_id, event_id)
    WHERE p.place <= {MOST_OF_A_TENANT} AND d.state = 'PENDING' AND d.next_attempt_at <= $1
    ORDER BY p.next_attempt_at, d.event_id LIMIT $5 FOR UPDATE OF d SKIP LOCKED
)
UPDATE delivery d SET attempts = d.attempts + 1, next_attempt_at = $2
FROM picked p
JOIN channel c ON (c.tenant_id, c.id) = (p.tenant_id, p.channel_id)
JOIN outbox o ON (o.tenant_id, o.id) = (p.tenant_id, p.event_id)
WHERE (d.tenant_id, d.channel_id, d.event_id) = (p.tenant_id, p.channel_id, p.event_id)
RETURNING d.tenant_id, d.channel_id, d.attempts, c.sealed, c.removed_at IS NULL, o.id, o.type, o.created_at, o.payload"""
_DELIVERED: Final = """
UPDATE delivery SET state = 'DELIVERED', next_attempt_at = NULL, ended_at = $4, last_error = NULL
WHERE (tenant_id, channel_id, event_id) = ($1, $2, $3) AND state = 'PENDING'"""
# Whoever leased it later says what becomes of it.
_AGAIN: Final = """
UPDATE delivery SET next_attempt_at = $4, last_error = $5
WHERE (tenant_id, channel_id, event_id, attempts) = ($1, $2, $3, $6) AND state = 'PENDING'"""
_FAILED: Final = """
UPDATE delivery SET state = 'FAILED', next_attempt_at = NULL, ended_at = $4, last_error = $5
WHERE (tenant_id, channel_id, event_id, attempts) = ($1, $2, $3, $6) AND state = 'PENDING'"""
_WAIT: Final = """
UPDATE delivery SET next_attempt_at = $3 WHERE (tenant_id, channel_id, event_id) IN (
    SELECT tenant_id, channel_id, event_id FROM delivery
    WHERE (tenant_id, channel_id) = ($1, $2) AND state = 'PENDING' AND next_attempt_at <= $4 FOR UPDATE SKIP LOCKED
)"""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Leased:
    """A delivery that nobody else sends meanwhile."""

    channel_id: UUID
    attempts: int
    sealed: bytes = field(repr=False)
    in_use: bool
    message: Message


async def route_events(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Take every event that is committed and not routed, in order, those of the alerts raised by it too."""
    done = 0
    while stop_at is None or application.clock() < stop_at:
        async with application.writers.acquire() as connection, transaction(connection):
            routed = await _route(connection, at, application.clock())
        if not routed:
            return Progress(done)
        done += routed
    return Progress(done, complete=False)


async def deliver(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Send what is due by then, more whenever some of it has ended; `done` counts the attempts."""
    done = 0
    sending: dict[asyncio.Task[None], _Leased] = {}
    one_at_a_time = asyncio.Lock()
    failure: BaseException | None = None
    try:
        while True:
            in_time = stop_at is None or application.clock() < stop_at
            if in_time and failure is None and len(sending) < MOST_AT_ONCE:
                leased = await _lease(application, at, sending.values(), one_at_a_time)
                for delivery in leased:
                    sending[asyncio.create_task(_deliver(application, delivery, at, one_at_a_time))] = delivery
                if leased:
                    continue
            if not sending:
                break
            ended, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
            for error in filter(None, await asyncio.gather(*ended, return_exceptions=True)):
                failure = failure or error
            for task in ended:
                del sending[task]
            done += len(ended)
    finally:
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    if failure is not None:
        raise failure
    return Progress(done, complete=in_time)


async def notify(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Route what has happened, then send what is due; `done` counts events and attempts."""
    routed = await route_events(application, at, stop_at=stop_at)
    sent = await deliver(application, max(at, application.clock()), stop_at=stop_at)
    return Progress(routed.done + sent.done, routed.complete and sent.complete)


async def _route(connection: Connection, at: datetime, now: datetime) -> int:
    events = await connection.fetch(_UNROUTED)
    if not events:
        return 0
    due = []
    for tenant_id, _, event_type, payload, created_at, zone in events:
        alert = alerts.of_event(event_type, orjson.loads(payload), alerts.day_of(created_at, ZoneInfo(zone)))
        if alert is not None:
            due.append((tenant_id, alert))
    await write_alerts(connection, due, now)
    tenants, ids = [event[0] for event in events], [event[1] for event in events]
    in_use: dict[UUID, list[tuple[UUID, ChannelKind, list[str]]]] = {}
    for tenant_id, channel_id, kind, event_types in await connection.fetch(_CHANNELS, list(set(tenants))):
        in_use.setdefault(tenant_id, []).append((channel_id, ChannelKind(kind), event_types))
    wanted = [
        (event[0], channel_id, event[1])
        for event in events
        for channel_id, kind, event_types in in_use.get(event[0], ())
        if channels.wants(kind, event_types, event[2])
    ]
    if wanted:
        await connection.execute(_NOTE, *zip(*wanted, strict=True), at)
    await connection.execute(_ROUTED, tenants, ids, at)
    return len(events)


async def _lease(
    application: Application, at: datetime, sending: Collection[_Leased], one_at_a_time: asyncio.Lock
) -> list[_Leased]:
    tenants = [delivery.message.tenant_id for delivery in sending]
    channel_ids = [delivery.channel_id for delivery in sending]
    until = max(at, application.clock()) + LEASE
    # The group commit's connections are few: this takes one of them.
    async with one_at_a_time, application.writers.acquire() as connection, transaction(connection):
        rows = await connection.fetch(_LEASE, at, until, tenants, channel_ids, MOST_AT_ONCE - len(sending))
    return [_leased(row) for row in rows]


def _leased(row: asyncpg.Record) -> _Leased:
    tenant_id, channel_id, attempts, sealed, in_use, event_id, event_type, created_at, payload = row
    data: dict[str, Any] = orjson.loads(payload)
    return _Leased(channel_id, attempts, sealed, in_use, Message(event_id, tenant_id, event_type, created_at, data))


async def _deliver(application: Application, delivery: _Leased, at: datetime, one_at_a_time: asyncio.Lock) -> None:
    begun = asyncio.get_running_loop().time()
    sent = await _sent(application, delivery) if delivery.in_use else Sent(REMOVED, gone=True)
    slow = asyncio.get_running_loop().time() - begun >= SLOW.total_seconds()
    async with one_at_a_time, application.writers.acquire() as connection, transaction(connection):
        await _note(connection, delivery, sent, max(at, application.clock()), slow=slow)


async def _sent(application: Application, delivery: _Leased) -> Sent:
    try:
        return await send(application, delivery.sealed, delivery.channel_id, delivery.message)
    except VaultError as error:
        _log.warning("channel %s cannot be read: %s", delivery.channel_id, error)
        return Sent("its address cannot be read", reached=False)
    except Exception:  # noqa: BLE001  # one message must not stand in the way of the others
        _log.exception("event %s could not be sent to channel %s", delivery.message.id, delivery.channel_id)
        return Sent("it could not be sent")


async def _note(connection: Connection, delivery: _Leased, sent: Sent, now: datetime, *, slow: bool) -> None:
    """Note what became of an attempt. What is gone takes its channel along, as a person's removal does."""
    channel = (delivery.message.tenant_id, delivery.channel_id)
    place = (*channel, delivery.message.id)
    if sent.error is None:
        await connection.execute(_DELIVERED, *place, now)
        return
    if sent.gone and await drop(connection, *channel, now, sent.error):
        _log.warning("channel %s is removed: %s", delivery.channel_id, sent.error)
        return
    again = None if sent.gone else channels.next_attempt(delivery.attempts, now)
    if again is not None:
        await connection.execute(_AGAIN, *place, again, sent.error, delivery.attempts)
    else:
        _log.warning("event %s is given up for channel %s: %s", delivery.message.id, delivery.channel_id, sent.error)
        await connection.execute(_FAILED, *place, now, sent.error, delivery.attempts)
    if slow or not sent.reached or delivery.attempts > 1:
        await connection.execute(_WAIT, *channel, now + PAUSE, now)
