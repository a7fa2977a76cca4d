"""The ledger: every kind of move with its draws, the debt and its repayment, expiry by time, the chain."""

from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

import pytest

from domain import ledger
from domain.ledger import Draw, Entry, EntryType, Posting, Repayment, Voucher
from domain.wallets import GENESIS_HASH, Lot, LotSource, Wallet
from tests.domain.builders import (
    CYCLE_END,
    NOW,
    TENANT_ID,
    Auditor,
    conserved,
    draws,
    empty_wallet,
    figures,
    granted_lot,
    nano,
    number,
    voucher,
)

PLAN, TOP_UP, GIFT = number(1), number(2), number(3)
AFTER_CYCLE = CYCLE_END + timedelta(days=2)


def audited(posting: Posting) -> Posting:
    """The posting of a whole history, checked entry by entry."""
    auditor = Auditor()
    for entry in posting.entries:
        auditor.take(entry)
    wallet = posting.wallet
    assert conserved(figures(wallet))
    assert {lot.id: figures(lot) for lot in wallet.lots} == {
        lot_id: figures(amounts) for lot_id, amounts in auditor.lots[wallet.id].items()
    }
    return posting


def two_lots() -> Posting:
    """3 credits of the plan and a top-up of 2, both until the end of the cycle."""
    plan = granted_lot(empty_wallet(), "3", PLAN, LotSource.PLAN, expires_at=CYCLE_END)
    return plan.then(granted_lot(plan.wallet, "2", TOP_UP, LotSource.TOP_UP, expires_at=CYCLE_END))


def lot(wallet: Wallet, lot_id: UUID) -> Lot:
    return next(found for found in wallet.lots if found.id == lot_id)


def moves(posting: Posting, since: int = 0) -> list[tuple[str, int, list[tuple[UUID, str]]]]:
    return [(entry.type.value, entry.amount, draws(entry)) for entry in posting.entries[since:]]


def test_a_grant_fills_its_own_lot_and_nothing_else() -> None:
    posting = audited(two_lots())
    assert figures(posting.wallet) == (nano("5"), nano("5"), 0, 0, 0)
    assert figures(lot(posting.wallet, PLAN)) == (nano("3"), nano("3"), 0, 0, 0)
    assert [entry.type for entry in posting.entries] == [EntryType.ALLOCATED, EntryType.TOPPED_UP]
    assert [lot.id for lot in posting.wallet.lots] == [TOP_UP, PLAN]
    assert posting.entries[0].voucher == voucher()


def test_a_hold_is_drawn_in_burn_order_and_says_from_which_lots() -> None:
    before = two_lots()
    posting = audited(before.then(ledger.reserve(before.wallet, nano("2.5"), voucher())))
    assert moves(posting, 2) == [("RESERVED", nano("2.5"), [(TOP_UP, "2"), (PLAN, "0.5")])]
    assert figures(posting.wallet) == (nano("5"), nano("2.5"), nano("2.5"), 0, 0)
    assert figures(lot(posting.wallet, PLAN)) == (nano("3"), nano("2.5"), nano("0.5"), 0, 0)


def test_a_hold_of_all_that_there_is_leaves_nothing_and_more_is_the_callers_error() -> None:
    before = two_lots()
    assert ledger.reserve(before.wallet, nano("5"), voucher()).wallet.available == 0
    for amount in (nano("5") + 1, 0, -1):
        with pytest.raises(AssertionError):
            ledger.reserve(before.wallet, amount, voucher())


def test_a_part_charge_consumes_the_holds_draws_in_their_order_and_gives_the_rest_back() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("2.5"), voucher()))
    posting = audited(held.then(ledger.settle(held.wallet, held.entries[-1].draws, nano("2.2"), voucher())))
    assert moves(posting, 3) == [
        ("CONSUMED", nano("2.2"), [(TOP_UP, "2"), (PLAN, "0.2")]),
        ("RELEASED", nano("0.3"), [(PLAN, "0.3")]),
    ]
    assert figures(posting.wallet) == (nano("5"), nano("2.8"), 0, nano("2.2"), 0)


def test_a_charge_of_exactly_the_hold_releases_nothing_and_one_of_zero_everything() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("2"), voucher()))
    hold = held.entries[-1].draws
    exact = ledger.settle(held.wallet, hold, nano("2"), voucher())
    nothing = ledger.settle(held.wallet, hold, 0, voucher())
    assert [entry.type for entry in exact.entries] == [EntryType.CONSUMED]
    assert [entry.type for entry in nothing.entries] == [EntryType.RELEASED]
    assert figures(nothing.wallet) == figures(before.wallet)
    assert ledger.settle(before.wallet, (), 0, voucher()) == Posting(before.wallet)


def test_a_charge_above_the_hold_first_books_the_missing_part_as_reserved() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("2.5"), voucher()))
    posting = audited(held.then(ledger.settle(held.wallet, held.entries[-1].draws, nano("4"), voucher())))
    assert moves(posting, 3) == [
        ("RESERVED", nano("1.5"), [(PLAN, "1.5")]),
        ("CONSUMED", nano("4"), [(TOP_UP, "2"), (PLAN, "2")]),
    ]
    assert figures(posting.wallet) == (nano("5"), nano("1"), 0, nano("4"), 0)


def in_debt() -> Posting:
    """A charge of 7 on 5 credits: 2 below zero."""
    before = two_lots()
    return before.then(ledger.settle(before.wallet, (), nano("7"), voucher()))


def test_a_charge_above_everything_goes_below_zero_on_the_overdraft() -> None:
    posting = audited(in_debt())
    wallet = posting.wallet
    overdrawn = [(TOP_UP, "2"), (PLAN, "3"), (wallet.id, "2")]
    assert moves(posting, 2) == [("RESERVED", nano("7"), overdrawn), ("CONSUMED", nano("7"), overdrawn)]
    assert figures(wallet) == (nano("5"), nano("-2"), 0, nano("7"), 0)
    assert figures(lot(wallet, wallet.id)) == (0, nano("-2"), 0, nano("2"), 0)
    assert wallet.debt == nano("2")


def test_a_second_debt_adds_to_the_first() -> None:
    before = in_debt()
    posting = audited(before.then(ledger.settle(before.wallet, (), nano("1"), voucher())))
    assert moves(posting, 4) == [
        ("RESERVED", nano("1"), [(posting.wallet.id, "1")]),
        ("CONSUMED", nano("1"), [(posting.wallet.id, "1")]),
    ]
    assert posting.wallet.debt == nano("3")


def test_what_comes_next_repays_the_debt_first_and_takes_its_consumption_over() -> None:
    before = in_debt()
    later = audited(before.then(granted_lot(before.wallet, "5", GIFT, LotSource.ADJUSTMENT)))
    assert later.entries[-1].repayments == (Repayment(GIFT, nano("2"), 0),)
    assert figures(later.wallet) == (nano("10"), nano("3"), 0, nano("7"), 0)
    assert figures(lot(later.wallet, GIFT)) == (nano("5"), nano("3"), 0, nano("2"), 0)
    assert figures(lot(later.wallet, later.wallet.id)) == (0, 0, 0, 0, 0)


def test_a_grant_smaller_than_the_debt_is_used_up_by_it() -> None:
    before = in_debt()
    posting = audited(before.then(granted_lot(before.wallet, "0.5", GIFT, LotSource.TOP_UP)))
    assert posting.wallet.debt == nano("1.5")
    assert figures(lot(posting.wallet, GIFT)) == (nano("0.5"), 0, 0, nano("0.5"), 0)
    assert not lot(posting.wallet, GIFT).is_open


def test_a_released_hold_repays_the_debt_even_to_a_lot_that_has_expired_meanwhile() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("5"), voucher()))
    owing = held.then(ledger.settle(held.wallet, (), nano("1"), voucher()))
    posting = audited(owing.then(ledger.release(owing.wallet, held.entries[-1].draws, voucher(AFTER_CYCLE))))
    assert moves(posting, 5) == [
        ("RELEASED", nano("5"), [(TOP_UP, "2"), (PLAN, "3")]),
        ("EXPIRED", nano("4"), [(TOP_UP, "1"), (PLAN, "3")]),
    ]
    assert posting.entries[5].repayments == (Repayment(TOP_UP, nano("1"), 0),)
    assert figures(posting.wallet) == (nano("5"), 0, 0, nano("1"), nano("4"))


def test_the_remainder_of_a_settlement_repays_the_debt() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("5"), voucher()))
    owing = held.then(ledger.settle(held.wallet, (), nano("1"), voucher()))
    posting = audited(owing.then(ledger.settle(owing.wallet, held.entries[-1].draws, nano("3"), voucher())))
    assert figures(posting.wallet) == (nano("5"), nano("1"), 0, nano("4"), 0)
    assert posting.wallet.debt == 0


def test_what_is_released_to_an_expired_lot_is_booked_released_and_at_once_expired() -> None:
    before = two_lots()
    held = before.then(ledger.reserve(before.wallet, nano("5"), voucher()))
    posting = audited(held.then(ledger.settle(held.wallet, held.entries[-1].draws, nano("1.5"), voucher(AFTER_CYCLE))))
    assert moves(posting, 3) == [
        ("CONSUMED", nano("1.5"), [(TOP_UP, "1.5")]),
        ("RELEASED", nano("3.5"), [(TOP_UP, "0.5"), (PLAN, "3")]),
        ("EXPIRED", nano("3.5"), [(TOP_UP, "0.5"), (PLAN, "3")]),
    ]
    assert figures(posting.wallet) == (nano("5"), 0, 0, nano("1.5"), nano("3.5"))


def test_releasing_nothing_books_nothing() -> None:
    wallet = two_lots().wallet
    assert ledger.release(wallet, (), voucher(AFTER_CYCLE)) == Posting(wallet)


def test_expiry_books_what_is_due_at_the_moment_and_not_an_instant_before() -> None:
    before = two_lots()
    instant = timedelta(microseconds=1)
    assert ledger.expire_due(before.wallet, voucher(CYCLE_END - instant)) == Posting(before.wallet)
    posting = audited(before.then(ledger.expire_due(before.wallet, voucher(CYCLE_END))))
    assert moves(posting, 2) == [("EXPIRED", nano("5"), [(TOP_UP, "2"), (PLAN, "3")])]
    assert figures(posting.wallet) == (nano("5"), 0, 0, 0, nano("5"))
    assert ledger.expire_due(posting.wallet, voucher(AFTER_CYCLE)) == Posting(posting.wallet)


def test_expiry_leaves_alone_what_is_held_and_what_never_expires() -> None:
    plan = granted_lot(empty_wallet(), "3", PLAN, expires_at=CYCLE_END)
    held = ledger.reserve(plan.wallet, nano("1"), voucher())
    kept = granted_lot(held.wallet, "4", GIFT, LotSource.ADJUSTMENT)
    posting = ledger.expire_due(kept.wallet, voucher(CYCLE_END))
    assert figures(posting.wallet) == (nano("7"), nano("4"), nano("1"), 0, nano("2"))
    assert draws(posting.entries[0]) == [(PLAN, "2")]


def test_a_read_subtracts_what_has_expired_and_is_not_booked_yet() -> None:
    wallet = two_lots().wallet
    assert ledger.available_at(wallet, CYCLE_END - timedelta(microseconds=1)) == nano("5")
    assert ledger.available_at(wallet, CYCLE_END) == 0
    assert ledger.available_at(in_debt().wallet, AFTER_CYCLE) == nano("-2")


def test_drawing_without_booking_what_is_due_is_an_error() -> None:
    with pytest.raises(AssertionError, match="book what is due"):
        ledger.reserve(two_lots().wallet, 1, voucher(CYCLE_END))


def test_taking_back_lowers_what_was_granted_in_burn_order() -> None:
    before = two_lots()
    posting = audited(before.then(ledger.take_back(before.wallet, nano("2.5"), voucher())))
    assert moves(posting, 2) == [("ADJUSTED", nano("-2.5"), [(TOP_UP, "-2"), (PLAN, "-0.5")])]
    assert figures(posting.wallet) == (nano("2.5"), nano("2.5"), 0, 0, 0)


def test_taking_back_draws_on_its_own_lot_first() -> None:
    before = two_lots()
    posting = audited(before.then(ledger.take_back(before.wallet, nano("3.5"), voucher(), own_lot=PLAN)))
    assert moves(posting, 2) == [("ADJUSTED", nano("-3.5"), [(PLAN, "-3"), (TOP_UP, "-0.5")])]


def test_taking_back_more_than_there_is_goes_below_zero_and_is_repaid_as_granted() -> None:
    before = two_lots()
    owing = audited(before.then(ledger.take_back(before.wallet, nano("6"), voucher())))
    assert figures(owing.wallet) == (nano("-1"), nano("-1"), 0, 0, 0)
    assert figures(lot(owing.wallet, owing.wallet.id)) == (nano("-1"), nano("-1"), 0, 0, 0)
    posting = audited(owing.then(granted_lot(owing.wallet, "4", GIFT, LotSource.TOP_UP)))
    assert posting.entries[-1].repayments == (Repayment(GIFT, 0, nano("1")),)
    assert figures(posting.wallet) == (nano("3"), nano("3"), 0, 0, 0)
    assert figures(lot(posting.wallet, GIFT)) == (nano("3"), nano("3"), 0, 0, 0)


def test_a_debt_of_both_kinds_is_repaid_consumption_first() -> None:
    owing = in_debt()
    deeper = owing.then(ledger.take_back(owing.wallet, nano("1"), voucher()))
    first = audited(deeper.then(granted_lot(deeper.wallet, "2.5", GIFT, LotSource.TOP_UP)))
    assert first.entries[-1].repayments == (Repayment(GIFT, nano("2"), nano("0.5")),)
    assert first.wallet.debt == nano("0.5")
    last = audited(first.then(granted_lot(first.wallet, "1", number(4), LotSource.TOP_UP)))
    assert last.entries[-1].repayments == (Repayment(number(4), 0, nano("0.5")),)
    assert figures(last.wallet) == (nano("7.5"), nano("0.5"), 0, nano("7"), 0)


@pytest.mark.parametrize("amount", [0, -1])
def test_grants_and_takings_back_are_positive(amount: int) -> None:
    wallet = two_lots().wallet
    with pytest.raises(AssertionError):
        ledger.take_back(wallet, amount, voucher())
    with pytest.raises(AssertionError):
        ledger.grant(wallet, EntryType.TOPPED_UP, ledger.new_lot(GIFT, LotSource.TOP_UP, NOW, None), amount, voucher())


def test_metered_money_burns_oldest_first() -> None:
    first = granted_lot(empty_wallet("metered"), "50", number(1), LotSource.TOP_UP)
    both = granted_lot(first.wallet, "20", number(2), LotSource.TOP_UP, at=NOW + timedelta(days=1))
    assert draws(ledger.reserve(both.wallet, nano("60"), voucher()).entries[0]) == [
        (number(1), "50"),
        (number(2), "10"),
    ]


def test_draws_join_lot_by_lot_in_the_order_of_their_first_draw() -> None:
    first = (Draw(PLAN, 1), Draw(TOP_UP, 2))
    assert ledger.joined(first, (Draw(GIFT, 3), Draw(PLAN, 4))) == (Draw(PLAN, 5), Draw(TOP_UP, 2), Draw(GIFT, 3))


def test_the_chain_starts_from_32_zero_bytes_and_links_every_entry() -> None:
    entries = in_debt().entries
    assert entries[0].previous_hash == GENESIS_HASH == bytes(32)
    for before, after in pairwise(entries):
        assert after.previous_hash == before.hash
        assert after.sequence == before.sequence + 1
    assert in_debt().wallet.head_hash == entries[-1].hash


def test_an_entrys_bytes_are_netstrings_of_its_fields_and_of_each_text() -> None:
    full = Voucher("wörker", NOW + timedelta(microseconds=7), number(9), "ref", "note", "key-1")
    before = in_debt()
    entry = granted_lot(before.wallet, "5", GIFT, LotSource.ADJUSTMENT).entries[0]
    entry = entry._replace(voucher=full)
    fields = (
        f"{TENANT_ID.hex} {entry.wallet_id.hex} 5 ADJUSTED 5000000000 10000000000 3000000000 0 7000000000 0 "
        f"{number(9).hex} 2026-11-21T03:00:00.000007Z {GIFT.hex}:5000000000 {GIFT.hex}:2000000000:0"
    )
    parts = (fields, "ref", "note", "wörker", "key-1")
    expected = b"".join(f"{len(part.encode())}:".encode() + part.encode() + b"," for part in parts)
    assert ledger.entry_bytes(entry) == expected
    assert ledger.chain_hash(entry.previous_hash, expected) == sha256(entry.previous_hash + expected).digest()


def test_an_entry_without_reservation_and_repayments_has_dashes_in_their_place() -> None:
    before = two_lots()
    entry = ledger.reserve(before.wallet, nano("2.5"), voucher()).entries[0]
    start = f"{TENANT_ID.hex} {entry.wallet_id.hex} 3 RESERVED 2500000000 5000000000 2500000000 2500000000 0 0 "
    fields = f"{start}- 2026-11-21T03:00:00.000000Z {TOP_UP.hex}:2000000000,{PLAN.hex}:500000000 -"
    assert ledger.entry_bytes(entry) == f"{len(fields)}:{fields},0:,0:,6:tester,0:,".encode()


ALTERED: dict[str, object] = {
    "tenant_id": UUID(int=1),
    "wallet_id": UUID(int=1),
    "sequence": 99,
    "type": EntryType.ALLOCATED,
    "amount": 1,
    "granted_after": 1,
    "available_after": 1,
    "reserved_after": 1,
    "consumed_after": 1,
    "expired_after": 1,
    "draws": (Draw(GIFT, nano("4")), Draw(PLAN, nano("1"))),
    "repayments": (Repayment(GIFT, nano("1"), nano("1")),),
    "voucher": voucher(NOW + timedelta(microseconds=1)),
}


@pytest.mark.parametrize("name", sorted(ALTERED))
def test_altering_any_field_of_an_entry_changes_its_hash(name: str) -> None:
    before = in_debt()
    entry = granted_lot(before.wallet, "5", GIFT, LotSource.ADJUSTMENT).entries[0]
    altered = entry._replace(**{name: ALTERED[name]})  # type: ignore[arg-type]
    assert ledger.chain_hash(entry.previous_hash, ledger.entry_bytes(altered)) != entry.hash
    assert ledger.chain_hash(entry.previous_hash, ledger.entry_bytes(entry)) == entry.hash


def test_every_field_of_an_entry_but_its_hashes_is_altered_above() -> None:
    assert set(ALTERED) | {"previous_hash", "hash"} == set(Entry._fields)


@pytest.mark.parametrize(
    "altered",
    [
        Voucher("another", NOW),
        Voucher("tester", NOW, number(9)),
        Voucher("tester", NOW, None, "x"),
        Voucher("tester", NOW, None, "", "x"),
        Voucher("tester", NOW, None, "", "", "x"),
        Voucher("tester", NOW + timedelta(hours=1)),
    ],
)
def test_altering_any_field_of_a_voucher_changes_the_hash(altered: Voucher) -> None:
    entry = two_lots().entries[0]
    assert ledger.entry_bytes(entry._replace(voucher=altered)) != ledger.entry_bytes(entry)


def test_text_cannot_wander_from_one_field_to_the_next() -> None:
    entry = two_lots().entries[0]
    one = entry._replace(voucher=Voucher("tester", NOW, None, "ab", "c"))
    other = entry._replace(voucher=Voucher("tester", NOW, None, "a", "bc"))
    assert ledger.entry_bytes(one) != ledger.entry_bytes(other)
