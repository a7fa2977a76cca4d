"""What is sold where and when, what operators add to the catalog, and what is overridden for one tenant."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.catalog import Addition, Catalog, Provider
from domain.money import NANO
from domain.plans import Bundle, Plan
from domain.prices import Price, PriceList
from domain.rates import RateCard, RateCards
from domain.versions import Versions

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
ACME = UUID(int=1)
GLOBEX = UUID(int=2)
INITECH = UUID(int=3)

INDIA = Plan("professional", "Professional", "india", "INR", 4_999_900, (("credits", 300),), 15, 25, JANUARY, JANUARY)
MIDDLE_EAST = replace(INDIA, region="middle_east", currency="AED", price=350_000)
FEW = Bundle("few", "india", "credits", 50, 210_000, "INR", JANUARY, JANUARY)
MANY = replace(FEW, key="many", amount=250, price=1_050_000)
ABROAD = replace(FEW, region="middle_east", price=9_200, currency="AED")
OPENAI = Provider("openai", "OpenAI", "LLM", "Generation", JANUARY, JANUARY)
CARD = RateCard(1, JANUARY, None, JANUARY, NANO // 2, NANO, ())
PRICE = Price("openai", "gpt", None, 1, 1, None, None, None, None, None, JANUARY, None, JANUARY)
CATALOG = Catalog(
    RateCards([CARD]),
    PriceList([PRICE]),
    Versions([OPENAI]),
    Versions([INDIA, MIDDLE_EAST]),
    Versions([FEW, ABROAD, MANY]),
)


def priced(catalog: Catalog, at: datetime = JUNE) -> int | None:
    """What a million input tokens of the model cost."""
    found = catalog.prices.find("openai", "gpt", None, at, at)
    return None if found is None else found.input_per_million


def card_in_force(catalog: Catalog, at: datetime = JUNE) -> int | None:
    found = catalog.rate_cards.at(at, at)
    return None if found is None else found.version


def test_a_plan_is_found_by_region_and_key() -> None:
    assert CATALOG.plan("india", "professional", JUNE) is INDIA
    assert CATALOG.plan("middle_east", "professional", JUNE) is MIDDLE_EAST
    assert CATALOG.plan("india", "growth", JUNE) is None
    assert CATALOG.plan("india", "professional", JANUARY - INSTANT) is None


def test_a_region_sells_its_own_plans_and_bundles() -> None:
    assert CATALOG.plans_of("india", JUNE) == (INDIA,)
    assert CATALOG.bundles_of("india", JUNE) == (FEW, MANY)
    assert CATALOG.bundle("middle_east", "few", JUNE) is ABROAD
    assert CATALOG.bundle("middle_east", "many", JUNE) is None
    assert CATALOG.bundles_of("antarctica", JUNE) == ()


def test_a_new_version_of_a_plan_holds_from_its_start_and_the_old_one_before_it() -> None:
    dearer = replace(INDIA, price=5_999_900, effective_from=JUNE, published_at=APRIL)
    catalog = CATALOG.with_additions([Addition((dearer,))])
    assert catalog.plan("india", "professional", JUNE - INSTANT) is INDIA
    assert catalog.plan("india", "professional", JUNE) is dearer


def test_what_is_withdrawn_is_sold_no_more_but_still_found() -> None:
    plan = replace(INDIA, effective_from=JUNE, published_at=APRIL, withdrawn=True)
    bundle = replace(FEW, effective_from=JUNE, published_at=APRIL, withdrawn=True)
    catalog = CATALOG.with_additions([Addition((plan,)), Addition((bundle,))])
    assert (catalog.plans_of("india", JUNE - INSTANT), catalog.plans_of("india", JUNE)) == ((INDIA,), ())
    assert (catalog.bundles_of("india", JUNE - INSTANT), catalog.bundles_of("india", JUNE)) == ((FEW, MANY), (MANY,))
    assert catalog.plan("india", "professional", JUNE) is plan
    assert catalog.bundle("india", "few", JUNE) is bundle


def test_providers_have_versions_too() -> None:
    renamed = replace(OPENAI, name="Open AI", effective_from=JUNE, published_at=JUNE)
    added = Provider("mistral", "Mistral", "LLM", "Generation", APRIL, APRIL)
    catalog = CATALOG.with_additions([Addition((renamed,)), Addition((added,))])
    assert catalog.providers_at(JANUARY) == (OPENAI,)
    assert catalog.providers_at(JUNE) == (renamed, added)


def test_a_provider_whose_dates_are_not_in_utc_is_refused() -> None:
    with pytest.raises(AssertionError):
        replace(OPENAI, published_at=datetime(2026, 1, 1))  # noqa: DTZ001  # what must be refused


def test_a_publication_for_everybody_is_seen_by_everybody() -> None:
    card = replace(CARD, version=2, effective_from=APRIL, published_at=APRIL)
    dearer = replace(PRICE, input_per_million=2, effective_from=APRIL, published_at=APRIL)
    catalog = CATALOG.with_additions([Addition((card, dearer))])
    assert catalog.for_tenant(ACME) is catalog
    assert (priced(catalog), priced(catalog, APRIL - INSTANT)) == (2, 1)
    assert (card_in_force(catalog), card_in_force(catalog, APRIL - INSTANT)) == (2, 1)


def test_an_override_is_seen_by_its_tenant_alone() -> None:
    card = replace(CARD, version=2, published_at=APRIL, for_tenant=True)
    price = replace(PRICE, input_per_million=7, published_at=APRIL, for_tenant=True)
    catalog = CATALOG.with_additions([Addition((card,), ACME), Addition((price,), GLOBEX)])
    assert [card_in_force(catalog.for_tenant(tenant)) for tenant in (ACME, GLOBEX, INITECH)] == [2, 1, 1]
    assert [priced(catalog.for_tenant(tenant)) for tenant in (ACME, GLOBEX, INITECH)] == [1, 7, 1]
    assert catalog.for_tenant(INITECH) is catalog
    assert catalog.for_tenant(ACME).rate_cards.version(2) is card
    assert catalog.for_tenant(GLOBEX).rate_cards.version(2) is None
    assert catalog.rate_cards.version(2) is None
    assert catalog.for_tenant(ACME).plans is catalog.plans


def test_an_override_goes_before_what_is_published_later_for_everybody() -> None:
    own = replace(CARD, version=2, published_at=APRIL, for_tenant=True)
    later = replace(CARD, version=3, effective_from=JUNE, published_at=JUNE)
    price = replace(PRICE, input_per_million=7, published_at=APRIL, for_tenant=True)
    dearer = replace(PRICE, input_per_million=9, effective_from=JUNE, published_at=JUNE)
    catalog = CATALOG.with_additions([Addition((own, price), ACME), Addition((later, dearer))])
    assert (card_in_force(catalog), priced(catalog)) == (3, 9)
    assert (card_in_force(catalog.for_tenant(ACME)), priced(catalog.for_tenant(ACME))) == (2, 7)
    assert catalog.for_tenant(ACME).rate_cards.version(3) is later


def test_rate_cards_are_numbered_over_all_tenants() -> None:
    assert CATALOG.next_version() == 2
    own = replace(CARD, version=4, for_tenant=True)
    assert CATALOG.with_additions([Addition((own,), ACME)]).next_version() == 5
    assert replace(CATALOG, rate_cards=RateCards(())).next_version() == 1
