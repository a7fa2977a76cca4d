"""API keys: who may act on which tenant.

A key is shown once, when it is made; only its SHA-256 is kept. It holds 256 random bits, so a plain hash is
as good as a slow one. What a hash stands for is remembered for two seconds, so that requests do not wait for
the database, and a revoked key stops within that time. Only what was found is remembered.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Final, Generic, TypeVar
from uuid import UUID

from domain import ids
from domain.ids import NIL
from domain.refusals import PlanLimit
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller, Role
from infra.tenant_rows import TAKES_A_SEAT
from infra.transaction import Connection, transaction

SECONDS_REMEMBERED: Final = 2.0
MOST_REMEMBERED: Final = 10_000
# Roles of people; infra.tenant_rows counts them.
SEATED: Final = frozenset({Role.ADMIN, Role.MEMBER})

_TOKEN: Final = re.compile(r"psk_[A-Za-z0-9_-]{43}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_KEY: Final = """
SELECT tenant_id, role, name, expires_at FROM api_key
WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"""
_TENANT_BY_SLUG: Final = "SELECT id FROM tenant WHERE slug = $1"
_TENANT_BY_ID: Final = "SELECT id FROM tenant WHERE id = $1"
_CREATE: Final = """
INSERT INTO api_key (id, tenant_id, name, role, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"""
_LOCK_SEATS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('seats:' || $1::text, 0))"
_PLAN: Final = "SELECT region, plan FROM tenant WHERE id = $1"
_SEATS: Final = f"SELECT count(*) FROM api_key WHERE tenant_id = $1 AND {TAKES_A_SEAT}"
_REVOKE: Final = "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL"

Name = TypeVar("Name")
Found = TypeVar("Found")


class NoSuchTenantError(Exception):
    """An operator's key names a tenant that there is not; the message says how to name one."""


class Keyring:
    """Tells whom a key stands for, and remembers for two seconds what it found."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._keys: _Memory[bytes, _Key] = _Memory()
        self._tenants: _Memory[str, UUID] = _Memory()

    async def authenticate(self, token: str, tenant: str | None) -> Caller | None:
        """The caller; None for an unknown, expired or revoked key.

        `tenant` (slug or `ten_...` id) says on which tenant an operator's key acts, NIL where it says none; other keys
        have their own. Raises NoSuchTenantError where an operator names one that does not exist.
        """
        if _TOKEN.fullmatch(token) is None:
            return None
        key = await self._find_key(_hash(token))
        if key is None:
            return None
        if key.tenant_id is not None:
            return Caller(key.tenant_id, key.role, key.actor)
        if tenant is None:
            return Caller(NIL, key.role, key.actor)
        tenant_id = await self._find_tenant(tenant)
        if tenant_id is None:
            raise NoSuchTenantError(
                f"there is no tenant {tenant[:80]!r}: the header Purser-Tenant takes a slug or an id"
            )
        return Caller(tenant_id, key.role, key.actor)

    async def _find_key(self, digest: bytes) -> "_Key | None":
        key = self._keys.recall(digest)
        now = datetime.now(UTC)
        if key is None:
            row = await self._application.across_tenants.fetchrow(_KEY, digest, now)
            if row is None:
                return None
            tenant_id, role, name, expires_at = row
            key = _Key(tenant_id, Role(role), f"key:{name}", expires_at)
            self._keys.remember(digest, key)
        return None if key.expires_at is not None and key.expires_at <= now else key

    async def _find_tenant(self, tenant: str) -> UUID | None:
        found = self._tenants.recall(tenant)
        if found is None:
            found = await find_tenant(self._application, tenant)
            if found is not None:
                self._tenants.remember(tenant, found)
        return found


async def find_tenant(application: Application, name: str) -> UUID | None:
    """The tenant of a slug or a `ten_...` id; None where there is none."""
    identifier = ids.parse("tenant", name)
    found: UUID | None = None
    if identifier is not None:
        found = await application.across_tenants.fetchval(_TENANT_BY_ID, identifier)
    elif _SLUG.fullmatch(name) is not None:
        found = await application.across_tenants.fetchval(_TENANT_BY_SLUG, name)
    return found


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made. `token` is the key itself, which cannot be had again."""

    id: UUID
    token: str


async def create_key(
    application: Application,
    tenant_id: UUID | None,
    role: Role,
    name: str,
    secret: str | None = None,
    expires_at: datetime | None = None,
) -> NewKey | PlanLimit:
    """Make a key. Keys of people (admins and members) take a seat each, and the plan says how many there are.

    Without `secret` (43 url-safe characters) it is drawn at random. An operator's key has no tenant, every
    other one has.
    """
    assert (tenant_id is None) == (role is Role.OPERATOR), "an operator's key has no tenant, every other one has"
    token = f"psk_{secret or secrets.token_urlsafe(32)}"
    assert _TOKEN.fullmatch(token) is not None, "a secret is 43 url-safe characters"
    now = datetime.now(UTC)
    key = (new_id(now), tenant_id, name, role.value, _hash(token), now, expires_at)
    async with application.writers.acquire() as connection, transaction(connection):
        if tenant_id is not None and role in SEATED:
            # Of two that come at once the second counts the first, so the lock comes in a statement of its own.
            await connection.execute(_LOCK_SEATS, tenant_id.hex)
            full = await _seats_limit(application, connection, tenant_id, now)
            if full is not None:
                return full
        await connection.execute(_CREATE, *key)
    return NewKey(key[0], token)


async def _seats_limit(
    application: Application, connection: Connection, tenant_id: UUID, now: datetime
) -> PlanLimit | None:
    row = await connection.fetchrow(_PLAN, tenant_id)
    assert row is not None, "keys are made for tenants that exist"
    # On this connection: who waits for the lock may hold all the others.
    await application.catalogs.load(connection)
    plan = application.catalog.plan(row[0], row[1], application.clock())
    used: int = await connection.fetchval(_SEATS, tenant_id, now)
    return None if plan is None or used < plan.seats else PlanLimit("seats", plan.seats, used)


async def revoke_key(application: Application, key_id: UUID) -> bool:
    """End a key, within two seconds everywhere; False where there is none, or it was revoked before."""
    done = await application.writers.execute(_REVOKE, key_id, datetime.now(UTC))
    return bool(done == "UPDATE 1")


@dataclass(frozen=True, slots=True)
class _Key:
    tenant_id: UUID | None
    role: Role
    actor: str
    expires_at: datetime | None


class _Memory(Generic[Name, Found]):
    """A bounded number of findings, each for a short time."""

    def __init__(self) -> None:
        self._entries: dict[Name, tuple[float, Found]] = {}

    def recall(self, name: Name) -> Found | None:
        entry = self._entries.get(name)
        return entry[1] if entry is not None and entry[0] > monotonic() else None

    def remember(self, name: Name, found: Found) -> None:
        if len(self._entries) >= MOST_REMEMBERED:
            self._entries.clear()
        self._entries[name] = (monotonic() + SECONDS_REMEMBERED, found)


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
