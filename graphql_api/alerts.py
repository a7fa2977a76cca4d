"""Alerts: what people were told of budgets, balances, payments, prices and books."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from domain import ids
from domain.alerts import AlertKind
from domain.budgets import SCOPE_KINDS, ScopeKey
from domain.ids import NIL
from domain.refusals import BudgetScope
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import Node, PageInfo, page_size
from infra.alert_rows import RaisedAlert
from infra.queries import alerts as query
from infra.queries.alerts import AlertPage

# What work brings in over its cost is for the operator to know: the schema that tenants read does not speak of it.
OPERATORS_KINDS = [AlertKind.NEGATIVE_MARGIN.value]
TENANTS_KINDS = [kind.value for kind in AlertKind if kind.value not in OPERATORS_KINDS]


@strawberry.type(
    description="Something that people were told. The same is told once a day: once per kind, scope and threshold."
)
class Alert(Node):
    """Something that people were told."""

    kind: str = strawberry.field(description=f"What it is about: {', '.join(TENANTS_KINDS)}.")
    action: str | None = strawberry.field(description="What was done about it, in words; null: nothing but to tell.")
    scope: BudgetScope | None = strawberry.field(description="The level of the budget; null if it is about none.")
    scope_id: str | None = strawberry.field(
        description="What it is about: an agent role, a campaign or a tag; else a wallet's key, a top-up or a model; "
        "null for the tenant."
    )
    threshold: float | None = strawberry.field(
        description="The threshold that was reached, in percent; null for kinds that have none."
    )
    message: str = strawberry.field(description="For people: what it is about, with figures.")
    raised_at: datetime = strawberry.field(description="When it was raised.")

    @field(description="What people call the agent role or campaign that it is about; null without a name.")
    async def name(self, info: Info) -> str | None:
        kind = None if self.scope is None else SCOPE_KINDS.get(self.scope)
        if kind is None or self.scope_id is None:
            return None
        registered = await info.context.loaders.registered.load(ScopeKey(kind, self.scope_id))
        return None if registered is None else registered.name

    @classmethod
    def of(cls, raised: RaisedAlert) -> "Alert":
        alert = raised.alert
        return cls(
            id=strawberry.ID(ids.public("alert", raised.id)),
            kind=alert.kind.value,
            action=alert.action,
            scope=alert.scope,
            scope_id=alert.scope_id or None,
            threshold=alert.threshold / 100 if alert.threshold else None,
            message=alert.message,
            raised_at=raised.raised_at,
        )


@strawberry.type(description="An alert in its list.")
class AlertEdge:
    """An alert in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: Alert = strawberry.field(description="The alert.")


@strawberry.type(description="A page of the tenant's alerts.")
class AlertConnection:
    """A page of alerts."""

    edges: list[AlertEdge] = strawberry.field(description="The alerts, newest first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: AlertPage) -> "AlertConnection":
        found = [Alert.of(raised) for raised in page.alerts]
        edges = [AlertEdge(cursor=alert.id, node=alert) for alert in found]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type
class AlertQueries:
    """What can be asked about alerts."""

    @field(
        description="What people of the tenant were told, newest first; for an operator who names no tenant, what operators "
        "alone are told."
    )
    async def alerts(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
        kinds: Annotated[
            list[str] | None, strawberry.argument(description="Only alerts of these kinds; null for all.")
        ] = None,
    ) -> AlertConnection:
        before = None if after is None else ids.parse("alert", after)
        if after is not None and before is None:
            raise bad_input("after must be a cursor of this list")
        context = info.context
        size = page_size(first, 20)
        tenant_id = context.caller.tenant_id
        page = await query.page(context.application, tenant_id, size, before, _kinds(kinds, tenant_id))
        return AlertConnection.of(page)

    @field(description="The kinds of alerts that there are, as alerts takes them.")
    async def alert_kinds(self, info: Info) -> list[str]:
        return _known_kinds(info.context.caller.tenant_id)


def _known_kinds(tenant_id: UUID) -> list[str]:
    return OPERATORS_KINDS if tenant_id == NIL else TENANTS_KINDS


def _kinds(asked: list[str] | None, tenant_id: UUID) -> list[AlertKind] | None:
    if asked is None:
        return None
    known = {name: AlertKind(name) for name in _known_kinds(tenant_id)}
    if not asked or len(asked) > len(known) or not set(asked) <= known.keys():
        raise bad_input(f"kinds must be some of {', '.join(known)}")
    return [known[name] for name in asked]
