"""Price differences: where our price list and the package genai-prices differ, page by page."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from domain.prices import Price, PriceList
from infra.application import Application
from infra.catalog import rows
from infra.catalog.reading import Table

if TYPE_CHECKING:
    from infra.catalog.price_differences import Difference


class PricePlace(NamedTuple):
    """A place in the list, which is in this order: CHANGED, GONE, then NEW; provider and model; the number of the model's
    difference, from 0."""

    kind: str
    provider: str
    model: str
    number: int


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A model whose price differs from `start` on: our rows then, and the rows of the package as they would be published
    (empty: it has the model no more). `kept`: our figure is not from the package."""

    place: PricePlace
    start: datetime
    kept: bool
    ours: tuple[Price, ...]
    theirs: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class PriceDifferencePage:
    """Some differences, and whether there are others after them (next) and before them (previous); `release`: with which
    release of the package our list was compared."""

    release: str
    differences: tuple[PriceDifference, ...]
    has_next: bool
    has_previous: bool


async def page(
    application: Application, *, provider: str | None, unlisted: bool, first: int, after: PricePlace | None
) -> PriceDifferencePage:
    """The first differences after this place. `unlisted`: also models that our list does not have. Prices that hold for
    one tenant alone are not looked at."""
    prices, now = (await application.current_catalog()).prices, application.clock()
    # The package is large, and so is the comparison: neither is to keep the server from answering others.
    release, found = await asyncio.to_thread(_compared, prices, now, provider)
    rest = [(place, each) for place, each in found if _is_wanted(place, unlisted=unlisted, after=after)]
    shown = tuple([_view(place, each, now) for place, each in rest[:first]])
    return PriceDifferencePage(release, shown, len(rest) > first, after is not None)


def _is_wanted(place: PricePlace, *, unlisted: bool, after: PricePlace | None) -> bool:
    return (unlisted or place.kind != "NEW") and (after is None or place > after)


def _compared(
    prices: PriceList, now: datetime, provider: str | None
) -> "tuple[str, list[tuple[PricePlace, Difference]]]":
    from infra.catalog.genai import release
    from infra.catalog.price_differences import find_differences

    numbers: Counter[tuple[str, str, str]] = Counter()
    placed: list[tuple[PricePlace, Difference]] = []
    for each in find_differences(prices, now, provider):
        name = (each.kind.name, each.provider, each.model)
        placed.append((PricePlace(*name, numbers[name]), each))
        numbers[name] += 1
    return release(), sorted(placed, key=lambda found: found[0])


def _view(place: PricePlace, found: "Difference", now: datetime) -> PriceDifference:
    ours = [
        Price(
            found.provider,
            found.model,
            None,
            tier.input,
            tier.output,
            tier.cache_read,
            tier.cache_write,
            tier.reasoning,
            tier.context_above,
            None,
            found.start,
            None,
            now,
        )
        for tier in found.ours
    ]
    theirs = [price for row in found.rows for price in rows.prices(Table("", {**row, "published_at": now}))]
    return PriceDifference(place, found.start, found.kept, tuple(ours), tuple(theirs))
