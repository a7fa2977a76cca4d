"""API keys, newest first, in keyset pages. No query here can read a key: only its hash is stored."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.ids import AFTER_ALL
from infra.application import Application
from infra.transaction import Connection

KEY_COLUMNS: Final = """id, tenant_id, name, role, hint, created_at, created_by, expires_at, last_used_at, revoked_at,
    requests_per_minute, replaced_by"""
_PAGE: Final = f"SELECT {KEY_COLUMNS} FROM api_key WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
_OF_OPERATORS: Final = f"SELECT {KEY_COLUMNS} FROM api_key WHERE tenant_id IS NULL ORDER BY id DESC"
_OF_TENANT: Final = f"SELECT {KEY_COLUMNS} FROM api_key WHERE tenant_id = $1 ORDER BY id DESC"
_ONE: Final = f"SELECT {KEY_COLUMNS} FROM api_key WHERE id = $1"


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    """A key as it may be shown. `tenant_id` None: an operator's. `role`: the name of one. `hint`: its beginning; None for the oldest keys.
    `created_by` None: not known. `requests_per_minute` None: the installation's limit. `replaced_by`: the key that took
    its place."""

    id: UUID
    tenant_id: UUID | None
    name: str
    role: str
    hint: str | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    requests_per_minute: int | None
    replaced_by: UUID | None

    def in_force(self, now: datetime) -> bool:
        """Whether it works."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class ApiKeyPage:
    """Some keys, and whether there are older ones (next) and newer ones (previous)."""

    keys: tuple[ApiKeyView, ...]
    has_next: bool
    has_previous: bool


async def page(application: Application, tenant_id: UUID, first: int, before: UUID | None) -> ApiKeyPage:
    """The newest `first` keys of a tenant that were made before this one."""
    rows = await application.readers.of(tenant_id).fetch(_PAGE, tenant_id, before or AFTER_ALL, first + 1)
    return ApiKeyPage(tuple([key_of(row) for row in rows[:first]]), len(rows) > first, before is not None)


async def list_keys(application: Application, tenant_id: UUID | None) -> list[ApiKeyView]:
    """All keys of a tenant, or (None) of operators, newest first."""
    if tenant_id is None:
        found = await application.across_tenants.fetch(_OF_OPERATORS)
    else:
        found = await application.readers.of(tenant_id).fetch(_OF_TENANT, tenant_id)
    return [key_of(row) for row in found]


async def one(connection: Connection, key_id: UUID) -> ApiKeyView | None:
    """A key by its id, whosever it is."""
    row = await connection.fetchrow(_ONE, key_id)
    return None if row is None else key_of(row)


def key_of(row: Any) -> ApiKeyView:
    """A key from KEY_COLUMNS."""
    return ApiKeyView(*row)
