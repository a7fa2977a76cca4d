"""Providers, plans and bundles are those of documents 000, 002 and 004."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.money import NANO
from infra.catalog import load

CATALOG = load()
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 21, tzinfo=UTC)
SLUGS = [
    "openai",
    "anthropic",
    "google",
    "openrouter",
    "ollama",
    "google_maps",
    "tavily",
    "apollo",
    "apify",
    "socrata",
    "leadmagic",
    "zerobounce",
    "prospeo",
    "millionverifier",
    "findymail",
    "icypeas",
    "firecrawl",
]


def test_every_provider_of_the_documents_is_there_and_has_prices() -> None:
    assert [provider.slug for provider in CATALOG.providers_at(NOVEMBER)] == SLUGS
    assert {price.provider for price in CATALOG.prices.at(NOVEMBER)} == set(SLUGS)


def test_document_000s_ten_rows_are_products_whose_models_are_priced() -> None:
    products = {product.name: (provider, product) for provider in CATALOG.providers for product in provider.products}
    assert {name: (product.category, product.purpose) for name, (_, product) in products.items()} == {
        "Google Maps Places API": ("Discovery", "Text searches and place-detail lookups"),
        "Tavily AI Search": ("Research", "Web search during AI deep research"),
        "Apollo.io": ("Enrichment", "Contact discovery (when integrated)"),
        "OpenAI GPT-4o": ("LLM", "ICP generation, scoring, drafting"),
        "OpenAI GPT-4o Mini": ("LLM", "Cheaper drafting and translation"),
        "Google Gemini Flash": ("LLM", "Default scoring model — fast + cheap"),
        "Google Gemini Pro": ("LLM", "Higher-quality reasoning on demand"),
        "Anthropic Claude Opus": ("LLM", "Highest-tier reasoning"),
        "Anthropic Claude Sonnet": ("LLM", "Mid-tier reasoning"),
        "Anthropic Claude Haiku": ("LLM", "Fastest Anthropic tier"),
    }
    models = [(provider.slug, product.model) for provider, product in products.values() if product.model]
    assert len(models) == 7
    assert all(CATALOG.prices.find(slug, model, None, NOVEMBER, NOVEMBER) for slug, model in models)


def test_the_plans_are_document_004s_per_region() -> None:
    assert [
        (plan.region, plan.key, plan.name, plan.price, plan.currency, plan.seats, plan.agents, plan.unlimited)
        for plan in CATALOG.plans_of("india", NOVEMBER) + CATALOG.plans_of("middle_east", NOVEMBER)
    ] == [
        ("india", "starter", "Starter", 3_499_900, "INR", 5, 10, False),
        ("india", "professional", "Professional", 4_999_900, "INR", 15, 25, False),
        ("middle_east", "growth", "Growth", 280_000, "AED", 5, 10, False),
        ("middle_east", "professional", "Professional", 350_000, "AED", 15, 25, False),
    ]


@pytest.mark.parametrize(
    ("region", "key", "monthly"),
    [
        ("india", "starter", 100),
        ("india", "professional", 300),
        ("middle_east", "growth", 100),
        ("middle_east", "professional", 300),
        ("global", "unlimited", 300),
    ],
)
def test_a_plan_grants_its_credits_and_the_five_buckets(region: str, key: str, monthly: int) -> None:
    plan = CATALOG.plan(region, key, NOVEMBER)
    assert plan is not None
    assert dict(plan.allocations) == {
        "credits": monthly * NANO,
        "email_sends": 10_000 * NANO,
        "lead_storage": 25_000 * NANO,
        "email_accounts": 50 * NANO,
        "enrich_leads": 5_000 * NANO,
        "copy_leads": 2_500 * NANO,
    }
    assert "demo figure" in plan.note


def test_the_unlimited_plan_lets_own_keys_serve_enrichment_too() -> None:
    (plan,) = CATALOG.plans_of("global", NOVEMBER)
    assert (plan.key, plan.unlimited, plan.price, plan.currency) == ("unlimited", True, 99_900, "USD")
    assert [(bundle.key, bundle.price) for bundle in CATALOG.bundles_of("global", NOVEMBER)] == [
        ("credits_50", 2_500),
        ("credits_100", 5_000),
        ("credits_250", 12_500),
    ]
    assert not any(plan.unlimited for plan in CATALOG.plans if plan.region != "global")


def test_everything_is_sold_from_2026_on() -> None:
    rows = [*CATALOG.plans, *CATALOG.bundles, *CATALOG.providers]
    assert {(row.effective_from, row.published_at) for row in rows} == {(JANUARY, JANUARY)}
    assert CATALOG.plan("india", "starter", JANUARY - timedelta(microseconds=1)) is None


def test_a_plan_of_another_region_is_not_found() -> None:
    assert CATALOG.plan("india", "growth", NOVEMBER) is None


def test_each_region_sells_its_own_bundles_of_credits() -> None:
    assert [(bundle.key, bundle.amount, bundle.price) for bundle in CATALOG.bundles_of("middle_east", NOVEMBER)] == [
        ("credits_50", 50 * NANO, 9_200),
        ("credits_100", 100 * NANO, 18_400),
        ("credits_250", 250 * NANO, 46_000),
    ]
    assert [(bundle.key, bundle.price, bundle.currency) for bundle in CATALOG.bundles_of("india", NOVEMBER)] == [
        ("credits_50", 210_000, "INR"),
        ("credits_100", 420_000, "INR"),
        ("credits_250", 1_050_000, "INR"),
    ]
    assert {(bundle.wallet_key, bundle.note) for bundle in CATALOG.bundles} == {("credits", "demo figure")}
    assert CATALOG.bundles_of("antarctica", NOVEMBER) == ()


def test_every_wallet_that_is_sold_is_one_that_a_rate_draws_on() -> None:
    card = CATALOG.rate_cards.version(1)
    assert card is not None
    drawn = {rate.wallet_key for rate in card.rates}
    granted = {wallet for plan in CATALOG.plans for wallet, _ in plan.allocations}
    assert granted | {"metered"} == drawn
