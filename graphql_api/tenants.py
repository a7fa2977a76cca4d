"""Tenants: what everybody sees of their own, and what operators do with all of them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from domain import ids, tenants
from domain.tenancy import TenantState
from domain.tenants import TenantStatus
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import Node, PageInfo, page_size
from graphql_api.plans import Plan
from graphql_api.refusals import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, refusal_of
from infra.queries import tenants as query
from infra.queries.tenants import TenantPage, TenantView
from infra.services import tenants as service
from infra.services.callers import Refused
from infra.services.tenants import SLUG, TenantOrder
from infra.tenant_rows import zone_name


@strawberry.type(
    description="A customer whose money it is: its plan, its running cycle, and what of the plan is in use."
)
class Tenant(Node):
    """A customer whose money it is."""

    tenant: strawberry.Private[tenants.Tenant]
    slug: str = strawberry.field(description="Its short name, which never changes.")
    name: str = strawberry.field(description="Its name for people.")
    status: TenantStatus = strawberry.field(description="Whether it may spend.")
    region: str = strawberry.field(description="Where it buys plans and bundles.")
    time_zone: str = strawberry.field(description="The IANA name of the zone of its months and cycles.")
    anchor_day: int = strawberry.field(
        description="The day of the month on which its cycles start; a month that is shorter starts on its last day."
    )
    cycle_start: datetime = strawberry.field(description="When the running cycle began.")
    cycle_end: datetime = strawberry.field(description="When it ends, and the next one begins.")
    next_anchor_day: int | None = strawberry.field(description="From the next cycle on; null: as now.")
    next_time_zone: str | None = strawberry.field(description="From the next cycle on; null: as now.")
    agents_used: int = strawberry.field(description="Agent roles in use; the plan says how many there may be.")
    seats_used: int = strawberry.field(description="People with access; the plan says how many there may be.")

    @field(description="The plan of the running cycle.")
    async def plan(self, info: Info) -> Plan:
        return await _plan_of(info, self.tenant, self.tenant.plan)

    @field(description="The plan from the next cycle on; null: as now.")
    async def next_plan(self, info: Info) -> Plan | None:
        return None if self.tenant.next_plan is None else await _plan_of(info, self.tenant, self.tenant.next_plan)

    @classmethod
    def of(cls, view: TenantView) -> "Tenant":
        tenant = view.tenant
        assert tenant.cycle is not None, "the running cycle is part of the view"
        return cls(
            tenant=tenant,
            id=strawberry.ID(ids.public("tenant", tenant.id)),
            slug=tenant.slug,
            name=tenant.name,
            status=tenant.status,
            region=tenant.region,
            time_zone=zone_name(tenant.zone),
            anchor_day=tenant.cycle_anchor_day,
            cycle_start=tenant.cycle.start,
            cycle_end=tenant.cycle.end,
            next_anchor_day=tenant.next_anchor_day,
            next_time_zone=None if tenant.next_zone is None else zone_name(tenant.next_zone),
            agents_used=view.agents_used,
            seats_used=view.seats_used,
        )


@strawberry.type(description="A tenant in the list of all.")
class TenantEdge:
    """A tenant in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: Tenant = strawberry.field(description="The tenant.")


@strawberry.type(description="A page of the list of all tenants.")
class TenantConnection:
    """A page of tenants."""

    edges: list[TenantEdge] = strawberry.field(description="The tenants, by slug.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: TenantPage) -> "TenantConnection":
        edges = [TenantEdge(cursor=view.tenant.slug, node=Tenant.of(view)) for view in page.tenants]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.input(description="Make a tenant.")
class CreateTenantInput:
    """Make a tenant."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    slug: str = strawberry.field(description="Its short name for good: 1 to 63 of a to z, 0 to 9 and dashes.")
    name: str = strawberry.field(description="Its name for people.")
    region: str = strawberry.field(description="Where it buys plans and bundles, such as india.")
    plan: str = strawberry.field(description="A plan that is sold there, such as starter.")
    metered: bool | None = strawberry.field(default=False, description="Give it a prepaid wallet in US dollars.")
    time_zone: str | None = strawberry.field(
        default="UTC", description="The IANA name of the zone of its months and cycles."
    )
    anchor_day: int | None = strawberry.field(
        default=1, description="The day of the month on which its cycles start, 1 to 31."
    )


@strawberry.input(description="Give the tenant another name to show.")
class RenameTenantInput:
    """Give it another name."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    name: str = strawberry.field(description="Its name for people.")


@strawberry.input(description="What is decided about the tenant as a whole: the header Purser-Tenant names it.")
class TenantInput:
    """The tenant that the header names."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")


CreateTenantResult = Annotated[
    Tenant | InvalidInput | NotFound | IdempotencyKeyReused,
    strawberry.union(
        "CreateTenantResult", description="The tenant, with its first cycle granted, or why there is none."
    ),
]
TenantResult = Annotated[
    Tenant | Conflict | InvalidInput | IdempotencyKeyReused,
    strawberry.union("TenantResult", description="The tenant as it is now, or why nothing was changed."),
]


@strawberry.type
class TenantQueries:
    """What can be asked about tenants."""

    @field(description="The caller's own tenant.")
    async def tenant(self, info: Info) -> Tenant:
        return await tenant_by_id(info, info.context.caller.tenant_id)

    @field(description="Operators: all tenants, by slug.")
    async def tenants(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> TenantConnection:
        if after is not None and SLUG.fullmatch(after) is None:
            raise bad_input("after must be a cursor of this list")
        return TenantConnection.of(await query.page(info.context.application, page_size(first, 20), after))


@strawberry.type
class TenantMutations:
    """What operators do with tenants."""

    @field(description="Operators: make a tenant with the wallets of its plan, and grant its first cycle.")
    async def create_tenant(
        self,
        info: Info,
        given: Annotated[CreateTenantInput, strawberry.argument(name="input", description="The tenant.")],
    ) -> CreateTenantResult:
        context = info.context
        order = TenantOrder(
            given.slug,
            given.name,
            given.region,
            given.plan,
            metered=bool(given.metered),
            time_zone="UTC" if given.time_zone is None else given.time_zone,
            anchor_day=1 if given.anchor_day is None else given.anchor_day,
        )
        answer = await service.create_tenant(context.application, context.caller, given.idempotency_key, order)
        return refusal_of(answer) if isinstance(answer, Refused) else await tenant_by_id(info, answer.tenant_id)

    @field(description="Operators: give the tenant another name to show.")
    async def rename_tenant(
        self,
        info: Info,
        given: Annotated[RenameTenantInput, strawberry.argument(name="input", description="The name.")],
    ) -> TenantResult:
        context = info.context
        answer = await service.rename_tenant(context.application, context.caller, given.idempotency_key, given.name)
        return await _answer(info, answer)

    @field(description="Operators: refuse the tenant everything until it is resumed.")
    async def suspend_tenant(
        self, info: Info, given: Annotated[TenantInput, strawberry.argument(name="input", description="The request.")]
    ) -> TenantResult:
        context = info.context
        return await _answer(
            info, await service.suspend_tenant(context.application, context.caller, given.idempotency_key)
        )

    @field(description="Operators: let a suspended tenant work again.")
    async def resume_tenant(
        self, info: Info, given: Annotated[TenantInput, strawberry.argument(name="input", description="The request.")]
    ) -> TenantResult:
        context = info.context
        return await _answer(
            info, await service.resume_tenant(context.application, context.caller, given.idempotency_key)
        )

    @field(description="Operators: end the tenant for good. Nothing is deleted.")
    async def close_tenant(
        self, info: Info, given: Annotated[TenantInput, strawberry.argument(name="input", description="The request.")]
    ) -> TenantResult:
        context = info.context
        return await _answer(
            info, await service.close_tenant(context.application, context.caller, given.idempotency_key)
        )


async def tenant_by_id(info: Info, tenant_id: UUID) -> Tenant:
    """A tenant that is known to exist."""
    view = await query.get(info.context.application, tenant_id)
    assert view is not None, f"tenant {tenant_id} of a caller exists"
    return Tenant.of(view)


async def _answer(info: Info, answer: TenantState | Refused) -> TenantResult:
    return refusal_of(answer) if isinstance(answer, Refused) else await tenant_by_id(info, answer.tenant.id)


async def _plan_of(info: Info, tenant: tenants.Tenant, key: str) -> Plan:
    application = info.context.application
    plan = (await application.current_catalog()).plan(tenant.region, key, application.clock())
    assert plan is not None, f"{tenant.region}/{key}: plans that tenants have stay"
    return Plan.of(plan)
