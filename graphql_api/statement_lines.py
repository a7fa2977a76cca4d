"""Statements as files: CSV and JSON lines, record by record.

JSON lines have a record a line, with the fields that it has. CSV has the same fields as columns, the same for every record;
draws and repayments are "lot:amount" and "lot:consumed:granted" there, separated by blanks.

Spreadsheets take a cell that begins with = + - @, or with a tab or a line's end, for a formula. Texts that were typed or
sent by somebody have an apostrophe put before such a beginning, and before an apostrophe, so that taking one off gives the
very text that was hashed. CSV begins with the byte order mark by which spreadsheets know UTF-8.
"""

import csv
import io
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import orjson

from domain.statements import COLUMNS, Record, Value

_TEXTS: Final = ("reference", "note", "actor", "idempotencyKey")
# Spreadsheets of East Asia take the wide signs for the narrow ones.
_BEGINNINGS_OF_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


class Form(StrEnum):
    """How a statement is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


MEDIA_TYPES: Final = {Form.CSV: "text/csv; charset=utf-8", Form.JSON_LINES: "application/x-ndjson"}
BEGINNINGS: Final = {Form.CSV: "\ufeff" + ",".join(COLUMNS) + "\r\n", Form.JSON_LINES: ""}


def csv_lines(records: Iterable[Record]) -> bytes:
    """Records as lines of CSV."""
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows([_cells(record) for record in records])
    return lines.getvalue().encode()


def json_lines(records: Iterable[Record]) -> bytes:
    """Records as lines of JSON."""
    return b"".join([orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records])


WRITERS: Final[dict[Form, Callable[[Iterable[Record]], bytes]]] = {
    Form.CSV: csv_lines,
    Form.JSON_LINES: json_lines,
}


def _cells(record: Record) -> list[str]:
    return [_cell(record.get(name, ""), is_text=name in _TEXTS) for name in COLUMNS]


def _cell(value: Value, *, is_text: bool) -> str:
    if isinstance(value, list):
        return " ".join([":".join(part.values()) for part in value])
    return "'" + value if is_text and value.startswith(_BEGINNINGS_OF_FORMULAS) else value
