"""Tenants: set up with the wallets of their plan, and credited for the running cycle."""

from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.adjustments import Adjusted, Grant
from domain.books import Operation
from domain.catalog import Plan
from domain.periods import cycle_of
from domain.wallets import CAPACITY_KEYS, METERED_KEY, LotSource, new_wallet
from infra.application import Application
from infra.deciding import SYSTEM
from infra.identifiers import new_id
from infra.services.callers import Caller, Role
from infra.services.commands import request_of, start
from infra.transaction import transaction

WRITE_TENANT: Final = """
INSERT INTO tenant (id, slug, name, time_zone, region, plan, unlimited_plan, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (slug) DO NOTHING RETURNING id"""
WRITE_WALLET: Final = """
INSERT INTO wallet (tenant_id, id, key, kind, unit, bucket_type, head_hash, low_balance)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
WRITE_SCOPE: Final = "INSERT INTO scope (tenant_id, kind, id, name, status) VALUES ($1, 'TENANT', '', $2, 'ACTIVE')"


async def create_tenant(
    application: Application, slug: str, name: str, plan: Plan, *, metered: bool, time_zone: str = "UTC"
) -> UUID:
    """The tenant of this slug with the wallets of its plan; one that exists already stays as it is."""
    now = application.clock()
    async with application.writers.acquire() as connection, transaction(connection):
        tenant_id = await connection.fetchval(
            WRITE_TENANT, new_id(now), slug, name, time_zone, plan.region, plan.key, plan.unlimited, now
        )
        if tenant_id is None:
            existing: UUID = await connection.fetchval("SELECT id FROM tenant WHERE slug = $1", slug)
            return existing
        await connection.execute(WRITE_SCOPE, tenant_id, name)
        keys = [key for key, _ in plan.allocations] + ([METERED_KEY] if metered else [])
        for key in keys:
            wallet = new_wallet(tenant_id, new_id(now), key)
            await connection.execute(
                WRITE_WALLET,
                tenant_id,
                wallet.id,
                key,
                wallet.kind.value,
                wallet.unit.value,
                wallet.bucket_type.value,
                wallet.head_hash,
                wallet.low_balance,
            )
        created: UUID = tenant_id
        return created


async def allocate(application: Application, tenant_id: UUID, plan: Plan, anchor_day: int, time_zone: str) -> None:
    """Credit the plan's allocations of the running cycle, once: credits until its end, capacity for ever."""
    start_of_cycle, end = cycle_of(application.clock(), anchor_day, ZoneInfo(time_zone))
    for key, amount in plan.allocations:
        capacity = key in CAPACITY_KEYS
        reference = f"plan:{plan.key}" if capacity else f"plan:{plan.key}:{start_of_cycle.isoformat()}"
        await credit(application, tenant_id, key, amount, LotSource.PLAN, reference, None if capacity else end)


async def credit(
    application: Application,
    tenant_id: UUID,
    wallet_key: str,
    amount: int,
    source: LotSource,
    reference: str,
    expires_at: datetime | None = None,
) -> None:
    """Credit a wallet, once per reference."""
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    key = f"{wallet_key}:{reference}"
    request = request_of(system, Operation.GRANT, key, (wallet_key, amount, source, reference))
    command = Grant(request, wallet_key, amount, source, expires_at, reference, new_id(application.clock()))
    answer = await start(application, Adjusted, command, ())
    assert isinstance(answer, Adjusted), answer
