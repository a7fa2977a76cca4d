"""Where a month ends if it goes on as it began."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.periods import Cycle
from domain.spending import projected
from tests.domain.builders import nano

NOVEMBER = Cycle(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("days", "spent", "expected"),
    [(10, "20", "60"), (15, "0", "0"), (29, "29", "30"), (7, "1", "4.285714285")],
)
def test_a_running_month_goes_on_as_it_began(days: int, spent: str, expected: str) -> None:
    assert projected(nano(spent), NOVEMBER, NOVEMBER.start + timedelta(days=days)) == nano(expected)


def test_an_hour_is_the_least_that_is_projected_from() -> None:
    hour = NOVEMBER.start + timedelta(hours=1)
    assert projected(nano("1"), NOVEMBER, hour - INSTANT) is None
    assert projected(nano("1"), NOVEMBER, hour) == nano("720")


@pytest.mark.parametrize(
    "moment", [NOVEMBER.start - INSTANT, NOVEMBER.start, NOVEMBER.end, datetime(2030, 1, 1, tzinfo=UTC)]
)
def test_no_other_month_is_projected(moment: datetime) -> None:
    assert projected(nano("1"), NOVEMBER, moment) is None
    assert projected(nano("1"), NOVEMBER, NOVEMBER.end - INSTANT) == nano("1")
