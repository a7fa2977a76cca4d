"""Lines of CSV, as they are written here.

Spreadsheets take a cell that begins with = + - @, or with a tab or a line's end, for a formula. Texts that were typed or
sent by somebody have an apostrophe put before such a beginning, and before an apostrophe, so that taking one off gives the
very text.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

# Spreadsheets of East Asia take the wide signs for the narrow ones.
_BEGINNINGS_OF_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")


def csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as lines of CSV, with the line ends of RFC 4180."""
    lines = io.StringIO(newline="")
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return lines.getvalue().encode()


def no_formula(text: str) -> str:
    """A text as no spreadsheet takes it for a formula."""
    return "'" + text if text.startswith(_BEGINNINGS_OF_FORMULAS) else text
