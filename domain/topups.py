"""Top-ups: money that becomes a lot, exactly once per payment, and goes out again with refunds and disputes.

What is told of a payment may come twice, late and out of order. Each time, all that is known is joined, and what is
booked is brought in line with it: nothing is decided by which message came first (PRODUCT.md 9).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from domain import adjustments, ids, ledger, payments, recharges
from domain.admission import closed
from domain.books import Books, Changes, Decision, Event, EventType, Request
from domain.catalog import Catalog
from domain.ledger import Entry, EntryType, Voucher
from domain.money import NANO, Money, format_amount, nano_to_minor
from domain.payments import Outcome, PaymentFacts, TopUp, TopUpOrigin, TopUpState
from domain.refusals import FieldProblem, InvalidInput, NotFound, Refusal, invalid
from domain.wallets import LotSource, Wallet, WalletKind

METERED_CURRENCY: Final = "USD"
# Of prepaid dollars, in one payment; what cards can be charged lies within.
LEAST_PAYMENT: Final = NANO
MOST_PAYMENT: Final = 100_000 * NANO


@dataclass(frozen=True, slots=True)
class StartTopUp:
    """Order a bundle of the tenant's region, or an amount (nano-dollars) of metered balance."""

    request: Request
    top_up_id: UUID
    wallet_key: str
    bundle: str | None
    amount: int | None


@dataclass(frozen=True, slots=True)
class SettleTopUp:
    """Bring an order in line with what is told of its payment. `lot_id` is that of the lot that money makes which comes
    back after it was taken; `checkout_url` where the order can be paid from now on, None: as before."""

    request: Request
    top_up_id: UUID
    facts: PaymentFacts
    lot_id: UUID
    checkout_url: str | None = None


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order in its present state."""

    top_up: TopUp


def problems(command: StartTopUp) -> tuple[FieldProblem, ...]:
    """What is wrong with an order, whatever the books say."""
    if (command.bundle is None) == (command.amount is None):
        return (FieldProblem("amount", "give either a bundle (query bundles) or, for metered dollars, an amount"),)
    return () if command.amount is None else payment_problems("amount", command.amount)


def payment_problems(path: str, amount: int) -> tuple[FieldProblem, ...]:
    """What is wrong with an amount of dollars that is to be charged to a card."""
    if LEAST_PAYMENT <= amount <= MOST_PAYMENT and nano_to_minor(amount, METERED_CURRENCY) is not None:
        return ()
    least, most = format_amount(LEAST_PAYMENT), format_amount(MOST_PAYMENT)
    return (FieldProblem(path, f"must be {least} to {most} dollars in whole cents"),)


def start_top_up(books: Books, command: StartTopUp, now: datetime) -> Decision[Ordered | Refusal]:
    """Take the order; nothing is credited before it is paid."""
    suspended = closed(books.tenant)
    if suspended is not None:
        return Decision(suspended)
    wallet = books.wallets.get(command.wallet_key)
    if wallet is None:
        return Decision(NotFound("wallet"))
    offer = _offer(books.catalog, books.tenant.region, wallet, command, now)
    if not isinstance(offer, tuple):
        return Decision(offer)
    amount, price = offer
    top_up = TopUp(
        command.top_up_id,
        wallet.key,
        amount,
        price,
        command.bundle,
        TopUpOrigin.CHECKOUT,
        command.request.actor,
        now,
    )
    return Decision(Ordered(top_up), Changes(top_ups=(top_up,)))


def settle_top_up(books: Books, command: SettleTopUp, now: datetime) -> Decision[Ordered | Refusal]:
    """Credit what is paid, take back what was refunded or is disputed, give back what was won."""
    before = books.top_ups.get(command.top_up_id)
    if before is None:
        return Decision(NotFound("top-up"))
    if _is_another_payment(before, command.facts):
        # Paid twice: a person gives the second one back, and its refund takes no credit.
        again = command.facts.outcome is Outcome.PAID
        return Decision(Ordered(before), Changes(events=(_event(EventType.TOP_UP_UNMATCHED, before),) if again else ()))
    top_up = before.with_facts(command.facts)
    if command.checkout_url is not None:
        top_up = replace(top_up, checkout_url=command.checkout_url)
    wallet = books.wallets[top_up.wallet_key]
    entries: tuple[Entry, ...] = ()
    if _is_paid_as_ordered(top_up) and top_up.credited == 0:
        posting = _credited(books, wallet, top_up, _voucher(command, top_up, "", now))
        wallet, entries = posting.wallet, posting.entries
        top_up = replace(top_up, credited=top_up.amount, credited_at=now)
    owed = payments.to_take_back(top_up) - top_up.taken_back
    if owed:
        posting = _corrected(books, wallet, top_up, command, owed, now)
        wallet, entries = posting.wallet, entries + posting.entries
        top_up = replace(top_up, taken_back=top_up.taken_back + owed)
    state = payments.state_of(top_up)
    top_up = replace(top_up, state=state, checkout_url=top_up.checkout_url if state is TopUpState.PENDING else None)
    if top_up == before:
        return Decision(Ordered(before))
    recharge = books.recharges.get(top_up.wallet_key)
    recharged, told = None, _told(before, top_up)
    if recharge is not None:
        recharged, further = recharges.after(recharge, before, top_up, books.book.month, now)
        told += further
    changes = Changes(
        wallets=(wallet,) if entries else (),
        entries=entries,
        top_ups=(top_up,),
        recharges=() if recharged is None or recharged == recharge else (recharged,),
        events=told,
    )
    return Decision(Ordered(top_up), changes)


def _offer(
    catalog: Catalog, region: str, wallet: Wallet, command: StartTopUp, now: datetime
) -> tuple[int, Money] | InvalidInput | NotFound:
    """How much (nano-units) for how much money."""
    if command.bundle is not None:
        bundle = catalog.bundle(region, command.bundle, now)
        if bundle is None or bundle.withdrawn or bundle.wallet_key != wallet.key:
            return NotFound(f"bundle {command.bundle} for wallet {wallet.key}")
        return bundle.amount, Money(bundle.price, bundle.currency)
    if wallet.kind is not WalletKind.METERED:
        return invalid("amount", "only metered dollars are sold by the amount: choose a bundle (query bundles)")
    assert command.amount is not None
    minor = nano_to_minor(command.amount, METERED_CURRENCY)
    assert minor is not None, "whole cents were asked for"
    return command.amount, Money(minor, METERED_CURRENCY)


def _is_another_payment(known: TopUp, told: PaymentFacts) -> bool:
    facts = known.facts
    if facts.outcome is not Outcome.PAID or facts.payment_id is None:
        return False
    return told.payment_id not in (None, facts.payment_id)


def _is_paid_as_ordered(top_up: TopUp) -> bool:
    return top_up.facts.outcome is Outcome.PAID and top_up.facts.received == top_up.price


def _credited(books: Books, wallet: Wallet, top_up: TopUp, voucher: Voucher) -> ledger.Posting:
    """The lot of a payment carries the order's id, and expires with the cycle in which it is credited."""
    posting = ledger.expire_due(wallet, voucher)
    lot = ledger.new_lot(top_up.id, LotSource.TOP_UP, voucher.at, adjustments.expiry(books, wallet, voucher.at))
    return posting.then(ledger.grant(posting.wallet, EntryType.TOPPED_UP, lot, top_up.amount, voucher))


def _corrected(
    books: Books, wallet: Wallet, top_up: TopUp, command: SettleTopUp, owed: int, now: datetime
) -> ledger.Posting:
    """Take back what is gone, from its own lot first and below zero at last; or give back what came back."""
    if owed > 0:
        voucher = _voucher(command, top_up, "refunded" if payments.disputed(top_up.facts) == 0 else "disputed", now)
        posting = ledger.expire_due(wallet, voucher)
        return posting.then(ledger.take_back(posting.wallet, owed, voucher, top_up.id))
    voucher = _voucher(command, top_up, "came back", now)
    posting = ledger.expire_due(wallet, voucher)
    lot = ledger.new_lot(command.lot_id, LotSource.TOP_UP, now, adjustments.expiry(books, wallet, now))
    return posting.then(ledger.grant(posting.wallet, EntryType.ADJUSTED, lot, -owed, voucher))


def _voucher(command: SettleTopUp, top_up: TopUp, note: str, now: datetime) -> Voucher:
    return Voucher(command.request.actor, now, None, ids.public("top_up", top_up.id), note)


def _told(before: TopUp, after: TopUp) -> tuple[Event, ...]:
    """What others must hear: each step once."""
    kinds: list[EventType] = []
    if after.credited and not before.credited:
        kinds.append(EventType.TOP_UP_CREDITED)
    if after.taken_back > before.taken_back:
        kinds.append(EventType.TOP_UP_TAKEN_BACK)
    if after.state is not before.state:
        if after.state is TopUpState.PAID:
            kinds.append(EventType.TOP_UP_UNMATCHED)
        elif after.state in (TopUpState.FAILED, TopUpState.EXPIRED):
            kinds.append(EventType.TOP_UP_FAILED)
    if after.facts.outcome is Outcome.REQUIRES_ACTION is not before.facts.outcome:
        kinds.append(EventType.TOP_UP_NEEDS_ACTION)
    return tuple([_event(kind, after) for kind in kinds])


def _event(kind: EventType, top_up: TopUp) -> Event:
    payload = (
        ("topUp", ids.public("top_up", top_up.id)),
        ("wallet", top_up.wallet_key),
        ("amount", top_up.amount),
        ("takenBack", top_up.taken_back),
        ("state", top_up.state.value),
        ("failure", top_up.facts.failure),
    )
    return Event(kind, payload)
