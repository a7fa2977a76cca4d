"""Identity providers: whose tokens are taken for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.identity import GrantedRole, RoleMapping, SignInClient
from infra.application import Application

PROVIDER_COLUMNS: Final = """id, tenant_id, issuer, audience, jwks_url, actor, created_at, role_claim, admin_values,
    service_values, member_values, client_id, sign_in_scope"""
_ALL: Final = (
    f"SELECT {PROVIDER_COLUMNS} FROM identity_provider WHERE tenant_id = $1 AND removed_at IS NULL ORDER BY id"
)
_OF_TOKEN: Final = f"""
SELECT {PROVIDER_COLUMNS} FROM identity_provider
WHERE issuer = $1 AND audience = ANY($2::text[]) AND removed_at IS NULL LIMIT 2"""
_SIGNS_IN: Final = f"""
SELECT {PROVIDER_COLUMNS} FROM identity_provider
WHERE tenant_id = (SELECT id FROM tenant WHERE slug = $1) AND client_id IS NOT NULL AND removed_at IS NULL
ORDER BY id LIMIT 1"""


@dataclass(frozen=True, slots=True)
class IdentityProviderView:
    """A provider of a tenant. `jwks_url`: where its keys are. `actor` registered it. `client` None: nobody signs in there."""

    id: UUID
    tenant_id: UUID
    issuer: str
    audience: str
    jwks_url: str
    actor: str
    created_at: datetime
    mapping: RoleMapping
    client: SignInClient | None


async def list_identity_providers(application: Application, tenant_id: UUID) -> list[IdentityProviderView]:
    """The providers in use, oldest first."""
    return [provider_of(tuple(row)) for row in await application.readers.of(tenant_id).fetch(_ALL, tenant_id)]


async def of_token(application: Application, issuer: str, audiences: Sequence[str]) -> IdentityProviderView | None:
    """The one provider that a token of this issuer for these audiences leads to, of all tenants; None where it leads to
    none, or to several, which may be different tenants'."""
    rows = await application.across_tenants.fetch(_OF_TOKEN, issuer, list(audiences))
    return provider_of(tuple(rows[0])) if len(rows) == 1 else None


async def signing_in(application: Application, slug: str) -> IdentityProviderView | None:
    """The provider at which a tenant's people sign in, the oldest of several; None where there is none, and also where
    there is no such tenant."""
    row = await application.across_tenants.fetchrow(_SIGNS_IN, slug)
    return None if row is None else provider_of(tuple(row))


def provider_of(row: tuple[Any, ...]) -> IdentityProviderView:
    """A provider from PROVIDER_COLUMNS."""
    identifier, tenant_id, issuer, audience, jwks_url, actor, created_at, claim, *rest = row
    admins, services, members, client_id, scope = rest
    values = ((GrantedRole.ADMIN, admins), (GrantedRole.SERVICE, services), (GrantedRole.MEMBER, members))
    mapping = RoleMapping(claim, tuple((role, tuple(each)) for role, each in values))
    client = None if client_id is None else SignInClient(client_id, scope)
    return IdentityProviderView(identifier, tenant_id, issuer, audience, jwks_url, actor, created_at, mapping, client)
