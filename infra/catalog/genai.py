"""The package genai-prices, as rows of our price list. Nothing is priced from it: an operator publishes what differs.

Figures are dollars per 1,000,000 tokens; one with more than nine digits is rounded up. A cache write is the five-minute
one. Batch and priority prices, and those of single media, have no place in our list: its figures are the standard ones.
A price that changes with the time of day has none either, and such a model is left out.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time
from functools import cache
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from genai_prices import data
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from domain.money import NANO, divide_rounding_up

PACKAGE: Final = "genai-prices"
CLASSES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}


class Tier(NamedTuple):
    """What calls cost whose context exceeds so many tokens (None: all calls): nano-dollars per 1,000,000 tokens."""

    context_above: int | None
    input: int | None
    output: int | None
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None


class Version(NamedTuple):
    """The tiers of a model, lowest first, from a moment on; None: the package gives no date."""

    start: datetime | None
    tiers: tuple[Tier, ...]


class Model(NamedTuple):
    """A model with its versions: of those that have begun, the last counts. `matches` tells its other names."""

    name: str
    versions: tuple[Version, ...]
    matches: Callable[[str], bool]

    def at(self, moment: datetime) -> Version | None:
        """The version in force."""
        for found in reversed(self.versions):
            if found.start is None or found.start <= moment:
                return found
        return None


@cache
def release() -> str:
    """Which release of the package is installed, as prices note it."""
    return f"{PACKAGE} {version(PACKAGE)}"


def models_of(provider: str) -> tuple[Model, ...] | None:
    """The models of a provider that our list can express; None: the package does not know the provider."""
    for found in data.providers:
        if found.id == provider:
            return tuple([model for info in found.models for model in _model(info)])
    return None


def _model(info: ModelInfo) -> Iterator[Model]:
    conditional = info.prices if isinstance(info.prices, list) else [ConditionalPrice(prices=info.prices)]
    versions: list[Version] = []
    for each in conditional:
        if each.constraint is not None and not isinstance(each.constraint, StartDateConstraint):
            return
        start = None
        if each.constraint is not None:
            start = datetime.combine(each.constraint.start_date, time(), UTC)
        tiers = _tiers(each.prices)
        # What else may have changed on that day (searches, sound) has no place in our list.
        if tiers and not (versions and versions[-1].tiers == tiers):
            versions.append(Version(start, tiers))
    # Some are families, such as ft:gpt-4o, and no name that a call could carry.
    if versions and info.is_match(info.id):
        yield Model(info.id, tuple(versions), info.is_match)


def _tiers(prices: ModelPrice) -> tuple[Tier, ...]:
    """One tier for each size at which any class changes its price. Empty: no class has one."""
    figures = {name: getattr(prices, key, None) for name, key in CLASSES.items()}
    if all(figure is None for figure in figures.values()):
        return ()
    starts = {tier.start for figure in figures.values() if isinstance(figure, TieredPrices) for tier in figure.tiers}
    return tuple(
        [
            Tier(start, **{name: _nano(figure, start) for name, figure in figures.items()})
            for start in (None, *sorted(starts))
        ]
    )


def _nano(figure: Any, above: int | None) -> int | None:
    """Nano-dollars per 1,000,000 tokens, rounded up."""
    if figure is None:
        return None
    if isinstance(figure, TieredPrices):
        reached = [tier.price for tier in figure.tiers if above is not None and tier.start <= above]
        figure = reached[-1] if reached else figure.base
    numerator, denominator = figure.as_integer_ratio()
    return divide_rounding_up(numerator * NANO, denominator)
