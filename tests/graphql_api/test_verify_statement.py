"""The verifier of statements: whatever is changed in one is found and named, and what was not changed holds."""

import ast
import io
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import ledger
from domain.ledger import Entry, EntryType, Posting, Voucher, chain_hash, entry_bytes
from domain.statements import (
    BALANCES,
    BEGINNING,
    COLUMNS,
    Record,
    Standing,
    Statement,
    closing_record,
    entry_record,
    opening_record,
)
from domain.wallets import LotSource
from graphql_api import verify_statement
from graphql_api.statement_lines import BEGINNINGS, WRITERS, Form
from graphql_api.statements import VERIFIER
from tests.domain.builders import NOW, empty_wallet, nano, number

LENGTH = 7
# What the entries or the other lines show to be wrong. The rest of the opening line is what the file claims.
COVERED = ["record", "sequence", "hash", *BALANCES, "tenant", "wallet", "format", "lastSequence"]
FIELDS = COLUMNS[: COLUMNS.index("format")]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["=1+1", "'", "''=", "-2", "two\r\nlines", 'a "quoted", text', "\r", "\n", "＝x", "\ufeff", "\u2028", "a\tb", "'a"]
)
forms = st.sampled_from(list(Form))


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[Entry, ...]:
    """LENGTH entries that the rules made: grants, holds, charges above the hold, what is given or taken back."""

    def voucher() -> Voucher:
        at = NOW + timedelta(seconds=len(posting.entries))
        return Voucher(draw(texts), at, draw(st.none() | st.just(number(7))), draw(texts), draw(texts), draw(texts))

    posting = Posting(empty_wallet())
    while len(posting.entries) < LENGTH:
        wallet = posting.wallet
        amount = draw(st.integers(1, 5 * 10**9))
        move = draw(st.sampled_from(["grant", "reserve", "settle", "release", "take back"]))
        held = tuple([ledger.Draw(lot.id, lot.reserved) for lot in wallet.lots if lot.reserved])
        if move == "reserve" and 0 < amount <= wallet.available:
            posting = posting.then(ledger.reserve(wallet, amount, voucher()))
        elif move == "settle" and held:
            posting = posting.then(ledger.settle(wallet, held, amount, voucher()))
        elif move == "release" and held:
            posting = posting.then(ledger.release(wallet, held, voucher()))
        elif move == "take back" and wallet.granted > amount:
            posting = posting.then(ledger.take_back(wallet, amount, voucher()))
        else:
            lot = ledger.new_lot(number(100 + len(posting.entries)), LotSource.TOP_UP, NOW, None)
            posting = posting.then(ledger.grant(wallet, EntryType.TOPPED_UP, lot, amount, voucher()))
    return posting.entries[:LENGTH]


def after(entries: tuple[Entry, ...], sequence: int) -> Standing:
    if sequence == 0:
        return BEGINNING
    entry = entries[sequence - 1]
    return Standing(sequence, entry.hash, entry[5:10])


def statement_of(entries: tuple[Entry, ...], first: int = 1, last: int = LENGTH) -> list[Record]:
    """The records of a statement of the entries `first` to `last`."""
    wallet = empty_wallet()
    statement = Statement(
        wallet.tenant_id,
        wallet.id,
        wallet.key,
        wallet.unit,
        None if first == 1 else NOW,
        None if last == LENGTH else NOW,
        "UTC",
        after(entries, first - 1),
        after(entries, last),
        after(entries, LENGTH),
        NOW,
    )
    return [opening_record(statement), *map(entry_record, entries[first - 1 : last]), closing_record(statement)]


def written(records: list[Record], form: Form) -> io.StringIO:
    """A file as it is served."""
    content = BEGINNINGS[form].encode() + WRITERS[form](records)
    return io.StringIO(content.decode("utf-8-sig"), newline="")


@dataclass(frozen=True, slots=True)
class Found:
    faults: list[tuple[str, int]]
    messages: str
    broken: str

    @property
    def anything(self) -> bool:
        return bool(self.faults or self.broken)


def verified(*files: list[Record], form: Form = Form.CSV, heads: dict[int, str] | None = None) -> Found:
    verification, broken = verify_statement.verify([written(records, form) for records in files], heads or {})
    faults = verification.faults
    return Found([(each.kind, each.sequence) for each in faults], "\n".join([each.message for each in faults]), broken)


def place(records: list[Record], sequence: int) -> int:
    return [record["sequence"] for record in records].index(str(sequence), 1)


many = settings(max_examples=15, deadline=None)
sequences = st.integers(1, LENGTH)


@many
@given(ledgers(), forms, sequences, sequences)
def test_what_was_not_changed_holds_whole_or_in_parts(
    entries: tuple[Entry, ...], form: Form, first: int, last: int
) -> None:
    low, high = sorted((first, last))
    assert not verified(statement_of(entries), form=form).anything
    assert not verified(statement_of(entries, low, high), form=form).anything
    assert not verified(statement_of(entries, low, low - 1), form=form).anything, "a period without entries"
    parts = [statement_of(entries, 1, low), statement_of(entries, low + 1, high), statement_of(entries, high + 1)]
    heads = {entry.sequence: entry.hash.hex() for entry in entries}
    assert not verified(*parts, form=form, heads=heads).anything


@many
@given(ledgers(), forms, sequences, st.sampled_from(FIELDS), st.data())
def test_an_altered_entry_is_named_whichever_field_it_is(
    entries: tuple[Entry, ...], form: Form, sequence: int, name: str, data: st.DataObject
) -> None:
    records = statement_of(entries)
    record = records[sequence]
    given_value = record[name]
    value: Any
    if isinstance(given_value, list):
        other = {"lot": f"lot_{number(9).hex}", "amount": "1"}
        value = [*given_value, other] if name == "lots" else [*given_value, other | {"consumed": "1", "granted": "0"}]
        if name == "repayments":
            del value[-1]["amount"]
    else:
        value = data.draw(texts | st.sampled_from(["2", "-1", "0", "RELEASED", "f" * 64, f"rsv_{number(3).hex}"]))
    if value != given_value and (name, value) != ("record", "closing"):
        found = verified([*records[:sequence], record | {name: value}, *records[sequence + 1 :]], form=form)
        assert found.faults == [("altered", sequence)], (found, name, value)


@many
@given(ledgers(), forms, sequences, sequences)
def test_removed_entries_are_named(entries: tuple[Entry, ...], form: Form, first: int, last: int) -> None:
    records = statement_of(entries)
    low, high = sorted((first, last))
    found = verified(records[:low] + records[high + 1 :], form=form)
    assert found.faults == [("removed", low)]
    assert ("tail was cut off" in found.messages) == (high == LENGTH)
    assert f"entry {low} is" in found.messages if low == high else f"entries {low} to {high} are" in found.messages


@many
@given(ledgers(), forms, sequences, st.integers(0, LENGTH), st.sampled_from(["copied", "hashed", "without hash"]))
def test_an_added_or_repeated_entry_is_named(
    entries: tuple[Entry, ...], form: Form, sequence: int, behind: int, how: str
) -> None:
    records = statement_of(entries)
    if how == "copied":
        record, expected = records[sequence], [("repeated", sequence)]
    else:
        before = after(entries, behind)
        forged = entries[sequence - 1]._replace(sequence=behind + 1, previous_hash=before.hash, amount=nano("77"))
        hashed = chain_hash(before.hash, entry_bytes(forged)) if how == "hashed" else entries[sequence - 1].hash
        record, expected = entry_record(forged._replace(hash=hashed)), [("added", behind)]
    found = verified([*records[: behind + 1], record, *records[behind + 1 :]], form=form)
    assert found.faults == expected, found


@many
@given(ledgers(), forms, sequences, sequences)
def test_swapped_and_moved_entries_are_named(entries: tuple[Entry, ...], form: Form, first: int, second: int) -> None:
    low, high = sorted((first, second))
    if low == high:
        return
    records = statement_of(entries)
    swapped = records.copy()
    swapped[low], swapped[high] = records[high], records[low]
    found = verified(swapped, form=form)
    assert found.faults == [("moved", low)]
    assert found.messages == f"entries {low} and {high} were swapped"
    if high == low + 1:
        return
    later = [*records[:low], *records[low + 1 : high + 1], records[low], *records[high + 1 :]]
    assert verified(later, form=form).faults == [("moved", low)]
    earlier = [*records[:low], records[high], *records[low:high], *records[high + 1 :]]
    assert verified(earlier, form=form).faults == [("moved", high)]


@many
@given(ledgers(), forms, sequences)
def test_an_entry_that_was_hashed_anew_is_named(entries: tuple[Entry, ...], form: Form, sequence: int) -> None:
    forged = entries[sequence - 1]._replace(voucher=replace_note(entries[sequence - 1].voucher))
    forged = forged._replace(hash=chain_hash(forged.previous_hash, entry_bytes(forged)))
    records = statement_of(entries)
    records[sequence] = entry_record(forged)
    assert verified(records, form=form).faults == [("altered", sequence)]


def replace_note(voucher: Voucher) -> Voucher:
    return voucher._replace(note=voucher.note + "!")


@many
@given(ledgers(), forms, sequences)
def test_who_hashes_all_that_follows_anew_is_found_by_the_head_alone(
    entries: tuple[Entry, ...], form: Form, sequence: int
) -> None:
    forged = list(entries)
    forged[sequence - 1] = entries[sequence - 1]._replace(voucher=replace_note(entries[sequence - 1].voucher))
    for at in range(sequence - 1, LENGTH):
        previous = forged[at - 1].hash if at else forged[at].previous_hash
        entry = forged[at]._replace(previous_hash=previous)
        forged[at] = entry._replace(hash=chain_hash(previous, entry_bytes(entry)))
    records = statement_of(tuple(forged))
    assert not verified(records, form=form).anything
    noted = {LENGTH: entries[-1].hash.hex()}
    assert verified(records, form=form, heads=noted).faults == [("head", LENGTH)]


@many
@given(ledgers(), forms, st.integers(0, LENGTH - 1))
def test_a_tail_that_was_cut_off_is_found(entries: tuple[Entry, ...], form: Form, last: int) -> None:
    records = statement_of(entries)
    broken_off = verified(records[: last + 1], form=form)
    assert ("cut off", last + 1) in broken_off.faults
    assert ("removed", last + 1) in broken_off.faults
    # Whoever writes a closing line of their own is found by what the opening line says, or else by a head that was noted.
    partly = [*records[: last + 1], statement_of(entries, 1, last)[-1]]
    assert verified(partly, form=form).faults == [("cut off", last + 1)]
    shortened = statement_of(entries, 1, last)
    assert not verified(shortened, form=form).anything
    assert verified(shortened, form=form, heads={LENGTH: entries[-1].hash.hex()}).faults == [("head", LENGTH)]


@many
@given(ledgers(), forms, st.integers(2, LENGTH))
def test_a_beginning_that_was_cut_off_is_found(entries: tuple[Entry, ...], form: Form, first: int) -> None:
    records = statement_of(entries)
    assert verified(records[first:], form=form).faults == [("cut off", first)]
    later = statement_of(entries, first)
    later[0] = later[0] | {"from": ""}
    assert verified(later, form=form).faults == [("cut off", 1)]
    # As a period it holds; the statement before it does not join, though.
    files = [statement_of(entries, 1, first - 2), statement_of(entries, first)]
    assert verified(*files, form=form).faults == [("joint", first - 1)]
    assert verified(*reversed([statement_of(entries, 1, first - 1), statement_of(entries, first)]), form=form).anything
    noted = {first - 1: entries[first - 2].hash.hex(), 1: entries[0].hash.hex()}
    found = verified(statement_of(entries, first), form=form, heads=noted)
    assert found.faults == ([] if first == 2 else [("head", 1)])


@many
@given(ledgers(), forms, st.lists(st.integers(0, LENGTH + 1), max_size=LENGTH + 4))
def test_lines_in_any_other_order_or_number_never_hold(
    entries: tuple[Entry, ...], form: Form, places: list[int]
) -> None:
    records = statement_of(entries)
    if places != list(range(LENGTH + 2)):
        assert verified([records[at] for at in places], form=form).anything


@many
@given(ledgers(), forms, st.sampled_from(COVERED), st.booleans(), st.data())
def test_an_altered_opening_or_closing_line_is_found(
    entries: tuple[Entry, ...], form: Form, name: str, opens: bool, data: st.DataObject
) -> None:
    records = statement_of(entries, 2, LENGTH - 1)
    at = 0 if opens or name not in records[-1] else -1
    altered = {name: data.draw(st.sampled_from(["1", "77", "", "-1", "f" * 64, f"ten_{number(3).hex}", "opening"]))}
    if records[at][name] not in altered.values():
        records[at] = {**records[at], **altered}
        assert verified(records, form=form).anything


def made(length: int) -> tuple[Entry, ...]:
    """A grant, and holds."""
    lot = ledger.new_lot(number(100), LotSource.TOP_UP, NOW, None)
    posting = ledger.grant(empty_wallet(), EntryType.TOPPED_UP, lot, nano(str(length)), Voucher("é", NOW))
    while len(posting.entries) < length:
        posting = posting.then(ledger.reserve(posting.wallet, nano("1"), Voucher("é", NOW)))
    return posting.entries


@pytest.mark.parametrize(
    ("genuine", "forged"),
    [
        ('"actor":"é"', r'"actor":"\udcc3\udca9"'),
        ('"repayments":[]', '"repayments":""'),
        ('"repayments":[]', '"repayments":{}'),
    ],
)
def test_what_reads_differently_does_not_have_the_same_hash(genuine: str, forged: str) -> None:
    file = written(statement_of(made(LENGTH)), Form.JSON_LINES).getvalue().replace(genuine, forged, 1)
    verification, _ = verify_statement.verify([io.StringIO(file)], {})
    assert [(fault.kind, fault.sequence) for fault in verification.faults] == [("altered", 1)]


def test_entries_out_of_their_places_neither_fill_the_memory_nor_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_statement, "MOST_FAULTS", 3)
    opening, *entries, closing = statement_of(made(LENGTH))
    odd, even = entries[::2], entries[1::2]
    for shuffled, kinds in (([*odd, *even], {"removed"}), (entries[::-1], {"moved"})):
        found = verified([opening, *shuffled, closing], form=Form.JSON_LINES)
        assert {kind for kind, _ in found.faults} == kinds
        assert len(found.faults) == 3
        assert found.broken == "these are 3 faults: it was not read further"


def test_a_record_without_an_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_statement, "LONGEST_RECORD", 2_000)
    for endless in (BEGINNINGS[Form.CSV].lstrip("\ufeff") + '"' + '\n","' * 2_000, '{"a":[' + "[]," * 2_000):
        file = io.StringIO(endless, newline="")
        _, broken = verify_statement.verify([file], {})
        assert broken == "a record is longer than any record of a statement"
        assert file.tell() < 3_000


def test_without_an_entry_no_balance_is_said_to_hold() -> None:
    nothing = statement_of(made(LENGTH), 4, 3)
    forged = [record | {"grantedAfter": "77", "availableAfter": "77", "reservedAfter": "0"} for record in nothing]
    verification, broken = verify_statement.verify([written(forged, Form.CSV)], {})
    said = "\n".join(verify_statement.as_text(verification, broken))
    assert "the hash and the balances after entry 3 are what the file claims" in said
    assert "holds" not in said


def test_a_file_that_cannot_be_read_to_its_end_is_no_forged_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_statement.main(["/proc/self/mem" if Path("/proc/self/mem").exists() else "."]) == 2
    assert "cannot be read" in capsys.readouterr().out


def test_it_runs_on_python_3_9() -> None:
    ast.parse(VERIFIER.read_text(), feature_version=(3, 9))
