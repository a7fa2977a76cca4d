"""Identifiers stand in the order of what they name, as far as a clock tells moments apart."""

from datetime import UTC, datetime, timedelta

from domain.ids import milliseconds_of
from infra.identifiers import new_id

MOMENT = datetime(2026, 11, 25, 12, 0, 0, 123_000, UTC)


def test_what_comes_a_microsecond_later_stands_after_it_within_the_same_millisecond() -> None:
    found = [new_id(MOMENT + timedelta(microseconds=passed)) for passed in range(1_000)]
    assert found == sorted(found)
    assert {milliseconds_of(identifier) for identifier in found} == {int(MOMENT.timestamp() * 1_000)}


def test_what_comes_at_one_moment_has_ids_of_its_own() -> None:
    assert len({new_id(MOMENT) for _ in range(1_000)}) == 1_000
