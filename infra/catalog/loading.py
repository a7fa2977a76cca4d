"""Builds the catalog from the data files beside this module, and says what does not go together in one.

A file may hold any of: [[card]], [[rates]], [[prices]], [[providers]], [[plans]], [[bundles]]. A group (all but [[card]])
states once what its rows share; a row may state its own.
"""

from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from domain.catalog import Catalog, Provider
from domain.plans import Bundle, Plan
from domain.prices import Price, PriceList
from domain.rates import Rate, RateCard, RateCards
from domain.versions import Versions
from infra.catalog import rows
from infra.catalog.reading import CatalogError, Table, read_files
from infra.catalog.rows import Row

FOLDER = Path(__file__).parent

_SHARED_BY_RATES: Final = (
    "charge_type",
    "wallet",
    "route_class",
    "floor",
    "estimate_per_credit",
    "default_estimate",
    "bundle",
    "note",
)
_DATES: Final = ("effective_from", "published_at")
_SHARED_BY_PRICES: Final = ("provider", *_DATES, "effective_to", "note")
_SHARED_BY_PLANS: Final = ("region", "currency", *_DATES, "note")
_SHARED_BY_BUNDLES: Final = (*_SHARED_BY_PLANS, "wallet")


class _Found(NamedTuple):
    cards: list[Table]
    rates: defaultdict[int, list[Rate]]
    prices: list[Price]
    providers: list[Provider]
    plans: list[Plan]
    bundles: list[Bundle]


def load(folder: Path = FOLDER) -> Catalog:
    """Read the folder's data files. Raises CatalogError, which names file and key, on any mistake."""
    found = _Found([], defaultdict(list), [], [], [], [])
    for file in read_files(folder):
        with file.complete():
            _read(file, found)
    cards = [rows.rate_card(card, tuple(found.rates.pop(card.whole("version"), ()))) for card in found.cards]
    if found.rates:
        raise CatalogError(f"rates of card {min(found.rates)}", "", "there is no such card")
    try:
        catalog = Catalog(
            RateCards(cards),
            PriceList(found.prices),
            Versions(found.providers),
            Versions(found.plans),
            Versions(found.bundles),
        )
    except AssertionError as error:
        raise CatalogError("", "", str(error)) from error
    referring: tuple[Row, ...] = (*found.prices, *found.plans, *found.bundles)
    for row in referring:
        check_references(catalog, row)
    return catalog


def check_references(catalog: Catalog, row: Row) -> None:
    """Raises CatalogError where a row names what the catalog does not have: a price its provider, a plan or bundle a
    wallet that some rate draws on. A region has one currency, else its plans could not be compared."""
    match row:
        case Price():
            if not any(True for known in catalog.providers if known.slug == row.provider):
                raise CatalogError(
                    f"prices of provider {row.provider}", "provider", "there is no such provider: publish it first"
                )
        case Plan():
            place = f"plan {row.region} {row.key}"
            for wallet_key, _ in row.allocations:
                _check_wallet(catalog, place, f"allocations.{wallet_key}.wallet", wallet_key)
            _check_currency(catalog, place, row)
        case Bundle():
            place = f"bundle {row.region} {row.key}"
            _check_wallet(catalog, place, "wallet", row.wallet_key)
            _check_currency(catalog, place, row)
        case RateCard() | Provider():
            pass


def _read(file: Table, found: _Found) -> None:
    found.cards.extend(file.tables("card"))
    for group in file.tables("rates"):
        found.rates[group.whole("card")] += [rows.rate(row) for row in group.tables("rows", _SHARED_BY_RATES)]
        group.done()
    for group in file.tables("prices"):
        for row in group.tables("rows", _SHARED_BY_PRICES):
            found.prices.extend(rows.prices(row))
        group.done()
    for group in file.tables("providers"):
        found.providers.extend(rows.provider(row) for row in group.tables("rows", _DATES))
        group.done()
    for group in file.tables("plans"):
        found.plans.extend(rows.plan(row) for row in group.tables("rows", _SHARED_BY_PLANS))
        group.done()
    for group in file.tables("bundles"):
        found.bundles.extend(rows.bundle(row) for row in group.tables("rows", _SHARED_BY_BUNDLES))
        group.done()


def _check_wallet(catalog: Catalog, place: str, path: str, wallet_key: str) -> None:
    if not any(rate.wallet_key == wallet_key for card in catalog.rate_cards for rate in card.rates):
        raise CatalogError(place, path, f"no rate draws on wallet {wallet_key}: publish a rate card that has one first")


def _check_currency(catalog: Catalog, place: str, row: Plan | Bundle) -> None:
    for other in (*catalog.plans, *catalog.bundles):
        if other.region == row.region and other.currency != row.currency:
            raise CatalogError(place, "currency", f"region {row.region} is priced in {other.currency}")
