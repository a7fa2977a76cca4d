"""Tenants as they stand now: a cycle that has begun counts, granted already or not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from domain.tenants import Tenant, cycle_is_due, running_cycle
from infra.application import Application
from infra.tenant_rows import TAKES_A_SEAT, TENANT_COLUMNS, TENANT_WIDTH, tenant_of

_TENANTS: Final = f"""
SELECT {TENANT_COLUMNS},
    (SELECT count(*) FROM scope s WHERE s.tenant_id = t.id AND s.kind = 'AGENT' AND s.status <> 'INACTIVE'),
    (SELECT count(*) FROM api_key WHERE tenant_id = t.id AND {TAKES_A_SEAT})
FROM tenant t"""
_BY_ID: Final = f"{_TENANTS} WHERE id = $1"
_PAGE: Final = f"{_TENANTS} WHERE slug > $1 ORDER BY slug LIMIT $3"
_BY_IDS: Final = f"{_TENANTS} WHERE id = ANY($1::uuid[])"
_ZONE: Final = "SELECT time_zone FROM tenant WHERE id = $1"
_REGION: Final = "SELECT region FROM tenant WHERE id = $1"


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant with its running cycle: `tenant.cycle` is never None here. Agents are agent roles that are not inactive,
    seats are API keys of people."""

    tenant: Tenant
    agents_used: int
    seats_used: int


@dataclass(frozen=True, slots=True)
class TenantPage:
    """Some tenants by slug, and whether there are others after them (next) and before them (previous)."""

    tenants: tuple[TenantView, ...]
    has_next: bool
    has_previous: bool


async def get(application: Application, tenant_id: UUID) -> TenantView | None:
    """One tenant; None where there is none of this id."""
    now = application.clock()
    row = await application.readers.of(tenant_id).fetchrow(_BY_ID, tenant_id, now)
    return None if row is None else _view(row, now)


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[TenantView | None]:
    """Tenants in the order asked; None for all but the tenant itself."""
    own = await get(application, tenant_id)
    return [own if identifier == tenant_id else None for identifier in ids]


async def page(application: Application, first: int, after: str | None) -> TenantPage:
    """The first tenants with slugs after this one. For operators: it looks at all tenants."""
    now = application.clock()
    rows = await application.across_tenants.fetch(_PAGE, after or "", now, first + 1)
    return TenantPage(tuple([_view(row, now) for row in rows[:first]]), len(rows) > first, after is not None)


async def of_ids(application: Application, ids: Sequence[UUID]) -> dict[UUID, TenantView]:
    """Tenants by id. For operators: it looks at any tenant."""
    now = application.clock()
    views = [_view(row, now) for row in await application.across_tenants.fetch(_BY_IDS, list(ids), now)]
    return {view.tenant.id: view for view in views}


async def zone_of(application: Application, tenant_id: UUID) -> ZoneInfo:
    """The time zone of the tenant's days and months."""
    name: str | None = await application.readers.of(tenant_id).fetchval(_ZONE, tenant_id)
    assert name is not None, "callers' tenants exist"
    return ZoneInfo(name)


async def region_of(application: Application, tenant_id: UUID) -> str:
    """The region whose plans and bundles the tenant buys."""
    region: str | None = await application.readers.of(tenant_id).fetchval(_REGION, tenant_id)
    assert region is not None, "callers' tenants exist"
    return region


def _view(row: asyncpg.Record, now: datetime) -> TenantView:
    tenant = tenant_of(row)
    if cycle_is_due(tenant, now):
        # Whatever command comes next finds it so (decision 6).
        tenant = replace(
            tenant,
            plan=tenant.next_plan or tenant.plan,
            cycle_anchor_day=tenant.next_anchor_day or tenant.cycle_anchor_day,
            zone=tenant.next_zone or tenant.zone,
            cycle=running_cycle(tenant, now),
            next_plan=None,
            next_anchor_day=None,
            next_zone=None,
        )
    else:
        tenant = replace(tenant, cycle=running_cycle(tenant, now))
    agents_used, seats_used = row[TENANT_WIDTH:]
    return TenantView(tenant, agents_used, seats_used)
