"""Periods: the calendar month of a budget and the billing cycle of a plan, in the tenant's time zone."""

from calendar import monthrange
from datetime import UTC, datetime, tzinfo
from typing import Final

TOTAL: Final = "TOTAL"


def month_key(moment: datetime, zone: tzinfo) -> str:
    """The calendar month that a budget counts in, such as "2026-11", whatever the billing anchor is."""
    local = moment.astimezone(zone)
    return f"{local.year:04d}-{local.month:02d}"


def cycle_of(moment: datetime, anchor_day: int, zone: tzinfo) -> tuple[datetime, datetime]:
    """The billing cycle around a moment: [start, end) in UTC.

    A cycle starts on the anchor day at 00:00 in the tenant's zone; an anchor that a month does not
    have (29 to 31) falls on the month's last day.
    """
    assert 1 <= anchor_day <= 31
    local = moment.astimezone(zone)
    start = _anchor(local.year, local.month, anchor_day, zone)
    if moment < start:
        year, month = (local.year - 1, 12) if local.month == 1 else (local.year, local.month - 1)
        return _anchor(year, month, anchor_day, zone), start
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return start, _anchor(year, month, anchor_day, zone)


def _anchor(year: int, month: int, anchor_day: int, zone: tzinfo) -> datetime:
    day = min(anchor_day, monthrange(year, month)[1])
    return datetime(year, month, day, tzinfo=zone).astimezone(UTC)
