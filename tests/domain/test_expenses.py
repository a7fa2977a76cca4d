"""Expenses: what may be entered, what labor comes to, and what a customer has cost to win."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.currencies import CURRENCIES
from domain.expenses import (
    EARLIEST,
    MOST_AHEAD,
    MOST_CUSTOMERS,
    Cac,
    CacStatus,
    ExpenseEntry,
    ExpenseKind,
    cac,
    correction_problems,
    customers_problems,
    facts_of,
    problems,
)
from domain.money import LARGEST_AMOUNT, NANO, Money, minor_digits, minor_to_nano, product_rounding_half_up
from tests.domain.builders import nano

TODAY = date(2026, 11, 25)
currencies = st.sampled_from(sorted(CURRENCIES))


def entry(kind: ExpenseKind = ExpenseKind.AGENCY, **fields: Any) -> ExpenseEntry:
    usual: dict[str, Any] = {"currency": "EUR", "incurred_on": TODAY}
    if kind is not ExpenseKind.LABOR:
        usual["amount"] = nano("100")
    return ExpenseEntry("spring", kind, **(usual | fields))


def labor(hours: str | None = "7.5", rate: str | None = "60", **fields: Any) -> ExpenseEntry:
    return entry(
        ExpenseKind.LABOR,
        hours=None if hours is None else nano(hours),
        hourly_rate=None if rate is None else nano(rate),
        **fields,
    )


def paths(of: ExpenseEntry) -> list[str]:
    return [problem.path for problem in problems(of, TODAY)]


def test_there_are_the_ten_kinds_of_the_document() -> None:
    named = "adwords meta_ads linkedin_ads other_ads agency labor software content event other"
    assert [kind.lower() for kind in ExpenseKind] == named.split()


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (entry(amount=None), ["amount"]),
        (entry(amount=0), ["amount"]),
        (entry(amount=-1), ["amount"]),
        (entry(amount=LARGEST_AMOUNT + NANO), ["amount"]),
        (entry(amount=nano("0.001")), ["amount"]),
        (entry(amount=nano("0.5"), currency="JPY"), ["amount"]),
        (entry(amount=nano("0.0001"), currency="KWD"), ["amount"]),
        (entry(currency="eur"), ["currency"]),
        (entry(currency="EUX", amount=None), ["currency"]),
        (entry(hours=1), ["hours"]),
        (entry(hourly_rate=1), ["hourlyRate"]),
        (labor(None), ["hours"]),
        (labor("0"), ["hours"]),
        (labor("100001"), ["hours"]),
        (labor("1", None), ["hourlyRate"]),
        (labor("1", "-1"), ["hourlyRate"]),
        (labor(None, None), ["hours", "hourlyRate"]),
        (labor("0.001", "0.001"), ["hourlyRate"]),
        (labor("100000", "100000"), ["hourlyRate"]),
        (labor(amount=nano("450.01")), ["amount"]),
        (entry()._replace(campaign=" spring"), ["campaign"]),
        (entry(incurred_on=EARLIEST - timedelta(days=1)), ["incurredOn"]),
        (entry(incurred_on=TODAY + MOST_AHEAD + timedelta(days=1)), ["incurredOn"]),
        (entry(description="x" * 1_001), ["description"]),
        (entry(description="a\0b"), ["description"]),
        (entry(amount=None)._replace(campaign=""), ["campaign", "amount"]),
    ],
)
def test_what_does_not_go_is_named(wrong: ExpenseEntry, expected: list[str]) -> None:
    assert paths(wrong) == expected


@pytest.mark.parametrize(
    "right",
    [
        entry(),
        entry(amount=LARGEST_AMOUNT),
        entry(amount=nano("0.001"), currency="KWD"),
        entry(amount=nano("1"), currency="JPY"),
        entry(incurred_on=EARLIEST),
        entry(incurred_on=TODAY + MOST_AHEAD),
        entry(description="=1+1\n\ttext"),
        labor(),
        labor(amount=nano("450")),
    ],
)
def test_what_goes_becomes_an_expense(right: ExpenseEntry) -> None:
    assert paths(right) == []
    facts = facts_of(right)
    assert facts.money.minor > 0
    assert (facts.campaign, facts.kind, facts.incurred_on) == (right.campaign, right.kind, right.incurred_on)
    if right.amount is not None:
        assert minor_to_nano(facts.money) == right.amount


def test_an_empty_description_is_none() -> None:
    assert facts_of(entry(description="")).description is None


@given(st.integers(1, 10**15), st.integers(1, 10**15), currencies)
def test_labor_is_the_product_to_half_a_minor_unit(hours: int, rate: int, currency: str) -> None:
    exact = Fraction(hours, NANO) * Fraction(rate, NANO) * 10 ** minor_digits(currency)
    money = product_rounding_half_up(hours, rate, currency)
    assert money.currency == currency
    assert -Fraction(1, 2) < money.minor - exact <= Fraction(1, 2)


def test_half_a_cent_of_labor_rounds_up() -> None:
    assert facts_of(labor("0.5", "33.33")).money == Money(1667, "EUR"), "16.665"
    assert facts_of(labor("1.25", "33.33")).money == Money(4166, "EUR"), "41.6625"


@given(st.lists(st.builds(Money, st.integers(1, 10**15), currencies), max_size=4), st.integers(0, 10**6))
def test_the_cost_of_a_customer_has_one_status_and_a_sum_only_if_it_can_be_told(sums: list[Money], won: int) -> None:
    totals = list({money.currency: money for money in sums}.values())
    found = cac(totals, won)
    assert (found.money is not None) == (found.status is CacStatus.OK)
    if found.money is None:
        expected = CacStatus.NO_EXPENSES if not totals else CacStatus.MIXED_CURRENCIES
        assert found == Cac(CacStatus.NO_CUSTOMERS if len(totals) == 1 else expected)
        return
    ((total,), per) = totals, found.money
    assert per.currency == total.currency
    assert (per.minor - 1) * won < total.minor <= per.minor * won, "rounded up, by less than one unit a customer"


def test_the_first_reason_is_told() -> None:
    assert cac([], 0).status is CacStatus.NO_EXPENSES
    assert cac([Money(1, "EUR"), Money(1, "USD")], 0).status is CacStatus.MIXED_CURRENCIES
    assert cac([Money(1, "EUR")], 0).status is CacStatus.NO_CUSTOMERS
    assert cac([Money(100_000, "EUR")], 3) == Cac(CacStatus.OK, Money(33_334, "EUR"))


def test_customers_are_taken_back_from_the_day_that_they_were_recorded_of() -> None:
    assert customers_problems("spring", 1, TODAY, TODAY) == ()
    assert customers_problems("spring", -MOST_CUSTOMERS, TODAY, TODAY) == ()
    wrong = customers_problems("", 0, date(1999, 1, 1), TODAY)
    assert [problem.path for problem in wrong] == ["campaign", "count", "on"]
    assert [problem.path for problem in customers_problems("spring", MOST_CUSTOMERS + 1, TODAY, TODAY)] == ["count"]
    assert correction_problems(2, -2) == ()
    assert correction_problems(0, 5) == ()
    assert correction_problems(99_999, 1) == ()
    assert "a day has at most 100000" in correction_problems(99_999, 2)[0].message
    assert "it may be -2 at the least" in correction_problems(2, -3)[0].message
    assert "there is nothing to take back" in correction_problems(0, -1)[0].message


def test_the_customers_of_all_days_together_can_be_told() -> None:
    days = (date(2058, 1, 1) - EARLIEST).days
    assert days * MOST_CUSTOMERS < 2**31


def test_every_currency_is_a_code_of_three_letters() -> None:
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)
    assert len(CURRENCIES) > 150
