"""Periods as clients name them: a calendar month, or whole days, of a tenant's time zone.

`within` is what a message puts before the parameters' names: "filter." where they are fields of one.
"""

from datetime import date, datetime, tzinfo
from typing import Final

from domain.periods import is_month, month_span
from domain.rollups import day_named
from graphql_api.errors import bad_input

_YEARS: Final = range(2000, 9998)


def month_named(month: str, within: str = "") -> str:
    """A month such as "2026-11". Raises RequestError."""
    if not is_month(month):
        raise bad_input(f"{within}month: write it as 2026-11")
    return month


def span_of_month(month: str, zone: tzinfo, within: str = "") -> tuple[datetime, datetime]:
    """From when up to when a month lasts. Raises RequestError."""
    return month_span(month_named(month, within), zone)


def span_of_days(first: date | None, last: date | None, zone: tzinfo, within: str = "") -> tuple[datetime, datetime]:
    """From when up to when the days last, of which there are both. Raises RequestError."""
    names = f"{within}firstDay and {within}lastDay"
    if first is None or last is None:
        raise bad_input(f"{names} belong together: name both")
    if last < first:
        raise bad_input(f"{within}firstDay must not lie after {within}lastDay")
    if first.year not in _YEARS or last.year not in _YEARS:
        raise bad_input(f"{names} lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return day_named(first, zone).start, day_named(last, zone).end
