"""Provider keys: tenants' own keys at providers. Only the worker that calls a provider reads one in clear."""

from datetime import datetime
from typing import Annotated

import strawberry
from typing_extensions import override

from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.refusals import InvalidInput, NotFound, ScopePaused, refusal_of
from infra.queries import provider_keys as query
from infra.queries.provider_keys import ProviderKeyView
from infra.services import provider_keys as service
from infra.services.callers import Refused


@strawberry.type(description="The tenant's own key at a provider. The key itself is not shown.")
class ProviderKey:
    """The tenant's own key at a provider."""

    provider: str = strawberry.field(description="The provider's slug.")
    hint: str = strawberry.field(description="The key's last four characters.")
    created_at: datetime = strawberry.field(description="When it was set.")
    actor: str = strawberry.field(description="Who set it.")
    used: bool = strawberry.field(
        description="Whether this installation lets calls run on it. For enrichment the plan must be unlimited too; a "
        "reservation's route says on whose key its calls run."
    )

    @classmethod
    def of(cls, view: ProviderKeyView) -> "ProviderKey":
        return cls(provider=view.provider, hint=view.hint, created_at=view.created_at, actor=view.actor, used=view.used)


@strawberry.input(description="Set the tenant's own key at a provider, in the place of the one before.")
class SetProviderKeyInput:
    """The tenant's own key at a provider."""

    provider: str = strawberry.field(description="The provider's slug.")
    key: str = strawberry.field(
        description="The key, 8 to 4096 printable ASCII characters. Send it as a variable, so that it stands in no query."
    )

    @override
    def __repr__(self) -> str:
        return f"SetProviderKeyInput(provider={self.provider!r})"


@strawberry.input(description="Forget the tenant's own key at a provider.")
class RemoveProviderKeyInput:
    """Forget the tenant's own key at a provider."""

    provider: str = strawberry.field(description="The provider's slug.")


SetProviderKeyResult = Annotated[
    ProviderKey | InvalidInput | NotFound | ScopePaused,
    strawberry.union("SetProviderKeyResult", description="The key as it is listed now, or why it was not taken."),
]
RemoveProviderKeyResult = Annotated[
    ProviderKey | NotFound,
    strawberry.union("RemoveProviderKeyResult", description="The key that was forgotten, or that there was none."),
]


@strawberry.type
class ProviderKeyQueries:
    """What can be asked about provider keys."""

    @field(description="The tenant's own keys, by provider.")
    async def provider_keys(self, info: Info) -> list[ProviderKey]:
        context = info.context
        views = await query.list_provider_keys(context.application, context.caller.tenant_id)
        return [ProviderKey.of(view) for view in views]

    @field(
        description="Workers: the tenant's key in clear, to call the provider on it where a reservation's route is BYOK; "
        "null where there is none or own keys do not count. Each reading is logged."
    )
    async def provider_secret(
        self, info: Info, provider: Annotated[str, strawberry.argument(description="The provider's slug.")]
    ) -> str | None:
        return await service.provider_secret(info.context.application, info.context.caller, provider)


@strawberry.type
class ProviderKeyMutations:
    """What can be done with provider keys."""

    @field(
        description="Set the tenant's own key at a provider. It counts in reservations from then on, where the deployment "
        "and, for enrichment, the plan allow it."
    )
    async def set_provider_key(
        self,
        info: Info,
        given: Annotated[SetProviderKeyInput, strawberry.argument(name="input", description="Provider and key.")],
    ) -> SetProviderKeyResult:
        context = info.context
        answer = await service.set_provider_key(context.application, context.caller, given.provider, given.key)
        return refusal_of(answer) if isinstance(answer, Refused) else ProviderKey.of(answer)

    @field(description="Forget the tenant's own key at a provider: calls run on ours again. Open work keeps its route.")
    async def remove_provider_key(
        self,
        info: Info,
        given: Annotated[RemoveProviderKeyInput, strawberry.argument(name="input", description="Whose key.")],
    ) -> RemoveProviderKeyResult:
        context = info.context
        answer = await service.remove_provider_key(context.application, context.caller, given.provider)
        return refusal_of(answer) if isinstance(answer, Refused) else ProviderKey.of(answer)
