"""Budget months and billing cycles, in the tenant's time zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import cycle_of, month_key

KOLKATA = ZoneInfo("Asia/Kolkata")
ZONES = ["UTC", "Asia/Kolkata", "America/New_York", "Asia/Dubai", "Europe/Berlin", "Pacific/Auckland", "America/Havana"]
INSTANT = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def test_the_month_changes_at_midnight_of_the_tenants_zone() -> None:
    turn = utc(2026, 11, 30, 18, 30)
    assert month_key(turn - INSTANT, KOLKATA) == "2026-11"
    assert month_key(turn, KOLKATA) == "2026-12"
    assert month_key(turn, UTC) == "2026-11"
    assert month_key(utc(2026, 12, 31, 18, 30), KOLKATA) == "2027-01"


def test_the_budget_month_is_the_calendars_whatever_the_billing_anchor() -> None:
    moment = utc(2026, 11, 5)
    assert cycle_of(moment, 20, UTC) == (utc(2026, 10, 20), utc(2026, 11, 20))
    assert month_key(moment, UTC) == "2026-11"


@pytest.mark.parametrize(
    ("moment", "anchor", "start", "end"),
    [
        (utc(2026, 11, 21, 3), 1, utc(2026, 11, 1), utc(2026, 12, 1)),
        (utc(2026, 12, 31, 23, 59), 1, utc(2026, 12, 1), utc(2027, 1, 1)),
        (utc(2027, 1, 5), 15, utc(2026, 12, 15), utc(2027, 1, 15)),
        (utc(2027, 2, 28), 31, utc(2027, 2, 28), utc(2027, 3, 31)),
        (utc(2027, 2, 27), 31, utc(2027, 1, 31), utc(2027, 2, 28)),
        (utc(2028, 2, 29), 30, utc(2028, 2, 29), utc(2028, 3, 30)),
        (utc(2026, 4, 30), 31, utc(2026, 4, 30), utc(2026, 5, 31)),
    ],
)
def test_a_cycle_starts_on_its_anchor_day_or_the_months_last(
    moment: datetime, anchor: int, start: datetime, end: datetime
) -> None:
    assert cycle_of(moment, anchor, UTC) == (start, end)


def test_a_cycle_starts_at_midnight_of_the_tenants_zone() -> None:
    assert cycle_of(utc(2026, 11, 21), 1, KOLKATA) == (utc(2026, 10, 31, 18, 30), utc(2026, 11, 30, 18, 30))


def test_a_cycle_follows_daylight_saving() -> None:
    start, end = cycle_of(utc(2026, 3, 15), 1, ZoneInfo("Europe/Berlin"))
    assert (start, end) == (utc(2026, 2, 28, 23), utc(2026, 3, 31, 22))


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001 — made aware below
    st.integers(1, 31),
    st.sampled_from(ZONES),
)
def test_cycles_hold_their_moment_and_join_without_gap_or_overlap(naive: datetime, anchor: int, name: str) -> None:
    moment, zone = naive.replace(tzinfo=UTC), ZoneInfo(name)
    start, end = cycle_of(moment, anchor, zone)
    assert start <= moment < end
    assert cycle_of(start, anchor, zone) == (start, end)
    assert cycle_of(end - INSTANT, anchor, zone) == (start, end)
    assert cycle_of(end, anchor, zone)[0] == end
    assert timedelta(days=27) < end - start < timedelta(days=32)
