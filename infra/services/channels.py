"""Channels: where a tenant is told. Addresses and signing secrets are sealed before they are stored, and are taken out of
the vault to send alone.

A webhook's signing secret is in the answer that adds it, and in the same answer again for the same idempotency key.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from domain import channels, ids
from domain.audit_log import AuditEvent, Detail, event_by
from domain.books import Operation, Request
from domain.channels import MOST_CHANNELS, MOST_TESTS_AN_HOUR, ChannelKind, DeliveryState
from domain.refusals import Conflict, InvalidInput, NotFound, Refusal, invalid
from domain.reservations import key_problems
from infra import notifications, webhooks
from infra.application import Application
from infra.audit_log import record
from infra.guarded_requests import reachable
from infra.identifiers import new_id
from infra.notifications import NO_EMAIL, Address, Message
from infra.queries.channels import CHANNEL_COLUMNS, ChannelView, channel_of
from infra.sending import Sent
from infra.services.callers import Caller, Refused
from infra.services.commands import refused, request_of
from infra.services.once import once
from infra.tenant_rows import closed
from infra.transaction import Connection
from infra.vault import Vault

REMOVED: Final = "the channel was removed"
INTERRUPTED: Final = "the test was interrupted"

_COUNT: Final = "SELECT count(*) FROM channel WHERE tenant_id = $1 AND removed_at IS NULL"
_ADD: Final = """
INSERT INTO channel (tenant_id, id, kind, name, hint, event_types, actor, created_at, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_ONE: Final = f"SELECT sealed, {CHANNEL_COLUMNS} FROM channel WHERE (tenant_id, id) = ($1, $2)"
_IN_USE: Final = f"{_ONE} AND removed_at IS NULL"
_REMOVE: Final = f"""
UPDATE channel SET removed_at = $3, sealed = '' WHERE (tenant_id, id) = ($1, $2) AND removed_at IS NULL
RETURNING {CHANNEL_COLUMNS}"""
_GIVE_UP: Final = """
UPDATE delivery SET state = 'FAILED', next_attempt_at = NULL, ended_at = $3, last_error = $4
WHERE (tenant_id, channel_id) = ($1, $2) AND state = 'PENDING'"""
_TESTS: Final = """
SELECT count(*) FROM idempotency_key WHERE (tenant_id, operation) = ($1, $2) AND created_at > $3"""
# It ends as it began if nobody lives to say better.
_BEGIN_TEST: Final = f"""
INSERT INTO delivery (tenant_id, channel_id, event_id, state, attempts, ended_at, last_error)
VALUES ($1, $2, $3, 'FAILED', 1, $4, '{INTERRUPTED}')"""
_END_TEST: Final = """
UPDATE delivery SET state = $4, ended_at = $5, last_error = $6 WHERE (tenant_id, channel_id, event_id) = ($1, $2, $3)"""
_TEST: Final = "SELECT last_error FROM delivery WHERE (tenant_id, channel_id, event_id) = ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class ChannelAdded:
    """A new channel. `secret`: what a webhook's messages are signed by; None for other kinds, and once it is removed."""

    channel: ChannelView
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChannelTested:
    """What became of a test message; `error` None: it arrived."""

    error: str | None


async def add_channel(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    kind: ChannelKind,
    name: str,
    target: str,
    event_types: Sequence[str] = (),
) -> ChannelAdded | Refused:
    """Add a channel. Refused: fields that do not go, a webhook whose host is not public, a tenant that is suspended, too
    many channels."""
    tenant_id, now = caller.tenant_id, application.clock()
    request = request_of(caller, Operation.ADD_CHANNEL, idempotency_key, (kind, name, target, tuple(event_types)))
    refusal = await _unfit(application, idempotency_key, kind, name, target, event_types)
    if refusal is not None:
        return refused(application, tenant_id, request.operation, refusal)
    view = ChannelView(new_id(now), kind, name, channels.hint(kind, target), tuple(event_types), caller.actor, now)
    secret = webhooks.new_secret() if kind is ChannelKind.WEBHOOK else None
    sealed = await seal(application.vault, tenant_id, view.id, Address(kind, target, secret))

    async def add(connection: Connection) -> UUID | Refusal:
        refusal = await closed(connection, tenant_id)
        if refusal is not None:
            return refusal
        if await connection.fetchval(_COUNT, tenant_id) >= MOST_CHANNELS:
            return Conflict(f"A tenant has at most {MOST_CHANNELS} channels: remove one first.")
        columns = (view.kind.value, view.name, view.hint, list(view.event_types), view.actor, view.created_at)
        await connection.execute(_ADD, tenant_id, view.id, *columns, sealed)
        await record(connection, _event(request, view.id, ("kind", kind.value), ("name", name)), at=now)
        return view.id

    added = await once(application, request, add, alone=True)
    if not isinstance(added, UUID):
        return refused(application, tenant_id, request.operation, added)
    if added == view.id:
        return ChannelAdded(view, secret)
    return await _as_added(application, tenant_id, added)


async def remove_channel(
    application: Application, caller: Caller, idempotency_key: str, channel_id: UUID
) -> ChannelView | Refused:
    """Remove a channel and forget its address; what was still to be sent there is given up."""
    tenant_id = caller.tenant_id
    request = request_of(caller, Operation.REMOVE_CHANNEL, idempotency_key, channel_id)

    async def remove(connection: Connection) -> UUID | Refusal:
        now = application.clock()
        if not await drop(connection, tenant_id, channel_id, now, REMOVED):
            return NotFound("channel")
        await record(connection, _event(request, channel_id), at=now)
        return channel_id

    removed = await once(application, request, remove, alone=True)
    if not isinstance(removed, UUID):
        return refused(application, tenant_id, request.operation, removed)
    row = await application.readers.of(tenant_id).fetchrow(_ONE, tenant_id, channel_id)
    assert row is not None, "channels stay as rows"
    return channel_of(tuple(row)[1:])


async def test_channel(
    application: Application, caller: Caller, idempotency_key: str, channel_id: UUID
) -> ChannelTested | Refused:
    """Send a test message now, and say what happened. The same key sends nothing again, and says what happened then."""
    tenant_id, now = caller.tenant_id, application.clock()
    request = request_of(caller, Operation.TEST_CHANNEL, idempotency_key, channel_id)
    test_id = new_id(now)
    found: list[tuple[bytes, ChannelView]] = []

    async def begin(connection: Connection) -> UUID | Refusal:
        row = await connection.fetchrow(_IN_USE, tenant_id, channel_id)
        if row is None:
            return NotFound("channel")
        tests = (tenant_id, request.operation.value, now - timedelta(hours=1))
        if await connection.fetchval(_TESTS, *tests) >= MOST_TESTS_AN_HOUR:
            return Conflict(f"There were {MOST_TESTS_AN_HOUR} tests within an hour: try again later.")
        await connection.execute(_BEGIN_TEST, tenant_id, channel_id, test_id, now)
        await record(connection, _event(request, channel_id), at=now)
        found.append((row[0], channel_of(tuple(row)[1:])))
        return test_id

    begun = await once(application, request, begin, alone=True)
    if not isinstance(begun, UUID):
        return refused(application, tenant_id, request.operation, begun)
    if not found:
        return ChannelTested(await application.readers.of(tenant_id).fetchval(_TEST, tenant_id, channel_id, begun))
    ((sealed, view),) = found
    data = {"message": f'A test of channel "{view.name}", asked for by {caller.actor}.'}
    message = Message(test_id, tenant_id, channels.TEST, now, data)
    sent = await send(application, sealed, view.id, message)
    state = DeliveryState.DELIVERED if sent.error is None else DeliveryState.FAILED
    await application.writers.execute(
        _END_TEST, tenant_id, channel_id, test_id, state.value, application.clock(), sent.error
    )
    return ChannelTested(sent.error)


async def send(application: Application, sealed: bytes, channel_id: UUID, message: Message) -> Sent:
    """Try to send one message to a channel, once. Raises VaultError where its address cannot be read."""
    address = await _opened(application.vault, message.tenant_id, channel_id, sealed)
    return await notifications.send(application.settings, address, message, application.clock())


async def drop(connection: Connection, tenant_id: UUID, channel_id: UUID, now: datetime, why: str) -> bool:
    """Remove a channel in the caller's transaction; False: there is none in use."""
    row = await connection.fetchrow(_REMOVE, tenant_id, channel_id, now)
    if row is None:
        return False
    await connection.execute(_GIVE_UP, tenant_id, channel_id, now, why)
    return True


async def seal(vault: Vault, tenant_id: UUID, channel_id: UUID, address: Address) -> bytes:
    """An address as it is stored: bound to its tenant and channel."""
    secret = orjson.dumps([address.kind.value, address.target, address.secret]).decode()
    return await vault.seal(secret, tenant_id, _place(channel_id))


def _event(request: Request, channel_id: UUID, *details: Detail) -> AuditEvent:
    """What the audit log says: never where a message goes, nor what it is signed by."""
    return event_by(request, f"channel:{ids.public('channel', channel_id)}", *details)


async def _opened(vault: Vault, tenant_id: UUID, channel_id: UUID, sealed: bytes) -> Address:
    kind, target, secret = orjson.loads(await vault.open(sealed, tenant_id, _place(channel_id)))
    return Address(ChannelKind(kind), target, secret)


def _place(channel_id: UUID) -> str:
    return f"channel:{channel_id.hex}"


async def _unfit(
    application: Application, key: str, kind: ChannelKind, name: str, target: str, event_types: Sequence[str]
) -> InvalidInput | None:
    local_allowed = application.settings.local_webhooks_allowed
    wrong = (*key_problems(key), *channels.problems(kind, name, target, event_types, local_allowed=local_allowed))
    if wrong:
        return InvalidInput(wrong)
    if kind is ChannelKind.EMAIL and application.settings.email_url is None:
        return invalid("kind", NO_EMAIL)
    if kind is ChannelKind.WEBHOOK and not await reachable(target, local_allowed=local_allowed):
        return invalid("target", "its host must have an address, and one that is public")
    return None


async def _as_added(application: Application, tenant_id: UUID, channel_id: UUID) -> ChannelAdded:
    row = await application.readers.of(tenant_id).fetchrow(_ONE, tenant_id, channel_id)
    assert row is not None, "channels stay as rows"
    sealed: bytes = row[0]
    address = await _opened(application.vault, tenant_id, channel_id, sealed) if sealed else None
    return ChannelAdded(channel_of(tuple(row)[1:]), None if address is None else address.secret)
