"""Identity providers: whose tokens are taken for people of a tenant. For operators."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain import ids
from domain.identity import GrantedRole, RoleMapping, SignInClient
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.refusals import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, refusal_of
from infra.queries import identity_providers as query
from infra.queries.identity_providers import IdentityProviderView
from infra.services import identity_providers as service
from infra.services.callers import Refused


@strawberry.type(
    description="An identity provider of a tenant. Its tokens (JWT) are sent as keys are: Authorization: Bearer <token>."
)
class IdentityProvider:
    """An identity provider of a tenant."""

    id: strawberry.ID = strawberry.field(description="Stays the same for ever: idp_...")
    issuer: str = strawberry.field(description="The claim iss of its tokens.")
    audience: str = strawberry.field(description="What the claim aud of its tokens must hold.")
    jwks_url: str = strawberry.field(description="Where it publishes its keys (JWKS).")
    role_claim: str = strawberry.field(description="The claim that says what a person is.")
    admin_values: list[str] = strawberry.field(description="Its values that make an admin.")
    service_values: list[str] = strawberry.field(description="Its values that make a worker.")
    member_values: list[str] = strawberry.field(description="Its values that make a member.")
    client_id: str | None = strawberry.field(
        description="As what the console signs people in there; null: nobody signs in there."
    )
    sign_in_scope: str | None = strawberry.field(description="What the console asks it for besides openid.")
    actor: str = strawberry.field(description="Who registered it, or changed it last.")
    created_at: datetime = strawberry.field(description="When it was registered.")

    @classmethod
    def of(cls, view: IdentityProviderView) -> "IdentityProvider":
        return cls(
            id=strawberry.ID(ids.public("identity_provider", view.id)),
            issuer=view.issuer,
            audience=view.audience,
            jwks_url=view.jwks_url,
            role_claim=view.mapping.claim,
            admin_values=list(view.mapping.of(GrantedRole.ADMIN)),
            service_values=list(view.mapping.of(GrantedRole.SERVICE)),
            member_values=list(view.mapping.of(GrantedRole.MEMBER)),
            client_id=None if view.client is None else view.client.client_id,
            sign_in_scope=None if view.client is None else view.client.scope,
            actor=view.actor,
            created_at=view.created_at,
        )


@strawberry.input(
    description="Register an identity provider of the tenant, or change the one of this issuer and audience."
)
class SetIdentityProviderInput:
    """Register an identity provider."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    issuer: str = strawberry.field(description="The claim iss of its tokens, letter by letter.")
    audience: str = strawberry.field(
        description="What the claim aud of its tokens must hold. Issuer and audience together lead to one tenant."
    )
    jwks_url: str = strawberry.field(
        description="Where it publishes its keys (JWKS): an https URL on the public internet."
    )
    role_claim: str = strawberry.field(
        description="The claim that says what a person is: a text or a list of texts. A name with dots also finds what lies "
        "deeper, such as realm_access.roles; scope and scp are taken apart at blanks."
    )
    admin_values: list[str] | None = strawberry.field(
        default=None, description="Values that make an admin. Of several roles, admin counts before service."
    )
    service_values: list[str] | None = strawberry.field(
        default=None, description="Values that make a worker. Of several roles, service counts before member."
    )
    member_values: list[str] | None = strawberry.field(
        default=None, description="Values that make a member. Who has no value of all these has no access."
    )
    client_id: str | None = strawberry.field(
        default=None,
        description="Lets people sign in to the console there: the id of a public client (authorization code with PKCE, "
        "no secret) from which people are sent back to /sign-in/callback/<slug of the tenant> of this installation. The "
        "console keeps the ID token where this is the audience, the access token (which must be a JWT) elsewhere.",
    )
    sign_in_scope: str | None = strawberry.field(
        default=None,
        description="What to ask for besides openid, with blanks between: what puts the role claim into the token.",
    )


@strawberry.input(description="Take no more tokens of an identity provider.")
class RemoveIdentityProviderInput:
    """Remove an identity provider."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    id: strawberry.ID = strawberry.field(description="The provider: idp_...")


SetIdentityProviderResult = Annotated[
    IdentityProvider | InvalidInput | IdempotencyKeyReused | Conflict,
    strawberry.union("SetIdentityProviderResult", description="The provider, or why it was not registered."),
]
RemoveIdentityProviderResult = Annotated[
    IdentityProvider | InvalidInput | IdempotencyKeyReused | NotFound,
    strawberry.union(
        "RemoveIdentityProviderResult", description="The provider that was removed, or why there was none."
    ),
]


@strawberry.type
class IdentityProviderQueries:
    """What can be asked about identity providers."""

    @field(description="The tenant's identity providers, oldest first.")
    async def identity_providers(self, info: Info) -> list[IdentityProvider]:
        context = info.context
        views = await query.list_identity_providers(context.application, context.caller.tenant_id)
        return [IdentityProvider.of(view) for view in views]


@strawberry.type
class IdentityProviderMutations:
    """What can be done with identity providers."""

    @field(
        description="Take the tokens of an identity provider for people of the tenant, within two seconds. They take no seat. "
        "A token must be signed by an asymmetric algorithm (RS, PS, ES or EdDSA) and say when it ends, and it ends then."
    )
    async def set_identity_provider(
        self,
        info: Info,
        given: Annotated[SetIdentityProviderInput, strawberry.argument(name="input", description="The provider.")],
    ) -> SetIdentityProviderResult:
        context = info.context
        values = (
            (GrantedRole.ADMIN, tuple(given.admin_values or ())),
            (GrantedRole.SERVICE, tuple(given.service_values or ())),
            (GrantedRole.MEMBER, tuple(given.member_values or ())),
        )
        answer = await service.set_identity_provider(
            context.application,
            context.caller,
            given.idempotency_key,
            given.issuer,
            given.audience,
            given.jwks_url,
            RoleMapping(given.role_claim, values),
            None
            if given.client_id is given.sign_in_scope is None
            else SignInClient(given.client_id or "", given.sign_in_scope),
        )
        return refusal_of(answer) if isinstance(answer, Refused) else IdentityProvider.of(answer)

    @field(description="Take no more tokens of an identity provider, within two seconds.")
    async def remove_identity_provider(
        self,
        info: Info,
        given: Annotated[RemoveIdentityProviderInput, strawberry.argument(name="input", description="Which one.")],
    ) -> RemoveIdentityProviderResult:
        context = info.context
        provider_id = parse_or_nobodys("identity_provider", given.id)
        answer = await service.remove_identity_provider(
            context.application, context.caller, given.idempotency_key, provider_id
        )
        return refusal_of(answer) if isinstance(answer, Refused) else IdentityProvider.of(answer)
