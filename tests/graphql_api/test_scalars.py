"""Scalars take strings of one form only, and write what they took."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import GraphQLError, GraphQLScalarType
from hypothesis import given
from hypothesis import strategies as st

from domain.money import LARGEST_AMOUNT, LARGEST_STORED
from graphql_api.scalars import SCALARS, Amount, Count


def scalar(origin: object) -> GraphQLScalarType:
    implementation = SCALARS[origin].implementation
    assert implementation is not None
    return implementation


def read(origin: object, value: Any) -> Any:
    return scalar(origin).coerce_input_value(value)


def write(origin: object, value: Any) -> Any:
    return scalar(origin).coerce_output_value(value)


@given(st.integers(-LARGEST_AMOUNT, LARGEST_AMOUNT))
def test_amounts_come_back_as_they_were_written(nano: int) -> None:
    text = write(Amount, nano)
    assert isinstance(text, str)
    assert read(Amount, text) == nano


@given(st.integers(-LARGEST_STORED, LARGEST_STORED))
def test_every_stored_balance_is_written_as_a_plain_decimal(nano: int) -> None:
    assert set(write(Amount, nano)) <= set("-0123456789.")


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.lists(st.text())
    | st.dictionaries(st.text(), st.text())
)
def test_only_strings_are_amounts(value: Any) -> None:
    with pytest.raises(GraphQLError, match="in a string"):
        read(Amount, value)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001  # hypothesis wants bounds without a zone
def test_moments_are_read_in_any_offset_and_written_in_utc(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = read(datetime, moment.isoformat())
    assert found == moment
    assert found.tzinfo is UTC
    text = write(datetime, found)
    assert text.endswith("Z")
    assert len(text) == len("2026-11-21T02:45:00.000000Z")
    assert read(datetime, text) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T02:45:00Z", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
        ("2026-11-21T02:45:00.5Z", datetime(2026, 11, 21, 2, 45, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21T02:45:00.123456789Z", datetime(2026, 11, 21, 2, 45, 0, 123_456, tzinfo=UTC)),
        ("2026-11-21T08:15:00+05:30", datetime(2026, 11, 21, 2, 45, tzinfo=UTC)),
    ],
)
def test_moments_are_read_exactly(text: str, moment: datetime) -> None:
    assert read(datetime, text) == moment


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-21T02:45:00",
        "2026-11-21T02:45Z",
        "2026-11-21 02:45:00Z",
        "2026-11-21",
        "20261121T024500Z",
        "2026-11-21T02:45:00z",
        "2026-11-21T02:45:00.Z",
        "2026-11-21T02:45:00+0530",
        "2026-13-21T02:45:00Z",
        "2026-11-21T24:45:00Z",
        "2026-11-21T02:45:60Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "２０２６-11-21T02:45:00Z",
        "now",
        "",
        1_795_226_400,
        None,
    ],
)
def test_other_moments_are_refused(value: Any) -> None:
    with pytest.raises(GraphQLError, match="moment"):
        read(datetime, value)


def test_counts_are_strings_too() -> None:
    assert write(Count, 2**40) == "1099511627776"
    assert read(Count, "1099511627776") == 2**40
    for value in ("-1", "1.0", "", 1, "1" * 19):
        with pytest.raises(GraphQLError, match="a whole number in a string"):
            read(Count, value)


def test_dates_are_days() -> None:
    assert read(date, "2026-11-21") == date(2026, 11, 21)
    assert write(date, date(2026, 11, 21)) == "2026-11-21"
    for value in ("2026-11-31", "20261121", "2026-W47-6", 20261121):
        with pytest.raises(GraphQLError, match="date"):
            read(date, value)
