"""Moments: one form, read into UTC."""

from datetime import UTC, datetime

import pytest

from domain.moments import MomentError, read_moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T02:45:00Z", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
        ("2026-11-21T08:15:00+05:30", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
        ("2026-11-21T02:45:00.5Z", datetime(2026, 11, 21, 2, 45, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21T02:45:00.123456789Z", datetime(2026, 11, 21, 2, 45, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_into_utc(text: str, moment: datetime) -> None:
    assert read_moment(text) == moment


@pytest.mark.parametrize(
    "value", [None, 1_764_000_000, "2026-11-21", "2026-11-21T02:45:00", "2026-11-21 02:45:00Z", "now"]
)
def test_every_other_form_is_refused_with_one_that_is_taken(value: object) -> None:
    with pytest.raises(MomentError, match="such as '2026-11-21T02:45:00Z'"):
        read_moment(value)


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "0001-01-01T00:00:00+01:00"])
def test_a_moment_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(MomentError, match="there is no such moment"):
        read_moment(text)
