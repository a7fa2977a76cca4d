"""Spending: where a month ends if it goes on as it began."""

from datetime import datetime, timedelta
from typing import Final

from domain.periods import Cycle

# Before that, a single call would be taken for the habit of a month.
SHORTEST_BASIS: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)


def projected(spent: int, month: Cycle, now: datetime) -> int | None:
    """What a running month will have cost at its end: spent / the share of it that is over (nano-dollars, rounded down).
    None in its first hour, and for a month that is over or has not begun."""
    elapsed = now - month.start
    if now >= month.end or elapsed < SHORTEST_BASIS:
        return None
    return spent * ((month.end - month.start) // _MICROSECOND) // (elapsed // _MICROSECOND)
