"""Tenants: set up with the wallets of their plan, and what an operator decides about them afterwards."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain import tenancy
from domain.audit_log import event_by
from domain.books import Operation, Request
from domain.ids import NIL
from domain.plans import Plan
from domain.refusals import FieldProblem, IdempotencyKeyReused, InvalidInput, Refusal, invalid, no_plan
from domain.reservations import key_problems
from domain.subscriptions import cycle_problems
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant, TenantState
from domain.wallets import METERED_KEY, new_wallet
from infra.account_changes import write_wallet
from infra.application import Application
from infra.audit_log import record
from infra.deciding import SYSTEM
from infra.idempotency_keys import LOCK_KEY, USED_KEY, WRITE_KEY
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import refused, request_of, start
from infra.services.cycles import start_cycle
from infra.services.subscriptions import zone_of
from infra.transaction import Connection, transaction

SLUG: Final = re.compile("[a-z0-9][a-z0-9-]{0,62}", re.ASCII)

WRITE_TENANT: Final = """
INSERT INTO tenant (id, slug, name, time_zone, cycle_anchor_day, region, plan, unlimited_plan, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (slug) DO NOTHING RETURNING id"""
WRITE_SCOPE: Final = "INSERT INTO scope (tenant_id, kind, id, name, status) VALUES ($1, 'TENANT', '', $2, 'ACTIVE')"


class TenantOrder(NamedTuple):
    """A tenant that is to be made. `metered`: with a prepaid wallet in US dollars; `time_zone` is an IANA name."""

    slug: str
    name: str
    region: str
    plan: str
    metered: bool
    time_zone: str = "UTC"
    anchor_day: int = 1


@dataclass(frozen=True, slots=True)
class TenantCreated:
    """The tenant that was made."""

    tenant_id: UUID


async def set_up(application: Application, order: TenantOrder, plan: Plan, actor: str = SYSTEM) -> UUID:
    """The tenant of this slug with the wallets of its plan, before its first cycle; one that exists already stays as it
    is. `infra.services.cycles.start_cycle` grants the first cycle."""
    request = Request(NIL, actor, Operation.CREATE_TENANT, "", b"")
    async with application.writers.acquire() as connection, transaction(connection):
        created = await _insert(connection, request, order, plan, application.clock())
        if created is None:
            created = await connection.fetchval("SELECT id FROM tenant WHERE slug = $1", order.slug)
        assert created is not None, "slugs are never freed"
        return created


async def create_tenant(
    application: Application, caller: Caller, idempotency_key: str, order: TenantOrder
) -> TenantCreated | Refused:
    """Make a tenant, and grant its first cycle. A slug that another tenant has is refused."""
    request = request_of(caller, Operation.CREATE_TENANT, idempotency_key, order)
    tenant_id = await _make(application, request, order)
    if not isinstance(tenant_id, UUID):
        return refused(application, caller.tenant_id, request.operation, tenant_id)
    await start_cycle(application, tenant_id)
    return TenantCreated(tenant_id)


async def rename_tenant(
    application: Application, caller: Caller, idempotency_key: str, name: str
) -> TenantState | Refused:
    """Give a tenant another name to show."""
    request = request_of(caller, Operation.RENAME_TENANT, idempotency_key, name)
    return await start(application, TenantState, RenameTenant(request, name), tenancy.name_problems(name))


async def suspend_tenant(application: Application, caller: Caller, idempotency_key: str) -> TenantState | Refused:
    """Refuse a tenant everything until it is resumed."""
    request = request_of(caller, Operation.SUSPEND_TENANT, idempotency_key, ())
    return await start(application, TenantState, SuspendTenant(request), ())


async def resume_tenant(application: Application, caller: Caller, idempotency_key: str) -> TenantState | Refused:
    """Let a suspended tenant work again."""
    request = request_of(caller, Operation.RESUME_TENANT, idempotency_key, ())
    return await start(application, TenantState, ResumeTenant(request), ())


async def close_tenant(application: Application, caller: Caller, idempotency_key: str) -> TenantState | Refused:
    """End a tenant for good; nothing is deleted."""
    request = request_of(caller, Operation.CLOSE_TENANT, idempotency_key, ())
    return await start(application, TenantState, CloseTenant(request), ())


def _problems(order: TenantOrder) -> list[FieldProblem]:
    found: list[FieldProblem] = []
    if SLUG.fullmatch(order.slug) is None:
        found.append(FieldProblem("slug", "1 to 63 of a to z, 0 to 9 and dashes, such as acme-corp"))
    found.extend(tenancy.name_problems(order.name))
    if zone_of(order.time_zone) is None:
        found.append(FieldProblem("timeZone", "must be an IANA name such as Asia/Kolkata"))
    found.extend(cycle_problems(order.anchor_day))
    return found


async def _make(application: Application, request: Request, order: TenantOrder) -> UUID | Refusal:
    """The id of the tenant that was made for this request, now or before."""
    key, now = request.idempotency_key, application.clock()
    problems = [*key_problems(key), *_problems(order)]
    if problems:
        return InvalidInput(tuple(problems))
    plan = (await application.current_catalog()).plan(order.region, order.plan, now)
    if plan is None or plan.withdrawn:
        return no_plan(order.plan, order.region)
    async with application.writers.acquire() as connection, transaction(connection):
        await connection.execute(LOCK_KEY, f"{request.operation}:{key}")
        used = await connection.fetchrow(USED_KEY, NIL, request.operation.value, key)
        if used is not None:
            tenant_id: UUID = used[1]
            return tenant_id if used[0] == request.hash else IdempotencyKeyReused(key)
        made = await _insert(connection, request, order, plan, now)
        if made is None:
            return invalid("slug", "another tenant has it: choose another")
        await connection.execute(WRITE_KEY, NIL, request.operation.value, key, request.hash, made, now)
        return made


async def _insert(
    connection: Connection, request: Request, order: TenantOrder, plan: Plan, now: datetime
) -> UUID | None:
    """The new tenant's id; None where the slug is taken."""
    place = (new_id(now), order.slug, order.name, order.time_zone, order.anchor_day)
    tenant_id: UUID | None = await connection.fetchval(WRITE_TENANT, *place, plan.region, plan.key, plan.unlimited, now)
    if tenant_id is None:
        return None
    await connection.execute(WRITE_SCOPE, tenant_id, order.name)
    keys = [key for key, _ in plan.allocations if key != METERED_KEY] + ([METERED_KEY] if order.metered else [])
    for key in keys:
        await write_wallet(connection, new_wallet(tenant_id, new_id(now), key))
    details = (("slug", order.slug), ("name", order.name), ("region", plan.region), ("plan", plan.key))
    terms = (("metered", order.metered), ("anchorDay", order.anchor_day), ("timeZone", order.time_zone))
    event = event_by(request._replace(tenant_id=tenant_id), "tenant", *details, *terms)
    await record(connection, event, at=now)
    return tenant_id
