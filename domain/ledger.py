"""The ledger: every move of money in a wallet, as numbered, hash-chained entries.

Entries move an amount between the compartments of a wallet and, by their draws, of its lots:

    ALLOCATED, TOPPED_UP   granted+   available+
    ADJUSTED               granted±   available±
    RESERVED               available- reserved+
    RELEASED               reserved-  available+
    CONSUMED               reserved-  consumed+
    EXPIRED                available- expired+

What cannot be drawn from a lot is drawn from the overdraft, which goes below zero. An entry that brings
something back repays the overdraft in the same step: its repayments move what was consumed (or taken
back) over to the lot that now pays for it, and leave the wallet's own figures as they are.
"""

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from domain.wallets import Lot, LotSource, Wallet, in_burn_order


class EntryType(StrEnum):
    """The kinds of moves."""

    ALLOCATED = "ALLOCATED"
    TOPPED_UP = "TOPPED_UP"
    ADJUSTED = "ADJUSTED"
    RESERVED = "RESERVED"
    RELEASED = "RELEASED"
    CONSUMED = "CONSUMED"
    EXPIRED = "EXPIRED"


class Draw(NamedTuple):
    """The part of an entry that falls on one lot, in nano-units."""

    lot_id: UUID
    amount: int


class Repayment(NamedTuple):
    """What a lot takes over from the overdraft: amounts that were consumed, or taken back from what was granted."""

    lot_id: UUID
    consumed: int
    granted: int


class Voucher(NamedTuple):
    """Who moves money, when and why; it goes into every entry that the move makes."""

    actor: str
    at: datetime
    reservation_id: UUID | None = None
    reference: str = ""
    note: str = ""
    idempotency_key: str = ""


class Entry(NamedTuple):
    """One immutable move with the balances after it."""

    tenant_id: UUID
    wallet_id: UUID
    sequence: int
    type: EntryType
    amount: int
    granted_after: int
    available_after: int
    reserved_after: int
    consumed_after: int
    expired_after: int
    draws: tuple[Draw, ...]
    repayments: tuple[Repayment, ...]
    voucher: Voucher
    previous_hash: bytes
    hash: bytes


# granted, available, reserved, consumed, expired
MOVES: Final[dict[EntryType, tuple[int, int, int, int, int]]] = {
    EntryType.ALLOCATED: (1, 1, 0, 0, 0),
    EntryType.TOPPED_UP: (1, 1, 0, 0, 0),
    EntryType.ADJUSTED: (1, 1, 0, 0, 0),
    EntryType.RESERVED: (0, -1, 1, 0, 0),
    EntryType.RELEASED: (0, 1, -1, 0, 0),
    EntryType.CONSUMED: (0, 0, -1, 1, 0),
    EntryType.EXPIRED: (0, -1, 0, 0, 1),
}


class Posting(NamedTuple):
    """A wallet after some entries, and the entries."""

    wallet: Wallet
    entries: tuple[Entry, ...] = ()

    def then(self, following: "Posting") -> "Posting":
        """This posting and one that was made from its wallet."""
        return Posting(following.wallet, self.entries + following.entries)


def grant(wallet: Wallet, entry_type: EntryType, lot: Lot, amount: int, voucher: Voucher) -> Posting:
    """Add a new, still empty lot and put `amount` into it; a debt is filled first."""
    assert amount > 0
    wallet = wallet._replace(lots=in_burn_order(wallet, (*wallet.lots, lot)))
    return _post(wallet, entry_type, amount, (Draw(lot.id, amount),), voucher)


def add(wallet: Wallet, lot_id: UUID, amount: int, voucher: Voucher) -> Posting:
    """Put a positive amount into a lot of which something is available."""
    assert amount > 0
    return _post(wallet, EntryType.ADJUSTED, amount, (Draw(lot_id, amount),), voucher)


def new_lot(lot_id: UUID, source: LotSource, granted_at: datetime, expires_at: datetime | None) -> Lot:
    """An empty lot, to be filled by `grant`."""
    return Lot(lot_id, source, 0, 0, 0, 0, 0, granted_at, expires_at)


def take_back(wallet: Wallet, amount: int, voucher: Voucher, own_lot: UUID | None = None) -> Posting:
    """Lower what was granted by a positive amount: from its own lot first, then in burn order, the rest below zero."""
    assert amount > 0
    draws = _draw(wallet, amount, voucher.at, own_lot)
    wallet, draws = _overdraw(wallet, amount, draws, voucher.at)
    return _post(wallet, EntryType.ADJUSTED, -amount, tuple(Draw(lot, -part) for lot, part in draws), voucher)


def expire_due(wallet: Wallet, voucher: Voucher) -> Posting:
    """Book what has expired by now as one entry. Every command on a wallet starts with this, so a late job
    changes nothing."""
    due: tuple[Draw, ...] = ()
    for lot in wallet.lots:
        if lot.expires_at is not None and lot.available > 0 and lot.expires_at <= voucher.at:
            due += (Draw(lot.id, lot.available),)
    if not due:
        return Posting(wallet)
    return _post(wallet, EntryType.EXPIRED, sum(draw.amount for draw in due), due, voucher)


def available_at(wallet: Wallet, at: datetime) -> int:
    """What is available at a moment: what has expired by then counts no more, booked or not."""
    overdue = [
        lot.available
        for lot in wallet.lots
        if lot.expires_at is not None and lot.available > 0 and lot.expires_at <= at
    ]
    return wallet.available - sum(overdue)


def reserve(wallet: Wallet, amount: int, voucher: Voucher) -> Posting:
    """Hold an amount that the caller knows to be available; the entry's draws say from which lots."""
    assert 0 < amount <= wallet.available
    return _post(wallet, EntryType.RESERVED, amount, _draw(wallet, amount, voucher.at), voucher)


def settle(wallet: Wallet, held: tuple[Draw, ...], charge: int, voucher: Voucher) -> Posting:
    """Turn a hold into a charge. The hold's draws are consumed in their order and the rest is released; what the
    charge has above the hold is booked as RESERVED first, below zero if need be, so that spend is never lost."""
    assert charge >= 0
    posting = Posting(wallet)
    missing = charge - sum(draw.amount for draw in held)
    if missing > 0:
        draws = _draw(wallet, missing, voucher.at)
        wallet, draws = _overdraw(wallet, missing, draws, voucher.at)
        posting = _post(wallet, EntryType.RESERVED, missing, draws, voucher)
        held = joined(held, draws)
    used, rest = _split(held, charge)
    if charge:
        posting = posting.then(_post(posting.wallet, EntryType.CONSUMED, charge, used, voucher))
    return posting.then(release(posting.wallet, rest, voucher))


def joined(first: tuple[Draw, ...], second: tuple[Draw, ...]) -> tuple[Draw, ...]:
    """Two sets of draws as one, each lot once, in the order in which they were first drawn."""
    amounts: dict[UUID, int] = {}
    for lot_id, amount in (*first, *second):
        amounts[lot_id] = amounts.get(lot_id, 0) + amount
    return tuple([Draw(lot_id, amount) for lot_id, amount in amounts.items()])


def release(wallet: Wallet, held: tuple[Draw, ...], voucher: Voucher) -> Posting:
    """Give a hold back; what belongs to a lot that has expired meanwhile is booked EXPIRED at once."""
    amount = sum(draw.amount for draw in held)
    if amount == 0:
        return Posting(wallet)
    posting = _post(wallet, EntryType.RELEASED, amount, held, voucher)
    return posting.then(expire_due(posting.wallet, voucher))


def entry_bytes(entry: Entry) -> bytes:
    """What an entry's hash covers after the 32 bytes of the hash before it: five netstrings (length in bytes, colon,
    bytes, comma).

    The first holds these fields, joined by blanks: tenant id, wallet id, sequence, type, amount, then granted,
    available, reserved, consumed and expired after it, reservation id, time, draws, repayments. The others are
    reference, note, actor and idempotency key. Ids are 32 hexadecimal digits, amounts whole nano-units; draws are
    "lot:amount" and repayments "lot:consumed:granted", joined by commas; "-" stands for none. The time is ISO 8601 in
    UTC with six fractional digits and "Z".
    """
    return _bytes(
        entry.tenant_id,
        entry.wallet_id,
        entry.sequence,
        entry.type,
        entry.amount,
        entry[5:10],
        entry.draws,
        entry.repayments,
        entry.voucher,
    )


def chain_hash(previous_hash: bytes, covered: bytes) -> bytes:
    """SHA-256 over the hash before and an entry's bytes."""
    return sha256(previous_hash + covered).digest()


@lru_cache(maxsize=64)
def timestamp(moment: datetime) -> str:
    """A UTC moment as it stands in the hashed bytes: 2026-11-21T02:45:00.123456Z."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _bytes(
    tenant_id: UUID,
    wallet_id: UUID,
    sequence: int,
    entry_type: EntryType,
    amount: int,
    balances: tuple[int, int, int, int, int],
    draws: tuple[Draw, ...],
    repayments: tuple[Repayment, ...],
    voucher: Voucher,
) -> bytes:
    actor, at, reservation_id, reference, note, idempotency_key = voucher
    granted, available, reserved, consumed, expired = balances
    drawn = ",".join([f"{lot.hex}:{part}" for lot, part in draws])
    repaid = ",".join([f"{lot.hex}:{consumed}:{granted}" for lot, consumed, granted in repayments]) or "-"
    fields = (
        f"{tenant_id.hex} {wallet_id.hex} {sequence} {entry_type.value} {amount} {granted} {available} {reserved} "
        f"{consumed} {expired} {reservation_id.hex if reservation_id else '-'} {timestamp(at)} {drawn} {repaid}"
    )
    texts = [text.encode() for text in (fields, reference, note, actor, idempotency_key)]
    return b"".join([b"%d:%b," % (len(text), text) for text in texts])


def _post(wallet: Wallet, entry_type: EntryType, amount: int, draws: tuple[Draw, ...], voucher: Voucher) -> Posting:
    move = MOVES[entry_type]
    amounts = dict(draws)
    assert sum(amounts.values()) == amount
    lots = tuple([_moved(lot, move, amounts[lot.id]) if lot.id in amounts else lot for lot in wallet.lots])
    repayments: tuple[Repayment, ...] = ()
    if wallet.available < 0 and move[1] * amount > 0:
        lots, repayments = _repay(wallet, lots, draws)
    balances = (
        wallet.granted + move[0] * amount,
        wallet.available + move[1] * amount,
        wallet.reserved + move[2] * amount,
        wallet.consumed + move[3] * amount,
        wallet.expired + move[4] * amount,
    )
    sequence = wallet.sequence + 1
    covered = _bytes(wallet.tenant_id, wallet.id, sequence, entry_type, amount, balances, draws, repayments, voucher)
    head = chain_hash(wallet.head_hash, covered)
    entry = Entry(
        wallet.tenant_id,
        wallet.id,
        sequence,
        entry_type,
        amount,
        *balances,
        draws,
        repayments,
        voucher,
        wallet.head_hash,
        head,
    )
    after = Wallet(
        wallet.tenant_id,
        wallet.id,
        wallet.key,
        wallet.kind,
        wallet.unit,
        wallet.bucket_type,
        *balances,
        sequence,
        head,
        wallet.low_balance,
        lots,
    )
    return Posting(after, (entry,))


def _moved(lot: Lot, move: tuple[int, int, int, int, int], amount: int) -> Lot:
    return Lot(
        lot.id,
        lot.source,
        lot.granted + move[0] * amount,
        lot.available + move[1] * amount,
        lot.reserved + move[2] * amount,
        lot.consumed + move[3] * amount,
        lot.expired + move[4] * amount,
        lot.granted_at,
        lot.expires_at,
    )


def _draw(wallet: Wallet, amount: int, at: datetime, own_lot: UUID | None = None) -> tuple[Draw, ...]:
    """Draws on what is available, in burn order (the own lot first), as far as it reaches."""
    lots = wallet.lots
    if own_lot is not None:
        lots = tuple(sorted(lots, key=lambda lot: lot.id != own_lot))
    draws: tuple[Draw, ...] = ()
    for lot in lots:
        if lot.available <= 0:
            continue
        assert lot.expires_at is None or lot.expires_at > at, "book what is due before drawing"
        part = min(lot.available, amount)
        draws += (Draw(lot.id, part),)
        amount -= part
        if amount == 0:
            break
    return draws


def _overdraw(wallet: Wallet, amount: int, draws: tuple[Draw, ...], at: datetime) -> tuple[Wallet, tuple[Draw, ...]]:
    """Let the overdraft carry what the draws do not reach."""
    missing = amount - sum(draw.amount for draw in draws)
    if missing == 0:
        return wallet, draws
    if all(lot.id != wallet.id for lot in wallet.lots):
        overdraft = new_lot(wallet.id, LotSource.ADJUSTMENT, at, None)
        wallet = wallet._replace(lots=(*wallet.lots, overdraft))
    return wallet, (*draws, Draw(wallet.id, missing))


def _repay(
    wallet: Wallet, lots: tuple[Lot, ...], draws: tuple[Draw, ...]
) -> tuple[tuple[Lot, ...], tuple[Repayment, ...]]:
    """Let the lots that just gained something pay the overdraft: what was consumed first, then what was taken back."""
    by_id = {lot.id: lot for lot in lots}
    overdraft = by_id[wallet.id]
    repayments: list[Repayment] = []
    for lot_id, _ in draws:
        lot = by_id[lot_id]
        part = min(lot.available, -overdraft.available)
        if part <= 0:
            continue
        consumed = min(part, overdraft.consumed)
        granted = part - consumed
        by_id[lot_id] = lot._replace(
            available=lot.available - part, consumed=lot.consumed + consumed, granted=lot.granted - granted
        )
        overdraft = overdraft._replace(
            available=overdraft.available + part,
            consumed=overdraft.consumed - consumed,
            granted=overdraft.granted + granted,
        )
        repayments.append(Repayment(lot_id, consumed, granted))
    by_id[wallet.id] = overdraft
    return tuple(by_id.values()), tuple(repayments)


def _split(held: tuple[Draw, ...], amount: int) -> tuple[tuple[Draw, ...], tuple[Draw, ...]]:
    """The draws that make up an amount, in their order, and the rest."""
    used: list[Draw] = []
    rest: list[Draw] = []
    for lot_id, part in held:
        taken = min(part, amount)
        amount -= taken
        if taken:
            used.append(Draw(lot_id, taken))
        if part > taken:
            rest.append(Draw(lot_id, part - taken))
    return tuple(used), tuple(rest)
