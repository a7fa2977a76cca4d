"""Recorded LLM calls: a CSV file with the columns TIMESTAMP, ContextTokens and GeneratedTokens, read line by line.

The columns may stand in any order among others. A byte order mark, CRLF, blank lines and a missing newline at the
end are taken; anything else that is not a call is an error that names its line.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from domain.usage import MOST_COUNT

COLUMNS: Final = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_COUNT: Final = re.compile(r"[0-9]{1,13}", re.ASCII)


class RecordedCallsError(ValueError):
    """The file cannot be taken; the message names the file, the line and what is wrong there."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call as it was recorded, and the line where it stands (the header is line 1)."""

    line: int
    at: datetime
    input_tokens: int
    output_tokens: int


def read_calls(path: Path, limit: int | None = None) -> Iterator[RecordedCall]:
    """The calls in the file's order, at most `limit`, one in memory at a time."""
    return islice(_read(path), limit)


def count_calls(path: Path, limit: int | None = None) -> int:
    """How many calls `read_calls` will give; every one of them is looked at, so that none fails halfway."""
    count = sum(1 for _ in read_calls(path, limit))
    if count == 0:
        raise RecordedCallsError(f"{path}: there is no call in it")
    return count


def _read(path: Path) -> Iterator[RecordedCall]:
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            missing = [column for column in COLUMNS if column not in header]
            if missing:
                raise RecordedCallsError(f"{path}, line 1: the header lacks {', '.join(missing)}")
            places = [header.index(column) for column in COLUMNS]
            line = rows.line_num + 1
            for row in rows:
                if row:
                    yield _call(path, line, row, len(header), places)
                line = rows.line_num + 1
    except UnicodeDecodeError as error:
        raise RecordedCallsError(f"{path}: is not a text file in UTF-8") from error
    except csv.Error as error:
        raise RecordedCallsError(f"{path}, line {line}: {error}") from error


def _call(path: Path, line: int, row: list[str], width: int, places: list[int]) -> RecordedCall:
    if len(row) != width:
        raise RecordedCallsError(f"{path}, line {line}: has {len(row)} columns, the header has {width}")
    at, input_tokens, output_tokens = [row[place].strip() for place in places]
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise RecordedCallsError(f"{path}, line {line}: TIMESTAMP is {at!r}, not a time in ISO 8601") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    counts: list[int] = []
    for column, text in zip(COLUMNS[1:], (input_tokens, output_tokens), strict=True):
        if _COUNT.fullmatch(text) is None or int(text) > MOST_COUNT:
            raise RecordedCallsError(f"{path}, line {line}: {column} is {text!r}, not a whole number of tokens")
        counts.append(int(text))
    return RecordedCall(line, moment, *counts)
