"""Rollups: hours and days of every time zone, and what a question reads where something is marked."""

import itertools
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rollups import (
    DAY,
    EVERY_QUARTER,
    HOUR,
    QUARTER,
    Reading,
    Span,
    day_named,
    day_of,
    hour_end,
    hour_of,
    hours_of,
    is_marked,
    quarter_of,
    reading,
)

# Zones whose clocks did odd things since 2000: half hours, midnights that are skipped or come twice, a lost day.
ODD: Final = (
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Goose_Bay",
    "America/Santiago",
    "Asia/Pyongyang",
    "America/Caracas",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Sao_Paulo",
)
moments = st.datetimes(datetime(2000, 1, 2), datetime(2035, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001  # it is replaced
zones = st.sampled_from([*ODD, *sorted(zoneinfo.available_timezones() - {"localtime"})]).map(ZoneInfo)
CALCUTTA: Final = ZoneInfo("Asia/Kolkata")
NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(moments, zones)
def test_every_moment_lies_in_one_quarter_one_hour_and_one_day(moment: datetime, zone: ZoneInfo) -> None:
    quarter = quarter_of(moment)
    assert quarter <= moment < quarter + QUARTER
    start, end = hour_of(moment, zone), hour_end(moment, zone)
    assert start <= moment < end <= start + HOUR
    day = day_of(moment, zone)
    assert day.start <= moment < day.end
    assert day_named(day.day, zone) == day
    hours = list(hours_of(day, zone))
    assert (hours[0].start, hours[-1].end) == (day.start, day.end)
    assert all(one.end == other.start for one, other in itertools.pairwise(hours))
    assert sum(hour.start <= moment < hour.end for hour in hours) == 1
    assert {hour.day for hour in hours} == {day.day}
    assert all((hour.start - EVERY_QUARTER) % QUARTER == timedelta() for hour in hours)


def test_an_indian_day_begins_at_half_past_six_in_the_evening() -> None:
    day = day_of(NOON, CALCUTTA)
    assert day == (
        date(2026, 11, 21),
        datetime(2026, 11, 20, 18, 30, tzinfo=UTC),
        datetime(2026, 11, 21, 18, 30, tzinfo=UTC),
    )
    assert hour_of(NOON, CALCUTTA) == datetime(2026, 11, 21, 11, 30, tzinfo=UTC)


@given(
    moments,
    st.timedeltas(timedelta(microseconds=1), timedelta(days=9)),
    zones,
    st.lists(st.timedeltas(timedelta(), timedelta(days=9)), max_size=6),
    st.booleans(),
)
def test_a_reading_covers_its_span_once_and_nothing_marked_from_a_rollup(
    start: datetime, length: timedelta, zone: ZoneInfo, marks: list[timedelta], by_hours: bool
) -> None:
    end = start + length
    marked = {quarter_of(start + offset) for offset in marks if offset < length}
    found = reading(start, end, zone, marked, by_hours=by_hours)
    days = [
        day_named(first + number * DAY, zone) for first, past in found.days for number in range((past - first).days)
    ]
    whole = [Span(day.start, day.end, day.day) for day in days] + list(found.hours)
    pieces = sorted([*whole, *found.raw])
    assert (pieces[0].start, pieces[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in itertools.pairwise(pieces))
    assert not any(is_marked(piece, marked) for piece in whole if piece.end - piece.start >= QUARTER)
    assert by_hours or not found.hours
    assert all(day_of(piece.start, zone).day == piece.day for piece in pieces)
    # A read of raw rows stays within what is marked and what the ends cut: a day without hours, else an hour.
    least = timedelta(hours=26) if not by_hours else HOUR
    reach = [*marked, start, end - timedelta(microseconds=1)]
    assert all(any(piece.start - least < near < piece.end + least for near in reach) for piece in found.raw)


def test_whole_days_without_marks_are_read_by_day_alone() -> None:
    start, end = day_of(NOON, CALCUTTA).start, day_of(NOON + 3 * DAY, CALCUTTA).end
    assert reading(start, end, CALCUTTA, (), by_hours=True) == Reading(
        ((date(2026, 11, 21), date(2026, 11, 25)),), (), ()
    )


def test_a_marked_hour_is_read_raw_and_the_rest_of_its_day_by_hour() -> None:
    day = day_of(NOON, UTC)
    found = reading(day.start - DAY, day.end + DAY, UTC, [NOON + 2 * QUARTER], by_hours=True)
    assert found.days == ((date(2026, 11, 20), date(2026, 11, 21)), (date(2026, 11, 22), date(2026, 11, 23)))
    assert len(found.hours) == 23
    assert found.raw == (Span(NOON, NOON + HOUR, date(2026, 11, 21)),)
    assert reading(day.start, day.end, UTC, [NOON], by_hours=False) == Reading((), (), (Span(*day[1:], day.day),))


def test_a_span_that_cuts_hours_reads_their_pieces_raw_and_the_hours_between_from_rollups() -> None:
    day = day_of(NOON, UTC).day
    found = reading(NOON + QUARTER, NOON + 2 * HOUR + QUARTER, UTC, (), by_hours=True)
    assert found.days == ()
    assert found.hours == (Span(NOON + HOUR, NOON + 2 * HOUR, day),)
    assert found.raw == (
        Span(NOON + QUARTER, NOON + HOUR, day),
        Span(NOON + 2 * HOUR, NOON + 2 * HOUR + QUARTER, day),
    )


def test_clocks_set_back_over_midnight_leave_the_day_in_one_piece() -> None:
    zone = ZoneInfo("America/Goose_Bay")
    moment = datetime(2005, 10, 30, 3, 48, tzinfo=UTC)
    assert moment.astimezone(zone).date() == date(2005, 10, 29), "for the second time"
    assert day_of(moment, zone).day == date(2005, 10, 30)


def test_marked_hours_that_meet_are_one_span() -> None:
    day = day_of(NOON, UTC)
    found = reading(day.start, day.end, UTC, [NOON, NOON + HOUR, NOON + 3 * HOUR], by_hours=True)
    assert found.raw == (
        Span(NOON, NOON + 2 * HOUR, day.day),
        Span(NOON + 3 * HOUR, NOON + 4 * HOUR, day.day),
    )


@pytest.mark.parametrize("by_days", [True, False])
def test_where_everything_is_marked_or_no_rollup_knows_all_is_raw_by_day(by_days: bool) -> None:
    marked = [EVERY_QUARTER] if by_days else []
    found = reading(NOON, NOON + DAY, UTC, marked, by_hours=True, by_days=by_days)
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    spans = (Span(NOON, midnight, date(2026, 11, 21)), Span(midnight, NOON + DAY, date(2026, 11, 22)))
    assert found == Reading((), (), spans)
