"""Adjustments: what is put into a wallet (by a plan, a payment or an operator) and what an operator takes back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain import ledger
from domain.attribution import is_text
from domain.books import Books, Changes, Decision, Request
from domain.ledger import EntryType, Voucher
from domain.money import LARGEST_STORED
from domain.refusals import FieldProblem, NotFound, Refusal, invalid
from domain.tenants import running_cycle
from domain.wallets import BucketType, LotSource, Wallet, WalletKind

LONGEST_NOTE = 1_000


@dataclass(frozen=True, slots=True)
class AdjustWallet:
    """Move `amount` (nano-units; negative takes back) into a wallet. `lot_id` is the id of the lot that it makes."""

    request: Request
    wallet_key: str
    amount: int
    note: str
    lot_id: UUID


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit `amount` (nano-units) as a lot of its own: what a plan allocates or a payment tops up."""

    request: Request
    wallet_key: str
    amount: int
    source: LotSource
    expires_at: datetime | None
    reference: str
    lot_id: UUID


@dataclass(frozen=True, slots=True)
class ExpireLots:
    """Book what has expired in these wallets."""

    request: Request
    wallet_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LotsExpired:
    """How many wallets something had expired in."""

    wallets: int


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The wallet after it."""

    wallet: Wallet


def problems(command: AdjustWallet) -> tuple[FieldProblem, ...]:
    """What is wrong with an adjustment, whatever the books say."""
    found: list[FieldProblem] = []
    if command.amount == 0:
        found.append(FieldProblem("amount", "must not be 0"))
    if not command.note.strip() or not is_text(command.note, LONGEST_NOTE):
        found.append(FieldProblem("note", f"say why, in 1 to {LONGEST_NOTE} characters without NUL"))
    return tuple(found)


def adjust_wallet(books: Books, command: AdjustWallet, now: datetime) -> Decision[Adjusted | Refusal]:
    """Grant a lot of its own (credits: until the end of the cycle; metered and capacity: for ever), or take back in
    burn order, below zero if need be."""
    wallet = books.wallets.get(command.wallet_key)
    if wallet is None:
        return Decision(NotFound("wallet"))
    if abs(wallet.granted + command.amount) + abs(wallet.available) + abs(command.amount) > LARGEST_STORED:
        return Decision(invalid("amount", "the wallet cannot hold that much"))
    request = command.request
    voucher = Voucher(request.actor, now, None, "", command.note, request.idempotency_key)
    posting = ledger.expire_due(wallet, voucher)
    if command.amount < 0:
        posting = posting.then(ledger.take_back(posting.wallet, -command.amount, voucher))
    else:
        lot = ledger.new_lot(command.lot_id, LotSource.ADJUSTMENT, now, expiry(books, wallet, now))
        posting = posting.then(ledger.grant(posting.wallet, EntryType.ADJUSTED, lot, command.amount, voucher))
    return Decision(Adjusted(posting.wallet), Changes(wallets=(posting.wallet,), entries=posting.entries))


def grant(books: Books, command: Grant, now: datetime) -> Decision[Adjusted | Refusal]:
    """Credit a new lot; a debt is filled from it first."""
    wallet = books.wallets.get(command.wallet_key)
    if wallet is None:
        return Decision(NotFound("wallet"))
    request = command.request
    voucher = Voucher(request.actor, now, None, command.reference, "", request.idempotency_key)
    entry_type = EntryType.ALLOCATED if command.source is LotSource.PLAN else EntryType.TOPPED_UP
    posting = ledger.expire_due(wallet, voucher)
    lot = ledger.new_lot(command.lot_id, command.source, now, command.expires_at)
    posting = posting.then(ledger.grant(posting.wallet, entry_type, lot, command.amount, voucher))
    return Decision(Adjusted(posting.wallet), Changes(wallets=(posting.wallet,), entries=posting.entries))


def expire_lots(books: Books, command: ExpireLots, now: datetime) -> Decision[LotsExpired]:
    """What has expired counts no more whether it is booked or not; this makes the entries appear that the wallet's next
    command would have made."""
    voucher = Voucher(command.request.actor, now, None, "", "expired")
    wallets = [books.wallets[key] for key in command.wallet_keys if key in books.wallets]
    postings = [posting for wallet in wallets if (posting := ledger.expire_due(wallet, voucher)).entries]
    entries = tuple([entry for posting in postings for entry in posting.entries])
    return Decision(
        LotsExpired(len(postings)), Changes(wallets=tuple([posting.wallet for posting in postings]), entries=entries)
    )


def expiry(books: Books, wallet: Wallet, now: datetime) -> datetime | None:
    """When something that is credited now expires: credits with the cycle, metered and capacity never."""
    if wallet.kind is WalletKind.METERED or wallet.bucket_type is BucketType.CAPACITY:
        return None
    return running_cycle(books.tenant, now).end
