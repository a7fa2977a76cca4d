"""Breakdowns: the period before a span."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from domain.breakdowns import previous_span

CALCUTTA = ZoneInfo("Asia/Kolkata")


def at(text: str, zone: ZoneInfo | None = None) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "end", "before"),
    [
        ("2026-11-01", "2026-12-01", "2026-10-01"),
        ("2026-01-01", "2026-03-01", "2025-11-01"),
        ("2026-03-01", "2026-04-01", "2026-02-01"),
        ("2026-11-02", "2026-12-01", "2026-10-04"),
        ("2026-11-01", "2026-12-02", "2026-10-01"),
        ("2026-11-21T12:00", "2026-11-21T13:00", "2026-11-21T11:00"),
    ],
)
def test_before_whole_months_are_as_many_months_else_as_much_time(start: str, end: str, before: str) -> None:
    assert previous_span(at(start), at(end), UTC) == (at(before), at(start))


def test_months_are_those_of_the_time_zone() -> None:
    november, december, october = (at(f"2026-{month}-01", CALCUTTA) for month in (11, 12, 10))
    assert previous_span(november, december, CALCUTTA) == (october, november)
    assert previous_span(november, december, UTC) == (november - (december - november), november)
