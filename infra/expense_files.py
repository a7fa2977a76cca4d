"""Expenses from CSV, row by row: each becomes an entry or says what is wrong with it. The file may be of any size.

The first line names the columns and shows the separator. Texts are taken as they are, also where a spreadsheet would take
them for a formula: whoever exports them must see to that.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final, NamedTuple

from domain.expenses import ExpenseEntry
from domain.refusals import FieldProblem
from infra.expense_cells import (
    CellProblem,
    DecimalSign,
    currency_in,
    date_in,
    figure_in,
    figure_with_comma_in,
    kind_in,
    reference_in,
)
from infra.file_errors import UnreadableFileError

# Of one row, in characters; a line of a row in quotes counts with the others. Several times what a good row can have, and
# little enough to be read within a turn.
LONGEST_ROW: Final = 8_192
MOST_ROWS: Final = 2_000_000
# Lines with nothing on them that are told as one, so that others have a turn in between; and those before the header.
MOST_BLANK: Final = 1_000
# What a problem is about that is no column's. After quotes that do not go nobody knows where rows begin: a text may be
# taken for one.
LINE: Final = "line"
QUOTES: Final = "quotes"
SEPARATORS: Final = ",;\t"
COLUMNS: Final = (
    "campaign",
    "kind",
    "amount",
    "currency",
    "hours",
    "hourlyRate",
    "incurredOn",
    "description",
    "reference",
)
_REQUIRED: Final = ("campaign", "kind", "currency", "incurredOn")
_KNOWN: Final = {name.lower(): name for name in COLUMNS} | {"date": "incurredOn", "id": "reference"}

_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", None),
    (b"\x00\x00\xfe\xff", None),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"PK\x03\x04", None),
)
_NAMES_COLUMNS: Final = f"its first line must name the columns: {', '.join(COLUMNS)}"
_CERTAIN: Final = "nothing of the file is written before"
_UNDECODED: Final = re.compile("[\udc80-\udcff]")


class Charset(StrEnum):
    """How the letters of a file are written. UTF-8 is also recognised with a byte order mark, UTF-16 by its mark alone."""

    UTF_8 = "utf-8"
    CP1252 = "cp1252"


class Row(NamedTuple):
    """What stands from one line to another: an entry, or what is wrong with it; neither, where nothing is there."""

    line: int
    past: int
    entry: ExpenseEntry | None = None
    reference: str | None = None
    problems: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Header:
    """The columns by name, each with its place, and how many there are."""

    places: dict[str, int]
    width: int


def read_rows(
    file: IO[bytes], charset: Charset = Charset.UTF_8, sign: DecimalSign = DecimalSign.POINT
) -> Iterator[Row]:
    """Each row of a file that can be read from its beginning again. Raises UnreadableFileError where its header or its
    encoding make nothing of it."""
    text = io.TextIOWrapper(file, _encoding(file, charset), errors="surrogateescape", newline="")
    try:
        yield from _rows(_Lines(text, charset), sign)
    finally:
        text.detach()


def _rows(lines: "_Lines", sign: DecimalSign) -> Iterator[Row]:
    separator, header = _header(lines)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    blank: Row | None = None
    count = size = 0
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            break
        except (csv.Error, CellProblem) as error:
            uncertain = isinstance(error, csv.Error) or lines.number > lines.first
            row = _wrong(lines, QUOTES if uncertain else LINE, _as_message(error, lines))
        else:
            if not any(cell and not cell.isspace() for cell in cells):
                blank = Row(lines.number if blank is None else blank.line, lines.number)
                size += lines.size
                if blank.past - blank.line >= MOST_BLANK - 1 or size > LONGEST_ROW:
                    yield blank
                    blank, size = None, 0
                continue
            row = _row(lines, header, cells, sign)
        if blank is not None:
            yield blank
            blank, size = None, 0
        count += 1
        if count > MOST_ROWS:
            raise UnreadableFileError(f"has more than {MOST_ROWS} rows: import it in several files")
        yield row
    if blank is not None:
        yield blank


class _Lines:
    """The lines of a file as the CSV reader takes them. It outlives its own errors: the next row begins on the next line."""

    def __init__(self, text: io.TextIOWrapper, charset: Charset) -> None:
        self.number = 0
        self.first = 0
        self.charset = charset
        self._text = text
        self.size = 0

    def begin(self) -> None:
        """A row begins with the next line."""
        self.first, self.size = self.number + 1, 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            line = self._text.readline(LONGEST_ROW + 1)
            if not line:
                raise StopIteration
            self.number += 1
            self.size += len(line)
            if len(line) > LONGEST_ROW:
                self._skip(line)
        except UnicodeError as error:
            raise UnreadableFileError(
                f"is not in the encoding that its first bytes say, after line {self.number}: save it as UTF-8"
            ) from error
        if self.size > LONGEST_ROW:
            raise CellProblem(f"is longer than {LONGEST_ROW} characters")
        if not line.isascii() and (undecoded := _UNDECODED.search(line)):
            byte = ord(undecoded[0]) - 0xDC00
            remedy = "save the file as UTF-8" + (
                ", or say charset=cp1252 if that is what it is" if self.charset is Charset.UTF_8 else ""
            )
            raise CellProblem(f"holds the byte 0x{byte:02X}, which is none in {self.charset}: {remedy}")
        return line

    def _skip(self, line: str) -> None:
        """Pass over the rest of a line."""
        while line and line[-1] not in "\r\n":
            line = self._text.readline(LONGEST_ROW)


def _encoding(file: IO[bytes], charset: Charset) -> str:
    beginning = file.read(4)
    file.seek(0)
    for mark, encoding in _MARKS:
        if not beginning.startswith(mark):
            continue
        if mark.startswith(b"PK"):
            raise UnreadableFileError("is a spreadsheet or an archive: export it as CSV")
        if encoding is None:
            raise UnreadableFileError("is in UTF-32: save it as UTF-8")
        if charset is Charset.CP1252:
            raise UnreadableFileError("begins with a mark of Unicode and is not in cp1252: leave the charset out")
        return encoding
    return charset.value


def _header(lines: _Lines) -> tuple[str, _Header]:
    """The separator and the columns, from the first line that holds something."""
    line = ""
    while not line.strip():
        lines.begin()
        try:
            line = next(lines)
        except StopIteration:
            raise UnreadableFileError(f"is empty: {_NAMES_COLUMNS}") from None
        except CellProblem as error:
            raise UnreadableFileError(f"cannot be read: line {lines.number} {error}") from None
        if lines.number > MOST_BLANK:
            raise UnreadableFileError(f"begins with more than {MOST_BLANK} lines of nothing: {_NAMES_COLUMNS}")
    if "\0" in line:
        raise UnreadableFileError(
            "holds the character NUL in its first line, as UTF-16 without a mark does: save it as UTF-8"
        )
    found = [(separator, _split(line, separator)) for separator in SEPARATORS]
    separator, names = max(found, key=lambda each: sum(_key(name) in _KNOWN for name in each[1]))
    problem = _header_problem(names)
    if problem:
        raise UnreadableFileError(f"has a header that does not go, in line {lines.number}: {problem}")
    return separator, _Header({_KNOWN[_key(name)]: place for place, name in enumerate(names)}, len(names))


def _header_problem(names: Sequence[str]) -> str | None:
    columns = [_KNOWN.get(_key(name)) for name in names]
    known = [column for column in columns if column is not None]
    if not known:
        return f"it must name columns, separated by commas, semicolons or tabs: {', '.join(COLUMNS)}"
    for place, (name, column) in enumerate(zip(names, columns, strict=True), 1):
        if not name.strip():
            return f"column {place} has no name: name it, or take it out"
        if column is None:
            return f"there is no column {name.strip()[:80]!r}; there are {', '.join(COLUMNS)}"
        if known.count(column) > 1:
            return f"the column {column} stands there more than once"
    missing = [column for column in _REQUIRED if column not in known]
    if "amount" not in known and not {"hours", "hourlyRate"} <= set(known):
        missing.append("amount (or hours and hourlyRate)")
    return f"it lacks {', '.join(missing)}" if missing else None


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return []


def _key(name: str) -> str:
    return re.sub("[ _-]", "", name.strip().lower())


def _row(lines: _Lines, header: _Header, cells: Sequence[str], sign: DecimalSign) -> Row:
    if len(cells) != header.width:
        hint = "; a separator within a text needs quotes around it" if len(cells) > header.width else ""
        return _wrong(lines, LINE, f"has {len(cells)} columns, the header has {header.width}{hint}")
    problems: list[FieldProblem] = []

    def read(column: str, how: Callable[[str], object]) -> object:
        place = header.places.get(column)
        cell = "" if place is None else cells[place]
        try:
            if "\0" in cell:
                raise CellProblem("holds the character NUL")
            return how(cell)
        except CellProblem as error:
            problems.append(FieldProblem(column, str(error)))
            return None

    figure = figure_in if sign is DecimalSign.POINT else figure_with_comma_in
    values = {
        "campaign": read("campaign", lambda cell: cell.strip(" ")),
        "kind": read("kind", kind_in),
        "currency": read("currency", currency_in),
        "incurred_on": read("incurredOn", date_in),
        "amount": read("amount", figure),
        "hours": read("hours", figure),
        "hourly_rate": read("hourlyRate", figure),
        "description": read("description", lambda cell: cell or None),
    }
    reference = read("reference", reference_in)
    if problems:
        return Row(lines.first, lines.number, problems=tuple(problems))
    entry = ExpenseEntry(**values)  # type: ignore[arg-type]  # each was read as what its column holds
    return Row(lines.first, lines.number, entry, reference)  # type: ignore[arg-type]  # as above


def _wrong(lines: _Lines, path: str, message: str) -> Row:
    return Row(lines.first, max(lines.first, lines.number), problems=(FieldProblem(path, message),))


def _as_message(error: Exception, lines: _Lines) -> str:
    until = f", up to line {lines.number}" if lines.number > lines.first else ""
    if isinstance(error, CellProblem):
        return f"{error}{f': a quote may be open{until}; {_CERTAIN}' if until else ''}"
    return f"do not go{until} ({error}): put a text in quotes as a whole, and double those within it; {_CERTAIN}"
