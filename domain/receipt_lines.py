"""Receipt lines: the reckoning from calls to charges, in figures that add up.

Tokens by class x the price that held come to what the provider charged; the feature's rates make of it what the tenant was
charged. Amounts are nano-units, quantities nano, prices and costs nano-dollars.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from domain import prices, rates
from domain.holds import Reservation
from domain.money import (
    MILLION,
    NANO,
    divide_rounding_up,
    format_amount,
    multiply_rounding_down,
    quantity_rounding_down,
)
from domain.prices import Price, PriceList, Tokens
from domain.rates import ChargeType, Rate, RateCard
from domain.usage import Route, UsageEvent
from domain.wallets import Unit, unit_of


class Line(NamedTuple):
    """One step of the reckoning: `quantity` (nano) of something at `unit_price` for each `per` of it comes to `amount`.
    The price is None where the amount is not a quantity times a price of the list."""

    label: str
    quantity: int
    amount: int
    unit: Unit
    unit_price: int | None = None
    per: int = 1
    price_effective_from: datetime | None = None


class Explained(NamedTuple):
    """A call with the row of the price list that gives its cost; None where the provider said what it cost, where it cost
    nothing, and where nobody knows."""

    event: UsageEvent
    price: Price | None


class _Calls:
    """Calls of one name at one price, added up."""

    __slots__ = ("calls", "cost", "counted", "tokens")

    def __init__(self) -> None:
        self.tokens = [0, 0, 0, 0, 0]
        self.calls = self.cost = self.counted = 0


_CLASSES: Final = {
    "input": Tokens(input=MILLION),
    "output": Tokens(output=MILLION),
    "cache read": Tokens(cache_read=MILLION),
    "cache write": Tokens(cache_write=MILLION),
    "reasoning": Tokens(reasoning=MILLION),
}


def explained(
    events: Iterable[UsageEvent], price_list: PriceList, reservation: Reservation | None
) -> tuple[Explained, ...]:
    """The events with the prices that give exactly their costs: that of the reservation's moment (or of the event's own, as
    it was known when it was recorded), or one that corrected it since."""
    by_provider: dict[str, list[Price]] = {}

    def corrected(event: UsageEvent, provider: str) -> Iterator[Price]:
        if provider not in by_provider:
            by_provider[provider] = [price for price in price_list if price.provider == provider]
        call = event.usage
        for price in by_provider[provider]:
            if price.model in (None, call.model) and price.operation in (None, call.operation):
                yield price

    def price_of(event: UsageEvent) -> Price | None:
        call, cost, effective_from = event.usage, event.priced.cost, event.priced.effective_from
        if cost is None or effective_from is None or call.provider is None:
            return None
        at, known_at = event.occurred_at, event.recorded_at
        if event.under_reservation and reservation is not None:
            at = known_at = reservation.created_at
        first = price_list.find(call.provider, call.model, call.operation, at, known_at, call.tokens.context)
        for price in (*([] if first is None else [first]), *corrected(event, call.provider)):
            if price.effective_from == effective_from and prices.cost(price, call.tokens, call.calls) == cost:
                return price
        return None

    return tuple([Explained(event, price_of(event)) for event in events])


def cost_lines(calls: Iterable[Explained]) -> tuple[Line, ...]:
    """What the provider charged, line by line: the amounts add up to the events' known cost, and to what budgets count for
    those whose cost is unknown."""
    groups: defaultdict[tuple[str, Price | None, bool], _Calls] = defaultdict(_Calls)
    for event, price in calls:
        usage, cost = event.usage, event.priced.cost
        name = " ".join(part for part in (usage.provider, usage.model, usage.operation) if part) or usage.kind.lower()
        sums = groups[name, price, cost is None]
        tokens = usage.tokens
        counts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning)
        sums.tokens = [before + count for before, count in zip(sums.tokens, counts, strict=True)]
        sums.calls += usage.calls
        sums.cost += cost or 0
        sums.counted += event.counted or 0
    lines: list[Line] = []
    for (name, price, is_unpriced), sums in groups.items():
        if is_unpriced:
            label = f"{name}: has no price yet; budgets count what was left of the hold until it has one"
            lines.append(Line(label, sums.calls * NANO, sums.counted, Unit.USD))
        elif price is None:
            told = "cost as it was reported or last corrected" if sums.cost else "costs nothing"
            lines.append(Line(f"{name}: {told}", sums.calls * NANO, sums.cost, Unit.USD))
        else:
            lines.extend(_lines(name, price, sums))
    return tuple(lines)


def _lines(name: str, price: Price, sums: _Calls) -> list[Line]:
    """A line for each class of tokens and one for calls; each call is rounded up by itself, which has a line too."""
    lines: list[Line] = []
    exact = charged = 0
    since = price.effective_from
    for (label, million), count in zip(_CLASSES.items(), sums.tokens, strict=True):
        if count:
            per_million = prices.cost(price, million, 0)
            exact += count * per_million
            amount = divide_rounding_up(exact, MILLION) - charged
            charged += amount
            lines.append(Line(f"{name}: {label} tokens", count * NANO, amount, Unit.USD, per_million, MILLION, since))
    if price.per_call is not None or not lines:
        per_call = price.per_call or 0
        charged += per_call * sums.calls
        lines.append(Line(f"{name}: calls", sums.calls * NANO, per_call * sums.calls, Unit.USD, per_call, 1, since))
    if sums.cost != charged:
        lines.append(Line(f"{name}: rounding up, call by call", sums.calls * NANO, sums.cost - charged, Unit.USD))
    return lines


def charge_lines(
    charges: Iterable[tuple[str, int]], feature_rates: Sequence[Rate], verb: str = "charged to"
) -> tuple[Line, ...]:
    """What the rates make of it, a line for each wallet."""
    by_key = {rate.wallet_key: rate for rate in feature_rates}
    lines: list[Line] = []
    for key, amount in charges:
        rate = by_key.get(key)
        if rate is None or not rate.amount:
            lines.append(Line(f"{verb} {key}", NANO, amount, unit_of(key)))
        else:
            each = "per result" if rate.charge_type is ChargeType.PER_RESULT else "each"
            label = f"{verb} {key}: {rate.name}, {format_amount(rate.amount)} {each}"
            lines.append(Line(label, quantity_rounding_down(amount, rate.amount), amount, unit_of(key)))
    return tuple(lines)


def operator_lines(
    card: RateCard, feature_rates: Sequence[Rate], charges: Sequence[tuple[str, int]], cost: int | None, route: Route
) -> tuple[Line, ...]:
    """What tenants are never shown (PRODUCT.md 5): the markup on what is charged by cost, what credits are worth, and the
    margin, where the cost (nano-dollars) is known; on the tenant's own key it is not ours, as in `margins`."""
    lines: list[Line] = []
    by_cost = {rate.wallet_key for rate in feature_rates if rate.charge_type is ChargeType.COST_PLUS}
    if cost is not None and any(key in by_cost for key, _ in charges):
        marked_up = rates.cost_plus(card, Unit.USD, cost)
        lines.append(Line("for operators: cost x markup", card.markup, marked_up, Unit.USD))
    credits_charged = sum([amount for key, amount in charges if unit_of(key) is Unit.CREDIT])
    dollars = sum([amount for key, amount in charges if unit_of(key) is Unit.USD])
    worth = multiply_rounding_down(credits_charged, card.credit_value)
    if credits_charged:
        lines.append(Line("for operators: credits at their value", credits_charged, worth, Unit.USD, card.credit_value))
    own_key = route is Route.BYOK
    if charges if own_key else cost is not None:
        paid = 0 if own_key else cost or 0
        lines.append(Line("for operators: gross margin", NANO, worth + dollars - paid, Unit.USD))
    return tuple(lines)
