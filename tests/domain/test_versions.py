"""Of several versions of one thing the newest start counts, then the last publication."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from domain.versions import Versions

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Thing:
    identity: tuple[str, str]
    figure: int
    effective_from: datetime = JANUARY
    published_at: datetime = JANUARY


ONE = ("india", "one")
TWO = ("india", "two")


def test_nothing_counts_before_its_start() -> None:
    first = Thing(ONE, 1, APRIL)
    assert Versions([first]).at(ONE, APRIL - INSTANT) is None
    assert Versions([first]).at(ONE, APRIL) is first
    assert Versions([first]).at(TWO, APRIL) is None


def test_the_newest_start_counts_whatever_the_order_of_the_rows() -> None:
    older, newer = Thing(ONE, 1), Thing(ONE, 2, APRIL)
    for rows in ([older, newer], [newer, older]):
        versions = Versions(rows)
        assert versions.at(ONE, APRIL - INSTANT) is older
        assert versions.at(ONE, APRIL) is newer


def test_a_correction_with_the_same_start_counts_from_that_start_on() -> None:
    wrong, right = Thing(ONE, 1), Thing(ONE, 2, published_at=JUNE)
    assert Versions([wrong, right]).at(ONE, JANUARY) is right


def test_an_earlier_start_that_is_published_later_leaves_the_newer_one_alone() -> None:
    newer, backdated = Thing(ONE, 1, APRIL), Thing(ONE, 2, JANUARY, JUNE)
    versions = Versions([newer]).adding([backdated])
    assert versions.at(ONE, JUNE) is newer
    assert versions.at(ONE, JANUARY) is backdated


def test_of_two_published_at_one_moment_the_later_one_counts_and_both_stay() -> None:
    versions: Versions[Thing] = Versions([Thing(TWO, 0)])
    first, second, third = (Thing(ONE, figure) for figure in (1, 2, 3))
    added = versions.adding([first]).adding([second, third])
    assert added.at(ONE, JANUARY) is third
    assert list(added) == [Thing(TWO, 0), third, second, first]
    assert list(versions) == [Thing(TWO, 0)], "what is added to stays as it was"


def test_everything_in_force_comes_in_the_order_in_which_it_was_first_given() -> None:
    rows = [Thing(TWO, 1), Thing(ONE, 2), Thing(TWO, 3, APRIL), Thing(("a", "later"), 4, JUNE)]
    assert [row.figure for row in Versions(rows).all_at(APRIL)] == [3, 2]


def test_a_version_that_is_given_twice_is_an_error() -> None:
    with pytest.raises(AssertionError, match="india one: is given twice"):
        Versions([Thing(ONE, 1), Thing(ONE, 2)])
