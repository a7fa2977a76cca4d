"""Hindsight: a wallet as it was before its newest entry, from the entry alone.

An entry says what it moved, lot by lot, so its moves can be taken back: `before` undoes what `ledger` posts. A back-test
begins with the wallets as they were when the month began.
"""

from domain.ledger import MOVES, Entry
from domain.wallets import Lot, Wallet


def before(wallet: Wallet, entry: Entry) -> Wallet:
    """The wallet before its newest entry. `wallet.lots` holds the lots that the entry moved, used up or not; one that the
    entry made is left, empty."""
    assert entry.sequence == wallet.sequence, "entries are taken back newest first"
    assert entry.hash == wallet.head_hash
    move = MOVES[entry.type]
    lots = {lot.id: lot for lot in wallet.lots}
    overdraft = lots.get(wallet.id)
    for lot_id, consumed, granted in entry.repayments:
        assert overdraft is not None, "only an overdraft is repaid"
        lots[lot_id] = _added(lots[lot_id], (granted, consumed + granted, 0, -consumed, 0))
        overdraft = _added(overdraft, (-granted, -consumed - granted, 0, consumed, 0))
        lots[wallet.id] = overdraft
    for lot_id, amount in entry.draws:
        lots[lot_id] = _added(lots[lot_id], _times(move, -amount))
    granted, available, reserved, consumed, expired = _times(move, -entry.amount)
    return wallet._replace(
        granted=wallet.granted + granted,
        available=wallet.available + available,
        reserved=wallet.reserved + reserved,
        consumed=wallet.consumed + consumed,
        expired=wallet.expired + expired,
        sequence=wallet.sequence - 1,
        head_hash=entry.previous_hash,
        lots=tuple(lots.values()),
    )


def _times(move: tuple[int, int, int, int, int], amount: int) -> tuple[int, int, int, int, int]:
    granted, available, reserved, consumed, expired = move
    return granted * amount, available * amount, reserved * amount, consumed * amount, expired * amount


def _added(lot: Lot, moved: tuple[int, int, int, int, int]) -> Lot:
    granted, available, reserved, consumed, expired = moved
    return lot._replace(
        granted=lot.granted + granted,
        available=lot.available + available,
        reserved=lot.reserved + reserved,
        consumed=lot.consumed + consumed,
        expired=lot.expired + expired,
    )
