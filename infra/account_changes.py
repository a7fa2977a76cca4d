"""Changes to accounts: what a batch writes beside the money that moves, so seldom that each row is a statement of its
own: tenants, new wallets, what a cycle allocated, orders of balance, recharges, and the cards that they are paid by.

`infra.changes` writes the rest of a batch, in bulk.
"""

from typing import Final

from domain.tenants import Tenant
from domain.wallets import Wallet
from infra.batch import Batch
from infra.tenant_rows import zone_name
from infra.top_up_rows import RECHARGE_COLUMNS, RECHARGE_NAMES, TOP_UP_COLUMNS, TOP_UP_NAMES, recharge_row, top_up_row
from infra.transaction import Connection

WRITE_TENANT: Final = """
UPDATE tenant SET name = $2, status = $3, time_zone = $4, cycle_anchor_day = $5, plan = $6, unlimited_plan = $7,
    cycle_start = $8, cycle_end = $9, next_plan = $10, next_anchor_day = $11, next_time_zone = $12
WHERE id = $1"""
WRITE_WALLET: Final = """
INSERT INTO wallet (tenant_id, id, key, kind, unit, bucket_type, head_hash, low_balance)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
WRITE_ALLOCATION: Final = """
INSERT INTO allocation (tenant_id, wallet_key, cycle_start, amount) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, wallet_key, cycle_start) DO UPDATE SET amount = EXCLUDED.amount"""
WRITE_TOP_UP: Final = f"""
INSERT INTO top_up ({TOP_UP_COLUMNS}) VALUES ({", ".join(f"${n + 1}" for n in range(len(TOP_UP_NAMES)))})
ON CONFLICT (tenant_id, id) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in TOP_UP_NAMES[10:])}"""
WRITE_RECHARGE: Final = f"""
INSERT INTO auto_recharge ({RECHARGE_COLUMNS}) VALUES ({", ".join(f"${n + 1}" for n in range(len(RECHARGE_NAMES)))})
ON CONFLICT (tenant_id, wallet_key) DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in RECHARGE_NAMES[2:])}"""
WRITE_THRESHOLD: Final = "UPDATE wallet SET low_balance = $3 WHERE tenant_id = $1 AND key = $2"
KEEP_CARD: Final = "UPDATE payment_customer SET card_id = $3 WHERE tenant_id = $1 AND customer_id = $2"


async def write_accounts(connection: Connection, batch: Batch) -> None:
    """Write what the batch has changed of these, if anything."""
    for wallet in batch.new_wallets:
        await write_wallet(connection, wallet)
    for tenant_id in batch.changed_tenants:
        await _write_tenant(connection, batch.tenants[tenant_id].tenant)
    for tenant_id, allocation in batch.allocations:
        await connection.execute(WRITE_ALLOCATION, tenant_id, *allocation)
    for tenant_id, identifier in batch.top_ups:
        books = batch.tenants[tenant_id]
        top_up = books.top_ups[identifier]
        await connection.execute(WRITE_TOP_UP, *top_up_row(tenant_id, top_up))
        card = top_up.facts.card
        # Only when it is told: later word of an old order must not bring an old card back.
        if card is not None and card != books.told_cards.get(identifier):
            await connection.execute(KEEP_CARD, tenant_id, *card)
    for tenant_id, key in batch.recharges:
        recharge = batch.tenants[tenant_id].recharges[key]
        await connection.execute(WRITE_RECHARGE, *recharge_row(tenant_id, recharge))
        await connection.execute(WRITE_THRESHOLD, tenant_id, key, recharge.threshold)


async def write_wallet(connection: Connection, wallet: Wallet) -> None:
    """Write a new wallet, before anything is in it."""
    place = (wallet.tenant_id, wallet.id, wallet.key)
    kinds = (wallet.kind, wallet.unit, wallet.bucket_type)
    await connection.execute(WRITE_WALLET, *place, *kinds, wallet.head_hash, wallet.low_balance)


async def _write_tenant(connection: Connection, tenant: Tenant) -> None:
    await connection.execute(
        WRITE_TENANT,
        tenant.id,
        tenant.name,
        tenant.status,
        zone_name(tenant.zone),
        tenant.cycle_anchor_day,
        tenant.plan,
        tenant.unlimited_plan,
        *((None, None) if tenant.cycle is None else tenant.cycle),
        tenant.next_plan,
        tenant.next_anchor_day,
        None if tenant.next_zone is None else zone_name(tenant.next_zone),
    )
