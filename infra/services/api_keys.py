"""API keys: who may act on which tenant, by a key or by a token of an identity provider.

A key is shown once, when it is made; only its SHA-256 is kept. It holds 256 random bits, so a plain hash is
as good as a slow one. What a hash stands for is remembered for two seconds, so that requests do not wait for
the database, and a revoked key stops within that time. Only what was found is remembered.
"""

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic
from typing import Final, Generic, TypeVar
from uuid import UUID

from domain import ids
from domain.api_keys import hint
from domain.audit_log import AuditEvent
from domain.books import Operation
from domain.ids import NIL
from domain.refusals import PlanLimit
from infra.application import Application
from infra.audit_log import record
from infra.identifiers import new_id
from infra.jwks import ProviderUnavailableError
from infra.rate_limits import RateLimits, Turns
from infra.services.callers import Caller, Credential, Role
from infra.services.once import LOCK_TENANT
from infra.services.tokens import Tokens
from infra.tenant_rows import TAKES_A_SEAT
from infra.transaction import Connection, transaction

SECONDS_REMEMBERED: Final = 2.0
MOST_REMEMBERED: Final = 10_000
# Wrong keys and tokens from one address, and those that are looked up at once: a fleet that comes back waits for its turn.
WRONG_PER_MINUTE: Final = 120
MOST_STRANGERS: Final = 8
# Roles of people; infra.tenant_rows counts them.
SEATED: Final = frozenset({Role.ADMIN, Role.MEMBER})

_TOKEN: Final = re.compile(r"psk_[A-Za-z0-9_-]{43}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_KEY: Final = """
SELECT id, tenant_id, role, name, expires_at, requests_per_minute FROM api_key
WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"""
_TENANT_BY_SLUG: Final = "SELECT id FROM tenant WHERE slug = $1"
_TENANT_BY_ID: Final = "SELECT id FROM tenant WHERE id = $1"
_CREATE: Final = """
INSERT INTO api_key
    (id, tenant_id, name, role, hash, hint, created_at, created_by, expires_at, requests_per_minute)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""
_PLAN: Final = "SELECT region, plan FROM tenant WHERE id = $1"
_SEATS: Final = f"SELECT count(*) FROM api_key WHERE tenant_id = $1 AND {TAKES_A_SEAT}"

Name = TypeVar("Name")
Found = TypeVar("Found")


class NoSuchTenantError(Exception):
    """An operator's key names a tenant that there is not; the message says how to name one."""


class Keyring:
    """Tells whom a key or a token stands for, remembers for two seconds what it found, and counts how often they ask.

    What it counts it keeps in memory: each process has its own limits, and forgets who has not asked for long.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._callers: _Memory[bytes, Caller] = _Memory()
        self._tenants: _Memory[str, UUID] = _Memory()
        self._tokens = Tokens(application)
        self._requests = RateLimits()
        self._wrong = RateLimits()
        self._strangers = Turns(MOST_STRANGERS)

    async def authenticate(self, token: str, tenant: str | None, address: str | None = "") -> Caller | None:
        """The caller; None for an unknown, expired or revoked key, and for a token that is not to be trusted.

        `tenant` (slug or `ten_...` id) says on which tenant an operator's key acts, NIL where it says none; all others
        have their own. `address` None: the caller was let in with it before, and does not guess. Raises NoSuchTenantError
        where an operator names one that does not exist, RateLimitedError where too much that was wrong came from an
        `address`, ProviderUnavailableError where an identity provider's keys cannot
        be had.
        """
        is_key = _TOKEN.fullmatch(token) is not None
        if not is_key and not Tokens.may_be(token):
            return None
        digest = _hash(token)
        caller = self._callers.recall(digest)
        if caller is None or caller.has_ended(datetime.now(UTC)):
            caller = await self._found(token, digest, address, is_key=is_key)
        if caller is None or tenant is None or caller.role is not Role.OPERATOR:
            return caller
        tenant_id = await self._find_tenant(tenant)
        if tenant_id is None:
            raise NoSuchTenantError(
                f"there is no tenant {tenant[:80]!r}: the header Purser-Tenant takes a slug or an id"
            )
        return Caller(tenant_id, caller.role, caller.actor, caller.credential)

    def count(self, caller: Caller) -> None:
        """One more request of a caller. Raises RateLimitedError where there were too many."""
        credential = caller.credential
        if credential is None or credential.requests_per_minute is None:
            return
        self._requests.admit(credential.name, credential.requests_per_minute)

    async def _found(self, token: str, digest: bytes, address: str | None, *, is_key: bool) -> Caller | None:
        """Look a credential up. One that was good before is looked up at once, so that nobody is locked out by others who
        share an address. All else takes its turn among those of its address, where too many were wrong already."""
        if address is None or self._callers.knows(digest):
            return await self._looked_up(token, digest, is_key=is_key)
        async with self._strangers.turn(address):
            caller = self._callers.recall(digest)
            if caller is not None:
                return caller
            self._wrong.check(address, WRONG_PER_MINUTE)
            try:
                caller = await self._looked_up(token, digest, is_key=is_key)
            except ProviderUnavailableError:
                self._wrong.admit(address, WRONG_PER_MINUTE)
                raise
            if caller is None:
                self._wrong.admit(address, WRONG_PER_MINUTE)
            return caller

    async def _looked_up(self, token: str, digest: bytes, *, is_key: bool) -> Caller | None:
        caller = await (self._key(digest) if is_key else self._tokens.caller(token))
        if caller is None:
            self._callers.forget(digest)
        else:
            self._callers.remember(digest, caller)
        return caller

    async def _key(self, digest: bytes) -> Caller | None:
        row = await self._application.across_tenants.fetchrow(_KEY, digest, datetime.now(UTC))
        if row is None:
            return None
        key_id, tenant_id, role, name, expires_at, own_limit = row
        self._application.key_uses.note(key_id)
        limit = own_limit or self._application.settings.requests_per_minute
        return Caller(
            NIL if tenant_id is None else tenant_id,
            Role(role),
            f"key:{name}",
            Credential(f"key:{key_id}", key_id, expires_at, limit),
        )

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
class KeyOrder:
    """A key that is to be made. `tenant_id` None: an operator's. `requests_per_minute` None: the installation's limit."""

    tenant_id: UUID | None
    role: Role
    name: str
    actor: str
    expires_at: datetime | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made. `token` is the key itself, which cannot be had again."""

    id: UUID
    token: str = field(repr=False)


async def create_key(
    application: Application,
    tenant_id: UUID | None,
    role: Role,
    name: str,
    expires_at: datetime | None = None,
    actor: str = "cli:create-key",
) -> NewKey | PlanLimit:
    """Make a key. Keys of people (admins and members) take a seat each, and the plan says how many there are. An
    operator's key has no tenant, every other one has."""
    order = KeyOrder(tenant_id, role, name, actor, expires_at)
    async with application.writers.acquire() as connection, transaction(connection):
        if tenant_id is not None:
            # Of two that come at once the second counts the first, so the lock comes in a statement of its own.
            await connection.execute(LOCK_TENANT, tenant_id)
        made = await write_key(application, connection, order)
        if isinstance(made, NewKey):
            whose = NIL if tenant_id is None else tenant_id
            told = (("name", name), ("role", role.value))
            subject = f"api_key:{ids.public('api_key', made.id)}"
            event = AuditEvent(whose, actor, Role.OPERATOR, Operation.CREATE_API_KEY, subject, told)
            await record(connection, event, at=application.clock())
        return made


async def write_key(
    application: Application,
    connection: Connection,
    order: KeyOrder,
    identifier: UUID | None = None,
    *,
    seat: bool = True,
) -> NewKey | PlanLimit:
    """Make a key in a transaction that has locked its tenant. `seat` False: it takes over the seat of another."""
    tenant_id = order.tenant_id
    assert (tenant_id is None) == (order.role is Role.OPERATOR), "an operator's key has no tenant, every other one has"
    now = application.clock()
    if tenant_id is not None and order.role in SEATED and seat:
        full = await _seats_limit(application, connection, tenant_id, now)
        if full is not None:
            return full
    made = NewKey(identifier or new_id(now), f"psk_{secrets.token_urlsafe(32)}")
    whose = (made.id, tenant_id, order.name, order.role.value, _hash(made.token), hint(made.token))
    await connection.execute(_CREATE, *whose, now, order.actor, order.expires_at, order.requests_per_minute)
    return made


async def _seats_limit(
    application: Application, connection: Connection, tenant_id: UUID, now: datetime
) -> PlanLimit | None:
    row = await connection.fetchrow(_PLAN, tenant_id)
    assert row is not None, "keys are made for tenants that exist"
    # On this connection: who waits for the lock may hold all the others.
    await application.catalogs.load(connection)
    plan = application.catalog.plan(row[0], row[1], now)
    used: int = await connection.fetchval(_SEATS, tenant_id, now)
    return None if plan is None or used < plan.seats else PlanLimit("seats", plan.seats, used)


class _Memory(Generic[Name, Found]):
    """A bounded number of findings, each for a short time."""

    def __init__(self) -> None:
        self._entries: dict[Name, tuple[float, Found]] = {}

    def recall(self, name: Name) -> Found | None:
        entry = self._entries.get(name)
        return entry[1] if entry is not None and entry[0] > monotonic() else None

    def knows(self, name: Name) -> bool:
        """Whether there is a finding, however old."""
        return name in self._entries

    def forget(self, name: Name) -> None:
        self._entries.pop(name, None)

    def remember(self, name: Name, found: Found) -> None:
        if len(self._entries) >= MOST_REMEMBERED:
            self._entries.clear()
        self._entries[name] = (monotonic() + SECONDS_REMEMBERED, found)


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
