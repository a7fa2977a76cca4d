"""Wallets as they stand now: what has expired by now counts no more, booked or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain import wallets
from domain.ledger import available_at
from domain.wallets import BalanceStatus, Lot, Wallet, in_burn_order
from infra.application import Application
from infra.transaction import Connection
from infra.wallet_rows import LOT_COLUMNS, LOT_WIDTH, WALLET_COLUMNS, WALLET_WIDTH, lot_of, wallet_of

# Every open lot as a row; the sums are over the lots that are active now, used up or not.
_ROWS: Final = f"""
SELECT {WALLET_COLUMNS}, {LOT_COLUMNS}, active.granted, active.consumed, active.first_expiry
FROM {{wallets}}
CROSS JOIN LATERAL (
    SELECT coalesce(sum(granted), 0)::bigint AS granted, coalesce(sum(consumed), 0)::bigint AS consumed,
        min(expires_at) AS first_expiry
    FROM lot
    WHERE tenant_id = w.tenant_id AND wallet_id = w.id AND (expires_at IS NULL OR expires_at > $2)
) active
LEFT JOIN lot l ON l.tenant_id = w.tenant_id AND l.wallet_id = w.id AND l.is_open"""
_WALLETS: Final = f"{_ROWS.format(wallets='wallet w')} WHERE w.tenant_id = $1"
_BY_ID: Final = f"{_WALLETS} AND w.id = ANY($3::uuid[])"
_BY_KEY: Final = f"{_WALLETS} AND w.key = ANY($3::text[])"
_ALL: Final = f"{_WALLETS} ORDER BY w.key"
_AT_PLACES: Final = _ROWS.format(
    wallets="unnest($1::uuid[], $3::text[]) AS asked (tenant_id, key) JOIN wallet w USING (tenant_id, key)"
)


@dataclass(frozen=True, slots=True)
class WalletView:
    """A wallet at a moment, with its open lots. `used_percent` is in hundredths of a percent. `changes_at`: when these
    figures change next though nothing is booked, because a lot expires; None: they do not."""

    wallet: Wallet
    used_percent: int
    status: BalanceStatus
    as_of: datetime
    changes_at: datetime | None


async def list_wallets(application: Application, tenant_id: UUID) -> list[WalletView]:
    """All wallets of a tenant, by key."""
    now = application.clock()
    return list(_views(await application.readers.of(tenant_id).fetch(_ALL, tenant_id, now), now).values())


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[WalletView | None]:
    """Wallets by id, in the order asked; None for those that the tenant does not have."""
    now = application.clock()
    found = _views(await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, now, list(ids)), now)
    return [found.get(identifier) for identifier in ids]


async def get_many_by_key(application: Application, tenant_id: UUID, keys: Sequence[str]) -> list[WalletView | None]:
    """Wallets by key, in the order asked; None for those that the tenant does not have."""
    now = application.clock()
    found = _views(await application.readers.of(tenant_id).fetch(_BY_KEY, tenant_id, now, list(keys)), now)
    by_key = {view.wallet.key: view for view in found.values()}
    return [by_key.get(key) for key in keys]


async def at_places(
    connection: Connection, places: Sequence[tuple[UUID, str]], now: datetime
) -> Mapping[tuple[UUID, str], WalletView]:
    """Wallets of many tenants in one statement, each by its tenant and key."""
    tenant_ids, keys = zip(*places, strict=True)
    found = _views(await connection.fetch(_AT_PLACES, tenant_ids, now, keys), now)
    return {(view.wallet.tenant_id, view.wallet.key): view for view in found.values()}


def _views(rows: Sequence[asyncpg.Record], now: datetime) -> dict[UUID, WalletView]:
    lots: dict[UUID, list[Lot]] = {}
    heads: dict[UUID, asyncpg.Record] = {}
    for row in rows:
        heads[row[1]] = row
        open_lots = lots.setdefault(row[1], [])
        lot = lot_of(row[WALLET_WIDTH : WALLET_WIDTH + LOT_WIDTH])
        if lot is not None:
            open_lots.append(lot)
    return {identifier: _view(row, tuple(lots[identifier]), now) for identifier, row in heads.items()}


def _view(row: asyncpg.Record, lots: tuple[Lot, ...], now: datetime) -> WalletView:
    stored = wallet_of(row[:WALLET_WIDTH], lots)
    left = available_at(stored, now)
    expired = stored.expired + stored.available - left
    wallet = stored._replace(available=left, expired=expired, lots=in_burn_order(stored, lots))
    granted, consumed, first_expiry = row[-3:]
    used = wallets.used_percent(wallet, granted, consumed)
    return WalletView(wallet, used, wallets.status(wallet, used), now, first_expiry)
