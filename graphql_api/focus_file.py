"""The FOCUS file: a tenant's costs as CSV, in the columns of domain/focus.py.

Values are written as they are, also those that a spreadsheet would take for formulas: a changed id would join with nothing.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import IO, Final
from uuid import UUID

from domain import focus
from domain.periods import is_month
from infra.application import Application
from infra.queries.focus import rows_of_month

PARAMETERS: Final = ("month", "year")
_EXAMPLES: Final = {"month": "2026-11", "year": "2026"}


class PeriodError(ValueError):
    """There is no such period; the message says how one is named."""


def months_of(asked: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The months that a file is asked for by the parameters `month` and `year`. Raises PeriodError."""
    if len(asked) != 1:
        raise PeriodError("name either one month, such as month=2026-11, or one year, such as year=2026")
    ((parameter, value),) = asked
    months = (value,) if parameter == "month" else tuple([f"{value}-{number:02d}" for number in range(1, 13)])
    if not is_month(months[0]):
        raise PeriodError(f"a {parameter} is such as {_EXAMPLES[parameter]}, from 2000 on: {value[:80]!r} is none")
    return months


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
