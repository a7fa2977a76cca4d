"""Provider keys: which providers a tenant brought a key for. No query here can read one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from infra.application import Application

_ALL: Final = "SELECT provider, hint, actor, created_at FROM provider_key WHERE tenant_id = $1 ORDER BY provider"


@dataclass(frozen=True, slots=True)
class ProviderKeyView:
    """`hint`: the key's last four characters. `actor` set it. `used`: whether the deployment lets calls run on it."""

    provider: str
    hint: str
    actor: str
    created_at: datetime
    used: bool


async def list_provider_keys(application: Application, tenant_id: UUID) -> list[ProviderKeyView]:
    """All keys of a tenant, by provider."""
    used = application.settings.own_keys_allowed
    rows = await application.readers.of(tenant_id).fetch(_ALL, tenant_id)
    return [ProviderKeyView(provider, hint, actor, created_at, used) for provider, hint, actor, created_at in rows]
