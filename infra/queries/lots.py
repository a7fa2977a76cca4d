"""Lots of a wallet: each grant with what is left of it now."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain.wallets import Lot, Wallet, in_burn_order
from infra.application import Application
from infra.wallet_rows import LOT_COLUMNS, lot_of

_LOTS: Final = f"SELECT {LOT_COLUMNS} FROM lot l WHERE tenant_id = $1"
_OF_WALLET: Final = f"{_LOTS} AND wallet_id = $2"
_ACTIVE: Final = f"{_OF_WALLET} AND (expires_at IS NULL OR expires_at > $3 OR reserved <> 0)"
_BY_ID: Final = f"{_LOTS} AND id = ANY($2::uuid[])"


async def of_wallet(application: Application, wallet: Wallet, *, active_only: bool) -> tuple[Lot, ...]:
    """A wallet's lots in burn-down order; active ones have not expired or still hold something."""
    now = application.clock()
    if active_only:
        rows = await application.readers.of(wallet.tenant_id).fetch(_ACTIVE, wallet.tenant_id, wallet.id, now)
    else:
        rows = await application.readers.of(wallet.tenant_id).fetch(_OF_WALLET, wallet.tenant_id, wallet.id)
    return in_burn_order(wallet, tuple(_lots(rows, now)))


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[Lot | None]:
    """Lots by id, in the order asked; None for those that the tenant does not have."""
    rows = await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, list(ids))
    found = {lot.id: lot for lot in _lots(rows, application.clock())}
    return [found.get(identifier) for identifier in ids]


def _lots(rows: Iterable[asyncpg.Record], now: datetime) -> Iterable[Lot]:
    for row in rows:
        lot = lot_of(row[:])
        assert lot is not None
        if lot.expires_at is not None and lot.expires_at <= now and lot.available > 0:
            lot = lot._replace(available=0, expired=lot.expired + lot.available)
        yield lot
