"""How many requests a minute there may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rate_limits import MINUTE, admit, burst


@pytest.mark.parametrize(("per_minute", "at_once"), [(1, 1), (5, 5), (30, 10), (60, 10), (600, 100)])
def test_a_burst_is_ten_seconds_worth_or_ten(per_minute: int, at_once: int) -> None:
    assert burst(per_minute) == at_once


def test_after_the_burst_one_comes_for_each_interval() -> None:
    due, now = 0, 10**15
    for _ in range(burst(600)):
        due, wait = admit(due, now, 600)
        assert wait == 0
    refused = admit(due, now, 600)
    assert refused == (due, MINUTE // 600), "what is refused does not count"
    due, wait = admit(due, now + refused.wait, 600)
    assert wait == 0
    assert admit(due, now + refused.wait, 600).wait == MINUTE // 600


@given(st.integers(1, 10_000_000), st.lists(st.integers(0, MINUTE // 50), max_size=200))
def test_no_more_than_the_burst_and_the_even_rate_get_through(per_minute: int, pauses: list[int]) -> None:
    due, now, admitted = 0, 10**15, 0
    begun = now
    for pause in pauses:
        now += pause
        due, wait = admit(due, now, per_minute)
        admitted += wait == 0
        if wait:
            assert admit(due, now + wait, per_minute).wait == 0
            assert admit(due, now + wait - 1, per_minute).wait == 1
    assert admitted <= burst(per_minute) + (now - begun) // (MINUTE // per_minute)
