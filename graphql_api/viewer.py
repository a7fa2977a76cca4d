"""Viewer: who asks. A client that is shared by all roles learns here what it may offer."""

from datetime import datetime

import strawberry

from domain.ids import NIL
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.tenants import Tenant, tenant_by_id
from infra.services.callers import Role


@strawberry.type(description="Who asks, by the key or the token that came with the request.")
class Viewer:
    """Who asks."""

    role: Role = strawberry.field(description="What they may do.")
    actor: str = strawberry.field(
        description="How the ledger and the audit log name them: `key:` and the name of the API key, or `jwt:` and the "
        "person of an identity provider."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the key or the token stops; null: it does not by itself."
    )

    @field(description="The tenant that they act on; null for an operator who names none.")
    async def tenant(self, info: Info) -> Tenant | None:
        tenant_id = info.context.caller.tenant_id
        return None if tenant_id == NIL else await tenant_by_id(info, tenant_id)


@strawberry.type
class ViewerQueries:
    """What everybody can ask about themselves."""

    @field(description="Who asks, and what they may do. Needs no tenant.")
    async def viewer(self, info: Info) -> Viewer:
        caller = info.context.caller
        ends = None if caller.credential is None else caller.credential.expires_at
        return Viewer(role=caller.role, actor=caller.actor, expires_at=ends)
