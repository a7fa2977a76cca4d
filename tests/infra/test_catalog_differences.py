"""How the package genai-prices is read, and where our price list differs from it."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import data
from genai_prices.types import (
    ClauseEquals,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from domain.money import NANO
from domain.prices import Price, PriceList
from infra.catalog import genai, load
from infra.catalog.price_differences import Difference, DifferenceKind, find_differences
from infra.catalog.publications import Publication, PublicationKind, addition_of

CATALOG = load()
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def listed(figure: int = 1, **given: Any) -> Price:
    """A price of a million input tokens in whole dollars, as the seed files have it."""
    found = Price("acme", "m", None, figure * NANO, None, None, None, None, None, None, JANUARY, None, JANUARY)
    return replace(found, **{"note": "genai-prices 0.2.3", **given})


def since(start: datetime, figure: int) -> ConditionalPrice:
    return ConditionalPrice(StartDateConstraint(start.date()), prices=ModelPrice(input_mtok=Decimal(figure)))


def packaged(monkeypatch: pytest.MonkeyPatch, **prices: Any) -> None:
    """A package that knows one provider with these models."""
    models = [ModelInfo(id=name, match=ClauseEquals(name), prices=price) for name, price in prices.items()]
    monkeypatch.setattr(data, "providers", [Provider(id="acme", name="Acme", api_pattern="x", models=models)])


def costs(figure: int) -> ModelPrice:
    return ModelPrice(input_mtok=Decimal(figure))


def applied(prices: PriceList, differences: list[Difference], at: datetime = NOW) -> PriceList:
    """The list after what differs was published."""
    bodies = [row for each in differences for row in each.rows]
    additions = [addition_of(Publication(PublicationKind.PRICE, None, body, at)) for body in bodies]
    rows = [row for addition in additions for row in addition.rows]
    return prices.adding([row for row in rows if isinstance(row, Price)])


def test_the_seed_files_figures_are_those_that_the_package_has() -> None:
    if genai.release() != "genai-prices 0.2.3":
        pytest.skip("the seed file was made from release 0.2.3")
    ours: defaultdict[tuple[str, str], defaultdict[datetime, list[Price]]] = defaultdict(lambda: defaultdict(list))
    for price in CATALOG.prices:
        if price.note == genai.release():
            assert price.model is not None
            ours[price.provider, price.model][price.effective_from].append(price)
    assert len(ours) > 80
    for (provider, name), starts in ours.items():
        model = next(each for each in genai.models_of(provider) or () if each.matches(name))
        changes = {version.start for version in model.versions if version.start is not None and version.start > JANUARY}
        assert starts.keys() == {JANUARY} | changes, name
        for start, rows in starts.items():
            version = model.at(start)
            assert version is not None
            assert {row.context_above for row in rows} == {tier.context_above for tier in version.tiers}, name
            for row in rows:
                (tier,) = [tier for tier in version.tiers if tier.context_above == row.context_above]
                figures = (row.input_per_million, row.output_per_million, row.cache_read_per_million)
                assert figures == (tier.input, tier.output, tier.cache_read), name
                assert (row.cache_write_per_million, row.reasoning_per_million) == (tier.cache_write, tier.reasoning)


def test_only_figures_of_document_003_differ_from_the_package() -> None:
    found = [each for each in find_differences(CATALOG.prices, NOW) if each.kind is not DifferenceKind.NEW]
    assert {each.model for each in found} == {"claude-opus-4-6", "claude-haiku-4-5-20251001", "claude-haiku-4-5"}
    assert all(each.kept for each in found)


def test_a_figure_with_more_than_nine_digits_is_rounded_up_and_a_tier_states_every_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = TieredPrices(base=Decimal("0.0000000001"), tiers=[Tier(start=1_000, price=Decimal("0.0833333333333333"))])
    packaged(monkeypatch, m=ModelPrice(input_mtok=long, output_mtok=Decimal(2), cache_write_1h_mtok=Decimal(9)))
    ((model,), (version,)) = genai.models_of("acme") or (), (genai.models_of("acme") or ())[0].versions
    assert model.name == "m"
    assert version.tiers == (
        genai.Tier(None, 1, 2 * NANO, None, None, None),
        genai.Tier(1_000, 83_333_334, 2 * NANO, None, None, None),
    )


def test_what_our_list_cannot_say_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    at_night = TimeOfDateConstraint(NOW.time(), NOW.time())
    packaged(
        monkeypatch,
        by_the_hour=[ConditionalPrice(prices=costs(1)), ConditionalPrice(at_night, prices=costs(2))],
        audio=ModelPrice(audio_hours=Decimal(1)),
    )
    family = ModelInfo(id="family", match=ClauseStartsWith("family:"), prices=costs(1))
    data.providers[0].models.append(family)
    assert genai.models_of("acme") == ()
    assert genai.models_of("nobody") is None


@pytest.mark.parametrize("start", [None, NOW - timedelta(days=9)])
def test_a_changed_figure_holds_from_the_packages_date_or_from_now(
    monkeypatch: pytest.MonkeyPatch, start: datetime | None
) -> None:
    packaged(monkeypatch, m=costs(3) if start is None else [ConditionalPrice(prices=costs(1)), since(start, 3)])
    prices = PriceList([listed()])
    (found,) = find_differences(prices, NOW)
    assert (found.kind, found.start, found.kept) == (DifferenceKind.CHANGED, start or NOW, False)
    after = applied(prices, [found])
    assert find_differences(after, NOW) == []
    was = after.find("acme", "m", None, (start or NOW) - timedelta(1), NOW)
    assert was is not None
    assert was.input_per_million == NANO


def test_a_date_that_is_older_than_our_newest_figure_does_not_hide_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(monkeypatch, m=[ConditionalPrice(prices=costs(1)), since(NOW - timedelta(days=9), 3)])
    prices = PriceList([listed(), listed(2, effective_from=NOW - timedelta(days=5))])
    (found,) = find_differences(prices, NOW)
    assert found.start == NOW
    assert find_differences(applied(prices, [found]), NOW) == []


def test_an_announced_change_is_found_before_it_comes_and_one_that_was_called_off_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packaged(monkeypatch, m=[ConditionalPrice(prices=costs(1)), since(LATER, 3)])
    announced = PriceList([listed()])
    (found,) = find_differences(announced, NOW)
    assert found.start == LATER
    after = applied(announced, [found])
    assert find_differences(after, NOW) == []
    packaged(monkeypatch, m=costs(1))
    (called_off,) = find_differences(after, NOW)
    assert (called_off.start, called_off.theirs[0].input) == (LATER, NANO)
    assert find_differences(applied(after, [called_off], NOW + timedelta(1)), NOW + timedelta(2)) == []


def test_a_tier_that_the_package_does_not_have_any_more_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(monkeypatch, m=[ConditionalPrice(prices=costs(1)), since(LATER, 3)])
    tier = listed(9, context_above=1_000, effective_from=LATER)
    prices = PriceList([listed(), listed(3, effective_from=LATER), tier])
    (found,) = find_differences(prices, NOW)
    after = applied(prices, [found])
    assert find_differences(after, NOW) == []
    price = after.find("acme", "m", None, LATER, LATER, 5_000)
    assert price is not None
    assert price.input_per_million == 3 * NANO


def test_a_model_that_we_do_not_have_is_new_with_all_of_its_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    start = NOW - timedelta(days=9)
    packaged(monkeypatch, m=costs(1), n=[ConditionalPrice(prices=costs(4)), since(start, 5), since(LATER, 6)])
    prices = PriceList([listed()])
    found = find_differences(prices, NOW)
    assert [(each.kind, each.model, each.start) for each in found] == [
        (DifferenceKind.NEW, "n", start),
        (DifferenceKind.NEW, "n", LATER),
    ]
    assert find_differences(applied(prices, found), NOW) == []


def test_a_model_that_the_package_does_not_have_any_more_keeps_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(monkeypatch, n=costs(1))
    found = find_differences(PriceList([listed(), listed(model="by hand", note="contract")]), NOW, model="m")
    assert [(each.kind, each.model, each.rows) for each in found] == [(DifferenceKind.GONE, "m", ())]


def test_figures_published_by_hand_are_kept_and_overrides_have_no_part_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(monkeypatch, m=costs(3))
    (found,) = find_differences(PriceList([listed(note="our contract")]), NOW)
    assert found.kept
    assert find_differences(PriceList([listed()]), NOW, provider="other") == []
    assert find_differences(PriceList([listed()]), NOW, model="other") == []
