"""Verify a Purser statement: recompute every hash and every balance, and name what was changed.

  python3 -I verify_statement.py october.csv
  python3 -I verify_statement.py september.jsonl october.jsonl       successive periods, in their order
  python3 -I verify_statement.py --head 1204:9f86d081... all.csv     against a head that you noted yourself
  gunzip -c all.csv.gz | python3 -I verify_statement.py -

This one file is all there is. It needs Python 3.9 or later, no library and no network, and it only reads.

WHAT IT CHECKS. Each entry of a wallet's ledger carries a number, the hash of the entry before it, and its own hash:
SHA-256 over the 32 bytes of the hash before it and the entry's content. So whoever changes, removes, adds or moves an
entry breaks the chain, and it is said at which entry. Beside the hashes: numbers have no gap; each balance is the one
before it plus the move; granted = available + reserved + consumed + expired; what was drawn on lots sums to the amount;
the opening line fits the first entry and the closing line the last; successive files join without a gap.

WHAT IT CANNOT KNOW. Somebody who owns the whole file can change an entry and compute every hash after it anew: then only
the last hash differs. So note the head from time to time (GraphQL: wallet(key: "credits") { version headHash }) and give
it with --head: a later statement must hold that entry with that hash. The opening line's walletKey, unit, from, to,
timeZone and madeAt are covered by no hash, and are shown as what the file claims.

Verify the file as it was downloaded: a spreadsheet that saves it may round amounts and rewrite texts.

HOW TO READ IT. `entry` computes a hash from an entry's fields. `Verification._accept` is what must hold of an entry in its
place, `_open`, `_close` and `_join` what must hold of the lines around. All else there finds out what happened where it does
not hold: whatever the guess, a line that is not accepted is a fault.

Exit codes: 0 all of it holds; 1 it does not, and each fault is named; 2 it is no statement, or cannot be read to its end.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import re
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_FAULTS = 1000
LONGEST_RECORD = 4 * 1024 * 1024
ZEROS = "0" * 64
NANO = 10**9

BALANCES = ["grantedAfter", "availableAfter", "reservedAfter", "consumedAfter", "expiredAfter"]
TEXTS = ["reference", "note", "actor", "idempotencyKey"]
ENTRY = ["record", "sequence", "createdAt", "type", "amount", *BALANCES, "reservation", *TEXTS]
ENTRY += ["lots", "repayments", "tenant", "wallet", "previousHash", "hash"]
CLOSING = ["record", "sequence", *BALANCES, "tenant", "wallet", "hash"]
CLAIMS = ["format", "walletKey", "unit", "from", "to", "timeZone", "lastSequence", "headSequence", "headHash", "madeAt"]
OPENING = CLOSING + CLAIMS
FIELDS = {"opening": OPENING, "closing": CLOSING}
COLUMNS = ENTRY + CLAIMS
# What spreadsheets take for the beginning of a formula.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")

# What an entry of each type adds to granted, available, reserved, consumed and expired: so many times its amount.
MOVES = {
    "ALLOCATED": (1, 1, 0, 0, 0),
    "TOPPED_UP": (1, 1, 0, 0, 0),
    "ADJUSTED": (1, 1, 0, 0, 0),
    "RESERVED": (0, -1, 1, 0, 0),
    "RELEASED": (0, 1, -1, 0, 0),
    "CONSUMED": (0, 0, -1, 1, 0),
    "EXPIRED": (0, -1, 0, 0, 1),
}
# Each value has one way of being written: so nothing that reads differently has the same hash.
AMOUNT = re.compile(r"(-?)(0|[1-9][0-9]{0,11})(?:\.([0-9]{0,8}[1-9]))?")
COUNT = re.compile(r"0|[1-9][0-9]{0,18}")
HASH = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

Row = dict[str, str]
Balances = tuple[int, ...]


class NoStatementError(Exception):
    """What was given cannot be read as a statement."""


class Line(NamedTuple):
    """A record of the file. `computed` is the hash that its content has; None where it is no well-formed entry.

    The closing line is one as well: it stands where the entry after the last would stand, and knows the last one's hash.
    """

    number: int
    kind: str
    sequence: int | None
    previous: str
    hash: str
    computed: str | None
    owner: tuple[str, str]
    amount: int = 0
    type: str = ""
    balances: Balances = ()
    drawn: int = 0
    problem: str = ""
    row: Row | None = None

    @property
    def intact(self) -> bool:
        """Whether it is an entry whose content has the hash that it names."""
        return self.computed is not None and self.computed == self.hash


class Fault(NamedTuple):
    """Something that does not hold: what kind, at which entry, and in words."""

    kind: str
    sequence: int
    message: str


# ---- How values are written ----------------------------------------------------------------------------------------


def nano(text: str) -> int:
    """An amount as a whole number of billionths, as it is hashed."""
    match = AMOUNT.fullmatch(text)
    if match is None or text == "-0":
        raise ValueError(f"{text[:40]!r} is no amount as Purser writes it")
    sign, whole, fraction = match.groups()
    amount = int(whole) * NANO + int((fraction or "").ljust(9, "0"))
    return -amount if sign else amount


def count(text: str) -> int:
    """A number of an entry."""
    if COUNT.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is no number of an entry")
    return int(text)


def bare(prefix: str, text: str) -> str:
    """An id without its prefix, as it is hashed."""
    if re.fullmatch(prefix + "_[0-9a-f]{32}", text) is None:
        raise ValueError(f"{text[:40]!r} is no id {prefix}_...")
    return text[len(prefix) + 1 :]


def matching(pattern: re.Pattern[str], text: str) -> str:
    """A text that has one form."""
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is not written as Purser writes it")
    return text


def parts(text: str, amounts: int) -> list[tuple[str, list[int]]]:
    """Draws ("lot_...:2.5") or repayments ("lot_...:2:0.5"), separated by blanks."""
    found = []
    for part in text.split(" ") if text else []:
        lot, *figures = part.split(":")
        if len(figures) != amounts:
            raise ValueError(f"{part[:80]!r} is no lot with its amounts")
        found.append((bare("lot", lot), [nano(figure) for figure in figures]))
    return found


def joined(found: list[tuple[str, list[int]]]) -> str:
    """Draws or repayments as they are hashed."""
    return ",".join([":".join([lot, *map(str, figures)]) for lot, figures in found])


def entry(number: int, row: Row) -> Line:
    """Read an entry and compute its hash: SHA-256 over the hash before it and five netstrings ("length:bytes,")."""
    try:
        if row.get("record") != "entry":
            raise ValueError(row.get("problem") or "it is no record 'entry'")
        sequence = count(row["sequence"])
        if row["type"] not in MOVES:
            raise ValueError(f"{row['type'][:40]!r} is no type of an entry")
        amount, balances = nano(row["amount"]), [nano(row[name]) for name in BALANCES]
        draws, repayments = parts(row["lots"], 1), parts(row["repayments"], 2)
        fields = [bare("ten", row["tenant"]), bare("wal", row["wallet"]), sequence, row["type"], amount, *balances]
        fields.append(bare("rsv", row["reservation"]) if row["reservation"] else "-")
        fields += [matching(TIME, row["createdAt"]), joined(draws), joined(repayments) or "-"]
        texts = [" ".join(map(str, fields)), row["reference"], row["note"], row["actor"], row["idempotencyKey"]]
        # Only what is Unicode was ever hashed: bytes that are no UTF-8, and escapes that name no character, are refused here.
        covered = [text.encode() for text in texts]
        previous, own = matching(HASH, row["previousHash"]), matching(HASH, row["hash"])
        content = b"".join([b"%d:%b," % (len(text), text) for text in covered])
        computed = hashlib.sha256(bytes.fromhex(previous) + content).hexdigest()
    except ValueError as error:
        previous, own = row.get("previousHash", ""), row.get("hash", "")
        return Line(number, "entry", None, previous, own, None, ("", ""), problem=str(error))
    drawn = sum([figures[0] for _, figures in draws])
    owner = (row["tenant"], row["wallet"])
    return Line(number, "entry", sequence, previous, own, computed, owner, amount, row["type"], tuple(balances), drawn)


def standing(number: int, row: Row) -> Line:
    """Read an opening or a closing line."""
    try:
        sequence, chain_hash = count(row["sequence"]), matching(HASH, row["hash"])
        owner = ("ten_" + bare("ten", row["tenant"]), "wal_" + bare("wal", row["wallet"]))
        balances = tuple([nano(row[name]) for name in BALANCES])
        if row["record"] == "closing":
            return Line(number, "closing", sequence + 1, chain_hash, "", None, owner, balances=balances, row=row)
        if row["format"] != "purser-statement-1":
            raise ValueError(f"the format {row['format'][:40]!r} is unknown: get the verify_statement.py of today")
        count(row["lastSequence"]), count(row["headSequence"]), matching(HASH, row["headHash"])
    except ValueError as error:
        raise NoStatementError(f"line {number}: the {row['record']} line cannot be read: {error}") from error
    return Line(number, "opening", sequence, "", chain_hash, None, owner, balances=balances, row=row)


# ---- How files are read, a line at a time --------------------------------------------------------------------------


class Lines:
    """The lines of a file. Those of one record have a greatest length together: none can fill the memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.begin()

    def begin(self) -> None:
        """The next line begins a record."""
        self._left = LONGEST_RECORD

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(self._left + 1)
        except OSError as error:
            raise NoStatementError(f"it cannot be read further: {error.strerror}") from error
        self._left -= len(line)
        if self._left < 0:
            raise NoStatementError("a record is longer than any record of a statement")
        if not line:
            raise StopIteration
        return line


def rows_of(file: TextIO) -> Iterator[tuple[int, Row]]:
    """The records of a file with the numbers of their lines, whichever form it has. One that cannot be read has a "problem"."""
    lines = Lines(file)
    first = next(lines, "")
    if first.startswith("{"):
        for number, line in enumerate(itertools.chain([first], lines), 1):
            lines.begin()
            yield number, row_of_json(line)
        return
    if first.rstrip("\r\n") != ",".join(COLUMNS):
        raise NoStatementError(f"this is no statement: as CSV one begins with the line {','.join(COLUMNS[:5])},...")
    csv.field_size_limit(LONGEST_RECORD)
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            lines.begin()
            yield reader.line_num + 1, row_of_csv(cells)
    except csv.Error as error:
        raise NoStatementError(f"line {reader.line_num + 1}: this is no CSV: {error}") from error


def row_of_json(line: str) -> Row:
    """A record of JSON lines, with draws and repayments as CSV has them."""
    try:
        record: dict[str, Any] = json.loads(line, object_pairs_hook=once)
        names = FIELDS.get(record["record"], ENTRY)
        if set(record) != set(names):
            raise ValueError(f"its fields are not {', '.join(names)}")
        for name, keys in (("lots", ["lot", "amount"]), ("repayments", ["lot", "consumed", "granted"])):
            found = record.get(name, [])
            for part in found if isinstance(found, list) else [{}]:
                if list(part) != keys or any(set(value) & set(": ") for value in part.values()):
                    raise ValueError(f"{name} is no list of {' and '.join(keys)}")
            if name in record:
                record[name] = " ".join([":".join(part.values()) for part in found])
        if not all(isinstance(value, str) for value in record.values()):
            raise ValueError("a value is no text")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return {"problem": f"it is no record of a statement: {error}"}
    return dict(record)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a JSON object; readers differ on what a name means that stands twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice in it")
    return dict(pairs)


def row_of_csv(cells: list[str]) -> Row:
    """A record of CSV. Before what a spreadsheet takes for a formula stands an apostrophe that is no part of the text."""
    if len(cells) != len(COLUMNS):
        return {"problem": f"it has {len(cells)} cells, a record has {len(COLUMNS)}"}
    row = dict(zip(COLUMNS, cells))
    names = FIELDS.get(row["record"], ENTRY)
    beyond = [name for name in COLUMNS if row[name] and name not in names]
    if beyond:
        return {"problem": f"{beyond[0]} does not belong in it"}
    for name in TEXTS:
        text = row[name].removeprefix("'")
        if (text != row[name]) != text.startswith(FORMULAS):
            return {"problem": f"{name} has an apostrophe too many or too few"}
        row[name] = text
    return {name: row[name] for name in names}


def records_of(file: TextIO) -> Iterator[Line]:
    """The records of a file, entries with their hashes computed."""
    for number, row in rows_of(file):
        if row.get("record") in FIELDS:
            yield standing(number, row)
        else:
            yield entry(number, row)


# ---- What must hold ------------------------------------------------------------------------------------------------


class Verification:
    """Reads one statement after the other. `heads`: numbers of entries and the hashes that they must have."""

    def __init__(self, heads: dict[int, str]) -> None:
        self.faults: list[Fault] = []
        self.entries = 0
        self.statements: list[Row] = []
        self.first = 0
        # The last entry that stands in its place: its number, the hashes by which the next one may know it (None: any),
        # and the balances after it (None: not known).
        self.tip = 0
        self.hashes: set[str] | None = None
        self.balances: Balances | None = None
        self.owner = ("", "")
        self._heads = dict(heads)
        self._missing: list[tuple[int, int]] = []
        # Entries that stand elsewhere than where they belong: after which entry, by their number.
        self._early: dict[int, int] = {}
        self._moved: dict[int, int] = {}

    def fault(self, kind: str, sequence: int, message: str) -> None:
        """Note a fault, once if one after the other it shows twice."""
        if self.faults and self.faults[-1][:2] == (kind, sequence):
            return
        self.faults.append(Fault(kind, sequence, message))

    def statement(self, file: TextIO) -> None:
        """Verify one file, which begins where the one before it ended."""
        records = records_of(file)
        window: deque[Line] = deque(itertools.islice(records, 3))
        if not window:
            raise NoStatementError("it is empty")
        opening = window[0] if window[0].kind == "opening" else None
        if opening is None:
            self._without_opening(window[0])
        else:
            window.popleft()
            window.extend(itertools.islice(records, 1))
            self._open(opening)
        while window and window[0].kind == "entry":
            self._take(window[0], *[window[at] if len(window) > at else None for at in (1, 2)])
            # What is out of its place is a fault already, though its name is not known before the end.
            if len(self.faults) + len(self._missing) + len(self._early) + len(self._moved) >= MOST_FAULTS:
                raise NoStatementError(f"these are {MOST_FAULTS} faults: it was not read further")
            window.popleft()
            window.extend(itertools.islice(records, 1))
        self._close(window[0] if window else None, opening)
        if len(window) > 1:
            more = window[1]
            self.fault("added", self.tip, f"something stands after the closing line (line {more.number})")

    def _without_opening(self, line: Line) -> None:
        if line.kind != "entry":
            raise NoStatementError("the opening line is missing, and there is no entry")
        self.tip = (line.sequence or 1) - 1
        self.hashes = self.balances = None
        self.owner = line.owner
        self.statements.append({})
        self.fault("cut off", self.tip + 1, "the opening line is missing: the beginning was cut off")

    def _open(self, opening: Line) -> None:
        row, sequence = opening.row or {}, opening.sequence or 0
        if self.statements:
            self._join(opening, sequence)
        else:
            self.first = sequence
        if sequence == 0 and (opening.hash != ZEROS or any(opening.balances)):
            self.fault("opening", 0, "the opening line is wrong: before entry 1 everything is zero")
        if sequence > 0 and not row["from"]:
            self.fault("cut off", 1, f"{spelled(1, sequence)} missing: it says that it begins with the ledger")
        last, head = int(row["lastSequence"]), int(row["headSequence"])
        if not sequence <= last <= head or (not row["to"] and last != head):
            self.fault("opening", last, "the opening line is wrong: its numbers do not fit each other")
        self.statements.append(row)
        self.tip, self.hashes, self.balances, self.owner = sequence, {opening.hash}, opening.balances, opening.owner
        self._compare_with_heads(sequence, {opening.hash})

    def _join(self, opening: Line, sequence: int) -> None:
        """Whether a statement begins where the one before it ended."""
        fits = self.hashes is not None and opening.hash in self.hashes and self.balances in (None, opening.balances)
        if opening.owner != self.owner:
            self.fault("joint", sequence, "this statement is of another wallet than the one before it")
        elif sequence > self.tip:
            self.fault("joint", self.tip + 1, f"{spelled(self.tip + 1, sequence)} missing between two statements")
        elif sequence < self.tip:
            self.fault(
                "joint", sequence, f"a statement begins after entry {sequence}, the one before ends with {self.tip}"
            )
        elif not fits:
            self.fault("joint", sequence, f"two statements tell different things of entry {sequence}")

    def _take(self, line: Line, following: Line | None, after_that: Line | None) -> None:
        """Put an entry in its place, or say what is wrong with it. The two lines after it help to tell what happened."""
        self.entries += 1
        if line.intact and self.entries == 1 and line.owner != self.owner:
            self.fault("opening", self.tip, "the opening line names another tenant or wallet than the entries")
            self.owner = line.owner
        line = self._own(line)
        following = following and self._own(following)
        expected = self.tip + 1
        if self._fits(following) and not self._stands(line, following, after_that) and not self._comes_later(line):
            # The next line is the one that belongs here.
            if line.intact and line.sequence != expected:
                self._elsewhere(line)
            else:
                self.fault("added", self.tip, f"an entry was added after entry {self.tip} ({said_of(line)})")
        elif not line.intact:
            self._altered(line, following)
        elif line.sequence == expected:
            self._accept(line, self._linked(line, following))
        elif self._comes_later(line):
            if self._is_early(line, following, after_that):
                self._elsewhere(line)
            else:
                self._missing.append((expected, (line.sequence or 0) - 1))
                self.hashes = self.balances = None
                self._accept(line, {line.hash})
        else:
            self._elsewhere(line)

    def _altered(self, line: Line, following: Line | None) -> None:
        """An entry whose content has another hash than it names. The line after it tells its place, as it has its hash."""
        place = self.tip + 1
        hashes = {known for known in (line.hash, line.computed) if known and HASH.fullmatch(known)}
        if following is not None and following.previous in hashes and (following.sequence or 0) > place + 1:
            place = (following.sequence or 0) - 1
            self._missing.append((self.tip + 1, place - 1))
        self.fault("altered", place, f"entry {place} was altered ({said_of(line)})")
        self.tip, self.hashes, self.balances = place, hashes or None, None
        self._compare_with_heads(place, hashes)

    def _comes_later(self, line: Line) -> bool:
        return line.intact and line.sequence is not None and line.sequence > self.tip + 1

    def _is_early(self, line: Line, following: Line | None, after_that: Line | None) -> bool:
        """Whether an entry that comes later stands here alone: those before it still follow. Of two that were swapped, it is
        the other one that stands elsewhere, unless this one is a copy."""
        number, expected = line.sequence or 0, self.tip + 1
        if following is None or not following.intact or not expected <= (following.sequence or 0) < number:
            return False
        return number > expected + 1 or (after_that is not None and after_that.hash == line.hash)

    def _own(self, line: Line) -> Line:
        """A line as it is; an entry of another wallet does not count as one."""
        if line.kind == "entry" and line.intact and line.owner != self.owner:
            return line._replace(computed=None, problem="it is an entry of another tenant or wallet")
        return line

    def _fits(self, line: Line | None) -> bool:
        """Whether a line is, beyond doubt, what comes next."""
        if line is None or line.sequence != self.tip + 1 or self.hashes is None or line.previous not in self.hashes:
            return False
        return line.intact or line.kind == "closing"

    def _stands(self, line: Line, following: Line | None, after_that: Line | None) -> bool:
        """Of two lines that both could come next, whether the first is the one: it has a twin, or is known further on."""
        if not self._fits(line) or following is None:
            return False
        return line.hash == following.hash or (after_that is not None and after_that.previous == line.hash)

    def _linked(self, line: Line, following: Line | None) -> set[str]:
        """See whether an intact entry knows the one before it; the hashes by which the next one may know it."""
        before = self.tip
        if self.hashes is None or line.previous in self.hashes:
            return {line.hash}
        self.balances = None
        if following is not None and following.sequence == before + 2 and following.previous != line.hash:
            self.fault("altered", before + 1, f"entry {before + 1} was altered and hashed anew (line {line.number})")
            return {line.hash, following.previous}
        if self.entries == 1:
            self.fault("opening", before, f"the opening line does not have the hash that entry {before + 1} follows")
        else:
            self.fault("altered", before, f"entry {before} was altered and hashed anew: the next one follows another")
        return {line.hash}

    def _accept(self, line: Line, known: set[str]) -> None:
        """An entry in its place."""
        sequence = line.sequence or 0
        if sequence in self._early:
            after = self._early.pop(sequence)
            self.fault("repeated", sequence, f"entry {sequence} stands twice: also after entry {after}")
        if self.balances is not None:
            moved = tuple([figure + times * line.amount for figure, times in zip(self.balances, MOVES[line.type])])
            if moved != line.balances:
                self.fault("balance", sequence, f"the balances after entry {sequence} do not follow from its move")
        granted, *others = line.balances
        if granted != sum(others) or line.drawn != line.amount:
            self.fault("balance", sequence, f"the figures of entry {sequence} do not add up")
        self.tip, self.hashes, self.balances = sequence, known, line.balances
        self._compare_with_heads(sequence, known)

    def _elsewhere(self, line: Line) -> None:
        """A genuine entry that does not stand in its place."""
        assert line.sequence is not None
        if line.sequence > self.tip:
            self._early[line.sequence] = self.tip
        elif self._found(line.sequence):
            self._moved[line.sequence] = self.tip
            self._compare_with_heads(line.sequence, {line.hash})
        elif line.sequence == self.tip and self.hashes is not None and line.hash not in self.hashes:
            self.fault("added", self.tip, f"an entry was added after entry {self.tip} (line {line.number})")
        else:
            self.fault("repeated", line.sequence, f"entry {line.sequence} stands twice: also after entry {self.tip}")

    def _found(self, sequence: int) -> bool:
        """Take a number off those that are missing."""
        for at, (low, high) in enumerate(self._missing):
            if low <= sequence <= high:
                rest = [(low, sequence - 1), (sequence + 1, high)]
                self._missing[at : at + 1] = [(start, end) for start, end in rest if start <= end]
                return True
        return False

    def _close(self, closing: Line | None, opening: Line | None) -> None:
        """What the closing line says, and what of the statement is missing or stands elsewhere."""
        last = self.tip
        if closing is None or closing.kind != "closing":
            last = max(last, int(opening.row["lastSequence"]) if opening and opening.row else 0)
            self.fault("cut off", self.tip + 1, f"the closing line is missing: it breaks off after entry {self.tip}")
        else:
            last = (closing.sequence or 1) - 1
        if last > self.tip:
            self._missing.append((self.tip + 1, last))
        for sequence, after in sorted(self._early.items()):
            if self._found(sequence):
                self._moved[sequence] = after
            else:
                self.fault("added", after, f"an entry was added after entry {after}, with the number {sequence}")
        self._tell_moved()
        for low, high in self._missing:
            cut = " (the tail was cut off)" if high > self.tip else ""
            if opening is not None and low == (opening.sequence or 0) + 1 and not cut:
                cut = " (the beginning was cut off)"
            self.fault("removed", low, f"{spelled(low, high)} missing{cut}")
        if closing is not None and closing.kind == "closing":
            self._compare_with_closing(closing, opening, last)
        self._missing, self._early, self._moved = [], {}, {}
        self.tip = last

    def _tell_moved(self) -> None:
        moved = dict(self._moved)
        for low, after in sorted(self._moved.items()):
            # Two that stand in each other's place.
            others = [high for high, place in moved.items() if high > low and place == low - 1 and after == high - 1]
            if low in moved and others:
                self.fault("moved", low, f"entries {low} and {others[0]} were swapped")
                del moved[low], moved[others[0]]
        for sequence, after in sorted(moved.items()):
            if after == sequence + 1:
                self.fault("moved", sequence, f"entries {sequence} and {after} were swapped")
            else:
                self.fault("moved", sequence, f"entry {sequence} was moved: it stands after entry {after}")

    def _compare_with_closing(self, closing: Line, opening: Line | None, last: int) -> None:
        if last < self.tip:
            self.fault(
                "added", last, f"{spelled(last + 1, self.tip)} there, after entry {last}, which is to be the last"
            )
        elif last == self.tip and self.hashes is not None and closing.previous not in self.hashes:
            self.fault("altered", last, f"entry {last} was altered and hashed anew: the closing line has another hash")
        elif last == self.tip and self.balances not in (None, closing.balances):
            self.fault("closing", last, "the closing line has other balances than the last entry")
        if closing.owner != self.owner:
            self.fault("closing", last, "the closing line names another tenant or wallet")
        if opening is not None and opening.row is not None:
            row = opening.row
            if int(row["lastSequence"]) != last:
                announced = row["lastSequence"]
                self.fault("cut off", last + 1, f"the closing line says entry {last}, the opening line {announced}")
            elif int(row["headSequence"]) == last and row["headHash"] != closing.previous:
                self.fault("opening", last, "the opening line has another hash for the head than the closing line")
        self.hashes, self.balances = {closing.previous}, closing.balances

    def _compare_with_heads(self, sequence: int, hashes: set[str]) -> None:
        if sequence in self._heads and self._heads.pop(sequence) not in hashes:
            self.fault(
                "head", sequence, f"entry {sequence} is not the head that you gave: it was altered, or one before it"
            )

    def broken_off(self) -> None:
        """Where a file is not read to its end: what of it was out of its place until there."""
        self._tell_moved()
        for low, high in self._missing:
            self.fault("removed", low, f"{spelled(low, high)} missing, as far as it was read")
        for sequence, after in sorted(self._early.items()):
            self.fault("moved", sequence, f"entry {sequence} stands too early, after entry {after}")

    def finish(self) -> None:
        """When all files are read: what was noted must have been there."""
        for sequence in sorted(self._heads):
            message = f"entry {sequence}, the head that you gave, is not among the entries {self.first} to {self.tip}"
            self.fault("head", sequence, message + (": the tail was cut off" if sequence > self.tip else ""))


def spelled(low: int, high: int) -> str:
    """Some entries, with their verb."""
    return f"entry {low} is" if low == high else f"entries {low} to {high} are"


def said_of(line: Line) -> str:
    """Where a line is, and why it is not what it should be."""
    return f"line {line.number}: {line.problem or 'its content has another hash than it names'}"


# ---- What is told --------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """A text of the file as it can do no harm on a terminal."""
    return text[:80] if text.isprintable() and text.isascii() else ascii(text[:80])


def as_text(verification: Verification, broken: str) -> Iterator[str]:
    """The result for people."""
    for row in filter(None, verification.statements):
        of = {name: plain(row[name]) for name in OPENING}
        yield f"Wallet {of['walletKey']} ({of['wallet']}, unit {of['unit']}) of {of['tenant']}, made at {of['madeAt']},"
        yield f"  from {of['from'] or 'the beginning'} to {of['to'] or 'the newest entry'}"
    yield f"Read {verification.entries} entries."
    for fault in verification.faults:
        yield f"FAULT: {fault.message}."
    if broken:
        yield f"NOT READ TO ITS END: {broken}."
    if verification.faults or broken:
        yield "This statement does not hold."
        return
    chain_hash = next(iter(verification.hashes or {ZEROS}))
    if verification.first:
        yield f"It begins after entry {verification.first}: what was before, an earlier statement shows."
    if verification.entries or not verification.tip:
        yield f"Every hash and balance holds, without a gap, up to entry {verification.tip}."
    else:
        yield f"No entry is in it: the hash and the balances after entry {verification.tip} are what the file claims."
    yield f"Its head is {verification.tip}:{chain_hash}"
    yield "Compare it with a head that you noted, or that the API tells: --head does. What came later is not in it."


def as_document(verification: Verification, broken: str) -> dict[str, Any]:
    """The result for programs."""
    holds = not verification.faults and not broken
    claims = [{name: row[name] for name in OPENING if name != "record"} for row in verification.statements if row]
    return {
        "holds": holds,
        "entries": verification.entries,
        "afterSequence": str(verification.first),
        "head": f"{verification.tip}:{next(iter(verification.hashes or {ZEROS}))}" if holds else None,
        "faults": [fault._asdict() for fault in verification.faults],
        "notRead": broken or None,
        "claims": claims,
    }


def head(text: str) -> tuple[int, str]:
    """A head as it is given: SEQUENCE:HASH."""
    sequence, _, chain_hash = text.partition(":")
    try:
        return count(sequence), matching(HASH, chain_hash)
    except ValueError as error:
        raise argparse.ArgumentTypeError("write it as 1204:9f86d081..., with all 64 digits of the hash") from error


def verify(files: Iterable[TextIO], heads: dict[int, str]) -> tuple[Verification, str]:
    """Verify files in their order; beside what was found, why it was not read to the end."""
    verification = Verification(heads)
    try:
        for file in files:
            verification.statement(file)
        verification.finish()
    except NoStatementError as error:
        verification.broken_off()
        return verification, str(error)
    return verification, ""


def opened(paths: list[str]) -> Iterator[TextIO]:
    """The files, one after the other; bytes that are no UTF-8 are kept as they are."""
    for path in paths:
        source: Any = sys.stdin.fileno() if path == "-" else path
        try:
            with open(source, encoding="utf-8-sig", errors="surrogateescape", newline="", closefd=path != "-") as file:
                yield file
        except OSError as error:
            raise NoStatementError(f"{path} cannot be read: {error.strerror}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the program; the exit code."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("verify_statement.py", description=__doc__, formatter_class=form)
    files = "statements as CSV or JSON lines, successive ones in their order; - is standard input"
    heads = "an entry that must be there with this hash; give as many as you like"
    parser.add_argument("files", nargs="+", metavar="FILE", help=files)
    parser.add_argument("--head", type=head, action="append", default=[], metavar="SEQUENCE:HASH", help=heads)
    parser.add_argument("--json", action="store_true", help="tell the result as JSON")
    given = parser.parse_args(arguments)
    if len({sequence for sequence, _ in set(given.head)}) < len(set(given.head)):
        parser.error("--head: an entry has one hash")
    verification, broken = verify(opened(given.files), dict(given.head))
    if given.json:
        print(json.dumps(as_document(verification, broken), indent=2))
    else:
        # Not every terminal has every letter.
        print("\n".join(as_text(verification, broken)).encode("ascii", "backslashreplace").decode())
    if verification.faults:
        return 1
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
