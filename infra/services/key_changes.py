"""Changes of API keys that people ask for: made, replaced and revoked, each once for its idempotency key.

A key's token is in the answer of the request that makes it, and nowhere else: not even in the answer to the same request
sent again, since whoever holds an idempotency key, or reads it in a log, must not get a credential by it. Who lost the
answer finds the key by the same request, and replaces or revokes it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from domain import api_keys as rules
from domain import ids
from domain.audit_log import AuditEvent, Detail, event_by
from domain.books import Operation
from domain.identity import GrantedRole
from domain.ids import NIL
from domain.refusals import Conflict, InvalidInput, NotFound, Refusal
from infra.application import Application
from infra.audit_log import record
from infra.demo_keys import DEMO_KEYS
from infra.identifiers import new_id
from infra.queries.api_keys import ApiKeyView, one
from infra.services.api_keys import KeyOrder, NewKey, write_key
from infra.services.callers import Caller, Refused, Role
from infra.services.commands import refused, request_of
from infra.services.once import LOCK_TENANT, once
from infra.tenant_rows import closed
from infra.transaction import Connection, transaction

# Starts of the demo revoke keys of these names.
RESERVED_NAMES: Final = frozenset(key.name for key in DEMO_KEYS)

_IN_FORCE: Final = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3) AND replaced_by IS NULL"
_NAMED_SO: Final = f"SELECT EXISTS (SELECT FROM api_key WHERE tenant_id = $1 AND name = $2 AND {_IN_FORCE})"
_OTHERS: Final = f"""
SELECT EXISTS (
    SELECT FROM api_key WHERE tenant_id IS NOT DISTINCT FROM $1 AND id <> $2 AND role = $4 AND {_IN_FORCE})"""
# Operators' keys are no tenant's: who changes them locks them all.
_LOCK_OPERATORS: Final = "SELECT FROM api_key WHERE tenant_id IS NULL ORDER BY id FOR UPDATE"
_REPLACE: Final = "UPDATE api_key SET replaced_by = $2, expires_at = $3, revoked_at = $4 WHERE id = $1"
_REVOKE: Final = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL"
_LAST: Final = "This is the last key of its role: make another first, or ask for it with force."


@dataclass(frozen=True, slots=True)
class KeyMade:
    """A key that was made, now or by the same request before. `token` is the key itself; None: it was shown then.
    `replaced`: the key whose place it took."""

    key: ApiKeyView
    token: str | None = field(repr=False)
    replaced: ApiKeyView | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a key is replaced: it works on for so many seconds. `expires_at` of the new one; None: it lives as long as the
    old one was to live."""

    key_id: UUID
    overlap_seconds: int
    expires_at: datetime | None = None


async def create_api_key(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    name: str,
    role: GrantedRole,
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
) -> KeyMade | Refused:
    """Make a key of the tenant. Refused: fields that do not go, a name that a key in force has, a tenant that is
    suspended, no seat left. Only operators allow a key more requests than the installation does."""
    tenant_id, now = caller.tenant_id, application.clock()
    asked = (name, role, expires_at, requests_per_minute)
    request = request_of(caller, Operation.CREATE_API_KEY, idempotency_key, asked)
    most = None if caller.role is Role.OPERATOR else application.settings.requests_per_minute
    wrong = rules.problems(name, expires_at, requests_per_minute, now, most_per_minute=most)
    made: list[NewKey] = []

    async def create(connection: Connection) -> UUID | Refusal:
        if wrong:
            return InvalidInput(wrong)
        refusal = await closed(connection, tenant_id)
        if refusal is not None:
            return refusal
        if name in RESERVED_NAMES or await connection.fetchval(_NAMED_SO, tenant_id, name, now):
            return Conflict(f"The name {name} is taken, and the ledger names keys: choose another, or rotate that key.")
        order = KeyOrder(tenant_id, Role(role), name, caller.actor, expires_at, requests_per_minute)
        key = await write_key(application, connection, order)
        if not isinstance(key, NewKey):
            return key
        made.append(key)
        end = ("expiresAt", None if expires_at is None else expires_at.isoformat())
        limit = ("requestsPerMinute", requests_per_minute)
        event = event_by(request, _subject(key.id), ("name", name), ("role", role.value), end, limit)
        await record(connection, event, at=now)
        return key.id

    created = await once(application, request, create, alone=True)
    if not isinstance(created, UUID):
        return refused(application, tenant_id, request.operation, created)
    return KeyMade(await _key(application, created), made[0].token if made else None)


async def rotate_api_key(
    application: Application, caller: Caller, idempotency_key: str, rotation: Rotation
) -> KeyMade | Refused:
    """Make a new key in the place of one of the tenant's, on the same seat. Refused: a key that has ended or was replaced
    before, an overlap above seven days."""
    tenant_id = caller.tenant_id
    asked = (rotation.key_id, rotation.overlap_seconds, rotation.expires_at)
    request = request_of(caller, Operation.ROTATE_API_KEY, idempotency_key, asked)
    made: list[NewKey] = []

    async def rotate(connection: Connection) -> UUID | Refusal:
        key = await one(connection, rotation.key_id)
        if key is None or key.tenant_id != tenant_id:
            return NotFound("API key")
        new = await _replace(application, connection, key, rotation, caller.actor)
        if not isinstance(new, NewKey):
            return new
        made.append(new)
        overlap = ("overlapSeconds", rotation.overlap_seconds)
        event = event_by(request, _subject(key.id), ("replacedBy", ids.public("api_key", new.id)), overlap)
        await record(connection, event, at=application.clock())
        return new.id

    rotated = await once(application, request, rotate, alone=True)
    if not isinstance(rotated, UUID):
        return refused(application, tenant_id, request.operation, rotated)
    return await _rotated(application, rotation, rotated, made[0].token if made else None)


async def revoke_api_key(
    application: Application, caller: Caller, idempotency_key: str, key_id: UUID, *, force: bool = False
) -> ApiKeyView | Refused:
    """End a key of the tenant, within two seconds everywhere; one that has ended stays as it is. Refused unless forced:
    the key that the request is made with, and the last one of an admin."""
    tenant_id = caller.tenant_id
    request = request_of(caller, Operation.REVOKE_API_KEY, idempotency_key, (key_id, force))

    async def revoke(connection: Connection) -> UUID | Refusal:
        key = await one(connection, key_id)
        if key is None or key.tenant_id != tenant_id:
            return NotFound("API key")
        now = application.clock()
        if key.in_force(now) and not force:
            if caller.credential is not None and caller.credential.key_id == key_id:
                return Conflict("This is the key that you use: send force to revoke it all the same.")
            if await _is_last(connection, key, now):
                return Conflict(_LAST)
        await connection.execute(_REVOKE, key_id, now)
        if key.in_force(now):
            await record(connection, event_by(request, _subject(key_id), ("name", key.name)), at=now)
        return key_id

    revoked = await once(application, request, revoke, alone=True)
    if not isinstance(revoked, UUID):
        return refused(application, tenant_id, request.operation, revoked)
    return await _key(application, revoked)


async def rotate_any_key(application: Application, rotation: Rotation, actor: str) -> KeyMade | Refusal:
    """Replace a key, an operator's or a tenant's, from the command line."""
    async with application.writers.acquire() as connection, transaction(connection):
        key = await _locked(connection, rotation.key_id)
        if key is None:
            return NotFound("API key")
        made = await _replace(application, connection, key, rotation, actor)
        if isinstance(made, NewKey):
            details = (("replacedBy", ids.public("api_key", made.id)), ("overlapSeconds", rotation.overlap_seconds))
            event = _by_operator(key, actor, Operation.ROTATE_API_KEY, *details)
            await record(connection, event, at=application.clock())
    return await _rotated(application, rotation, made.id, made.token) if isinstance(made, NewKey) else made


async def revoke_any_key(
    application: Application, key_id: UUID, actor: str, *, force: bool = False
) -> ApiKeyView | NotFound | Conflict:
    """End a key, an operator's or a tenant's, from the command line. Refused unless forced: the last one of a tenant's
    admins, or of operators."""
    async with application.writers.acquire() as connection, transaction(connection):
        key = await _locked(connection, key_id)
        if key is None:
            return NotFound("API key")
        now = application.clock()
        if not force and key.in_force(now) and await _is_last(connection, key, now):
            return Conflict(_LAST)
        await connection.execute(_REVOKE, key_id, now)
        if key.in_force(now):
            event = _by_operator(key, actor, Operation.REVOKE_API_KEY, ("name", key.name))
            await record(connection, event, at=now)
    return await _key(application, key_id)


def _subject(key_id: UUID) -> str:
    return f"api_key:{ids.public('api_key', key_id)}"


def _by_operator(key: ApiKeyView, actor: str, operation: Operation, *details: Detail) -> AuditEvent:
    """What somebody did at the command line of the installation, to a tenant's key or an operator's."""
    tenant_id = NIL if key.tenant_id is None else key.tenant_id
    return AuditEvent(tenant_id, actor, Role.OPERATOR, operation.value, _subject(key.id), details)


async def _locked(connection: Connection, key_id: UUID) -> ApiKeyView | None:
    """A key as it stands once nobody else can change it."""
    key = await one(connection, key_id)
    if key is None:
        return None
    if key.tenant_id is not None:
        await connection.execute(LOCK_TENANT, key.tenant_id)
    else:
        await connection.execute(_LOCK_OPERATORS)
    return await one(connection, key_id)


async def _replace(
    application: Application, connection: Connection, key: ApiKeyView, rotation: Rotation, actor: str
) -> NewKey | Refusal:
    now = application.clock()
    wrong = (*rules.overlap_problems(rotation.overlap_seconds), *rules.end_problems(rotation.expires_at, now))
    if wrong:
        return InvalidInput(wrong)
    if key.replaced_by is not None:
        return Conflict("The key was replaced before: rotate the one that took its place.")
    if not key.in_force(now):
        return Conflict("The key has ended: make a new one.")
    if key.name in RESERVED_NAMES:
        return Conflict("This is a key of the demo, made from its secret: make one of your own.")
    end = rotation.expires_at or rules.end_of_successor(key.created_at, key.expires_at, now)
    order = KeyOrder(key.tenant_id, Role(key.role), key.name, actor, end, key.requests_per_minute)
    made = await write_key(application, connection, order, new_id(now), seat=False)
    assert isinstance(made, NewKey), "it takes over a seat"
    stops = rules.end_of_replaced(key.expires_at, rotation.overlap_seconds, now)
    await connection.execute(_REPLACE, key.id, made.id, stops, now if rotation.overlap_seconds == 0 else None)
    return made


async def _is_last(connection: Connection, key: ApiKeyView, now: datetime) -> bool:
    """Whether nobody else could let people in: of admins, and of operators."""
    if key.role not in (Role.ADMIN, Role.OPERATOR) or key.replaced_by is not None:
        return False
    return not await connection.fetchval(_OTHERS, key.tenant_id, key.id, now, key.role)


async def _rotated(application: Application, rotation: Rotation, made: UUID, token: str | None) -> KeyMade:
    return KeyMade(await _key(application, made), token, await _key(application, rotation.key_id))


async def _key(application: Application, key_id: UUID) -> ApiKeyView:
    async with application.across_tenants.acquire() as connection:
        found = await one(connection, key_id)
    assert found is not None, "keys stay as rows"
    return found
