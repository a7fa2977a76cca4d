"""Scopes: what people name, pause, resume and take out of use."""

from typing import Annotated, Any

import strawberry

from domain import budgets
from domain.books import Operation
from domain.budgets import ScopeKey, ScopeKind, ScopeStatus
from domain.refusals import BudgetScope, invalid
from graphql_api.context import Context, Info
from graphql_api.enumerations import NamedKind
from graphql_api.fields import field
from graphql_api.identifiers import scope_id, scope_part
from graphql_api.interfaces import Node
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
    named = await query.name_of(context.application, context.caller.tenant_id, key)
    assert named is not None, "what was named is registered"
    return ScopeName(kind=NamedKind(key.kind.value), id=key.id, name=named.name, client=named.client)


def _unfit(context: Context, operation: Operation, given: ScopeInput, message: str) -> InvalidInput | Any:
    request = request_of(context.caller, operation, given.idempotency_key, ())
    return refusal_of(refused(context.application, request.tenant_id, request.operation, invalid("scope", message)))
