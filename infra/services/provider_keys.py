"""Provider keys: tenants' own keys at providers, sealed before they are stored.

Whether calls run on one is decided with each reservation, by its route (PRODUCT.md 5). The key itself stands in no log,
refusal or request hash, and is given to nobody but the worker that makes the call.
"""

import logging
from typing import Final

from domain.admission import closed_as
from domain.attribution import is_identifier
from domain.audit_log import REMOVE_PROVIDER_KEY, SET_PROVIDER_KEY, AuditEvent
from domain.refusals import NotFound, Refusal, invalid
from domain.tenants import TenantStatus
from infra.application import Application
from infra.audit_log import record
from infra.queries.provider_keys import ProviderKeyView
from infra.services.callers import Caller, Refused
from infra.services.commands import refused
from infra.transaction import transaction

SHORTEST: Final = 8
LONGEST: Final = 4096
HINT_CHARACTERS: Final = 4


_LOCK: Final = "SELECT status FROM tenant WHERE id = $1 FOR UPDATE"
_WRITE: Final = """
INSERT INTO provider_key (tenant_id, provider, sealed, hint, actor, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, provider) DO UPDATE SET
    sealed = EXCLUDED.sealed, hint = EXCLUDED.hint, actor = EXCLUDED.actor, created_at = EXCLUDED.created_at"""
_REMOVE: Final = """
DELETE FROM provider_key WHERE tenant_id = $1 AND provider = $2 RETURNING provider, hint, actor, created_at"""
_COUNTS: Final = """
UPDATE tenant SET own_key_providers = array_append(array_remove(own_key_providers, $2), $2) WHERE id = $1"""
_COUNTS_NO_MORE: Final = "UPDATE tenant SET own_key_providers = array_remove(own_key_providers, $2) WHERE id = $1"
_SEALED: Final = """
SELECT k.sealed FROM provider_key k JOIN tenant t ON t.id = k.tenant_id
WHERE k.tenant_id = $1 AND k.provider = $2 AND t.status = $3"""

_log: Final = logging.getLogger(__name__)
# However quiet the log is otherwise: who read a key has to be found in it.
_log.setLevel(logging.INFO)


async def set_provider_key(
    application: Application, caller: Caller, provider: str, key: str
) -> ProviderKeyView | Refused:
    """Keep a tenant's key at a provider, in the place of the one before. From then on it counts in admissions."""
    refusal = await _refusal(application, provider, key)
    if refusal is not None:
        return refused(application, caller.tenant_id, SET_PROVIDER_KEY, refusal)
    tenant_id = caller.tenant_id
    sealed = await application.vault.seal(key, tenant_id, provider)
    async with application.writers.acquire() as connection, transaction(connection):
        status = TenantStatus(await connection.fetchval(_LOCK, tenant_id))
        closed = closed_as(status)
        # Under the lock: what was decided before it is older than the key.
        view = ProviderKeyView(provider, key[-HINT_CHARACTERS:], caller.actor, application.clock(), used=True)
        if closed is None:
            await connection.execute(_WRITE, tenant_id, provider, sealed, view.hint, view.actor, view.created_at)
            await connection.execute(_COUNTS, tenant_id, provider)
            await record(connection, _event(caller, SET_PROVIDER_KEY, provider), at=view.created_at)
    return view if closed is None else refused(application, tenant_id, SET_PROVIDER_KEY, closed)


async def remove_provider_key(application: Application, caller: Caller, provider: str) -> ProviderKeyView | Refused:
    """Forget a tenant's key, also where it does not count; answers what it was."""
    if not is_identifier(provider):
        return refused(application, caller.tenant_id, REMOVE_PROVIDER_KEY, NotFound("provider key"))
    async with application.writers.acquire() as connection, transaction(connection):
        await connection.execute(_LOCK, caller.tenant_id)
        row = await connection.fetchrow(_REMOVE, caller.tenant_id, provider)
        await connection.execute(_COUNTS_NO_MORE, caller.tenant_id, provider)
        if row is not None:
            await record(connection, _event(caller, REMOVE_PROVIDER_KEY, provider), at=application.clock())
    if row is None:
        return refused(application, caller.tenant_id, REMOVE_PROVIDER_KEY, NotFound("provider key"))
    provider, hint, actor, created_at = row
    return ProviderKeyView(provider, hint, actor, created_at, used=False)


async def provider_secret(application: Application, caller: Caller, provider: str) -> str | None:
    """The key in clear, for the worker that calls the provider on it; None where there is none, the deployment does not
    allow own keys, or the tenant is suspended. Whether a call runs on it is for its reservation's route to say."""
    if not application.settings.own_keys_allowed or not is_identifier(provider):
        return None
    place = (caller.tenant_id, provider)
    sealed = await application.readers.of(caller.tenant_id).fetchval(_SEALED, *place, TenantStatus.ACTIVE.value)
    if sealed is None:
        return None
    _log.info("tenant %s: its key at %s was read by %s", *place, caller.actor)
    return await application.vault.open(sealed, *place)


def _event(caller: Caller, operation: str, provider: str) -> AuditEvent:
    return AuditEvent(caller.tenant_id, caller.actor, caller.role.value, operation, f"provider_key:{provider}")


async def _refusal(application: Application, provider: str, key: str) -> Refusal | None:
    if not application.settings.own_keys_allowed:
        return invalid(
            "provider",
            "own provider keys are not allowed here, calls run on ours: an installation of your own allows them with "
            "PURSER_DEPLOYMENT_MODE=self_hosted",
        )
    catalog = await application.current_catalog()
    if not any(known.slug == provider for known in catalog.providers):
        return NotFound("provider")
    if not (SHORTEST <= len(key) <= LONGEST and key.isascii() and key.isprintable() and key == key.strip()):
        # Providers' keys travel in HTTP headers, which take no others.
        return invalid(
            "key", f"must be {SHORTEST} to {LONGEST} printable ASCII characters, without spaces before or after it"
        )
    return None
