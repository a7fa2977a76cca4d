"""FOCUS rows: each amount in one row alone, and every column as the specification has it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import focus
from domain.breakdowns import UsageTotals
from domain.focus import COLUMNS, CREDITS, PREPAID, USD, Account, DayOfUsage, Named, Period
from domain.money import format_amount
from domain.usage import Route, UsageKind
from tests.domain.builders import nano

ACME = Account("ten_1", "Acme")
# A day of India, in its month.
DAY = datetime(2026, 11, 4, 18, 30, tzinfo=UTC)
PERIOD = Period(DAY - timedelta(days=4), DAY + timedelta(days=26), DAY, DAY + timedelta(days=1))
PROVIDERS = {"openai": "OpenAI"}
WRITING = DayOfUsage(
    UsageTotals(events=3, calls=4, failures=1, input_tokens=900, output_tokens=80, duration_ms=7, cost=nano("0.25")),
    UsageKind.LLM,
    Route.MANAGED,
    "openai",
    "gpt-4o",
    "chat",
    "blog_post",
    Named("writer", "The writer"),
    Named("spring", "Spring"),
    Named("umbrella", "Umbrella Inc."),
    Named("plan"),
)
MANDATORY = {
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingCurrency",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
}
ALWAYS_NULL = {"ChargeClass", "CommitmentDiscountStatus", "InvoiceId", "SkuPriceDetails", "Tags"}
ALLOWED = {
    "BillingCurrency": {"USD"},
    "ChargeCategory": {"Usage"},
    "ChargeFrequency": {"Usage-Based"},
    "PricingCategory": {"Standard"},
    "PricingCurrency": {USD, CREDITS, PREPAID},
    "ServiceCategory": {"AI and Machine Learning", "Analytics", "Business Applications", "Integration", "Other"},
}


def made(usage: DayOfUsage) -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in focus.rows(ACME, PERIOD, usage, PROVIDERS)]


def test_a_days_calls_are_a_row_of_what_they_cost() -> None:
    (row,) = made(WRITING)
    assert {name: value for name, value in row.items() if value} == {
        "BilledCost": "0.25",
        "BillingAccountId": "ten_1",
        "BillingAccountName": "Acme",
        "BillingAccountType": "Tenant",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": "2026-11-30T18:30:00Z",
        "BillingPeriodStart": "2026-10-31T18:30:00Z",
        "ChargeCategory": "Usage",
        "ChargeDescription": "OpenAI models: gpt-4o, chat",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": "2026-11-05T18:30:00Z",
        "ChargePeriodStart": "2026-11-04T18:30:00Z",
        "ConsumedQuantity": "980.0",
        "ConsumedUnit": "Tokens",
        "ContractedCost": "0.25",
        "ContractedUnitPrice": "1.0",
        "EffectiveCost": "0.25",
        "InvoiceIssuerName": "Purser",
        "ListCost": "0.25",
        "ListUnitPrice": "1.0",
        "PricingCategory": "Standard",
        "PricingCurrency": "USD",
        "PricingCurrencyContractedUnitPrice": "1.0",
        "PricingCurrencyEffectiveCost": "0.25",
        "PricingCurrencyListUnitPrice": "1.0",
        "PricingQuantity": "0.25",
        "PricingUnit": "USD",
        "ProviderName": "Purser",
        "PublisherName": "OpenAI",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "OpenAI models",
        "ServiceSubcategory": "Generative AI",
        "SkuId": "llm/openai/gpt-4o/chat",
        "SkuMeter": "Provider cost",
        "SkuPriceId": "llm/openai/gpt-4o/chat",
        "SubAccountId": "umbrella",
        "SubAccountName": "Umbrella Inc.",
        "SubAccountType": "Client",
        "x_AgentName": "The writer",
        "x_AgentRole": "writer",
        "x_CacheReadTokens": "0",
        "x_CacheWriteTokens": "0",
        "x_Calls": "4",
        "x_CampaignId": "spring",
        "x_CampaignName": "Spring",
        "x_Events": "3",
        "x_FailedEvents": "1",
        "x_Feature": "blog_post",
        "x_InputTokens": "900",
        "x_Model": "gpt-4o",
        "x_Operation": "chat",
        "x_OutputTokens": "80",
        "x_ProjectId": "plan",
        "x_ReasoningTokens": "0",
        "x_Route": "MANAGED",
        "x_UnpricedEvents": "0",
        "x_UsageKind": "LLM",
    }


def test_what_was_charged_stands_in_rows_of_its_own_that_cost_nothing_more() -> None:
    totals = WRITING.totals._replace(credits_charged=nano("2"), usd_charged=nano("0.31"))
    cost, credits_, prepaid = made(DayOfUsage(totals, UsageKind.LLM, feature="blog_post"))
    assert cost["PricingCurrency"] == "USD"
    for row, currency, amount in ((credits_, "Credits", "2.0"), (prepaid, "Prepaid USD", "0.31")):
        assert {row[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")} == {"0.0"}
        assert {row[name] for name in ("PricingCurrency", "PricingUnit", "ConsumedUnit")} == {currency}
        assert row["PricingCurrencyEffectiveCost"] == row["PricingQuantity"] == row["ConsumedQuantity"] == amount
        assert (row["ServiceName"], row["ProviderName"]) == ("blog_post", "Purser")
        assert row["ChargeDescription"] == f"{currency} charged for blog_post"
        assert {row[name] for name in COLUMNS if name.startswith("x_") and name.endswith(("Tokens", "Events"))} == {""}
    (alone,) = made(DayOfUsage(UsageTotals(credits_charged=1)))
    assert (alone["PricingQuantity"], alone["ServiceName"]) == ("0.000000001", "usage without a feature")
    assert made(DayOfUsage(UsageTotals())) == []


def test_on_a_tenants_own_key_the_provider_sells_and_invoices() -> None:
    (row,) = made(DayOfUsage(WRITING.totals, UsageKind.LLM, Route.BYOK, "openai"))
    assert {row[name] for name in ("ProviderName", "PublisherName", "InvoiceIssuerName")} == {"OpenAI"}


@pytest.mark.parametrize(
    ("usage", "service", "consumed"),
    [
        (DayOfUsage(UsageTotals(calls=2), UsageKind.TOOL, provider="crawler"), "crawler tool", ("2.0", "Requests")),
        (DayOfUsage(UsageTotals(unpriced=1), UsageKind.API), "Unnamed provider API", ("0.0", "Requests")),
        (DayOfUsage(UsageTotals(cost=-1), None), "Unnamed provider usage", ("0.0", "Requests")),
    ],
)
def test_calls_without_tokens_are_requests(usage: DayOfUsage, service: str, consumed: tuple[str, str]) -> None:
    (row,) = made(usage)
    assert (row["ServiceName"], row["ChargeDescription"]) == (service, service)
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == consumed


NAMES = st.none() | st.text(min_size=1, max_size=3)
NAMED = st.just(focus.NONE) | st.builds(Named, st.text(min_size=1, max_size=3), NAMES)
COUNTS = st.integers(0, 10**13)
AMOUNTS = st.integers(-(10**19), 10**19)
USAGE: Any = st.builds(
    DayOfUsage,
    st.builds(UsageTotals, *[COUNTS] * 10, AMOUNTS, AMOUNTS, AMOUNTS),
    st.none() | st.sampled_from(UsageKind),
    st.sampled_from(Route),
    *[NAMES] * 4,
    *[NAMED] * 4,
)


@given(st.lists(USAGE, max_size=4))
def test_each_amount_is_in_the_rows_once_and_every_column_is_as_focus_has_it(days: list[DayOfUsage]) -> None:
    rows = [row for day in days for row in made(day)]
    for row in rows:
        assert {name for name in MANDATORY if not row[name]} == set()
        assert {name for name in ALWAYS_NULL if row[name]} == set()
        assert all(row[name] in values for name, values in ALLOWED.items())
        assert (row["SubAccountId"] == "") == (row["SubAccountName"] == "") == (row["SubAccountType"] == "")
        quantity = Decimal(row["PricingQuantity"])
        assert quantity * Decimal(row["ListUnitPrice"]) == Decimal(row["ListCost"])
        assert quantity * Decimal(row["ContractedUnitPrice"]) == Decimal(row["ContractedCost"])
        assert quantity == Decimal(row["PricingCurrencyEffectiveCost"])
        assert row["BilledCost"] == row["EffectiveCost"]
        if row["ProviderName"] != row["InvoiceIssuerName"]:
            assert Decimal(row["BilledCost"]) == 0

    def total(column: str, currencies: Iterable[str]) -> str:
        return exact(sum(Decimal(row[column]) for row in rows if row["PricingCurrency"] in currencies))

    sums = UsageTotals(*[sum(each) for each in zip(*[day.totals for day in days], strict=True)])
    assert total("BilledCost", (USD, CREDITS, PREPAID)) == format_amount(sums.cost)
    assert total("PricingCurrencyEffectiveCost", [USD]) == format_amount(sums.cost)
    assert total("PricingCurrencyEffectiveCost", [CREDITS]) == format_amount(sums.credits_charged)
    assert total("PricingCurrencyEffectiveCost", [PREPAID]) == format_amount(sums.usd_charged)


def exact(total: Decimal | int) -> str:
    return format_amount(int(Decimal(total) * 10**9))


def test_columns_stand_in_the_specifications_order_and_ours_are_marked() -> None:
    ours = [name for name in COLUMNS if name.startswith("x_")]
    assert list(COLUMNS) == [*sorted(set(COLUMNS) - set(ours)), *ours]
    assert all(name.isascii() and len(name) <= 50 for name in COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert set(COLUMNS) - set(ours) == MANDATORY | ALWAYS_NULL | {"SubAccountId", "SubAccountName", "SubAccountType"}
