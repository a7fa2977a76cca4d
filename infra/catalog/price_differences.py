"""Where our price list and the package genai-prices differ: now, and at every date from which either changes a price.

A figure that is not from the package (document 003's, or published by hand) is ours to keep, unless somebody says
otherwise. A model that the package does not have any more keeps its price: without one its calls would be refused.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from domain.money import format_amount
from domain.prices import Price, PriceList
from infra.catalog.genai import CLASSES, PACKAGE, Model, Tier, Version, models_of, release

_Name = tuple[str, str]


class DifferenceKind(StrEnum):
    """What differs."""

    CHANGED = "changed"
    NEW = "new"
    GONE = "gone"


class Difference(NamedTuple):
    """A model whose price differs from a moment on. `kept`: our figure is not from the package. `rows`: what would be
    published, as in the catalog's data files."""

    kind: DifferenceKind
    provider: str
    model: str
    start: datetime
    ours: tuple[Tier, ...]
    theirs: tuple[Tier, ...]
    kept: bool
    rows: tuple[dict[str, Any], ...]


def comparable_models(prices: PriceList, now: datetime) -> dict[str, set[str]]:
    """The models that our list or the package has, of each provider that both have."""
    ours = _Ours(prices, now)
    listed = {slug: models_of(slug) for slug in ours.providers()}
    return {
        slug: {*ours.models(slug), *[model.name for model in models]}
        for slug, models in listed.items()
        if models is not None
    }


def find_differences(
    prices: PriceList, now: datetime, provider: str | None = None, model: str | None = None
) -> list[Difference]:
    """All differences, those of models that we have first; of one provider or model alone if they are named."""
    ours = _Ours(prices, now)
    found: list[Difference] = []
    for slug in ours.providers():
        models = models_of(slug) if provider in (None, slug) else None
        if models is None:
            continue
        names = ours.models(slug)
        for name in names:
            if model in (None, name):
                listed = next((each for each in models if each.matches(name)), None)
                found.extend(_gone(ours, slug, name) if listed is None else _changed(ours, slug, name, listed))
        for each in models:
            if model in (None, each.name) and not any(each.matches(name) for name in names):
                found.extend(_new(ours, slug, each))
    order: Final = list(DifferenceKind)
    return sorted(found, key=lambda each: order.index(each.kind))


class _Ours:
    """Our list by model, as it is known now, at any moment."""

    def __init__(self, prices: PriceList, now: datetime) -> None:
        self.now = now
        self._prices = prices
        self._by_moment: dict[datetime, dict[_Name, list[Price]]] = {}
        self._starts: defaultdict[_Name, set[datetime]] = defaultdict(set)
        for price in prices:
            if price.model is not None and price.operation is None and price.published_at <= now:
                self._starts[price.provider, price.model].add(price.effective_from)

    def providers(self) -> list[str]:
        return list(dict.fromkeys(provider for provider, _ in self._starts))

    def models(self, provider: str) -> list[str]:
        return [model for slug, model in self._starts if slug == provider]

    def moments(self, name: _Name, listed: Model) -> list[datetime]:
        """Now, and every later moment at which either side changes."""
        theirs = {version.start for version in listed.versions if version.start is not None}
        later = {start for start in theirs | self._starts.get(name, set()) if start > self.now}
        return [self.now, *sorted(later)]

    def at(self, name: _Name, moment: datetime) -> list[Price]:
        """The rows in force, lowest tier first."""
        known = self._by_moment.get(moment)
        if known is None:
            known = self._by_moment[moment] = defaultdict(list)
            for price in self._prices.at(moment, self.now):
                if price.model is not None and price.operation is None:
                    known[price.provider, price.model].append(price)
        return sorted(known.get(name, ()), key=lambda price: (price.context_above is not None, price.context_above))


def _changed(ours: _Ours, provider: str, name: str, listed: Model) -> Iterator[Difference]:
    for moment in ours.moments((provider, name), listed):
        present, version = ours.at((provider, name), moment), listed.at(moment)
        if version is None or tuple([_tier(price) for price in present]) == version.tiers:
            continue
        kept = any(not price.note.startswith(PACKAGE) for price in present)
        start = _start(present, version, moment, ours.now)
        rows = [_row(provider, name, tier, start) for tier in version.tiers]
        stated = {tier.context_above for tier in version.tiers}
        # A row with the same start and a tier that the new ones do not have would go on counting.
        rows.extend(
            _row(provider, name, _tier(price), start) | {"effective_to": start.isoformat()}
            for price in present
            if price.effective_from == start and price.context_above not in stated
        )
        tiers = tuple([_tier(price) for price in present])
        yield Difference(DifferenceKind.CHANGED, provider, name, start, tiers, version.tiers, kept, tuple(rows))


def _new(ours: _Ours, provider: str, listed: Model) -> Iterator[Difference]:
    for moment in ours.moments((provider, listed.name), listed):
        version = listed.at(moment)
        if version is not None:
            start = version.start or moment
            rows = tuple([_row(provider, listed.name, tier, start) for tier in version.tiers])
            yield Difference(DifferenceKind.NEW, provider, listed.name, start, (), version.tiers, False, rows)


def _gone(ours: _Ours, provider: str, name: str) -> Iterator[Difference]:
    present = ours.at((provider, name), ours.now)
    if present and all(price.note.startswith(PACKAGE) for price in present):
        tiers = tuple([_tier(price) for price in present])
        yield Difference(DifferenceKind.GONE, provider, name, ours.now, tiers, (), True, ())


def _start(present: list[Price], version: Version, moment: datetime, now: datetime) -> datetime:
    """From when the package's figures hold: from its own date, unless ours are newer than that."""
    newest = max((price.effective_from for price in present), default=None)
    dated = version.start
    if moment == now and dated is not None and (newest is None or newest < dated):
        return dated
    return moment


def _tier(price: Price) -> Tier:
    return Tier(
        price.context_above,
        price.input_per_million,
        price.output_per_million,
        price.cache_read_per_million,
        price.cache_write_per_million,
        price.reasoning_per_million,
    )


def _row(provider: str, model: str, tier: Tier, start: datetime) -> dict[str, Any]:
    figures = {name: getattr(tier, name) for name in CLASSES}
    row: dict[str, Any] = {name: format_amount(nano) for name, nano in figures.items() if nano is not None}
    if tier.context_above is not None:
        row["context_above"] = tier.context_above
    return {"provider": provider, "model": model, **row, "effective_from": start.isoformat(), "note": release()}
