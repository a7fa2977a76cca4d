"""The FOCUS file: a tenant's costs as CSV, in the columns of domain/focus.py.

Values are written as they are, also those that a spreadsheet would take for formulas: a changed id would join with nothing.
"""

import csv
import io
from collections.abc import Iterable
from contextlib import aclosing
from typing import IO, Final
from uuid import UUID

from domain import focus
from infra.application import Application
from infra.queries.focus import rows_of_month

MONTHS: Final = tuple(f"{number:02d}" for number in range(1, 13))


def header() -> bytes:
    """The first line: the columns' names."""
    return _lines([focus.COLUMNS])


async def write_month(application: Application, tenant_id: UUID, month: str, file: IO[bytes]) -> None:
    """Add the rows of a month to a file."""
    lists = rows_of_month(application, tenant_id, month)
    async with aclosing(lists):
        async for rows in lists:
            file.write(_lines(rows))


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
