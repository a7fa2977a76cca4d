"""Price list: what a provider charges us, as of a moment and as known at a moment.

Figures are nano-dollars: per 1,000,000 tokens of a class, or for one call. Rows are never changed; a
correction is another row. Three rules decide which row prices a call.

Which names: names are compared exactly, upper and lower case too, because "close enough" would be a
price that nobody set. (provider, model, operation) comes before (provider, model). A provider that has
a price for any model is priced by model: a model that is not listed there is unpriced, and no
provider-wide row stands in for it (document 003 priced it at 0; PRODUCT.md 12 overrides that). At the
other providers (maps, search, verification: document 000) a model decides nothing, so
(provider, operation) and then (provider) apply whether or not the caller names one. A provider whose own row
is free is free for every model: local models cost nothing, whatever their names (document 003).

Which date: rows with one start and one tier are versions of one price, and the last published by
`known_at` is the one that counts. Of these the newest start whose range holds `at` applies. So a
reservation that keeps its `known_at` keeps its prices, whatever is published later, and an empty range
(end = start) withdraws a price.

Which tier: rows with one start form one list, and of it the highest tier that the call's context exceeds
applies. A later start replaces every tier that it states and all higher ones.

A price may be overridden for one tenant: in that tenant's list its rows go before all others of their name (in that
order, dates and tiers as ever), and where none of them applies, what holds for everybody does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.money import cost_rounding_up

# No tier: applies to every context, so it sorts below a tier that starts above 0 tokens.
_EVERY_CONTEXT = -1

Name = tuple[str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call in disjoint classes: input excludes cached, output excludes reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def context(self) -> int:
        """What the model was given to read: the size that price tiers look at."""
        return self.input + self.cache_read + self.cache_write


NO_TOKENS = Tokens()


@dataclass(frozen=True, slots=True)
class Price:
    """One row of the list. `*_per_million`: nano-dollars per 1,000,000 tokens; `per_call`: nano-dollars.

    `context_above` makes the row a tier for calls whose context exceeds that many tokens. Ranges are
    half-open: effective_from <= at < effective_to; None has no end. `note` says where a figure comes from
    if no document has it. `for_tenant`: holds for one tenant alone.
    """

    provider: str
    model: str | None
    operation: str | None
    input_per_million: int | None
    output_per_million: int | None
    cache_read_per_million: int | None
    cache_write_per_million: int | None
    reasoning_per_million: int | None
    context_above: int | None
    per_call: int | None
    effective_from: datetime
    effective_to: datetime | None
    published_at: datetime
    note: str = ""
    for_tenant: bool = False

    def __post_init__(self) -> None:
        figures = _figures(self)
        assert figures, "a price needs at least one figure"
        assert min(figures) >= 0, "a figure must be 0 or more"
        assert self.context_above is None or self.context_above >= 0, "context_above must be 0 or more"
        assert self.effective_to is None or self.effective_to >= self.effective_from, (
            "effective_to must not be before effective_from"
        )
        for moment in (self.effective_from, self.effective_to or self.effective_from, self.published_at):
            assert moment.utcoffset() == timedelta(0), "moments are aware and in UTC"


class PriceList:
    """All rows, indexed once by name; a lookup is at most two dictionary reads and a short scan."""

    __slots__ = ("_by_name", "_priced_by_model_since")

    def __init__(self, prices: Iterable[Price]) -> None:
        """Index the rows. Two rows with the same name, start, tier and publication are an error."""
        self._by_name: dict[Name, list[Price]] = {}
        self._priced_by_model_since: dict[str, datetime] = {}
        self._add(prices)
        for name, rows in self._by_name.items():
            assert len({_precedence(row) for row in rows}) == len(rows), f"a price is given twice: {name}"

    def adding(self, prices: Iterable[Price]) -> "PriceList":
        """This list and further rows: of two that were published at one moment, the one that is given later counts."""
        added = PriceList(())
        added._by_name = dict(self._by_name)
        added._priced_by_model_since = dict(self._priced_by_model_since)
        added._add(prices)
        return added

    def _add(self, prices: Iterable[Price]) -> None:
        added: defaultdict[Name, list[Price]] = defaultdict(list)
        for price in prices:
            added[price.provider, price.model, price.operation].append(price)
            if price.model is not None:
                since = self._priced_by_model_since.get(price.provider, price.published_at)
                self._priced_by_model_since[price.provider] = min(since, price.published_at)
        for name, rows in added.items():
            # Sorting is stable, so that of equals the row that was given last stays first.
            self._by_name[name] = sorted([*reversed(rows), *self._by_name.get(name, ())], key=_precedence, reverse=True)

    def __iter__(self) -> Iterator[Price]:
        """Every row, old and new, one name after the other."""
        for rows in self._by_name.values():
            yield from rows

    def find(
        self,
        provider: str,
        model: str | None,
        operation: str | None,
        at: datetime,
        known_at: datetime,
        context_tokens: int = 0,
    ) -> Price | None:
        """The price of a call made `at`, by what was published up to `known_at`; None: unpriced.

        `context_tokens` is `Tokens.context`, it selects the tier. The order of names is the module's.
        """
        if model is not None:
            since = self._priced_by_model_since.get(provider)
            if since is None or since > known_at:
                model = None
        if operation is not None:
            rows = self._by_name.get((provider, model, operation))
            if rows is not None:
                found = _in_force(rows, at, known_at, context_tokens)
                if found is not None:
                    return found
        rows = self._by_name.get((provider, model, None))
        found = None if rows is None else _in_force(rows, at, known_at, context_tokens)
        return self._free_at_all(provider, at, known_at) if found is None and model is not None else found

    def _free_at_all(self, provider: str, at: datetime, known_at: datetime) -> Price | None:
        rows = self._by_name.get((provider, None, None), [])
        found = _in_force(rows, at, known_at, 0)
        return found if found is not None and is_free(found) else None

    def at(self, when: datetime, known_at: datetime | None = None) -> tuple[Price, ...]:
        """The rows in force at a moment, each tier a row, in the order in which the names were first given.

        `known_at` None takes all that is published: what was true then as we know it now.
        """
        found: list[Price] = []
        for rows in self._by_name.values():
            lowest_stated: int | None = None
            for price in _holding(rows, when, known_at):
                tier = _tier(price)
                if lowest_stated is None or tier < lowest_stated:
                    found.append(price)
                    lowest_stated = tier
        return tuple(found)


def cost(price: Price, tokens: Tokens, calls: int = 1) -> int:
    """What the provider charges us, in nano-dollars: classes x price summed, divided once and rounded up
    once (PRODUCT.md 2 and 5), plus `calls` times the price of a call.

    A class without a price of its own costs what it is a kind of: cache reads and writes are input,
    reasoning is output. A row without input or output price does not charge for them.
    """
    input_price = price.input_per_million or 0
    output_price = price.output_per_million or 0
    read_price, write_price = price.cache_read_per_million, price.cache_write_per_million
    reasoning_price = price.reasoning_per_million
    classes = (
        (tokens.input, input_price),
        (tokens.output, output_price),
        (tokens.cache_read, input_price if read_price is None else read_price),
        (tokens.cache_write, input_price if write_price is None else write_price),
        (tokens.reasoning, output_price if reasoning_price is None else reasoning_price),
    )
    return cost_rounding_up(classes) + (price.per_call or 0) * calls


def is_free(price: Price) -> bool:
    """Whether nothing is charged whatever the usage: a local model (document 003, Ollama), public data."""
    return not any(_figures(price))


def _figures(price: Price) -> list[int]:
    return [
        figure
        for figure in (
            price.input_per_million,
            price.output_per_million,
            price.cache_read_per_million,
            price.cache_write_per_million,
            price.reasoning_per_million,
            price.per_call,
        )
        if figure is not None
    ]


def _tier(price: Price) -> int:
    return _EVERY_CONTEXT if price.context_above is None else price.context_above


def _precedence(price: Price) -> tuple[bool, datetime, int, datetime]:
    """Highest first: the tenant's own, newest start, highest tier, last publication."""
    return price.for_tenant, price.effective_from, _tier(price), price.published_at


def _in_force(rows: list[Price], at: datetime, known_at: datetime, context_tokens: int) -> Price | None:
    for price in _holding(rows, at, known_at):
        if price.context_above is None or context_tokens > price.context_above:
            return price
    return None


def _holding(rows: list[Price], at: datetime, known_at: datetime | None) -> Iterator[Price]:
    """The known rows of one name whose range holds `at`, in precedence, superseded versions left out."""
    decided: tuple[bool, datetime, int | None] | None = None
    for price in rows:
        if price.effective_from > at or (known_at is not None and price.published_at > known_at):
            continue
        version_of = (price.for_tenant, price.effective_from, price.context_above)
        if version_of == decided:
            continue
        decided = version_of
        if price.effective_to is None or at < price.effective_to:
            yield price
