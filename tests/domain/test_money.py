"""Amounts: exact in, exact out, rounded in one place and in one direction."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import (
    LARGEST_AMOUNT,
    LARGEST_STORED,
    MILLION,
    NANO,
    AmountError,
    Money,
    cost_rounding_up,
    divide_rounding_up,
    fits_storage,
    format_amount,
    mark_up_rounding_up,
    minor_digits,
    minor_to_nano,
    multiply_rounding_up,
    nano_to_minor,
    parse_amount,
    percent,
    read_amount,
    share_rounding_down,
)

amounts = st.integers(-LARGEST_AMOUNT, LARGEST_AMOUNT)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("12", 12 * NANO),
        ("0.25", 250_000_000),
        ("-3.5", -3_500_000_000),
        ("0.000000001", 1),
        ("1.100000000", 1_100_000_000),
        ("007", 7 * NANO),
        ("-0", 0),
        ("1000000000", LARGEST_AMOUNT),
        ("-1000000000", -LARGEST_AMOUNT),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, nano: int) -> None:
    assert parse_amount(text) == nano


@pytest.mark.parametrize(
    "text",
    ["", " ", "1e5", "1E5", "NaN", "Infinity", "+1", "1.", ".5", "1,5", "1 ", " 1", "1\n", "--1", "0x10", "1_000", "½", "١", "1.2.3", "1" * 31],
)  # fmt: skip
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="a plain decimal in a string"):
        parse_amount(text)


def test_a_tenth_fractional_digit_is_refused_even_if_it_is_zero() -> None:
    with pytest.raises(AmountError, match="at most 9 fractional digits"):
        parse_amount("0.0000000010")


@pytest.mark.parametrize("text", ["1000000000.000000001", "-1000000001", "9" * 30])
def test_an_amount_over_a_billion_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="at most 1000000000"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (250_000_000, "0.25"), (1, "0.000000001"), (-1, "-0.000000001"), (10 * NANO, "10"), (-NANO, "-1")],
)
def test_an_amount_is_written_without_trailing_zeros(nano: int, text: str) -> None:
    assert format_amount(nano) == text


@given(amounts)
def test_what_is_written_is_read_back_as_the_same_amount(nano: int) -> None:
    assert parse_amount(format_amount(nano)) == nano


@given(
    sign=st.sampled_from(["", "-"]),
    whole=st.from_regex(r"[0-9]{1,9}", fullmatch=True),
    fraction=st.from_regex(r"[0-9]{1,9}", fullmatch=True),
)
def test_what_is_read_is_written_back_in_its_shortest_form(sign: str, whole: str, fraction: str) -> None:
    shortest = f"{int(whole)}.{fraction}".rstrip("0").rstrip(".")
    expected = shortest if shortest == "0" else sign + shortest
    assert format_amount(parse_amount(f"{sign}{whole}.{fraction}")) == expected


def test_storage_is_that_of_a_signed_64_bit_integer() -> None:
    assert fits_storage(LARGEST_STORED)
    assert fits_storage(-LARGEST_STORED)
    assert not fits_storage(LARGEST_STORED + 1)
    assert not fits_storage(-LARGEST_STORED - 1)
    assert fits_storage(9 * LARGEST_AMOUNT)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_a_quotient_is_rounded_up_to_the_next_whole(dividend: int, divisor: int) -> None:
    quotient = divide_rounding_up(dividend, divisor)
    assert (quotient - 1) * divisor < dividend <= quotient * divisor


def test_three_actions_at_a_tenth_of_a_credit_are_exact_and_a_billionth_of_one_rounds_up() -> None:
    assert multiply_rounding_up(NANO // 10, 3 * NANO) == 300_000_000
    assert multiply_rounding_up(NANO // 10, 1) == 1


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), max_size=6), st.randoms())
def test_a_cost_is_rounded_once_so_neither_order_nor_split_matters(
    classes: list[tuple[int, int]], random: Random
) -> None:
    exact = sum(units * price for units, price in classes)
    cost = cost_rounding_up(classes)
    assert 0 <= cost * MILLION - exact < MILLION
    shuffled = [part for units, price in classes for part in ((units // 3, price), (units - units // 3, price))]
    random.shuffle(shuffled)
    assert cost_rounding_up(shuffled) == cost


@given(st.integers(0, 10**18), st.integers(NANO, 10 * NANO), st.integers(1, 10 * NANO))
def test_a_marked_up_charge_is_never_worth_less_than_the_cost(cost: int, markup: int, unit_value: int) -> None:
    charge = mark_up_rounding_up(cost, markup, unit_value)
    assert charge * unit_value >= cost * markup
    assert charge * unit_value - cost * markup < unit_value


def test_a_dollar_of_cost_is_1_3_dollars_or_2_6_credits_of_half_a_dollar() -> None:
    assert mark_up_rounding_up(NANO, 1_300_000_000) == 1_300_000_000
    assert mark_up_rounding_up(NANO, 1_300_000_000, NANO // 2) == 2_600_000_000


@pytest.mark.parametrize(
    ("part", "whole", "hundredths"),
    [(0, 0, 0), (5, 0, 0), (80, 100, 8_000), (799_999, 1_000_000, 7_999), (999_999, 1_000_000, 9_999), (3, 2, 15_000)],
)
def test_a_percent_is_rounded_down_so_that_no_limit_shows_as_reached_before_it_is(
    part: int, whole: int, hundredths: int
) -> None:
    assert percent(part, whole) == hundredths


@pytest.mark.parametrize(
    ("currency", "digits"), [("USD", 2), ("INR", 2), ("AED", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3)]
)
def test_a_currency_has_two_digits_after_the_point_unless_iso_4217_says_otherwise(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize(
    ("money", "nano"),
    [
        (Money(3_499_900, "INR"), 34_999 * NANO),
        (Money(1, "USD"), 10_000_000),
        (Money(500, "JPY"), 500 * NANO),
        (Money(1_234, "KWD"), 1_234_000_000),
        (Money(-5, "USD"), -50_000_000),
        (Money(0, "USD"), 0),
    ],
)
def test_money_is_a_whole_amount_of_its_currency_and_back(money: Money, nano: int) -> None:
    assert minor_to_nano(money) == nano
    assert nano_to_minor(nano, money.currency) == money.minor


@pytest.mark.parametrize(("nano", "currency"), [(1, "USD"), (15_000_000, "USD"), (500_000_000, "JPY"), (1, "KWD")])
def test_an_amount_that_is_not_whole_in_minor_units_is_no_money(nano: int, currency: str) -> None:
    assert nano_to_minor(nano, currency) is None


@given(st.integers(0, LARGEST_AMOUNT), st.integers(1, 10**12), st.data())
def test_a_share_is_never_more_than_its_part_and_all_for_the_whole(
    amount: int, whole: int, data: st.DataObject
) -> None:
    part = data.draw(st.integers(0, whole))
    share = share_rounding_down(amount, part, whole)
    assert share * whole <= amount * part < (share + 1) * whole
    assert share_rounding_down(amount, whole, whole) == amount
    assert share_rounding_down(amount, 0, whole) == 0


@pytest.mark.parametrize(("part", "whole"), [(-1, 3), (4, 3), (0, 0)])
def test_a_share_is_of_a_part_of_something(part: int, whole: int) -> None:
    with pytest.raises(AssertionError):
        share_rounding_down(1, part, whole)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (5, "send '5'"),
        (-3, "send '-3'"),
        (0.5, "send '0.25', not 0.25"),
        (10**10, "send '0.25', not 0.25"),
        (True, "send '0.25', not 0.25"),
        (None, "send '0.25', not 0.25"),
    ],
)
def test_from_json_only_strings_are_read(value: object, remedy: str) -> None:
    assert read_amount("0.25") == 250_000_000
    with pytest.raises(AmountError, match=f"a plain decimal in a string: {remedy}"):
        read_amount(value)
