"""Identity providers: whose tokens are taken for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.identity import GrantedRole, RoleMapping
from infra.application import Application

PROVIDER_COLUMNS: Final = """id, tenant_id, issuer, audience, jwks_url, actor, created_at, role_claim, admin_values,
    service_values, member_values"""
_ALL: Final = (
    f"SELECT {PROVIDER_COLUMNS} FROM identity_provider WHERE tenant_id = $1 AND removed_at IS NULL ORDER BY id"
)
_OF_TOKEN: Final = f"""
SELECT {PROVIDER_COLUMNS} FROM identity_provider
WHERE issuer = $1 AND audience = ANY($2::text[]) AND removed_at IS NULL LIMIT 2"""


@dataclass(frozen=True, slots=True)
class IdentityProviderView:
    """A provider of a tenant. `jwks_url`: where its keys are. `actor` registered it."""

    id: UUID
    tenant_id: UUID
    issuer: str
    audience: str
    jwks_url: str
    actor: str
    created_at: datetime
    mapping: RoleMapping


async def list_identity_providers(application: Application, tenant_id: UUID) -> list[IdentityProviderView]:
    """The providers in use, oldest first."""
    return [provider_of(tuple(row)) for row in await application.readers.of(tenant_id).fetch(_ALL, tenant_id)]


async def of_token(application: Application, issuer: str, audiences: Sequence[str]) -> IdentityProviderView | None:
    """The one provider that a token of this issuer for these audiences leads to, of all tenants; None where it leads to
    none, or to several, which may be different tenants'."""
    rows = await application.across_tenants.fetch(_OF_TOKEN, issuer, list(audiences))
    return provider_of(tuple(rows[0])) if len(rows) == 1 else None


def provider_of(row: tuple[Any, ...]) -> IdentityProviderView:
    """A provider from PROVIDER_COLUMNS."""
    identifier, tenant_id, issuer, audience, jwks_url, actor, created_at, claim, admins, services, members = row
    values = ((GrantedRole.ADMIN, admins), (GrantedRole.SERVICE, services), (GrantedRole.MEMBER, members))
    mapping = RoleMapping(claim, tuple((role, tuple(each)) for role, each in values))
    return IdentityProviderView(identifier, tenant_id, issuer, audience, jwks_url, actor, created_at, mapping)
