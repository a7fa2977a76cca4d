"""Files of rows: CSV with a header, JSON lines, or one JSON document, told apart by how they begin.

CSV and JSON lines are read row by row, so that a file may be of any size. A document is read whole.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, Any, Final

from domain.refusals import FieldProblem
from infra.file_errors import UnreadableFileError
from infra.importers.values import load_json
from infra.services.usage_intake import Unreadable

LARGEST_DOCUMENT: Final = 256 * 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

Line = tuple[int, bytes]
Row = tuple[int, Any]


def lines(file: IO[bytes], longest: int) -> Iterator[Line]:
    """The lines by number, without the byte order mark; of one that is too long its beginning, one byte too long."""
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        rest = line
        while len(rest) > longest and not rest.endswith(b"\n"):
            rest = file.readline(longest + 1)
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        yield number, line


def rows(file: IO[bytes], columns: Sequence[str] = ()) -> Iterator[Row]:
    """Each row with the line where it begins, or with its number where a document is one list of rows; an Unreadable in
    the place of one that cannot be read. `columns`: what the header of a CSV file must hold; none, where CSV is not
    taken."""
    found = lines(file, LARGEST_DOCUMENT)
    first = next(((number, line) for number, line in found if line.strip()), None)
    if first is None:
        return
    if first[1].lstrip()[:1] in (b"{", b"["):
        yield from _json(first, ((number, line) for number, line in found if line.strip()))
    elif columns:
        yield from _csv(first, found, columns)
    else:
        raise UnreadableFileError("is no JSON: it must begin with { or [")


def _json(first: Line, found: Iterator[Line]) -> Iterator[Row]:
    number, line = first
    try:
        value = load_json(line)
    except ValueError:
        # Not a document by itself: all of the file may be one, or this line is broken.
        everything = [first, *_at_most(found)]
        try:
            value = load_json(b"".join(each for _, each in everything))
        except ValueError:
            for number, line in everything:
                yield number, _read(line)
            return
    yield from enumerate(value, 1) if isinstance(value, list) else [(number, value)]
    for number, line in found:
        yield number, _read(line)


def _at_most(found: Iterator[Line]) -> Iterator[Line]:
    size = 0
    for number, line in found:
        size += len(line)
        if size > LARGEST_DOCUMENT:
            raise UnreadableFileError(
                f"is one JSON document of more than {LARGEST_DOCUMENT // 1024**2} MB, or its first line is broken: write "
                "one row a line (JSON lines), which may be of any size"
            )
        yield number, line


def _read(line: bytes) -> Any:
    try:
        return load_json(line)
    except ValueError as error:
        return Unreadable("", (FieldProblem("line", f"is no valid JSON: {error}"),))


def _csv(first: Line, found: Iterator[Line], columns: Sequence[str]) -> Iterator[Row]:
    csv.field_size_limit(LARGEST_DOCUMENT)
    before = first[0] - 1
    line = first[0]
    try:
        reader = csv.reader((text.decode() for _, text in chain([first], found)), strict=True)
        header = [name.strip() for name in next(reader)]
        missing = [name for name in columns if name not in header]
        if missing:
            raise UnreadableFileError(f"begins with neither {{ nor [, and as CSV its header lacks {', '.join(missing)}")
        line = before + reader.line_num + 1
        for values in reader:
            if len(values) == len(header):
                yield line, dict(zip(header, values, strict=True))
            elif values:
                problem = FieldProblem("line", f"has {len(values)} columns, the header has {len(header)}")
                yield line, Unreadable("", (problem,))
            line = before + reader.line_num + 1
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"is not in UTF-8, at line {line}") from error
    except csv.Error as error:
        raise UnreadableFileError(f"cannot be read as CSV, at line {line}: {error}") from error
