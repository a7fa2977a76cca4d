"""API keys: made, listed, replaced and revoked by the tenant's own admins. A token is in the answer that makes it alone."""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import ids
from domain.api_keys import LONGEST_OVERLAP, MOST_REQUESTS_PER_MINUTE
from domain.identity import GrantedRole
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.interfaces import PageInfo, page_size
from graphql_api.refusals import (
    Conflict,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    PlanLimit,
    ScopePaused,
    refusal_of,
)
from infra.queries import api_keys as query
from infra.queries.api_keys import ApiKeyPage, ApiKeyView
from infra.services import key_changes as service
from infra.services.callers import Refused

ONCE: Final = "Sent again with the same request, it counts once, and the answer holds no token any more."
TOKEN: Final = (
    "The key itself: psk_... Keep it: it is shown this once, and only its hash is stored. Null if the same request was "  # noqa: S105
    "answered before: whoever lost it rotates or revokes the key."
)
SECONDS_OF_OVERLAP: Final = int(LONGEST_OVERLAP.total_seconds())


@strawberry.type(description="An API key, without the key itself.")
class ApiKey:
    """An API key, without the key itself."""

    id: strawberry.ID = strawberry.field(description="Stays the same for ever: key_...")
    name: str = strawberry.field(description="Who uses it. The ledger names it so: key:<name>.")
    role: GrantedRole = strawberry.field(description="What it may do.")
    hint: str | None = strawberry.field(
        description="Its beginning, by which its owner knows it: psk_Ab3...; null for the oldest keys."
    )
    created_at: datetime = strawberry.field(description="When it was made.")
    created_by: str | None = strawberry.field(description="Who made it; null for the oldest keys.")
    expires_at: datetime | None = strawberry.field(description="When it stops; null: it does not by itself.")
    last_used_at: datetime | None = strawberry.field(
        description="When it was last used, to about a minute; null: never, or not since this is noted."
    )
    revoked_at: datetime | None = strawberry.field(description="When it was revoked; null: it was not.")
    requests_per_minute: int | None = strawberry.field(
        description="How many requests it may make; null: the usual limit of this installation."
    )
    replaced_by: strawberry.ID | None = strawberry.field(
        description="The key that took its place; this one works until expiresAt. Null: it was not replaced."
    )

    @classmethod
    def of(cls, view: ApiKeyView) -> "ApiKey":
        return cls(
            id=strawberry.ID(ids.public("api_key", view.id)),
            name=view.name,
            role=GrantedRole(view.role),
            hint=view.hint,
            created_at=view.created_at,
            created_by=view.created_by,
            expires_at=view.expires_at,
            last_used_at=view.last_used_at,
            revoked_at=view.revoked_at,
            requests_per_minute=view.requests_per_minute,
            replaced_by=None if view.replaced_by is None else strawberry.ID(ids.public("api_key", view.replaced_by)),
        )


@strawberry.type(description="A key in its list.")
class ApiKeyEdge:
    """A key in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: ApiKey = strawberry.field(description="The key.")


@strawberry.type(description="A page of the tenant's keys.")
class ApiKeyConnection:
    """A page of keys."""

    edges: list[ApiKeyEdge] = strawberry.field(description="The keys, newest first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: ApiKeyPage) -> "ApiKeyConnection":
        found = [ApiKey.of(view) for view in page.keys]
        edges = [ApiKeyEdge(cursor=key.id, node=key) for key in found]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type(description="A key that was made.")
class ApiKeyCreated:
    """A key that was made."""

    api_key: ApiKey = strawberry.field(description="The key.")
    token: str | None = strawberry.field(description=TOKEN)

    @classmethod
    def of(cls, made: service.KeyMade) -> "ApiKeyCreated":
        return cls(api_key=ApiKey.of(made.key), token=made.token)


@strawberry.type(description="A key that took the place of another.")
class ApiKeyRotated:
    """A key that took the place of another."""

    api_key: ApiKey = strawberry.field(description="The new key.")
    token: str | None = strawberry.field(description=TOKEN)
    replaced: ApiKey = strawberry.field(description="The old key; it works until its expiresAt, or is revoked already.")

    @classmethod
    def of(cls, made: service.KeyMade) -> "ApiKeyRotated":
        assert made.replaced is not None, "a rotation replaces a key"
        return cls(api_key=ApiKey.of(made.key), token=made.token, replaced=ApiKey.of(made.replaced))


@strawberry.input(description="Make a key.")
class CreateApiKeyInput:
    """Make a key."""

    idempotency_key: str = strawberry.field(description=ONCE)
    name: str = strawberry.field(
        description="Who uses it, 1 to 100 characters; no other key in force has the name. The ledger names it."
    )
    role: GrantedRole = strawberry.field(description="What it may do. Keys of admins and members take a seat each.")
    expires_at: datetime | None = strawberry.field(default=None, description="When it stops; null: not by itself.")
    requests_per_minute: int | None = strawberry.field(
        default=None,
        description=f"How many requests it may make, 1 to {MOST_REQUESTS_PER_MINUTE}; null: the usual limit of this "
        "installation, above which operators alone may go.",
    )


@strawberry.input(description="Put a new key in the place of one.")
class RotateApiKeyInput:
    """Put a new key in the place of one."""

    idempotency_key: str = strawberry.field(description=ONCE)
    id: strawberry.ID = strawberry.field(description="The key: key_...")
    overlap_seconds: int = strawberry.field(
        description=f"How long the old key works on, so that whoever uses it can change over: 0 to {SECONDS_OF_OVERLAP} "
        "(seven days)."
    )
    expires_at: datetime | None = strawberry.field(
        default=None, description="When the new key stops; null: it lives as long as the old one was to live."
    )


@strawberry.input(description="End a key.")
class RevokeApiKeyInput:
    """End a key."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    id: strawberry.ID = strawberry.field(description="The key: key_...")
    force: bool = strawberry.field(
        default=False, description="Also the key that this request is made with, and the tenant's last key of an admin."
    )


CreateApiKeyResult = Annotated[
    ApiKeyCreated | InvalidInput | IdempotencyKeyReused | PlanLimit | ScopePaused | Conflict,
    strawberry.union("CreateApiKeyResult", description="The key, or why none was made."),
]
RotateApiKeyResult = Annotated[
    ApiKeyRotated | InvalidInput | IdempotencyKeyReused | NotFound | Conflict,
    strawberry.union("RotateApiKeyResult", description="The new key and the old one, or why nothing was changed."),
]
RevokeApiKeyResult = Annotated[
    ApiKey | InvalidInput | IdempotencyKeyReused | NotFound | Conflict,
    strawberry.union("RevokeApiKeyResult", description="The key that has ended, or why none has."),
]


@strawberry.type
class ApiKeyQueries:
    """What can be asked about keys."""

    @field(
        description="The tenant's API keys, also those that have ended, newest first. The keys themselves are not kept."
    )
    async def api_keys(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> ApiKeyConnection:
        before = None if after is None else ids.parse("api_key", after)
        if after is not None and before is None:
            raise bad_input("after must be a cursor of this list")
        context = info.context
        page = await query.page(context.application, context.caller.tenant_id, page_size(first, 20), before)
        return ApiKeyConnection.of(page)


@strawberry.type
class ApiKeyMutations:
    """What can be done with keys."""

    @field(description="Make an API key of the tenant. The key itself is in this answer alone.")
    async def create_api_key(
        self, info: Info, given: Annotated[CreateApiKeyInput, strawberry.argument(name="input", description="The key.")]
    ) -> CreateApiKeyResult:
        context = info.context
        answer = await service.create_api_key(
            context.application,
            context.caller,
            given.idempotency_key,
            given.name,
            given.role,
            given.expires_at,
            given.requests_per_minute,
        )
        return refusal_of(answer) if isinstance(answer, Refused) else ApiKeyCreated.of(answer)

    @field(
        description="Make a new key of the same name, role and limit, on the same seat; the old one works on for as long as "
        "you say, unless one that was replaced before still does. The key itself is in this answer alone."
    )
    async def rotate_api_key(
        self, info: Info, given: Annotated[RotateApiKeyInput, strawberry.argument(name="input", description="Which.")]
    ) -> RotateApiKeyResult:
        context = info.context
        rotation = service.Rotation(parse_or_nobodys("api_key", given.id), given.overlap_seconds, given.expires_at)
        answer = await service.rotate_api_key(context.application, context.caller, given.idempotency_key, rotation)
        return refusal_of(answer) if isinstance(answer, Refused) else ApiKeyRotated.of(answer)

    @field(
        description="End a key, within two seconds everywhere; its subscriptions end within half a minute. One that has "
        "ended stays as it is."
    )
    async def revoke_api_key(
        self, info: Info, given: Annotated[RevokeApiKeyInput, strawberry.argument(name="input", description="Which.")]
    ) -> RevokeApiKeyResult:
        context = info.context
        key_id = parse_or_nobodys("api_key", given.id)
        answer = await service.revoke_api_key(
            context.application, context.caller, given.idempotency_key, key_id, force=given.force
        )
        return refusal_of(answer) if isinstance(answer, Refused) else ApiKey.of(answer)
