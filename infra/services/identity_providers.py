"""Identity providers: whose tokens are taken for people of a tenant. Operators register them: a tenant that could name
another's issuer would draw that tenant's people to itself.

Issuer and audience together lead to one provider; who has several tenants at one issuer gives each its own audience.
"""

from typing import Final
from uuid import UUID

from domain import identity, ids
from domain.audit_log import AuditEvent, Detail, event_by
from domain.books import Operation, Request
from domain.identity import GrantedRole, RoleMapping, SignInClient
from domain.refusals import Conflict, InvalidInput, NotFound, Refusal, invalid
from infra.application import Application
from infra.audit_log import record
from infra.guarded_requests import reachable
from infra.idempotency_keys import LOCK_KEY
from infra.identifiers import new_id
from infra.queries.identity_providers import PROVIDER_COLUMNS, IdentityProviderView, provider_of
from infra.services.callers import Caller, Refused
from infra.services.commands import refused, request_of
from infra.services.once import once
from infra.transaction import Connection

MOST_PROVIDERS: Final = 20

_LOCK_NAME: Final = "identity provider"
_TAKEN: Final = """
SELECT tenant_id, id FROM identity_provider WHERE (issuer, audience) = ($1, $2) AND removed_at IS NULL"""
_COUNT: Final = "SELECT count(*) FROM identity_provider WHERE tenant_id = $1 AND removed_at IS NULL"
_ADD: Final = """
INSERT INTO identity_provider (tenant_id, id, issuer, audience, jwks_url, role_claim, admin_values, service_values,
    member_values, client_id, sign_in_scope, actor, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""
_CHANGE: Final = """
UPDATE identity_provider SET jwks_url = $3, role_claim = $4, admin_values = $5, service_values = $6, member_values = $7,
    client_id = $8, sign_in_scope = $9, actor = $10
WHERE (tenant_id, id) = ($1, $2)"""
_REMOVE: Final = """
UPDATE identity_provider SET removed_at = $3 WHERE (tenant_id, id) = ($1, $2) AND removed_at IS NULL"""
_ONE: Final = f"SELECT {PROVIDER_COLUMNS} FROM identity_provider WHERE (tenant_id, id) = ($1, $2)"


async def set_identity_provider(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    issuer: str,
    audience: str,
    jwks_url: str,
    mapping: RoleMapping,
    client: SignInClient | None = None,
) -> IdentityProviderView | Refused:
    """Register a provider, or change the one of this issuer and audience; it counts within two seconds. `client` None:
    nobody signs in there. Refused: fields that do not go, an issuer and audience that are another tenant's."""
    tenant_id, now = caller.tenant_id, application.clock()
    values = [list(mapping.of(role)) for role in (GrantedRole.ADMIN, GrantedRole.SERVICE, GrantedRole.MEMBER)]
    signing_in = () if client is None else (client.client_id, client.scope)
    asked = (issuer, audience, jwks_url, mapping.claim, values, *signing_in)
    request = request_of(caller, Operation.SET_IDENTITY_PROVIDER, idempotency_key, asked)
    wrong = await _unfit(application, issuer, audience, jwks_url, mapping, client)
    told: list[Detail] = [("issuer", issuer), ("audience", audience), ("jwksUrl", jwks_url)]
    told.append(("roleClaim", mapping.claim))
    names = ("adminValues", "serviceValues", "memberValues")
    told += [(name, ", ".join(given)) for name, given in zip(names, values, strict=True)]
    told += [(name, text) for name, text in zip(("clientId", "signInScope"), signing_in, strict=False) if text]

    async def write(connection: Connection) -> UUID | Refusal:
        if wrong is not None:
            return wrong
        # Of two tenants that come at once the second finds what the first has written.
        await connection.execute(LOCK_KEY, _LOCK_NAME)
        known = await connection.fetchrow(_TAKEN, issuer, audience)
        columns = (jwks_url, mapping.claim, *values, *(signing_in or (None, None)), caller.actor)
        if known is not None:
            if known[0] != tenant_id:
                return Conflict("Issuer and audience lead to another tenant: give this tenant an audience of its own.")
            await connection.execute(_CHANGE, tenant_id, known[1], *columns)
            found: UUID = known[1]
            await record(connection, _event(request, found, *told), at=now)
            return found
        if await connection.fetchval(_COUNT, tenant_id) >= MOST_PROVIDERS:
            return Conflict(f"A tenant has at most {MOST_PROVIDERS} identity providers: remove one first.")
        made = new_id(now)
        await connection.execute(_ADD, tenant_id, made, issuer, audience, *columns, now)
        await record(connection, _event(request, made, *told), at=now)
        return made

    written = await once(application, request, write, alone=True)
    if not isinstance(written, UUID):
        return refused(application, tenant_id, request.operation, written)
    return await _one(application, tenant_id, written)


async def remove_identity_provider(
    application: Application, caller: Caller, idempotency_key: str, provider_id: UUID
) -> IdentityProviderView | Refused:
    """Take no more tokens of a provider, within two seconds; answers what it was."""
    tenant_id = caller.tenant_id
    request = request_of(caller, Operation.REMOVE_IDENTITY_PROVIDER, idempotency_key, provider_id)

    async def remove(connection: Connection) -> UUID | Refusal:
        now = application.clock()
        if await connection.execute(_REMOVE, tenant_id, provider_id, now) != "UPDATE 1":
            return NotFound("identity provider")
        await record(connection, _event(request, provider_id), at=now)
        return provider_id

    removed = await once(application, request, remove, alone=True)
    if not isinstance(removed, UUID):
        return refused(application, tenant_id, request.operation, removed)
    return await _one(application, tenant_id, removed)


def _event(request: Request, provider_id: UUID, *details: Detail) -> AuditEvent:
    return event_by(request, f"identity_provider:{ids.public('identity_provider', provider_id)}", *details)


async def _unfit(
    application: Application,
    issuer: str,
    audience: str,
    jwks_url: str,
    mapping: RoleMapping,
    client: SignInClient | None,
) -> InvalidInput | None:
    local_allowed = application.settings.local_identity_providers_allowed
    problems = identity.problems(issuer, audience, jwks_url, mapping, client, local_allowed=local_allowed)
    if problems:
        return InvalidInput(problems)
    if not await reachable(jwks_url, local_allowed=local_allowed):
        return invalid("jwksUrl", "its host must have an address, and one that is public")
    return None


async def _one(application: Application, tenant_id: UUID, provider_id: UUID) -> IdentityProviderView:
    row = await application.readers.of(tenant_id).fetchrow(_ONE, tenant_id, provider_id)
    assert row is not None, "providers stay as rows"
    return provider_of(tuple(row))
