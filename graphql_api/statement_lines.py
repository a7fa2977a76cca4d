"""Statements as files: CSV and JSON lines, record by record.

JSON lines have a record a line, with the fields that it has. CSV has the same fields as columns, the same for every record;
draws and repayments are "lot:amount" and "lot:consumed:granted" there, separated by blanks.

Texts that spreadsheets would take for formulas have an apostrophe before them (csv_lines.py): taking one off gives the
very text that was hashed. CSV begins with the byte order mark by which spreadsheets know UTF-8.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import orjson

from domain.statements import COLUMNS, Record, Value
from graphql_api.csv_lines import csv_lines, no_formula

_TEXTS: Final = ("reference", "note", "actor", "idempotencyKey")


class Form(StrEnum):
    """How a statement is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


MEDIA_TYPES: Final = {Form.CSV: "text/csv; charset=utf-8", Form.JSON_LINES: "application/x-ndjson"}
BEGINNINGS: Final = {Form.CSV: "\ufeff" + ",".join(COLUMNS) + "\r\n", Form.JSON_LINES: ""}


def _in_csv(records: Iterable[Record]) -> bytes:
    return csv_lines([_cells(record) for record in records])


def _in_json(records: Iterable[Record]) -> bytes:
    return b"".join([orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records])


WRITERS: Final[dict[Form, Callable[[Iterable[Record]], bytes]]] = {
    Form.CSV: _in_csv,
    Form.JSON_LINES: _in_json,
}


def _cells(record: Record) -> list[str]:
    return [_cell(record.get(name, ""), is_text=name in _TEXTS) for name in COLUMNS]


def _cell(value: Value, *, is_text: bool) -> str:
    if isinstance(value, list):
        return " ".join([":".join(part.values()) for part in value])
    return no_formula(value) if is_text else value
