"""Budget months and billing cycles, in the tenant's time zone."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.periods import SHORTEST_CYCLE, Cycle, cycle_at, cycle_of, is_month, month_key, month_span

KOLKATA = ZoneInfo("Asia/Kolkata")
FAR_EAST = ZoneInfo("Pacific/Kiritimati")  # UTC+14
FAR_WEST = ZoneInfo("Pacific/Pago_Pago")  # UTC-11
# In Havana, Beirut and Asuncion the clocks change at midnight: some days there begin at one. Apia has left a day out.
ZONES = [
    "UTC",
    "Asia/Kolkata",
    "America/New_York",
    "Asia/Dubai",
    "Europe/Berlin",
    "Pacific/Auckland",
    "America/Havana",
    "Asia/Beirut",
    "America/Asuncion",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
]
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


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        (FAR_EAST, utc(2027, 1, 30, 10), utc(2027, 2, 27, 10)),
        (FAR_WEST, utc(2027, 1, 31, 11), utc(2027, 2, 28, 11)),
    ],
)
def test_an_anchor_on_the_31st_falls_on_februarys_last_day_at_both_ends_of_the_world(
    zone: tzinfo, start: datetime, end: datetime
) -> None:
    assert cycle_of(utc(2027, 2, 15), 31, zone) == (start, end)
    assert cycle_of(end, 31, zone).start == end


def test_a_leap_day_is_an_anchor_of_its_year_only() -> None:
    assert cycle_of(utc(2028, 2, 29), 29, UTC) == (utc(2028, 2, 29), utc(2028, 3, 29))
    assert cycle_of(utc(2027, 2, 28), 29, UTC) == (utc(2027, 2, 28), utc(2027, 3, 29))


def test_a_cycle_begins_with_its_day_where_that_day_has_no_midnight() -> None:
    havana = ZoneInfo("America/Havana")
    start = cycle_of(utc(2026, 3, 20), 8, havana).start  # clocks went from 0:00 to 1:00
    assert start == utc(2026, 3, 8, 5)
    assert start.astimezone(havana).hour == 1
    assert (start - INSTANT).astimezone(havana).day == 7


def test_a_cycle_begins_with_the_first_of_two_midnights() -> None:
    havana = ZoneInfo("America/Havana")
    start = cycle_of(utc(2026, 11, 20), 1, havana).start  # clocks went from 1:00 back to 0:00
    assert start == utc(2026, 11, 1, 4)
    assert (start - INSTANT).astimezone(havana).day == 31


def test_a_day_that_a_zone_left_out_is_no_gap_between_cycles() -> None:
    apia = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011
    before, after = cycle_of(utc(2011, 12, 20), 30, apia), cycle_of(utc(2012, 1, 2), 30, apia)
    assert before.end == after.start == utc(2011, 12, 30, 10)


NOVEMBER = Cycle(utc(2026, 11, 1), utc(2026, 12, 1))


@pytest.mark.parametrize(
    ("moment", "anchor", "zone", "expected"),
    [
        # The running one holds to its end, whatever comes then.
        (utc(2026, 11, 21), 10, KOLKATA, NOVEMBER),
        # Unchanged, one after the other; and of several that were missed only the one of the moment.
        (utc(2026, 12, 1), 1, UTC, Cycle(utc(2026, 12, 1), utc(2027, 1, 1))),
        (utc(2027, 3, 5), 1, UTC, Cycle(utc(2027, 3, 1), utc(2027, 4, 1))),
        # A new anchor is met after half a month or more, at most after one and a half.
        (utc(2026, 12, 1), 20, UTC, Cycle(utc(2026, 12, 1), utc(2026, 12, 20))),
        (utc(2026, 12, 1), 16, UTC, Cycle(utc(2026, 12, 1), utc(2026, 12, 16))),
        (utc(2026, 12, 1), 15, UTC, Cycle(utc(2026, 12, 1), utc(2027, 1, 15))),
        (utc(2026, 12, 1), 2, UTC, Cycle(utc(2026, 12, 1), utc(2027, 1, 2))),
        (utc(2027, 1, 1), 2, UTC, Cycle(utc(2026, 12, 1), utc(2027, 1, 2))),
        (utc(2027, 1, 2), 2, UTC, Cycle(utc(2027, 1, 2), utc(2027, 2, 2))),
        # A new zone alone moves the boundary by hours.
        (utc(2026, 12, 1), 1, FAR_EAST, Cycle(utc(2026, 12, 1), utc(2026, 12, 31, 10))),
        (utc(2026, 12, 1), 1, FAR_WEST, Cycle(utc(2026, 12, 1), utc(2027, 1, 1, 11))),
        # Late: the first one under the new anchor is over, and the days of the anchor count.
        (utc(2027, 5, 20), 10, KOLKATA, cycle_of(utc(2027, 5, 20), 10, KOLKATA)),
    ],
)
def test_the_cycle_after_the_last_one_begins_where_that_ended(
    moment: datetime, anchor: int, zone: tzinfo, expected: Cycle
) -> None:
    assert cycle_at(moment, NOVEMBER, anchor, zone) == expected


anchors = st.integers(1, 31)
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2080, 1, 1)),  # noqa: DTZ001 — made aware below
    st.tuples(anchors, zones),
    st.lists(st.tuples(anchors, zones), min_size=1, max_size=8),
)
def test_cycles_never_overlap_and_never_leave_a_gap_whatever_anchor_and_zone_become(
    naive: datetime, first: tuple[int, tzinfo], then: list[tuple[int, tzinfo]]
) -> None:
    cycle = cycle_of(naive.replace(tzinfo=UTC), *first)
    for anchor, zone in then:
        following = cycle_at(cycle.end, cycle, anchor, zone)
        assert cycle_at(cycle.end - INSTANT, cycle, anchor, zone) == cycle
        assert following.start == cycle.end
        assert SHORTEST_CYCLE <= following.end - following.start < SHORTEST_CYCLE + timedelta(days=32)
        for moment in (following.start, following.start + SHORTEST_CYCLE - INSTANT, following.end - INSTANT):
            assert cycle_at(moment, cycle, anchor, zone) == following
        cycle = following


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2080, 1, 1)),  # noqa: DTZ001 — made aware below
    anchors,
    zones,
    anchors,
    zones,
    st.integers(0, 400),
)
def test_a_late_look_finds_the_same_cycle_as_one_that_missed_none(
    naive: datetime, anchor: int, zone: tzinfo, new_anchor: int, new_zone: tzinfo, days: int
) -> None:
    last = cycle_of(naive.replace(tzinfo=UTC), anchor, zone)
    moment = last.end + timedelta(days=days)
    patient = last
    while patient.end <= moment:
        patient = cycle_at(patient.end, patient, new_anchor, new_zone)
    assert cycle_at(moment, last, new_anchor, new_zone) == patient


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "2026-1", "1999-12", "9999-01", "2026-11-01", "２０２６-11"]
)
def test_what_is_no_month_is_told(text: str) -> None:
    assert not is_month(text)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("key", ["2000-01", "2026-11", "2026-12", "9998-12"])
def test_a_month_lasts_as_long_as_what_counts_in_it(key: str, zone: str) -> None:
    span = month_span(key, ZoneInfo(zone))
    assert month_key(span.start, ZoneInfo(zone)) == month_key(span.end - INSTANT, ZoneInfo(zone)) == key
    assert month_key(span.start - INSTANT, ZoneInfo(zone)) < key < month_key(span.end, ZoneInfo(zone))
