"""What a key may be like, and what becomes of it."""

from datetime import UTC, datetime, timedelta

import pytest

from domain import api_keys

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "expires_at", "per_minute", "wrong"),
    [
        ("worker", None, None, []),
        ("w" * 100, NOW + DAY, 1, []),
        ("w" * 101, NOW, 0, ["name", "expiresAt", "requestsPerMinute"]),
        ("", None, 601, ["name", "requestsPerMinute"]),
        (" worker", datetime(2100, 1, 1, tzinfo=UTC), 600, ["name", "expiresAt"]),
        ("a\nb", NOW - DAY, -1, ["name", "expiresAt", "requestsPerMinute"]),
    ],
)
def test_what_a_key_may_be_like(
    name: str, expires_at: datetime | None, per_minute: int | None, wrong: list[str]
) -> None:
    found = api_keys.problems(name, expires_at, per_minute, NOW, most_per_minute=600)
    assert [problem.path for problem in found] == wrong


def test_without_a_limit_a_key_may_be_allowed_almost_anything() -> None:
    most = api_keys.MOST_REQUESTS_PER_MINUTE
    assert api_keys.problems("k", None, most, NOW, most_per_minute=None) == ()
    assert len(api_keys.problems("k", None, most + 1, NOW, most_per_minute=None)) == 1


def test_an_old_key_works_on_for_a_week_at_most() -> None:
    assert [len(api_keys.overlap_problems(seconds)) for seconds in (-1, 0, 604_800, 604_801)] == [1, 0, 0, 1]


def test_a_successor_lives_as_long_as_its_key_was_to_live() -> None:
    assert api_keys.end_of_successor(NOW - DAY, None, NOW) is None
    assert api_keys.end_of_successor(NOW - 89 * DAY, NOW + DAY, NOW) == NOW + 90 * DAY


def test_a_replaced_key_never_lives_longer_than_before() -> None:
    hour = timedelta(hours=1)
    assert api_keys.end_of_replaced(None, 3600, NOW) == NOW + hour
    assert api_keys.end_of_replaced(NOW + DAY, 3600, NOW) == NOW + hour
    assert api_keys.end_of_replaced(NOW + hour / 2, 3600, NOW) == NOW + hour / 2


def test_a_hint_is_the_beginning() -> None:
    assert api_keys.hint("psk_" + "Abcdefg" * 6 + "x") == "psk_Abc..."
