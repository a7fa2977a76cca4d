"""Rows of `wallet` and `lot`, read into values."""

from typing import Any, Final

from domain.wallets import BucketType, Lot, LotSource, Unit, Wallet, WalletKind

WALLET_COLUMNS: Final = """w.tenant_id, w.id, w.key, w.kind, w.unit, w.bucket_type, w.granted, w.available, w.reserved,
    w.consumed, w.expired, w.sequence, w.head_hash, w.low_balance"""
LOT_COLUMNS: Final = """l.id, l.source, l.granted, l.available, l.reserved, l.consumed, l.expired, l.granted_at,
    l.expires_at"""
WALLET_WIDTH: Final = 14
LOT_WIDTH: Final = 9


def wallet_of(row: tuple[Any, ...], lots: tuple[Lot, ...] = ()) -> Wallet:
    """A wallet from the values of WALLET_COLUMNS."""
    tenant_id, identifier, key, kind, unit, bucket_type, *figures = row
    return Wallet._make(
        (tenant_id, identifier, key, WalletKind(kind), Unit(unit), BucketType(bucket_type), *figures, lots)
    )


def lot_of(row: tuple[Any, ...]) -> Lot | None:
    """A lot from the values of LOT_COLUMNS; None where an outer join found none."""
    identifier, source, *figures = row
    return None if identifier is None else Lot._make((identifier, LotSource(source), *figures))
