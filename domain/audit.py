"""Audit: whether a wallet's entries, balances, lots and hashes agree. What does not is told as findings.

The moves of each type of entry are stated here once more, so that the audit does not share a mistake of the
ledger that it checks. After a finding the fold goes on from what is stored, so that one fault is named where
it is and not at every entry after it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from domain.ledger import Entry, EntryType, chain_hash, entry_bytes
from domain.wallets import GENESIS_HASH, Wallet

Figure = str | int | None


class FindingKind(StrEnum):
    """What does not hold."""

    ENTRY_NUMBER = "entry_number"  # a wallet's entries are numbered 1, 2, 3 ... without gaps
    ENTRY_LINK = "entry_link"  # each carries the hash of the one before
    ENTRY_HASH = "entry_hash"  # and its own, over all that it says
    ENTRY_BALANCES = "entry_balances"  # its balances follow from those before, its type and its amount
    ENTRY_DRAWS = "entry_draws"  # its draws on lots add up to its amount
    ENTRY_WITHOUT_WALLET = "entry_without_wallet"
    WALLET_HEAD = "wallet_head"  # the wallet stands at its newest entry
    WALLET_BALANCES = "wallet_balances"  # with the balances after it
    WALLET_LOTS = "wallet_lots"  # which are the sums over its lots
    LOT_BALANCES = "lot_balances"  # each lot is what the draws and repayments made of it
    WALLET_RESERVED = "wallet_reserved"  # reserved = the holds of its open reservations
    LOT_RESERVED = "lot_reserved"  # as the wallet, by the draws of the holds
    HOLD_DRAWS = "hold_draws"  # a hold's draws add up to it
    COUNTER_HELD = "counter_held"  # a budget's held = what is left of the open reservations that it counts
    RESERVATION_ENTRIES = "reservation_entries"  # its entries leave open what it holds, and consume what it charged
    TASK = "task"  # a task's key stands for one held or consumed reservation of that task
    USAGE_KEY = "usage_key"  # an event's key and the event come in pairs
    USAGE_CHARGED = "usage_charged"  # what a wallet consumed stands on usage
    USAGE_COUNTED = "usage_counted"  # what a tenant's budgets count as spent is what its usage cost
    IDEMPOTENCY_KEY = "idempotency_key"  # what a key has made is there
    TOP_UP = "top_up"  # what orders credited and took back is what the ledger says
    ALLOCATION = "allocation"  # what the plan gave is what the ledger says
    EXPENSE = "expense"  # an expense is the newest of its versions, and none of them is missing
    REFERENCE = "reference"  # what a row refers to is there


class Finding(NamedTuple):
    """One imbalance: what kind, where, and the figures that differ, by name."""

    kind: FindingKind
    place: str
    figures: tuple[tuple[str, Figure], ...]


# granted, available, reserved, consumed, expired
COMPARTMENTS: Final = ("granted", "available", "reserved", "consumed", "expired")
Balances = tuple[int, int, int, int, int]
NOTHING: Final[Balances] = (0, 0, 0, 0, 0)
_MOVES: Final[dict[EntryType, Balances]] = {
    EntryType.ALLOCATED: (1, 1, 0, 0, 0),
    EntryType.TOPPED_UP: (1, 1, 0, 0, 0),
    EntryType.ADJUSTED: (1, 1, 0, 0, 0),
    EntryType.RESERVED: (0, -1, 1, 0, 0),
    EntryType.RELEASED: (0, 1, -1, 0, 0),
    EntryType.CONSUMED: (0, 0, -1, 1, 0),
    EntryType.EXPIRED: (0, -1, 0, 0, 1),
}


class WalletAudit:
    """One wallet as it is stored, with all its lots, against its entries, which are taken one after the other."""

    def __init__(self, wallet: Wallet, place: str) -> None:
        self._wallet = wallet
        self._place = place
        self._sequence = 0
        self._head = GENESIS_HASH
        self._balances = NOTHING
        self._lots: dict[UUID, list[int]] = {}

    def take(self, entry: Entry) -> tuple[Finding, ...]:
        """What is wrong with the next entry."""
        found: list[Finding] = []
        place = f"{self._place} entry {entry.sequence}"
        if entry.sequence != self._sequence + 1:
            found.append(_differs(FindingKind.ENTRY_NUMBER, place, "number", self._sequence + 1, entry.sequence))
        if entry.previous_hash != self._head:
            link = _differs(FindingKind.ENTRY_LINK, place, "hash_before", self._head.hex(), entry.previous_hash.hex())
            found.append(link)
        computed = chain_hash(entry.previous_hash, entry_bytes(entry))
        if computed != entry.hash:
            found.append(_differs(FindingKind.ENTRY_HASH, place, "hash", computed.hex(), entry.hash.hex()))
        stored = (
            entry.granted_after,
            entry.available_after,
            entry.reserved_after,
            entry.consumed_after,
            entry.expired_after,
        )
        move = _MOVES[entry.type]
        followed = _moved(self._balances, move, entry.amount)
        if followed != stored:
            found.append(_balances_differ(FindingKind.ENTRY_BALANCES, place, followed, stored))
        drawn = self._draw(entry, move)
        if drawn != entry.amount:
            found.append(_differs(FindingKind.ENTRY_DRAWS, place, "draws", entry.amount, drawn))
        self._sequence, self._head, self._balances = entry.sequence, entry.hash, stored
        return tuple(found)

    def finish(self) -> tuple[Finding, ...]:
        """What is wrong with the wallet and its lots, after the last entry."""
        wallet, place = self._wallet, self._place
        found: list[Finding] = []
        if wallet.sequence != self._sequence:
            found.append(_differs(FindingKind.WALLET_HEAD, place, "number", self._sequence, wallet.sequence))
        if wallet.head_hash != self._head:
            head = _differs(FindingKind.WALLET_HEAD, place, "hash", self._head.hex(), wallet.head_hash.hex())
            found.append(head)
        stored = (wallet.granted, wallet.available, wallet.reserved, wallet.consumed, wallet.expired)
        if stored != self._balances:
            found.append(_balances_differ(FindingKind.WALLET_BALANCES, place, self._balances, stored))
        found.extend(self._lots_differ())
        sums = [0, 0, 0, 0, 0]
        for lot in wallet.lots:
            _add(sums, (lot.granted, lot.available, lot.reserved, lot.consumed, lot.expired), 1)
        if tuple(sums) != stored:
            found.append(_balances_differ(FindingKind.WALLET_LOTS, place, sums, stored))
        return tuple(found)

    def _draw(self, entry: Entry, move: Balances) -> int:
        """Move the lots as the entry says; the sum of its draws."""
        drawn = 0
        for lot_id, part in entry.draws:
            _add(self._lot(lot_id), move, part)
            drawn += part
        for lot_id, consumed, granted in entry.repayments:
            taken_over = (-granted, -consumed - granted, 0, consumed, 0)
            _add(self._lot(lot_id), taken_over, 1)
            _add(self._lot(entry.wallet_id), taken_over, -1)
        return drawn

    def _lot(self, lot_id: UUID) -> list[int]:
        return self._lots.setdefault(lot_id, [0, 0, 0, 0, 0])

    def _lots_differ(self) -> Iterable[Finding]:
        stored = {
            lot.id: [lot.granted, lot.available, lot.reserved, lot.consumed, lot.expired] for lot in self._wallet.lots
        }
        for lot_id in sorted({*stored, *self._lots}):
            before, after = self._lots.get(lot_id, list(NOTHING)), stored.get(lot_id, list(NOTHING))
            if before != after:
                yield _balances_differ(FindingKind.LOT_BALANCES, f"{self._place} lot {lot_id}", before, after)


def _moved(before: Balances, move: Balances, amount: int) -> Balances:
    return (
        before[0] + move[0] * amount,
        before[1] + move[1] * amount,
        before[2] + move[2] * amount,
        before[3] + move[3] * amount,
        before[4] + move[4] * amount,
    )


def _add(balances: list[int], move: Balances, amount: int) -> None:
    for index in range(5):
        balances[index] += move[index] * amount


def _differs(kind: FindingKind, place: str, name: str, expected: Figure, stored: Figure) -> Finding:
    return Finding(kind, place, ((f"{name}_expected", expected), (f"{name}_stored", stored)))


def _balances_differ(kind: FindingKind, place: str, expected: Iterable[int], stored: Iterable[int]) -> Finding:
    figures: list[tuple[str, Figure]] = []
    for name, should_be, stands in zip(COMPARTMENTS, expected, stored, strict=True):
        if should_be != stands:
            figures += [(f"{name}_expected", should_be), (f"{name}_stored", stands)]
    return Finding(kind, place, tuple(figures))
