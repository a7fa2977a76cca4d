"""Builds the catalog from the data files beside this module.

A file may hold any of: [[card]], [[rates]], [[prices]], [[provider]], [[region]]. A group ([[rates]],
[[prices]]) states once what its rows share; a row may state its own. All amounts are strings.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from domain.catalog import Bundle, Catalog, Plan, Provider, ProviderProduct
from domain.money import multiply_rounding_up
from domain.prices import Price, PriceList
from domain.rates import ChargeType, Rate, RateCard, RateCards, RouteClass
from infra.catalog.reading import CatalogError, Table, read_files

FOLDER = Path(__file__).parent

_SHARED_BY_RATES = (
    "charge_type",
    "wallet",
    "route_class",
    "floor",
    "estimate_per_credit",
    "default_estimate",
    "bundle",
    "note",
)
_SHARED_BY_PRICES = ("provider", "effective_from", "effective_to", "published_at", "note")


def load(folder: Path = FOLDER) -> Catalog:
    """Read the folder's data files. Raises CatalogError, which names file and key, on any mistake."""
    cards: list[Table] = []
    rates: defaultdict[int, list[Rate]] = defaultdict(list)
    prices: list[Price] = []
    providers: list[Provider] = []
    plans: list[Plan] = []
    bundles: list[Bundle] = []
    for file in read_files(folder):
        with file.complete():
            cards += file.tables("card")
            for group in file.tables("rates"):
                rates[group.whole("card")] += (_rate(row) for row in group.tables("rows", _SHARED_BY_RATES))
                group.done()
            for group in file.tables("prices"):
                for row in group.tables("rows", _SHARED_BY_PRICES):
                    prices += _prices(row)
                group.done()
            providers += (_provider(row) for row in file.tables("provider"))
            for region in file.tables("region"):
                key, currency, digits = region.text("key"), region.text("currency"), region.whole("minor_digits")
                plans += (_plan(row, key, currency, digits) for row in region.tables("plan"))
                bundles += (_bundle(row, key, currency, digits) for row in region.tables("bundle"))
                region.done()
    found = [_card(card, rates) for card in cards]
    if rates:
        raise CatalogError(f"rates of card {min(rates)}: there is no such card")
    try:
        catalog = Catalog(RateCards(found), PriceList(prices), tuple(providers), tuple(plans), tuple(bundles))
    except AssertionError as error:
        raise CatalogError(str(error)) from error
    _check_references(catalog)
    return catalog


def _card(card: Table, rates: dict[int, list[Rate]]) -> RateCard:
    with card.complete():
        version, effective_from = card.whole("version"), card.moment("effective_from")
        return RateCard(
            version=version,
            effective_from=effective_from,
            effective_to=card.optional_moment("effective_to"),
            published_at=card.optional_moment("published_at") or effective_from,
            credit_value=card.amount("credit_value"),
            markup=card.amount("markup"),
            rates=tuple(rates.pop(version, ())),
        )


def _rate(row: Table) -> Rate:
    with row.complete():
        amount = row.optional_amount("amount") or 0
        estimate_per_credit = row.optional_amount("estimate_per_credit")
        return Rate(
            feature=row.text("feature"),
            name=row.text("name"),
            charge_type=row.choice("charge_type", ChargeType),
            wallet_key=row.text("wallet"),
            amount=amount,
            floor=row.optional_amount("floor"),
            default_estimate=row.amount("default_estimate")
            if estimate_per_credit is None
            else multiply_rounding_up(amount, estimate_per_credit),
            route_class=row.choice("route_class", RouteClass),
            needs_model=row.flag("needs_model"),
            bundle=row.optional_text("bundle"),
            agents=row.texts("agents"),
            note=row.optional_text("note") or "",
        )


def _prices(row: Table) -> list[Price]:
    """A row is one price, and the same price for each other name (alias) of its model."""
    with row.complete():
        model, aliases = row.optional_text("model"), row.texts("aliases")
        assert model is not None or not aliases, "aliases without a model"
        effective_from = row.moment("effective_from")
        price = Price(
            provider=row.text("provider"),
            model=model,
            operation=row.optional_text("operation"),
            input_per_million=row.optional_amount("input"),
            output_per_million=row.optional_amount("output"),
            cache_read_per_million=row.optional_amount("cache_read"),
            cache_write_per_million=row.optional_amount("cache_write"),
            reasoning_per_million=row.optional_amount("reasoning"),
            context_above=row.optional_whole("context_above"),
            per_call=row.optional_amount("per_call"),
            effective_from=effective_from,
            effective_to=row.optional_moment("effective_to"),
            published_at=row.optional_moment("published_at") or effective_from,
            note=row.optional_text("note") or "",
        )
    return [price, *(replace(price, model=alias) for alias in aliases)]


def _provider(row: Table) -> Provider:
    with row.complete():
        products = tuple(_product(product) for product in row.tables("products"))
        return Provider(row.text("slug"), row.text("name"), row.text("category"), row.text("purpose"), products)


def _product(row: Table) -> ProviderProduct:
    with row.complete():
        return ProviderProduct(row.text("name"), row.optional_text("model"), row.text("category"), row.text("purpose"))


def _plan(row: Table, region: str, currency: str, minor_digits: int) -> Plan:
    with row.complete():
        return Plan(
            key=row.text("key"),
            name=row.text("name"),
            region=region,
            currency=currency,
            price=row.minor_units("price", minor_digits),
            allocations=row.table("allocations").amounts(),
            seats=row.whole("seats"),
            agents=row.whole("agents"),
            unlimited=row.flag("unlimited"),
            note=row.optional_text("note") or "",
        )


def _bundle(row: Table, region: str, currency: str, minor_digits: int) -> Bundle:
    with row.complete():
        return Bundle(
            key=row.text("key"),
            region=region,
            wallet_key=row.text("wallet"),
            amount=row.amount("amount"),
            price=row.minor_units("price", minor_digits),
            currency=currency,
            note=row.optional_text("note") or "",
        )


def _check_references(catalog: Catalog) -> None:
    """Names that other rows rely on must be unique, and what they name must exist."""
    slugs = [provider.slug for provider in catalog.providers]
    _refuse_duplicates("provider", slugs)
    _refuse_duplicates("plan", [f"{plan.region} {plan.key}" for plan in catalog.plans])
    _refuse_duplicates("bundle", [f"{bundle.region} {bundle.key}" for bundle in catalog.bundles])
    for provider in sorted({price.provider for price in catalog.prices}.difference(slugs)):
        raise CatalogError(f"prices of provider {provider}: there is no such provider")


def _refuse_duplicates(what: str, names: list[str]) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise CatalogError(f"{what} {twice[0]}: is given twice")
