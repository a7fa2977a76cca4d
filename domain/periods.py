"""Periods: the calendar month of a budget and the billing cycle of a plan, in the tenant's time zone."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

TOTAL: Final = "TOTAL"
# A cycle that begins under a new anchor or zone is not cut shorter than this: it takes in the days up to the anchor after.
SHORTEST_CYCLE: Final = timedelta(days=15)

_MONTH: Final = re.compile(r"(?:[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-(?:0[1-9]|1[0-2])", re.ASCII)


class Cycle(NamedTuple):
    """A billing month: [start, end) in UTC."""

    start: datetime
    end: datetime


def month_key(moment: datetime, zone: tzinfo) -> str:
    """The calendar month that a budget counts in, such as "2026-11", whatever the billing anchor is."""
    local = moment.astimezone(zone)
    return f"{local.year:04d}-{local.month:02d}"


def is_month(key: str) -> bool:
    """Whether a text names a calendar month, such as "2026-11", from 2000 to 9998."""
    return _MONTH.fullmatch(key) is not None


def month_span(key: str, zone: tzinfo) -> Cycle:
    """From when to when a calendar month such as "2026-11" lasts in a time zone."""
    assert is_month(key)
    year, month = int(key[:4]), int(key[5:])
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return Cycle(_anchor(year, month, 1, zone), _anchor(*following, 1, zone))


def cycle_of(moment: datetime, anchor_day: int, zone: tzinfo) -> Cycle:
    """The billing cycle around a moment.

    A cycle starts on the anchor day at 00:00 in the tenant's zone; an anchor that a month does not
    have (29 to 31) falls on the month's last day.
    """
    assert 1 <= anchor_day <= 31
    local = moment.astimezone(zone)
    start = _anchor(local.year, local.month, anchor_day, zone)
    if moment < start:
        year, month = (local.year - 1, 12) if local.month == 1 else (local.year, local.month - 1)
        return Cycle(_anchor(year, month, anchor_day, zone), start)
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return Cycle(start, _anchor(year, month, anchor_day, zone))


def cycle_at(moment: datetime, running: Cycle, anchor_day: int, zone: tzinfo) -> Cycle:
    """The cycle around a moment for a tenant whose last one is known; anchor and zone hold from its end on.

    The cycle that follows it begins where it ends and lasts to the next anchor. Under a new anchor or zone that may be
    near: then it lasts to the first anchor that is at least half a month away, and is granted once.
    """
    if moment < running.end:
        return running
    least = running.end + SHORTEST_CYCLE
    around = cycle_of(least, anchor_day, zone)
    following = Cycle(running.end, around.start if around.start == least else around.end)
    return following if moment < following.end else cycle_of(moment, anchor_day, zone)


def _anchor(year: int, month: int, anchor_day: int, zone: tzinfo) -> datetime:
    day = min(anchor_day, monthrange(year, month)[1])
    return datetime(year, month, day, tzinfo=zone).astimezone(UTC)
