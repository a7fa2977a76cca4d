"""Scopes: the customer's own things that were seen, with their status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus
from infra.application import Application

_BY_KEY: Final = """
SELECT s.kind, s.id, s.name, s.status, s.pause_reason, s.pause_period_key, s.pause_cap
FROM unnest($2::text[], $3::text[]) AS asked (kind, id)
JOIN scope s ON s.tenant_id = $1 AND s.kind = asked.kind AND s.id = asked.id"""

_NAME: Final = "SELECT name, client FROM scope WHERE tenant_id = $1 AND kind = $2 AND id = $3"


@dataclass(frozen=True, slots=True)
class ScopeName:
    """What people call one of the customer's own things, and whose campaign it is."""

    key: ScopeKey
    name: str | None
    client: str | None


async def name_of(application: Application, tenant_id: UUID, key: ScopeKey) -> ScopeName | None:
    """The name of one; None where the tenant has no such thing."""
    row = await application.readers.of(tenant_id).fetchrow(_NAME, tenant_id, key.kind.value, key.id)
    return None if row is None else ScopeName(key, *row)


async def get_many(application: Application, tenant_id: UUID, keys: Sequence[ScopeKey]) -> list[Scope | None]:
    """Scopes in the order asked; None for those that the tenant does not have."""
    kinds, ids = [key.kind.value for key in keys], [key.id for key in keys]
    found: dict[ScopeKey, Scope] = {}
    for kind, identifier, name, status, *pause in await application.readers.of(tenant_id).fetch(
        _BY_KEY, tenant_id, kinds, ids
    ):
        key = ScopeKey(ScopeKind(kind), identifier)
        found[key] = Scope(key, name, ScopeStatus(status), *pause)
    return [found.get(key) for key in keys]
