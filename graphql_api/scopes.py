"""Scopes: what people name, pause, resume and take out of use."""

from typing import Annotated, Any

import strawberry

from domain import budgets
from domain.attribution import is_identifier
from domain.books import Operation
from domain.budgets import ScopeKey, ScopeKind, ScopeStatus
from domain.refusals import BudgetScope, invalid
from graphql_api.context import Context, Info
from graphql_api.enumerations import NamedKind
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import scope_id, scope_part
from graphql_api.interfaces import Node, PageInfo, page_size
from graphql_api.refusals import (
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    PlanLimit,
    ScopePaused,
    refusal_of,
)
from infra.queries import scopes as query
from infra.queries.scopes import RegisteredScope, ScopePage
from infra.services import scopes as service
from infra.services.callers import Refused
from infra.services.commands import refused, request_of

_PAUSABLE = {
    BudgetScope.TENANT: ScopeKind.TENANT,
    BudgetScope.AGENT: ScopeKind.AGENT,
    BudgetScope.CAMPAIGN: ScopeKind.CAMPAIGN,
}
_DEACTIVATABLE = {BudgetScope.AGENT: ScopeKind.AGENT, BudgetScope.CAMPAIGN: ScopeKind.CAMPAIGN}


@strawberry.type(description="The tenant, an agent role or a campaign, and whether it may spend.")
class Scope(Node):
    """The tenant, an agent role or a campaign."""

    scope: BudgetScope = strawberry.field(description="Which of them it is.")
    scope_id: str | None = strawberry.field(description="The agent role or campaign; null for the tenant.")
    name: str | None = strawberry.field(description="Its name for people, if it was given one.")
    status: ScopeStatus = strawberry.field(description="Whether it may spend.")
    pause_reason: str | None = strawberry.field(description="Why it is stopped; null if it is not.")

    @classmethod
    def of(cls, scope: budgets.Scope) -> "Scope":
        return cls(
            id=strawberry.ID(scope_id(scope.key)),
            scope=BudgetScope(scope.key.kind.value),
            scope_id=scope.key.id or None,
            name=scope.name,
            status=scope.status,
            pause_reason=scope.pause_reason,
        )

    @classmethod
    def as_it_counts(cls, scope: RegisteredScope) -> "Scope":
        """Of a tenant, an agent role or a campaign as it stands now."""
        return cls.of(budgets.Scope(scope.key, scope.name, scope.status, scope.pause_reason))


@strawberry.input(description="The tenant, an agent role or a campaign.")
class ScopeInput:
    """The tenant, an agent role or a campaign."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    scope: BudgetScope = strawberry.field(description="TENANT, AGENT or CAMPAIGN.")
    scope_id: str | None = strawberry.field(
        default=None, description="The agent role or campaign; null for the tenant."
    )
    reason: str | None = strawberry.field(default=None, description="Why it is paused, for those who are refused.")


@strawberry.type(
    description="What people call an agent role, a campaign, a client, a project or an account: breakdowns and budgets "
    "show it beside the id."
)
class ScopeName:
    """What people call one of the customer's own things."""

    kind: NamedKind = strawberry.field(description="What it is.")
    id: str = strawberry.field(description="Its id, as it stands in attributions.")
    name: str | None = strawberry.field(description="Its name for people; null if it has none.")
    client: str | None = strawberry.field(description="The client whose campaign it is; null for anything else.")

    @classmethod
    def of(cls, scope: RegisteredScope) -> "ScopeName":
        return cls(kind=NamedKind(scope.key.kind.value), id=scope.key.id, name=scope.name, client=scope.client)


@strawberry.type(description="One of your own things in the list of its kind.")
class ScopeNameEdge:
    """One of the customer's own things in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: ScopeName = strawberry.field(description="What it is called.")


@strawberry.type(description="A page of your own things of a kind.")
class ScopeNameConnection:
    """A page of the customer's own things."""

    edges: list[ScopeNameEdge] = strawberry.field(description="They, by id.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: ScopePage) -> "ScopeNameConnection":
        edges = [ScopeNameEdge(cursor=scope.key.id, node=ScopeName.of(scope)) for scope in page.scopes]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.input(description="Name an agent role, a campaign, a client, a project or an account.")
class NameScopeInput:
    """Name one of the customer's own things."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    kind: NamedKind = strawberry.field(description="What it is.")
    scope_id: str = strawberry.field(name="id", description="Its id, as it stands in attributions.")
    name: str | None = strawberry.field(
        default=None, description="Its name for people, 1 to 200 characters; null takes its name away."
    )
    client: str | None = strawberry.field(
        default=None,
        description="For a campaign: the client whose campaign it is, to whom usage counts that names no client itself; "
        "null leaves that as it was.",
    )


NameScopeResult = Annotated[
    ScopeName | InvalidInput | IdempotencyKeyReused | InsufficientFunds | PlanLimit | ScopePaused,
    strawberry.union("NameScopeResult", description="The name as it is now, or why nothing was changed."),
]
ScopeResult = Annotated[
    Scope | InvalidInput | NotFound | IdempotencyKeyReused | InsufficientFunds | PlanLimit | ScopePaused,
    strawberry.union("ScopeResult", description="The scope as it is now, or why nothing was changed."),
]


@strawberry.type
class ScopeQueries:
    """What can be asked about scopes."""

    @field(
        description="What may not spend now, and why: the tenant, agent roles, campaigns. What people took out of use "
        "is left out; campaigns that an empty prepaid wallet deactivated (metered_empty) are not."
    )
    async def pauses(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
    ) -> list[Scope]:
        context = info.context
        found = await query.stopped(context.application, context.caller.tenant_id, page_size(first, 20))
        return [Scope.as_it_counts(scope) for scope in found]

    @field(description="Your own things of a kind that were seen or named, by id.")
    async def scope_names(
        self,
        info: Info,
        kind: Annotated[NamedKind, strawberry.argument(description="Which of them.")],
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> ScopeNameConnection:
        if after is not None and not is_identifier(after):
            raise bad_input("after must be a cursor of this list")
        context = info.context
        page = await query.page(
            context.application, context.caller.tenant_id, ScopeKind(kind.value), page_size(first, 20), after
        )
        return ScopeNameConnection.of(page)


@strawberry.type
class ScopeMutations:
    """What can be done with scopes."""

    @field(description="Stop the tenant, an agent role or a campaign until a person resumes it.")
    async def pause_scope(
        self, info: Info, given: Annotated[ScopeInput, strawberry.argument(name="input", description="What to stop.")]
    ) -> ScopeResult:
        context = info.context
        kind = _PAUSABLE.get(given.scope)
        if kind is None:
            return _unfit(context, Operation.PAUSE_SCOPE, given, "TENANT, AGENT or CAMPAIGN can be paused")
        key = ScopeKey(kind, scope_part(given.scope_id))
        answer = await service.pause_scope(
            context.application, context.caller, given.idempotency_key, key, given.reason
        )
        return refusal_of(answer) if isinstance(answer, Refused) else Scope.of(answer.scope)

    @field(description="Let it work again, whoever paused it.")
    async def resume_scope(
        self,
        info: Info,
        given: Annotated[ScopeInput, strawberry.argument(name="input", description="What may work again.")],
    ) -> ScopeResult:
        context = info.context
        kind = _PAUSABLE.get(given.scope)
        if kind is None:
            return _unfit(context, Operation.RESUME_SCOPE, given, "TENANT, AGENT or CAMPAIGN can be resumed")
        key = ScopeKey(kind, scope_part(given.scope_id))
        answer = await service.resume_scope(context.application, context.caller, given.idempotency_key, key)
        return refusal_of(answer) if isinstance(answer, Refused) else Scope.of(answer.scope)

    @field(
        description="Take an agent role or a campaign out of use until a person resumes it; an agent role then counts no "
        "more towards the plan."
    )
    async def deactivate_scope(
        self,
        info: Info,
        given: Annotated[ScopeInput, strawberry.argument(name="input", description="What is out of use.")],
    ) -> ScopeResult:
        context = info.context
        kind = _DEACTIVATABLE.get(given.scope)
        if kind is None:
            return _unfit(context, Operation.DEACTIVATE_SCOPE, given, "AGENT or CAMPAIGN can be deactivated")
        key = ScopeKey(kind, scope_part(given.scope_id))
        answer = await service.deactivate_scope(
            context.application, context.caller, given.idempotency_key, key, given.reason
        )
        return refusal_of(answer) if isinstance(answer, Refused) else Scope.of(answer.scope)

    @field(
        description="Name an agent role, a campaign, a client, a project or an account, and say whose campaign it is. What "
        "was never seen is registered: an agent role counts towards the plan from then on."
    )
    async def name_scope(
        self, info: Info, given: Annotated[NameScopeInput, strawberry.argument(name="input", description="The name.")]
    ) -> NameScopeResult:
        context = info.context
        key = ScopeKey(ScopeKind(given.kind.value), given.scope_id)
        answer = await service.name_scope(
            context.application, context.caller, given.idempotency_key, key, given.name, given.client
        )
        return refusal_of(answer) if isinstance(answer, Refused) else await _name_of(context, answer.key)


async def _name_of(context: Context, key: ScopeKey) -> ScopeName:
    (named,) = await query.registered(context.application, context.caller.tenant_id, [key])
    assert named is not None, "what was named is registered"
    return ScopeName.of(named)


def _unfit(context: Context, operation: Operation, given: ScopeInput, message: str) -> InvalidInput | Any:
    request = request_of(context.caller, operation, given.idempotency_key, ())
    return refusal_of(refused(context.application, request.tenant_id, request.operation, invalid("scope", message)))
