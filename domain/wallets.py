"""Wallets: balances of one unit of one tenant, made of lots that are drawn in burn-down order.

    granted = available + reserved + consumed + expired        for every wallet and every lot

`available` is signed: a settlement, a taking back or a lowered ceiling may leave it below zero. What is
below zero sits on one lot of its own, the overdraft (its id is the wallet's), and whatever comes next
fills it first (PRODUCT.md 3).
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from domain.money import NANO, percent


class Unit(StrEnum):
    """What a wallet counts."""

    CREDIT = "CREDIT"
    USD = "USD"


class WalletKind(StrEnum):
    """PLATFORM wallets come with the plan each cycle; the METERED one is prepaid and never expires."""

    PLATFORM = "PLATFORM"
    METERED = "METERED"


class BucketType(StrEnum):
    """CONSUMABLE is used up; CAPACITY is taken and given back, and never consumed."""

    CONSUMABLE = "CONSUMABLE"
    CAPACITY = "CAPACITY"


class LotSource(StrEnum):
    """Where a lot came from."""

    PLAN = "PLAN"
    TOP_UP = "TOP_UP"
    ADJUSTMENT = "ADJUSTMENT"


class BalanceStatus(StrEnum):
    """OK under 80 % used, WARNING from 80 %, EXHAUSTED at 100 % or below zero; a metered wallet also
    warns under its low-balance threshold."""

    OK = "OK"
    WARNING = "WARNING"
    EXHAUSTED = "EXHAUSTED"


# What the hash chain of every wallet starts from.
GENESIS_HASH: Final = bytes(32)


class Lot(NamedTuple):
    """One grant inside a wallet, in nano-units."""

    id: UUID
    source: LotSource
    granted: int
    available: int
    reserved: int
    consumed: int
    expired: int
    granted_at: datetime
    expires_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether anything is left that a command could move."""
        return self.available != 0 or self.reserved != 0


class Wallet(NamedTuple):
    """A wallet with its open lots in burn-down order. `sequence` and `head_hash` are those of the newest entry."""

    tenant_id: UUID
    id: UUID
    key: str
    kind: WalletKind
    unit: Unit
    bucket_type: BucketType
    granted: int
    available: int
    reserved: int
    consumed: int
    expired: int
    sequence: int
    head_hash: bytes
    low_balance: int | None
    lots: tuple[Lot, ...]

    @property
    def debt(self) -> int:
        """What is below zero, as a positive amount."""
        return max(0, -self.available)


# Document 002's buckets that are taken and given back; every other wallet is used up.
CAPACITY_KEYS: Final = frozenset({"lead_storage", "email_accounts"})
METERED_KEY: Final = "metered"
# Document 002: "Set auto-recharge to a small threshold ($50)".
DEFAULT_LOW_BALANCE: Final = 50 * NANO

_SOURCE_ORDER: Final = {LotSource.TOP_UP: 0, LotSource.ADJUSTMENT: 1, LotSource.PLAN: 2}
WARNING_PERCENT: Final = 8_000
FULL_PERCENT: Final = 10_000


def unit_of(key: str) -> Unit:
    """What a wallet of this key counts."""
    return Unit.USD if key == METERED_KEY else Unit.CREDIT


def new_wallet(tenant_id: UUID, identifier: UUID, key: str) -> Wallet:
    """An empty wallet; what it is follows from its key: the metered one, a capacity bucket, or credits."""
    metered = key == METERED_KEY
    return Wallet(
        tenant_id,
        identifier,
        key,
        WalletKind.METERED if metered else WalletKind.PLATFORM,
        unit_of(key),
        BucketType.CAPACITY if key in CAPACITY_KEYS else BucketType.CONSUMABLE,
        granted=0,
        available=0,
        reserved=0,
        consumed=0,
        expired=0,
        sequence=0,
        head_hash=GENESIS_HASH,
        low_balance=DEFAULT_LOW_BALANCE if metered else None,
        lots=(),
    )


def in_burn_order(wallet: Wallet, lots: tuple[Lot, ...]) -> tuple[Lot, ...]:
    """Sort lots the way they are drawn.

    Platform: top-ups, then adjustments, then the plan, newest first within each (LIFO, document 004).
    Metered: oldest first. The overdraft is last.
    """
    if len(lots) < 2:
        return lots
    if wallet.kind is WalletKind.METERED:
        return tuple(sorted(lots, key=lambda lot: (lot.id == wallet.id, lot.granted_at, lot.id)))
    newest_first = sorted(lots, key=lambda lot: (lot.granted_at, lot.id), reverse=True)
    return tuple(sorted(newest_first, key=lambda lot: (lot.id == wallet.id, _SOURCE_ORDER[lot.source])))


def used_percent(wallet: Wallet, active_granted: int, active_consumed: int) -> int:
    """Hundredths of a percent: consumed / granted over the lots that are active now; capacity: reserved / granted."""
    if wallet.bucket_type is BucketType.CAPACITY:
        return percent(wallet.reserved, wallet.granted) if wallet.granted > 0 else 0
    return percent(active_consumed, active_granted) if active_granted > 0 else 0


def status(wallet: Wallet, used: int) -> BalanceStatus:
    """The status that goes with `used_percent`."""
    if wallet.available < 0 or used >= FULL_PERCENT:
        return BalanceStatus.EXHAUSTED
    low = wallet.low_balance is not None and wallet.available < wallet.low_balance
    if low or used >= WARNING_PERCENT:
        return BalanceStatus.WARNING
    return BalanceStatus.OK
