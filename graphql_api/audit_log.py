"""The audit log: who decided what, and when."""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import ids
from domain.audit_log import Detail
from domain.ids import NIL
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from infra.queries import audit_log as query
from infra.queries.audit_log import AuditFilter, AuditPage, Recorded

MOST_OPERATIONS: Final = 50
LONGEST_NAME: Final = 200


@strawberry.type(description="One of the figures or names that a decision was made with.")
class AuditDetail:
    """A figure or a name."""

    name: str = strawberry.field(description="What it is, named as in the input of the operation.")
    value: str | None = strawberry.field(description="As text; amounts are decimals. Null: it was taken away, or left.")

    @classmethod
    def of(cls, detail: Detail) -> "AuditDetail":
        name, value = detail
        if isinstance(value, bool):
            value = "true" if value else "false"
        return cls(name=name, value=None if value is None else str(value))


@strawberry.type(
    description="A decision that a person made: recorded in the commit that carried it out, and never changed."
)
class AuditEvent:
    """A decision that a person made."""

    id: strawberry.ID = strawberry.field(description="Its place in the log.")
    occurred_at: datetime = strawberry.field(description="When it took effect.")
    tenant_id: strawberry.ID | None = strawberry.field(
        description="The tenant that it is about; null: it concerns the whole installation."
    )
    actor: str = strawberry.field(
        description="Who decided: `key:` and the name of the API key, `jwt:` and the person of an identity provider, or `cli:` "
        "and the command; `system` and `demo`: the set-up of a demonstration."
    )
    role: str | None = strawberry.field(
        description="In which role: OPERATOR, ADMIN, MEMBER or SERVICE; null where none is known."
    )
    operation: str = strawberry.field(description="The mutation, such as setBudget or adjustWallet.")
    subject: str = strawberry.field(
        description="What it is about: a kind and an id, such as wallet:credits, campaign:spring or price:openai/gpt-5; "
        "tenant for the tenant itself."
    )
    idempotency_key: str | None = strawberry.field(
        description="The key of the request; null for operations without one. A request that is sent again is recorded once."
    )
    details: list[AuditDetail] = strawberry.field(
        description="What was asked for. Never where a channel leads, a key or another secret."
    )

    @classmethod
    def of(cls, recorded: Recorded) -> "AuditEvent":
        event = recorded.event
        return cls(
            id=strawberry.ID(ids.public("audit_event", recorded.id)),
            occurred_at=recorded.occurred_at,
            tenant_id=None if event.tenant_id == NIL else strawberry.ID(ids.public("tenant", event.tenant_id)),
            actor=event.actor,
            role=event.role,
            operation=event.operation,
            subject=event.subject,
            idempotency_key=event.idempotency_key,
            details=[AuditDetail.of(detail) for detail in event.details],
        )


@strawberry.type(description="A decision in its list.")
class AuditEventEdge:
    """A decision in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: AuditEvent = strawberry.field(description="The decision.")


@strawberry.type(description="A page of the audit log.")
class AuditEventConnection:
    """A page of the audit log."""

    edges: list[AuditEventEdge] = strawberry.field(description="The decisions, newest first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: AuditPage) -> "AuditEventConnection":
        found = [AuditEvent.of(recorded) for recorded in page.records]
        edges = [AuditEventEdge(cursor=event.id, node=event) for event in found]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type
class AuditLogQueries:
    """What can be asked about decisions."""

    @field(
        description="What people decided about the tenant, its own admins and the operator of this installation, newest "
        "first. An operator that names no tenant sees the decisions about all, and those that concern none."
    )
    async def audit_log(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
        operations: Annotated[
            list[str] | None,
            strawberry.argument(description="Only of these operations, such as setBudget; up to 50; null for all."),
        ] = None,
        actor: Annotated[
            str | None, strawberry.argument(description="Only by this actor, such as key:ops; null for all.")
        ] = None,
        start: Annotated[
            datetime | None, strawberry.argument(name="from", description="The first moment that counts; null for all.")
        ] = None,
        end: Annotated[
            datetime | None,
            strawberry.argument(name="to", description="The first moment after it that does not; null for all."),
        ] = None,
    ) -> AuditEventConnection:
        before = None if after is None else ids.parse("audit_event", after)
        if after is not None and before is None:
            raise bad_input("after must be a cursor of this list")
        application, tenant_id = info.context.application, info.context.caller.tenant_id
        wanted, size = _filter(operations, actor, start, end), page_size(first, 20)
        if tenant_id == NIL:
            return AuditEventConnection.of(await query.page_of_all(application, wanted, size, before))
        return AuditEventConnection.of(await query.page(application, tenant_id, wanted, size, before))


def _filter(
    operations: list[str] | None, actor: str | None, start: datetime | None, end: datetime | None
) -> AuditFilter:
    if start is not None and end is not None and start >= end:
        raise bad_input("from must lie before to")
    if operations is not None and not 1 <= len(operations) <= MOST_OPERATIONS:
        raise bad_input(f"operations: name 1 to {MOST_OPERATIONS}, or leave it out for all")
    for path, names in (("operations", operations or ()), ("actor", () if actor is None else (actor,))):
        if any(len(name) > LONGEST_NAME for name in names):
            raise bad_input(f"{path}: names have up to {LONGEST_NAME} characters")
    return AuditFilter(None if operations is None else tuple(operations), actor, start, end)
