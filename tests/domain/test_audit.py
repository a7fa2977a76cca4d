"""The audit's fold: a sound history has no findings, and each fault is named where it is."""

from datetime import timedelta

import pytest

from domain import ledger
from domain.audit import Finding, FindingKind, WalletAudit
from domain.ledger import Draw, Entry, EntryType, Repayment
from domain.wallets import LotSource, Wallet
from tests.domain.builders import CYCLE_END, NOW, empty_wallet, number, voucher

PLAN, TOP_UP = number(1), number(2)


def history() -> tuple[Wallet, tuple[Entry, ...]]:
    """Every type of entry, a debt and its repayment; the wallet as it is stored, with all its lots."""
    at = voucher()
    wallet = empty_wallet()
    plan = ledger.new_lot(PLAN, LotSource.PLAN, NOW, CYCLE_END)
    posting = ledger.grant(wallet, EntryType.ALLOCATED, plan, 100, at)
    posting = posting.then(ledger.reserve(posting.wallet, 60, at))
    posting = posting.then(ledger.settle(posting.wallet, posting.entries[-1].draws, 130, at))
    posting = posting.then(ledger.take_back(posting.wallet, 5, at))
    top_up = ledger.new_lot(TOP_UP, LotSource.TOP_UP, NOW, None)
    posting = posting.then(ledger.grant(posting.wallet, EntryType.TOPPED_UP, top_up, 50, at))
    posting = posting.then(ledger.reserve(posting.wallet, 10, at))
    posting = posting.then(ledger.release(posting.wallet, posting.entries[-1].draws, at))
    month = ledger.new_lot(number(3), LotSource.PLAN, NOW, CYCLE_END)
    posting = posting.then(ledger.grant(posting.wallet, EntryType.ALLOCATED, month, 7, at))
    posting = posting.then(ledger.expire_due(posting.wallet, voucher(CYCLE_END + timedelta(days=1))))
    assert {entry.type for entry in posting.entries} == set(EntryType)
    assert any(entry.repayments for entry in posting.entries)
    return posting.wallet, posting.entries


def examined(wallet: Wallet, entries: tuple[Entry, ...]) -> list[Finding]:
    audit = WalletAudit(wallet, "acme/credits")
    return [finding for entry in entries for finding in audit.take(entry)] + list(audit.finish())


def found(wallet: Wallet, entries: tuple[Entry, ...]) -> list[tuple[FindingKind, str]]:
    return [(finding.kind, finding.place.removeprefix("acme/credits")) for finding in examined(wallet, entries)]


def with_entry(entries: tuple[Entry, ...], index: int, entry: Entry) -> tuple[Entry, ...]:
    return (*entries[:index], entry, *entries[index + 1 :])


def test_a_sound_history_has_no_findings() -> None:
    wallet, entries = history()
    assert examined(wallet, entries) == []
    assert examined(empty_wallet(), ()) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"voucher": voucher()._replace(actor="somebody else")},
        {"voucher": voucher()._replace(note="another reason")},
        {"voucher": voucher(NOW + timedelta(microseconds=1))},
    ],
)
def test_whatever_an_entry_says_is_hashed(changed: dict[str, object]) -> None:
    wallet, entries = history()
    told = with_entry(entries, 1, entries[1]._replace(**changed))  # type: ignore[arg-type]
    assert found(wallet, told) == [(FindingKind.ENTRY_HASH, " entry 2")]


def test_an_amount_that_was_changed_is_told_with_its_figures() -> None:
    wallet, entries = history()
    findings = examined(wallet, with_entry(entries, 1, entries[1]._replace(amount=61)))
    assert [finding.kind for finding in findings] == [
        FindingKind.ENTRY_HASH,
        FindingKind.ENTRY_BALANCES,
        FindingKind.ENTRY_DRAWS,
    ]
    assert findings[1].figures == (
        ("available_expected", 39),
        ("available_stored", 40),
        ("reserved_expected", 61),
        ("reserved_stored", 60),
    )
    assert findings[2].figures == (("draws_expected", 61), ("draws_stored", 60))


def test_an_entry_that_is_gone_leaves_a_gap() -> None:
    wallet, entries = history()
    places = found(wallet, entries[:1] + entries[2:])
    assert places[:3] == [
        (FindingKind.ENTRY_NUMBER, " entry 3"),
        (FindingKind.ENTRY_LINK, " entry 3"),
        (FindingKind.ENTRY_BALANCES, " entry 3"),
    ]
    assert {kind for kind, _ in places[3:]} == {FindingKind.LOT_BALANCES}


def test_the_newest_entry_may_not_be_cut_off() -> None:
    wallet, entries = history()
    kinds = [kind for kind, _ in found(wallet, entries[:-1])]
    assert kinds == [
        FindingKind.WALLET_HEAD,
        FindingKind.WALLET_HEAD,
        FindingKind.WALLET_BALANCES,
        FindingKind.LOT_BALANCES,
    ]


def test_a_hash_that_was_put_in_anew_breaks_the_link_after_it() -> None:
    wallet, entries = history()
    lie = entries[2]._replace(hash=bytes(32))
    assert found(wallet, with_entry(entries, 2, lie)) == [
        (FindingKind.ENTRY_HASH, " entry 3"),
        (FindingKind.ENTRY_LINK, " entry 4"),
    ]


def test_draws_and_repayments_make_the_lots() -> None:
    wallet, entries = history()
    index = next(index for index, entry in enumerate(entries) if entry.repayments)
    repayment = entries[index].repayments[0]
    lie = entries[index]._replace(
        repayments=(Repayment(repayment.lot_id, repayment.consumed - 1, repayment.granted + 1),)
    )
    places = found(wallet, with_entry(entries, index, lie))
    assert [kind for kind, _ in places] == [
        FindingKind.ENTRY_HASH,
        FindingKind.LOT_BALANCES,
        FindingKind.LOT_BALANCES,
    ]
    elsewhere = entries[0]._replace(draws=(Draw(number(9), 100),))
    assert (FindingKind.LOT_BALANCES, f" lot {number(9)}") in found(wallet, with_entry(entries, 0, elsewhere))


def test_a_wallet_and_its_lots_stand_where_the_entries_left_them() -> None:
    wallet, entries = history()
    richer = wallet._replace(granted=wallet.granted + 1, available=wallet.available + 1)
    assert found(richer, entries) == [(FindingKind.WALLET_BALANCES, ""), (FindingKind.WALLET_LOTS, "")]
    first = wallet.lots[0]
    lots = (first._replace(granted=first.granted + 1, available=first.available + 1), *wallet.lots[1:])
    assert found(wallet._replace(lots=lots), entries) == [
        (FindingKind.LOT_BALANCES, f" lot {first.id}"),
        (FindingKind.WALLET_LOTS, ""),
    ]
