"""Rollups: which hours and days of usage are summed up already, and what a question has to read instead.

Usage marks the quarter of an hour in which it happened; a quarter fits into the hours of every time zone. A roll-up sums
the marked hours and takes the marks away. So a question about a span reads whole days and hours from the rollups, except
where something is marked or where the span cuts an hour: there it reads the usage itself, and is exact at every moment.

Hours and days are those of the tenant's time zone: an Indian day begins at 18:30 UTC, and so its hours begin at half past.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from domain.usage import EPOCH

QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
# The mark that stands for all: nothing of the tenant's usage is rolled up (its time zone has changed).
EVERY_QUARTER: Final = EPOCH


class Day(NamedTuple):
    """A calendar day of a time zone: [start, end) in UTC; 23 or 25 hours where clocks change."""

    day: date
    start: datetime
    end: datetime


class Span(NamedTuple):
    """[start, end) in UTC within one local day."""

    start: datetime
    end: datetime
    day: date


@dataclass(frozen=True, slots=True)
class Reading:
    """What answers a question: days by (first, the one after the last), hours by their start, and spans of raw usage."""

    days: tuple[tuple[date, date], ...]
    hours: tuple[Span, ...]
    raw: tuple[Span, ...]


def quarter_of(moment: datetime) -> datetime:
    """The start of the quarter of an hour around a moment."""
    return EPOCH + (moment - EPOCH) // QUARTER * QUARTER


def hour_of(moment: datetime, zone: tzinfo) -> datetime:
    """The start of the local hour around a moment, in UTC. Where clocks change by less than an hour it may lie before
    the change: an hour is what has one start."""
    shift = (moment.astimezone(zone).utcoffset() or timedelta()) % HOUR
    return EPOCH + (moment - EPOCH + shift) // HOUR * HOUR - shift


def hour_end(moment: datetime, zone: tzinfo) -> datetime:
    """Where the hour around a moment ends: within an hour of its start, at a quarter."""
    start = hour_of(moment, zone)
    quarter = quarter_of(moment)
    while hour_of(quarter, zone) == start:
        quarter += QUARTER
    return quarter


def day_of(moment: datetime, zone: tzinfo) -> Day:
    """The local day around a moment. (Clocks that were set back over midnight showed the day before once more: days are
    told by their midnights, so that none lies in two pieces.)"""
    day = day_named(moment.astimezone(zone).date(), zone)
    return day if moment < day.end else day_named(day.day + DAY, zone)


def day_named(day: date, zone: tzinfo) -> Day:
    """A local day; it begins where its first moment is, also where its midnight is skipped."""
    return Day(day, _midnight(day, zone), _midnight(day + DAY, zone))


def hours_of(day: Day, zone: tzinfo) -> Iterator[Span]:
    """The hours of a day."""
    start = day.start
    while start < day.end:
        end = min(hour_end(start, zone), day.end)
        yield Span(start, end, day.day)
        start = end


def reading(
    start: datetime, end: datetime, zone: tzinfo, marked: Iterable[datetime], *, by_hours: bool, by_days: bool = True
) -> Reading:
    """What to read for the usage of [start, end). `marked` are the marked quarters in it. `by_hours`: whether rollups by
    hour know what is asked; `by_days`: whether those by day do."""
    first, last = day_of(start, zone), day_of(end - timedelta(microseconds=1), zone)
    marked_quarters = set(marked)
    if EVERY_QUARTER in marked_quarters or not by_days:
        return Reading((), (), tuple(_by_day(start, end, zone)))
    marked_days = {day_of(quarter, zone).day for quarter in marked_quarters}
    broken = set(marked_days)
    if start > first.start:
        broken.add(first.day)
    if end < last.end:
        broken.add(last.day)
    hours: list[Span] = []
    raw: list[Span] = []
    for broken_day in sorted(broken):
        day = day_named(broken_day, zone)
        if not by_hours:
            _add(raw, Span(max(start, day.start), min(end, day.end), day.day))
            continue
        for hour in hours_of(day, zone):
            if hour.end <= start or end <= hour.start:
                continue
            whole = start <= hour.start and hour.end <= end
            if whole and not is_marked(hour, marked_quarters):
                hours.append(hour)
            else:
                _add(raw, Span(max(start, hour.start), min(end, hour.end), day.day))
    return Reading(tuple(_runs(first.day, last.day, broken)), tuple(hours), tuple(raw))


def is_marked(hour: Span, marked: AbstractSet[datetime]) -> bool:
    """Whether any of the marked quarters lies in an hour."""
    quarter = hour.start
    while quarter < hour.end:
        if quarter in marked:
            return True
        quarter += QUARTER
    return False


def _runs(first: date, last: date, broken: set[date]) -> Iterator[tuple[date, date]]:
    """The days from first to last without the broken ones, as ranges."""
    begin = first
    for day in sorted(broken):
        if begin < day:
            yield begin, day
        begin = day + DAY
    if begin <= last:
        yield begin, last + DAY


def _by_day(start: datetime, end: datetime, zone: tzinfo) -> Iterator[Span]:
    while start < end:
        day = day_of(start, zone)
        yield Span(start, min(end, day.end), day.day)
        start = day.end


def _add(spans: list[Span], span: Span) -> None:
    """Add a span, joined to the one before where they meet on the same day."""
    if spans and spans[-1].end == span.start and spans[-1].day == span.day:
        spans[-1] = Span(spans[-1].start, span.end, span.day)
    else:
        spans.append(span)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
