"""Whatever is asked in whatever order: the books balance, batches change nothing, and time alone decides expiry."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import ledger
from domain.adjustments import Adjusted
from domain.decisions import Answer
from domain.ledger import Posting
from domain.recharges import Due, RechargeState
from domain.recordings import Recording
from domain.refusals import Conflict, Refusal
from domain.reservations import Granted
from domain.settlements import Consumed
from domain.wallets import LotSource, Wallet
from tests.domain.builders import (
    TENANT_ID,
    Auditor,
    Bookkeeper,
    conserved,
    empty_wallet,
    figures,
    granted_lot,
    later,
    number,
    tenant,
    voucher,
)
from tests.model.commands import CYCLE, WALLET_KEYS, Historian, Step

seeds = st.integers(0, 2**32 - 1)


def books_of(seed: int) -> Bookkeeper:
    """A tenant with empty wallets; every third may use its own keys."""
    own_keys = seed % 3 == 0
    of = tenant(own_keys=["openai", "leadmagic"], unlimited=True, cycle=CYCLE)
    books = Bookkeeper(of=of, own_keys_allowed=own_keys)
    books.wallets = {key: empty_wallet(key) for key in WALLET_KEYS}
    return books


def history_of(seed: int, length: int = 60) -> list[Step]:
    return Historian(TENANT_ID).history(seed, length)


def played(seed: int, steps: list[Step], between: Callable[[Bookkeeper, Step], None] | None = None) -> Bookkeeper:
    books = books_of(seed)
    for step in steps:
        if between is not None:
            between(books, step)
        books.play(step)
    return books


def state(books: Bookkeeper) -> dict[str, Any]:
    """All that a history leaves behind; lots by their figures, closed ones too."""
    return {
        "wallets": {key: wallet._replace(lots=()) for key, wallet in books.wallets.items()},
        "lots": {wallet: {lot_id: figures(lot) for lot_id, lot in lots.items()} for wallet, lots in books.lots.items()},
        "open lots": {
            key: [(lot.id, *figures(lot)) for lot in wallet.lots if lot.is_open]
            for key, wallet in books.wallets.items()
        },
        "reservations": books.reservations,
        "tasks": books.tasks,
        "counters": books.counters,
        "scopes": books.scopes,
        "budgets": books.budgets,
        "keys": books.used_keys,
        "recorded": books.recorded,
        "entries": books.entries,
        "usage": books.usage,
        "events": books.events,
        "tenant": books.tenant,
        "allocations": books.allocations,
        "top-ups": books.top_ups,
        "recharges": books.recharges,
    }


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_after_any_history_the_books_balance(seed: int) -> None:
    books = played(seed, history_of(seed, 80))
    books.audit()


@settings(deadline=None, max_examples=60)
@given(seeds, seeds)
def test_any_split_into_batches_ends_as_one_by_one_does(seed: int, split: int) -> None:
    """A batch has one time for all its commands and reads only open lots when it starts."""
    random = Random(split)
    one_by_one, batched = books_of(seed), books_of(seed)
    steps = history_of(seed)
    while steps:
        size = random.choice((1, 2, 3, 8, 40))
        batch, steps = steps[:size], steps[size:]
        now = batch[-1].at
        batched.forget_closed_lots()
        for step in batch:
            one_by_one.forget_closed_lots()
            at_once = Step(now, step.command)
            assert one_by_one.play(at_once) == _unread(batched.play(at_once), one_by_one)
    assert state(batched) == state(one_by_one)


def _unread(answer: Answer | None, as_read: Bookkeeper) -> Answer | None:
    """An adjusted wallet may still show closed lots that a fresh read leaves out: nothing else differs."""
    if isinstance(answer, Adjusted):
        read = as_read.wallets[answer.wallet.key]
        assert _open(answer.wallet) == _open(read)
        return Adjusted(answer.wallet._replace(lots=read.lots))
    if isinstance(answer, RechargeState):
        read = as_read.wallets[answer.wallet.key]
        assert _open(answer.wallet) == _open(read)
        return replace(answer, wallet=answer.wallet._replace(lots=read.lots))
    return answer


def _open(wallet: Wallet) -> list[tuple[object, ...]]:
    return [(lot.id, *figures(lot)) for lot in wallet.lots if lot.is_open]


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_a_late_booking_of_expired_lots_changes_no_decision(seed: int) -> None:
    """One deployment books what has expired before every command, the other never does."""
    steps = history_of(seed)
    prompt, late = books_of(seed), books_of(seed)
    for step in steps:
        prompt.book_expired_lots(step.at)
        assert _essence(prompt.play(step), step) == _essence(late.play(step), step)
    end = steps[-1].at
    for key in WALLET_KEYS:
        one, other = prompt.wallets[key], late.wallets[key]
        assert ledger.available_at(one, end) == ledger.available_at(other, end)
        assert (one.granted, one.reserved, one.consumed) == (other.granted, other.reserved, other.consumed)
    late.book_expired_lots(end)
    prompt.book_expired_lots(end)
    assert state(late)["lots"] == state(prompt)["lots"]
    assert late.counters == prompt.counters
    assert late.scopes == prompt.scopes
    late.audit()


def _essence(answer: Answer | None, step: Step) -> object:
    """An answer as it is read at its moment, without the numbers of ledger entries."""
    if isinstance(answer, Adjusted):
        wallet = answer.wallet
        return wallet.granted, ledger.available_at(wallet, step.at), wallet.reserved, wallet.consumed
    if isinstance(answer, Consumed | Recording):
        events = tuple(
            event._replace(charges=tuple((key, amount, 0) for key, amount, _ in event.charges))
            for event in answer.events
        )
        return answer._replace(events=events)
    return answer


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_sending_everything_twice_counts_once(seed: int) -> None:
    once, twice = books_of(seed), books_of(seed)
    for step in history_of(seed):
        first = once.play(step)
        assert first == twice.play(step)
        if isinstance(first, Refusal) or step.command is None:
            continue
        before = state_of_money(twice)
        again = twice.play(step)
        assert type(again) is (Conflict if isinstance(first, Due) else type(first))
        if isinstance(first, Recording):
            assert isinstance(again, Recording)
            assert again.events == ()
        if isinstance(first, Granted):
            assert isinstance(again, Granted)
            assert again.reservation == first.reservation
        assert state_of_money(twice) == before
    assert state(once) == state(twice)


def state_of_money(books: Bookkeeper) -> tuple[object, ...]:
    return (*books.money(), dict(books.scopes), len(books.events))


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_what_is_known_of_cost_is_what_counters_call_spent(seed: int) -> None:
    """Without calls that nobody can price: every event's cost is counted once, in one month."""
    books = books_of(seed)
    for step in history_of(seed):
        books.play(step)
    if any(event.priced.cost is None for event in books.usage):
        return
    total = sum(event.priced.cost or 0 for event in books.usage)
    assert sum(counter.spent for key, counter in books.counters.items() if key.scope.value == "TENANT") == total


@settings(deadline=None, max_examples=60)
@given(seeds)
def test_what_is_charged_is_what_was_consumed(seed: int) -> None:
    """Charges of reservations and of usage alone add up to each wallet's consumption."""
    books = played(seed, history_of(seed))
    charged: defaultdict[str, int] = defaultdict(int)
    for found in books.reservations.values():
        for key, amount in found.charges:
            charged[key] += amount
    settled = {event for found in books.reservations.values() for event in found.settled_events}
    for event in books.usage:
        if event.id not in settled:
            for key, amount, _ in event.charges:
                charged[key] += amount
    assert {key: wallet.consumed for key, wallet in books.wallets.items()} == {
        key: charged[key] for key in books.wallets
    }


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_a_history_is_the_same_for_the_same_seed(seed: int) -> None:
    assert history_of(seed, 30) == history_of(seed, 30)
    times = [step.at for step in history_of(seed, 30)]
    assert times == sorted(times)


amounts = st.integers(1, 10**10)


@given(
    st.lists(st.tuples(st.sampled_from(LotSource), amounts, st.integers(0, 9)), min_size=1, max_size=6),
    st.integers(1, 100),
    st.booleans(),
)
def test_a_hold_empties_each_lot_before_it_touches_the_next(
    lots: list[tuple[LotSource, int, int]], part: int, metered: bool
) -> None:
    posting = Posting(empty_wallet("metered" if metered else "credits"))
    for index, (source, amount, days) in enumerate(lots):
        lot = ledger.new_lot(number(index), source, later(days=-days), None)
        posting = ledger.grant(posting.wallet, ledger.EntryType.ADJUSTED, lot, amount, voucher())
    wallet = posting.wallet
    asked = max(1, wallet.available * part // 100)
    drawn = [draw.amount for draw in ledger.reserve(wallet, asked, voucher()).entries[0].draws]
    assert sum(drawn) == asked
    assert drawn[:-1] == [lot.available for lot in wallet.lots][: len(drawn) - 1]


@given(st.lists(st.tuples(st.sampled_from(["grant", "charge", "take", "hold", "free"]), amounts), max_size=14))
def test_any_order_of_ledger_moves_conserves_every_lot_and_pays_debts_first(moves: list[tuple[str, int]]) -> None:
    posting = granted_lot(empty_wallet(), "3", number(0), expires_at=later(50))
    held: list[tuple[ledger.Draw, ...]] = []
    for index, (kind, amount) in enumerate(moves, 1):
        by = voucher(later(index * 10))
        due = ledger.expire_due(posting.wallet, by)
        posting = posting.then(due)
        wallet = posting.wallet
        match kind:
            case "grant":
                lot = ledger.new_lot(number(index), LotSource.TOP_UP, by.at, later(index * 10 + 35))
                step = ledger.grant(wallet, ledger.EntryType.TOPPED_UP, lot, amount, by)
            case "charge":
                step = ledger.settle(wallet, held.pop() if held else (), amount, by)
            case "take":
                step = ledger.take_back(wallet, amount, by)
            case "hold" if wallet.available > 0:
                step = ledger.reserve(wallet, min(amount, wallet.available), by)
                held.append(step.entries[0].draws)
            case _:
                step = ledger.release(wallet, held.pop() if held else (), by)
        posting = posting.then(step)
        after = posting.wallet
        if kind == "grant":
            assert after.available == wallet.available + amount
        assert after.debt == 0 or all(lot.available <= 0 for lot in after.lots)
    auditor = Auditor()
    for entry in posting.entries:
        auditor.take(entry)
    assert {lot.id: figures(lot) for lot in posting.wallet.lots} == {
        lot_id: figures(balance) for lot_id, balance in auditor.lots[posting.wallet.id].items()
    }
    assert all(conserved(figures(lot)) for lot in posting.wallet.lots)
    assert posting.wallet.reserved == sum(draw.amount for hold in held for draw in hold)


def test_a_history_meets_what_it_is_made_for() -> None:
    """The generator is of use only if grants, refusals of each kind, debts, expiry and pauses do occur."""
    answers: set[str] = set()
    events: set[str] = set()
    moves: set[str] = set()
    states: set[str] = set()
    indebted = 0
    for seed in range(40):
        books = books_of(seed)
        for step in history_of(seed, 80):
            answers.add(type(books.play(step)).__name__)
            indebted += any(wallet.debt for wallet in books.wallets.values())
        events |= {event.type.value for event in books.events}
        moves |= {entry.type.value for entry in books.entries}
        states |= {found.state.value for found in books.reservations.values()}
    assert answers >= {
        *("Granted", "Consumed", "Released", "Adjusted", "BudgetState", "ScopeState", "Recording"),
        *("InsufficientFunds", "BudgetExceeded", "ScopePaused", "UnknownFeature", "UnpricedModel"),
        *("IdempotencyKeyReused", "NotFound", "ReservationEnded", "InvalidInput"),
        *("Subscribed", "TenantState", "Ordered", "RechargeState", "Due", "Conflict"),
    }
    assert events >= {
        *("scope.paused", "scope.resumed", "wallet.debt_repaid", "usage.unpriced", "wallet.low", "wallet.empty"),
        *("cycle.started", "top_up.credited", "top_up.taken_back", "top_up.failed", "top_up.unmatched"),
    }
    assert moves == {"ALLOCATED", "TOPPED_UP", "ADJUSTED", "RESERVED", "RELEASED", "CONSUMED", "EXPIRED"}
    assert states == {"HELD", "CONSUMED", "RELEASED", "EXPIRED"}
    assert indebted > 40
