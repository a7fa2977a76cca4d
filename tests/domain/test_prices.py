"""Which price applies to a call, and what the call costs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import NANO, divide_rounding_up
from domain.prices import NO_TOKENS, Price, PriceList, Tokens, cost, is_free

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)

COUNTS = st.integers(0, 10_000_000)
FIGURES = st.integers(0, 100 * NANO)


def price(
    provider: str = "openai",
    model: str | None = "gpt-4o-mini",
    operation: str | None = None,
    *,
    given_input: int | None = 150_000_000,
    output: int | None = 600_000_000,
    cache_read: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
    context_above: int | None = None,
    per_call: int | None = None,
    effective_from: datetime = JANUARY,
    effective_to: datetime | None = None,
    published_at: datetime = JANUARY,
    note: str = "",
) -> Price:
    return Price(
        provider,
        model,
        operation,
        given_input,
        output,
        cache_read,
        cache_write,
        reasoning,
        context_above,
        per_call,
        effective_from,
        effective_to,
        published_at,
        note,
    )


def per_call(provider: str, model: str | None, operation: str | None, figure: int = 1) -> Price:
    return price(provider, model, operation, given_input=None, output=None, per_call=figure)


def test_a_thousand_tokens_in_and_five_hundred_out_of_gpt_4o_mini_cost_0_00045_dollars() -> None:
    assert cost(price(), Tokens(input=1_000, output=500)) == 450_000


def test_a_class_without_a_price_of_its_own_costs_what_it_is_a_kind_of() -> None:
    plain = price(given_input=3 * NANO, output=15 * NANO)
    assert cost(plain, Tokens(cache_read=1_000_000)) == 3 * NANO
    assert cost(plain, Tokens(cache_write=1_000_000)) == 3 * NANO
    assert cost(plain, Tokens(reasoning=1_000_000)) == 15 * NANO


def test_each_class_costs_its_own_price_where_it_has_one_even_if_that_is_0() -> None:
    detailed = price(given_input=1, output=10, cache_read=0, cache_write=1_000, reasoning=10_000)
    million = 1_000_000
    assert cost(detailed, Tokens(million, million, million, million, million)) == 1 + 10 + 0 + 1_000 + 10_000
    assert cost(detailed, Tokens(cache_read=million)) == 0


def test_an_embedding_does_not_charge_for_output() -> None:
    assert cost(price(output=None), Tokens(input=1_000_000, output=7, reasoning=7)) == 150_000_000


def test_a_price_per_call_counts_calls_and_adds_to_tokens() -> None:
    search = per_call("tavily", None, "search", 8_000_000)
    assert cost(search, NO_TOKENS) == 8_000_000
    assert cost(search, NO_TOKENS, calls=3) == 24_000_000
    assert cost(search, Tokens(input=1_000_000)) == 8_000_000
    assert cost(price(per_call=5), Tokens(input=1_000_000), calls=2) == 150_000_010


def test_a_call_without_tokens_costs_nothing_by_tokens() -> None:
    assert cost(price(), NO_TOKENS) == 0


def test_the_sum_is_rounded_up_once_and_not_per_class() -> None:
    tiny = price(given_input=1, output=1)
    assert cost(tiny, Tokens(input=1)) == 1
    assert cost(tiny, Tokens(input=1, output=1, cache_read=1, cache_write=1, reasoning=1)) == 1
    assert cost(tiny, Tokens(input=500_000, output=500_001)) == 2


@given(figure=FIGURES, counts=st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS))
def test_splitting_tokens_into_classes_of_one_price_does_not_change_the_cost(
    figure: int, counts: tuple[int, int, int, int, int]
) -> None:
    uniform = price(given_input=figure, output=figure)
    assert cost(uniform, Tokens(*counts)) == cost(uniform, Tokens(input=sum(counts)))


@given(figures=st.tuples(FIGURES, FIGURES, FIGURES, FIGURES, FIGURES), counts=st.tuples(*[COUNTS] * 5))
def test_the_cost_is_the_exact_sum_rounded_up_by_less_than_one(
    figures: tuple[int, int, int, int, int], counts: tuple[int, int, int, int, int]
) -> None:
    detailed = price(
        given_input=figures[0], output=figures[1], cache_read=figures[2], cache_write=figures[3], reasoning=figures[4]
    )
    exact_millionths = sum(figure * count for figure, count in zip(figures, counts, strict=True))
    assert cost(detailed, Tokens(*counts)) == divide_rounding_up(exact_millionths, 1_000_000)


def test_the_context_of_a_call_is_all_that_the_model_was_given_to_read() -> None:
    assert Tokens(input=1, output=20, cache_read=300, cache_write=4_000, reasoning=50_000).context == 4_301


def test_a_price_of_zeros_is_free_and_any_figure_above_0_is_not() -> None:
    assert is_free(price("ollama", "llama3.2", given_input=0, output=0))
    assert is_free(per_call("socrata", None, None, 0))
    assert not is_free(price(given_input=0, output=0, reasoning=1))
    assert not is_free(per_call("tavily", None, "search"))
    assert cost(price("ollama", given_input=0, output=0), Tokens(10**9, 10**9)) == 0


def test_a_price_needs_a_figure_and_none_is_negative() -> None:
    with pytest.raises(AssertionError, match="at least one figure"):
        price(given_input=None, output=None)
    with pytest.raises(AssertionError, match="must be 0 or more"):
        price(output=-1)


def test_a_tier_does_not_start_below_0_tokens() -> None:
    with pytest.raises(AssertionError):
        price(context_above=-1)


def test_a_range_does_not_end_before_it_starts() -> None:
    with pytest.raises(AssertionError):
        price(effective_from=FEBRUARY, effective_to=JANUARY)


def test_moments_of_a_price_are_in_utc() -> None:
    east = JANUARY.astimezone(timezone(timedelta(hours=5, minutes=30)))
    for wrong in (east, JANUARY.replace(tzinfo=None)):
        with pytest.raises(AssertionError, match="UTC"):
            price(published_at=wrong)
    with pytest.raises(AssertionError, match="UTC"):
        price(effective_from=east)
    with pytest.raises(AssertionError, match="UTC"):
        price(effective_to=east + timedelta(days=1))


def test_a_price_for_the_operation_goes_before_the_models_price() -> None:
    general, batch = price(), price(operation="batch", given_input=75_000_000)
    prices = PriceList([general, batch])
    assert prices.find("openai", "gpt-4o-mini", "batch", APRIL, APRIL) is batch
    assert prices.find("openai", "gpt-4o-mini", "completion", APRIL, APRIL) is general
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL) is general


def test_the_models_price_applies_while_the_operations_price_is_not_in_force() -> None:
    general, batch = price(), price(operation="batch", effective_from=MARCH, published_at=JANUARY)
    prices = PriceList([general, batch])
    assert prices.find("openai", "gpt-4o-mini", "batch", FEBRUARY, APRIL) is general
    assert prices.find("openai", "gpt-4o-mini", "batch", MARCH, APRIL) is batch


def test_a_model_that_is_not_listed_is_unpriced_whatever_the_provider_charges_otherwise() -> None:
    image, anything = per_call("openai", None, "image"), per_call("openai", None, None)
    prices = PriceList([price(), image, anything])
    assert prices.find("openai", "gpt-99", None, APRIL, APRIL) is None
    assert prices.find("openai", "gpt-99", "image", APRIL, APRIL) is None
    assert prices.find("openai", None, "image", APRIL, APRIL) is image
    assert prices.find("openai", None, "completion", APRIL, APRIL) is anything
    assert prices.find("openai", None, None, APRIL, APRIL) is anything


def test_names_are_compared_exactly() -> None:
    prices = PriceList([price()])
    assert prices.find("openai", "GPT-4o-mini", None, APRIL, APRIL) is None
    assert prices.find("OpenAI", "gpt-4o-mini", None, APRIL, APRIL) is None
    assert prices.find("openai", "gpt-4o-mini-2024-07-18", None, APRIL, APRIL) is None


def test_a_provider_that_is_not_priced_by_model_ignores_the_model() -> None:
    details, verification = per_call("google_maps", None, "details"), per_call("zerobounce", None, None)
    prices = PriceList([details, verification])
    assert prices.find("google_maps", "places-v1", "details", APRIL, APRIL) is details
    assert prices.find("google_maps", None, "details", APRIL, APRIL) is details
    assert prices.find("google_maps", None, "photos", APRIL, APRIL) is None
    assert prices.find("google_maps", None, None, APRIL, APRIL) is None
    assert prices.find("zerobounce", "v2", "validate", APRIL, APRIL) is verification


def test_whether_a_provider_is_priced_by_model_is_also_as_known_at_the_moment() -> None:
    anything = per_call("search", None, None)
    deep = price("search", "deep", published_at=MARCH)
    deeper = price("search", "deeper", published_at=APRIL)
    prices = PriceList([anything, deeper, deep])
    assert prices.find("search", "shallow", None, APRIL, MARCH - INSTANT) is anything
    assert prices.find("search", "shallow", None, APRIL, MARCH) is None
    assert prices.find("search", "deep", None, APRIL, MARCH) is deep


def test_an_empty_list_prices_nothing() -> None:
    assert PriceList([]).find("openai", "gpt-4o-mini", None, APRIL, APRIL) is None
    assert PriceList([]).at(APRIL) == ()


def test_the_newest_start_that_holds_the_moment_applies_from_its_first_instant() -> None:
    old, new = price(), price(effective_from=MARCH, given_input=1)
    prices = PriceList([old, new])
    assert prices.find("openai", "gpt-4o-mini", None, JANUARY - INSTANT, APRIL) is None
    assert prices.find("openai", "gpt-4o-mini", None, JANUARY, APRIL) is old
    assert prices.find("openai", "gpt-4o-mini", None, MARCH - INSTANT, APRIL) is old
    assert prices.find("openai", "gpt-4o-mini", None, MARCH, APRIL) is new


def test_after_the_end_of_a_limited_price_the_one_before_applies_again() -> None:
    standard, promotion = price(), price(effective_from=FEBRUARY, effective_to=MARCH, given_input=1)
    prices = PriceList([standard, promotion])
    assert prices.find("openai", "gpt-4o-mini", None, MARCH - INSTANT, APRIL) is promotion
    assert prices.find("openai", "gpt-4o-mini", None, MARCH, APRIL) is standard


def test_a_reservation_keeps_the_price_that_was_known_when_it_was_made() -> None:
    first, correction = price(), price(given_input=200_000_000, published_at=MARCH)
    prices = PriceList([first, correction])
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY, FEBRUARY) is first
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY, MARCH - INSTANT) is first
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY, MARCH) is correction


def test_a_price_that_was_not_published_yet_is_not_known() -> None:
    prices = PriceList([price(published_at=MARCH)])
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, MARCH - INSTANT) is None


def test_a_correction_that_ends_a_price_is_not_undone_by_the_row_that_it_corrects() -> None:
    open_ended, ended = price(), price(effective_to=FEBRUARY, published_at=MARCH)
    prices = PriceList([open_ended, ended])
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY, MARCH) is None
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY - INSTANT, MARCH) is ended
    assert prices.find("openai", "gpt-4o-mini", None, FEBRUARY, FEBRUARY) is open_ended


def test_an_empty_range_withdraws_a_price() -> None:
    prices = PriceList([price(), price(effective_to=JANUARY, published_at=MARCH)])
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL) is None


def test_a_call_pays_the_highest_tier_that_its_context_exceeds() -> None:
    base, long, longest = price(), price(context_above=200_000), price(context_above=1_000_000)
    prices = PriceList([long, longest, base])
    found = [
        prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL, context)
        for context in (0, 200_000, 200_001, 1_000_000, 1_000_001)
    ]
    assert [row and row.context_above for row in found] == [None, None, 200_000, 200_000, 1_000_000]


def test_a_correction_of_the_base_leaves_its_tiers_in_force() -> None:
    base, long, corrected = price(), price(context_above=200_000), price(given_input=1, published_at=MARCH)
    prices = PriceList([base, long, corrected])
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL, 200_001) is long
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL, 200_000) is corrected


def test_a_later_start_without_tiers_ends_the_tiers_before_it() -> None:
    prices = PriceList([price(), price(context_above=200_000), price(effective_from=MARCH, given_input=1)])
    found = prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL, 1_000_000)
    assert found is not None
    assert found.effective_from == MARCH


def test_the_same_row_twice_is_refused() -> None:
    with pytest.raises(AssertionError, match="given twice"):
        PriceList([price(), price(given_input=1)])


def test_the_prices_in_force_at_a_moment_are_one_row_per_name_and_tier() -> None:
    base, long = price(), price(context_above=200_000)
    changed = price(effective_from=MARCH, given_input=1)
    search = per_call("tavily", None, "search")
    prices = PriceList([base, long, changed, search])
    assert prices.at(JANUARY - INSTANT) == ()
    assert prices.at(FEBRUARY) == (long, base, search)
    assert prices.at(MARCH) == (changed, search)


def test_a_new_tier_alone_leaves_the_lower_ones_in_force() -> None:
    base, long, longer = price(), price(context_above=100_000), price(context_above=200_000)
    new_long = price(context_above=100_000, effective_from=MARCH)
    assert PriceList([base, long, longer, new_long]).at(APRIL) == (new_long, base)


def test_what_was_in_force_can_be_asked_as_known_then_or_as_known_now() -> None:
    first, correction = price(), price(given_input=1, published_at=MARCH)
    prices = PriceList([first, correction])
    assert prices.at(FEBRUARY, known_at=FEBRUARY) == (first,)
    assert prices.at(FEBRUARY) == (correction,)


MOMENTS = st.sampled_from([JANUARY, FEBRUARY, MARCH, APRIL])


@given(
    st.lists(st.tuples(MOMENTS, st.none() | MOMENTS, MOMENTS, st.sampled_from([None, 0, 10])), max_size=12),
    MOMENTS,
    st.integers(0, 20),
)
def test_the_price_of_a_call_is_always_among_the_prices_in_force(
    rows: list[tuple[datetime, datetime | None, datetime, int | None]], at: datetime, context: int
) -> None:
    distinct = {(start, tier, published): (start, end, published, tier) for start, end, published, tier in rows}
    prices = PriceList(
        price(effective_from=start, effective_to=end, published_at=published, context_above=tier)
        for start, end, published, tier in distinct.values()
        if end is None or end >= start
    )
    in_force = prices.at(at)
    applicable = [row for row in in_force if row.context_above is None or context > row.context_above]
    expected = max(applicable, key=lambda row: -1 if row.context_above is None else row.context_above, default=None)
    assert prices.find("openai", "gpt-4o-mini", None, at, APRIL, context) is expected


def test_a_list_gives_back_every_row() -> None:
    rows = [price(), price(published_at=MARCH), per_call("tavily", None, "search")]
    assert sorted(PriceList(rows), key=rows.index) == rows


def test_rows_that_are_added_leave_the_list_that_they_are_added_to_as_it_was() -> None:
    before = PriceList([price()])
    other = price(model="gpt-4o", given_input=9)
    after = before.adding([other])
    assert (list(before), set(after)) == ([price()], {price(), other})
    assert before.find("openai", "gpt-4o", None, MARCH, MARCH) is None
    assert after.find("openai", "gpt-4o", None, MARCH, MARCH) == other


def test_of_rows_that_were_published_at_one_moment_the_one_added_last_counts() -> None:
    first, second, third = (price(given_input=figure) for figure in (1, 2, 3))
    added = PriceList([first]).adding([second, third])
    assert added.find("openai", "gpt-4o-mini", None, MARCH, MARCH) is third
    assert [row.input_per_million for row in added.at(MARCH)] == [3]


def test_adding_a_model_makes_its_provider_one_that_is_priced_by_model_from_then_on() -> None:
    added = PriceList([per_call("tavily", None, None)]).adding(
        [price("tavily", "deep", published_at=MARCH), price("tavily", "deeper", published_at=FEBRUARY)]
    )
    assert added.find("tavily", "other", None, APRIL, FEBRUARY - INSTANT) is not None
    assert added.find("tavily", "other", None, APRIL, FEBRUARY) is None


def own(**given: Any) -> Price:
    """A price for one tenant alone."""
    return replace(price(**given), for_tenant=True)


def test_a_tenants_own_price_goes_before_a_newer_one_for_everybody() -> None:
    everybody = [price(given_input=1), price(given_input=2, effective_from=MARCH)]
    prices = PriceList(everybody).adding([own(given_input=7)])
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL) == own(given_input=7)
    assert prices.at(APRIL) == (own(given_input=7),)


def test_where_a_tenants_own_price_has_ended_what_holds_for_everybody_does() -> None:
    prices = PriceList([price(given_input=1)]).adding([own(given_input=7, effective_to=MARCH)])
    assert prices.find("openai", "gpt-4o-mini", None, MARCH - INSTANT, APRIL) == own(given_input=7, effective_to=MARCH)
    assert prices.find("openai", "gpt-4o-mini", None, MARCH, APRIL) == price(given_input=1)


def test_withdrawing_a_tenants_own_price_does_not_withdraw_that_of_everybody() -> None:
    withdrawn = own(given_input=7, effective_to=JANUARY, published_at=MARCH)
    prices = PriceList([price(given_input=1)]).adding([own(given_input=7), withdrawn])
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, FEBRUARY) == own(given_input=7)
    assert prices.find("openai", "gpt-4o-mini", None, APRIL, MARCH) == price(given_input=1)


def test_a_tenants_own_tier_leaves_the_lower_ones_of_everybody() -> None:
    prices = PriceList([price(given_input=1)]).adding([own(given_input=7, context_above=1_000)])
    found = [prices.find("openai", "gpt-4o-mini", None, APRIL, APRIL, context) for context in (1_000, 1_001)]
    assert [row and row.input_per_million for row in found] == [1, 7]
    assert [row.input_per_million for row in prices.at(APRIL)] == [7, 1]
