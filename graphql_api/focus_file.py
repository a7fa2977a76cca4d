"""The FOCUS file: a tenant's costs as CSV, in the columns of domain/focus.py.

Customers choose ids and names, and finance opens the file in a spreadsheet: what that would take for a formula has an
apostrophe before it (csv_lines.py). Numbers stand as they are.
"""

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import IO, Final
from uuid import UUID

from domain import focus
from domain.periods import is_month
from graphql_api.csv_lines import csv_lines, no_formula
from graphql_api.errors import bad_input
from infra.application import Application
from infra.queries.focus import rows_of_month

PARAMETERS: Final = ("month", "year")
_NUMBER: Final = re.compile(r"-?[0-9.]+", re.ASCII)
_EXAMPLES: Final = {"month": "2026-11", "year": "2026"}


def months_of(asked: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The months that a file is asked for by the parameters `month` and `year`. Raises RequestError."""
    if len(asked) != 1:
        raise bad_input("name either one month, such as month=2026-11, or one year, such as year=2026")
    ((parameter, value),) = asked
    months = (value,) if parameter == "month" else tuple([f"{value}-{number:02d}" for number in range(1, 13)])
    if not is_month(months[0]):
        raise bad_input(f"a {parameter} is such as {_EXAMPLES[parameter]}, from 2000 on: {value[:80]!r} is none")
    return months


def header() -> bytes:
    """The first line: the columns' names."""
    return csv_lines([focus.COLUMNS])


async def write_month(application: Application, tenant_id: UUID, month: str, file: IO[bytes]) -> None:
    """Add the rows of a month to a file."""
    lists = rows_of_month(application, tenant_id, month)
    async with aclosing(lists):
        async for rows in lists:
            file.write(csv_lines([list(map(_cell, row)) for row in rows]))


def _cell(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else no_formula(text)
