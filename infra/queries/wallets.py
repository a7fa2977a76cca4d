"""Wallets as they stand now: what has expired by now counts no more, booked or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain import wallets
from domain.ledger import available_at
from domain.wallets import BalanceStatus, BucketType, Lot, LotSource, Unit, Wallet, WalletKind, in_burn_order
from infra.application import Application

# Every open lot as a row; the sums are over the lots that are active now, used up or not.
_WALLETS: Final = """
SELECT w.tenant_id, w.id, w.key, w.kind, w.unit, w.bucket_type, w.granted, w.available, w.reserved, w.consumed,
    w.expired, w.sequence, w.head_hash, w.low_balance, active.granted, active.consumed,
    l.id, l.source, l.granted, l.available, l.reserved, l.consumed, l.expired, l.granted_at, l.expires_at
FROM wallet w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(granted), 0)::bigint AS granted, coalesce(sum(consumed), 0)::bigint AS consumed
    FROM lot
    WHERE tenant_id = w.tenant_id AND wallet_id = w.id AND (expires_at IS NULL OR expires_at > $2)
) active
LEFT JOIN lot l ON l.tenant_id = w.tenant_id AND l.wallet_id = w.id AND l.is_open
WHERE w.tenant_id = $1"""
_BY_ID: Final = f"{_WALLETS} AND w.id = ANY($3::uuid[])"
_BY_KEY: Final = f"{_WALLETS} AND w.key = ANY($3::text[])"
_ALL: Final = f"{_WALLETS} ORDER BY w.id"


@dataclass(frozen=True, slots=True)
class WalletView:
    """A wallet at a moment, with its open lots. `used_percent` is in hundredths of a percent."""

    wallet: Wallet
    used_percent: int
    status: BalanceStatus
    as_of: datetime


async def list_wallets(application: Application, tenant_id: UUID) -> list[WalletView]:
    """All wallets of a tenant, oldest first."""
    now = application.clock()
    return list(_views(await application.readers.fetch(_ALL, tenant_id, now), now).values())


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[WalletView | None]:
    """Wallets by id, in the order asked; None for those that the tenant does not have."""
    now = application.clock()
    found = _views(await application.readers.fetch(_BY_ID, tenant_id, now, list(ids)), now)
    return [found.get(identifier) for identifier in ids]


async def get_many_by_key(application: Application, tenant_id: UUID, keys: Sequence[str]) -> list[WalletView | None]:
    """Wallets by key, in the order asked; None for those that the tenant does not have."""
    now = application.clock()
    found = _views(await application.readers.fetch(_BY_KEY, tenant_id, now, list(keys)), now)
    by_key = {view.wallet.key: view for view in found.values()}
    return [by_key.get(key) for key in keys]


def _views(rows: Sequence[asyncpg.Record], now: datetime) -> dict[UUID, WalletView]:
    lots: dict[UUID, list[Lot]] = {}
    heads: dict[UUID, asyncpg.Record] = {}
    for row in rows:
        heads[row[1]] = row
        open_lots = lots.setdefault(row[1], [])
        if row[16] is not None:
            open_lots.append(Lot(row[16], LotSource(row[17]), *row[18:25]))
    return {identifier: _view(row, tuple(lots[identifier]), now) for identifier, row in heads.items()}


def _view(row: asyncpg.Record, lots: tuple[Lot, ...], now: datetime) -> WalletView:
    (tenant_id, identifier, key, kind, unit, bucket_type, *balances, sequence, head_hash, low_balance) = row[:14]
    granted, available, reserved, consumed, expired = balances
    wallet = Wallet(
        tenant_id,
        identifier,
        key,
        WalletKind(kind),
        Unit(unit),
        BucketType(bucket_type),
        granted,
        available,
        reserved,
        consumed,
        expired,
        sequence,
        head_hash,
        low_balance,
        lots,
    )
    left = available_at(wallet, now)
    wallet = wallet._replace(available=left, expired=expired + available - left, lots=in_burn_order(wallet, lots))
    used = wallets.used_percent(wallet, row[14], row[15])
    return WalletView(wallet, used, wallets.status(wallet, used), now)
