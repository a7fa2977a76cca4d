"""The price list's figures are those of document 003, then those of genai-prices, then demo figures."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.money import NANO, format_amount, parse_amount
from domain.prices import Price, Tokens, cost, is_free
from infra.catalog import load

CATALOG = load()
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)

DOCUMENT_003_PRICES = [
    ("anthropic", "claude-sonnet-4-6", "3", "15"),
    ("anthropic", "claude-opus-4-6", "15", "75"),
    ("anthropic", "claude-haiku-4-5-20251001", "0.25", "1.25"),
    ("openai", "gpt-4o", "2.5", "10"),
    ("openai", "gpt-4o-mini", "0.15", "0.6"),
    ("ollama", "gemma3:4b", "0", "0"),
    ("ollama", "llama3.2", "0", "0"),
    ("ollama", "mistral", "0", "0"),
]


def price_of(provider: str, model: str | None, operation: str | None = None, context: int = 0) -> Price:
    price = CATALOG.prices.find(provider, model, operation, NOVEMBER, NOVEMBER, context)
    assert price is not None
    return price


@pytest.mark.parametrize(("provider", "model", "given_input", "output"), DOCUMENT_003_PRICES)
def test_document_003s_eight_models_cost_what_it_says_from_april_2026(
    provider: str, model: str, given_input: str, output: str
) -> None:
    price = price_of(provider, model)
    assert (price.input_per_million, price.output_per_million) == (parse_amount(given_input), parse_amount(output))
    assert price.effective_from == APRIL
    assert CATALOG.prices.find(provider, model, None, APRIL - INSTANT, NOVEMBER) is None


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        ("openai", "gpt-4o-mini", "0.00045"),
        ("openai", "gpt-4o", "0.0075"),
        ("anthropic", "claude-sonnet-4-6", "0.0105"),
        ("anthropic", "claude-opus-4-6", "0.0525"),
        ("anthropic", "claude-haiku-4-5-20251001", "0.000875"),
        ("ollama", "mistral", "0"),
    ],
)
def test_a_thousand_tokens_in_and_five_hundred_out_cost(provider: str, model: str, dollars: str) -> None:
    assert format_amount(cost(price_of(provider, model), Tokens(input=1_000, output=500))) == dollars


def test_other_names_of_a_model_cost_the_same() -> None:
    for provider, model, alias in [
        ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("ollama", "llama3.2", "llama3.2:latest"),
    ]:
        tokens = Tokens(1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000)
        assert cost(price_of(provider, alias), tokens) == cost(price_of(provider, model), tokens)


def test_cache_reads_and_writes_have_their_own_prices() -> None:
    sonnet = price_of("anthropic", "claude-sonnet-4-6")
    assert cost(sonnet, Tokens(cache_read=1_000_000)) == parse_amount("0.3")
    assert cost(sonnet, Tokens(cache_write=1_000_000)) == parse_amount("3.75")


def test_long_contexts_pay_their_tier() -> None:
    assert price_of("google", "gemini-2.5-pro", context=200_000).input_per_million == parse_amount("1.25")
    assert price_of("google", "gemini-2.5-pro", context=200_001).input_per_million == parse_amount("2.5")


def test_a_price_that_the_package_dates_changes_on_that_day() -> None:
    day = datetime(2026, 8, 21, tzinfo=UTC)
    before = CATALOG.prices.find("openai", "gpt-5.6-sol", None, day - INSTANT, NOVEMBER)
    after = CATALOG.prices.find("openai", "gpt-5.6-sol", None, day, NOVEMBER)
    assert before is not None
    assert after is not None
    assert (before.input_per_million, after.input_per_million) == (5 * NANO, 4 * NANO)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("google", "gemini-3.1-flash-lite"),
        ("openai", "text-embedding-3-small"),
        ("openai", "text-embedding-3-large"),
        ("anthropic", "claude-opus-5-5"),
        ("openrouter", "anthropic/claude-sonnet-4.6"),
    ],
)
def test_models_beside_document_003_are_priced_and_say_where_the_figure_is_from(provider: str, model: str) -> None:
    price = price_of(provider, model)
    assert not is_free(price)
    assert price.note == "genai-prices 0.2.3"


def test_a_model_that_nobody_priced_is_unpriced() -> None:
    for provider in ("openai", "anthropic", "google", "openrouter"):
        assert CATALOG.prices.find(provider, "no-such-model", None, NOVEMBER, NOVEMBER) is None


def test_a_local_model_costs_nothing_whatever_its_name() -> None:
    for model in ("qwen2.5", "llama3:8b"):
        price = CATALOG.prices.find("ollama", model, None, NOVEMBER, NOVEMBER)
        assert price is not None
        assert is_free(price)


@pytest.mark.parametrize(
    ("provider", "operation"),
    [
        ("google_maps", "places_search"),
        ("google_maps", "details"),
        ("tavily", "search"),
        ("apollo", None),
        ("apify", "run"),
        ("leadmagic", None),
        ("zerobounce", "validate"),
        ("prospeo", None),
        ("millionverifier", None),
        ("findymail", None),
        ("icypeas", None),
        ("firecrawl", "scrape"),
    ],
)
def test_a_service_costs_something_per_call_by_a_demo_figure(provider: str, operation: str | None) -> None:
    price = price_of(provider, None, operation)
    assert cost(price, Tokens(), calls=2) == 2 * (price.per_call or 0) > 0
    assert "demo figure" in price.note


def test_public_data_and_local_models_are_free_and_nothing_else_is() -> None:
    assert {price.provider for price in CATALOG.prices if is_free(price)} == {"socrata", "ollama"}
