"""Tenants as rows, and back."""

from datetime import tzinfo
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from domain.admission import closed_as
from domain.periods import Cycle
from domain.refusals import ScopePaused
from domain.tenants import Tenant, TenantStatus
from infra.transaction import Connection

TENANT_COLUMNS: Final = """id, slug, name, status, time_zone, cycle_anchor_day, region, plan, unlimited_plan, own_key_providers,
    cycle_start, cycle_end, next_plan, next_anchor_day, next_time_zone"""
TENANT_WIDTH: Final = 15
# Of API keys, with the moment as $2: seats are people who can get in (document 004: users). A key that was replaced works
# on for a while beside the one that has its name now, on the same seat; where that one has ended, it takes the seat itself.
TAKES_A_SEAT: Final = """role IN ('ADMIN', 'MEMBER') AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
    AND (replaced_by IS NULL OR NOT EXISTS (
        SELECT FROM api_key beside WHERE (beside.tenant_id, beside.name, beside.role)
            = (api_key.tenant_id, api_key.name, api_key.role) AND beside.revoked_at IS NULL
            AND (beside.expires_at IS NULL OR beside.expires_at > $2) AND beside.replaced_by IS NULL))"""
_STATUS: Final = "SELECT status FROM tenant WHERE id = $1"


def tenant_of(row: "asyncpg.Record | tuple[Any, ...]") -> Tenant:
    """A tenant from TENANT_COLUMNS."""
    identifier, slug, name, status, time_zone, cycle_anchor_day, region, plan, unlimited_plan, providers = row[:10]
    cycle_start, cycle_end, next_plan, next_anchor_day, next_time_zone = row[10:TENANT_WIDTH]
    return Tenant(
        identifier,
        slug,
        name,
        TenantStatus(status),
        ZoneInfo(time_zone),
        cycle_anchor_day,
        region,
        plan,
        unlimited_plan,
        frozenset(providers),
        None if cycle_start is None else Cycle(cycle_start, cycle_end),
        next_plan,
        next_anchor_day,
        None if next_time_zone is None else ZoneInfo(next_time_zone),
    )


async def closed(connection: Connection, tenant_id: UUID) -> ScopePaused | None:
    """Why nothing new may be entered for a tenant at this moment; None for an active one."""
    return closed_as(TenantStatus(await connection.fetchval(_STATUS, tenant_id)))


def zone_name(zone: tzinfo) -> str:
    """The IANA name of a tenant's zone."""
    assert isinstance(zone, ZoneInfo), "tenants' zones are read by name"
    return zone.key
