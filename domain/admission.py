"""Admission: whether a piece of work may run now, under which terms, and what is to be held for it.

One decision over everything at once: the feature's rates, the price of the model, pauses, every budget level,
every wallet that the feature draws on. Either all of it fits or the level that refuses is named with its figures.
Amounts are nano-units, quantities nano, costs nano-dollars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from domain import budgets, funds, ledger, prices, rates
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, is_identifier
from domain.attribution import problems as attribution_problems
from domain.books import Books
from domain.budgets import BudgetRefusal, Level, TaskRoom
from domain.holds import NO_ESTIMATE, Estimate, ModelName
from domain.money import NANO
from domain.prices import NO_TOKENS, Price, Tokens
from domain.rates import ChargeType, Rate, RateCard, RouteClass
from domain.refusals import (
    BudgetScope,
    FieldProblem,
    InsufficientFunds,
    InvalidInput,
    Refusal,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    invalid,
)
from domain.tenants import Tenant, TenantStatus
from domain.usage import MOST_COST, MOST_COUNT, Route
from domain.wallets import METERED_KEY, BucketType, Unit, Wallet, WalletKind


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be held: the part that reserve and preview share."""

    feature: str
    quantity: int = NANO
    model: ModelName | None = None
    estimate: Estimate = NO_ESTIMATE
    attribution: Attribution = NOBODY


class Admission(NamedTuple):
    """A wish that fits: its terms, and the wallets before and amounts of each leg."""

    card: RateCard
    route: Route
    cost: int
    max_cost: int | None
    levels: tuple[Level, ...]
    legs: tuple[tuple[Wallet, int], ...]
    capacity: bool


def problems(wish: Wish) -> tuple[FieldProblem, ...]:
    """What is wrong with a wish, whatever the books say."""
    found = list(attribution_problems(wish.attribution, "attribution"))
    if not is_identifier(wish.feature):
        found.append(FieldProblem("feature", IDENTIFIER_RULE))
    if wish.quantity <= 0:
        found.append(FieldProblem("quantity", "must be more than 0"))
    model = wish.model
    if model is not None:
        for name, text in (("provider", model.provider), ("model", model.model), ("operation", model.operation)):
            if text is not None and not is_identifier(text):
                found.append(FieldProblem(f"model.{name}", IDENTIFIER_RULE))
    found.extend(estimate_problems(wish.estimate))
    if wish.estimate.tokens is not None and wish.model is None and wish.estimate.cost is None:
        found.append(FieldProblem("model", "tokens are priced by their model: name it, or give estimate.costUsd"))
    return tuple(found)


def estimate_problems(estimate: Estimate) -> tuple[FieldProblem, ...]:
    """What is wrong with an estimate."""
    found: list[FieldProblem] = []
    if estimate.tokens is not None:
        for name, count in (("inputTokens", estimate.tokens.input), ("outputTokens", estimate.tokens.output)):
            if not 0 <= count <= MOST_COUNT:
                found.append(FieldProblem(f"estimate.{name}", f"must be 0 to {MOST_COUNT}"))
    if estimate.cost is not None and not 0 <= estimate.cost <= MOST_COST:
        found.append(FieldProblem("estimate.costUsd", f"must be 0 to {MOST_COST // NANO}"))
    return tuple(found)


def applicable(rate: Rate, route: Route, wallet: Wallet | None, model_named: bool) -> bool:
    """Whether a leg is charged at all: an own key waives what is metered, and some legs need a model to be named."""
    if rate.charge_type is ChargeType.FREE or (rate.needs_model and not model_named):
        return False
    on_metered = rate.wallet_key == METERED_KEY if wallet is None else wallet.kind is WalletKind.METERED
    metered = rate.charge_type is ChargeType.COST_PLUS or on_metered
    return not (route is Route.BYOK and metered)


def route_of(books: Books, feature_rates: Sequence[Rate], *, own_key: bool) -> Route:
    """On whose key a feature's calls run: the tenant's own, where it has one and the deployment lets it count;
    for enrichment on unlimited plans only (document 002)."""
    if feature_rates and all(rate.charge_type is ChargeType.FREE for rate in feature_rates):
        return Route.FREE
    if not own_key or not books.own_keys_allowed:
        return Route.MANAGED
    enrichment = any(rate.route_class is RouteClass.ENRICHMENT for rate in feature_rates)
    return Route.MANAGED if enrichment and not books.tenant.unlimited_plan else Route.BYOK


def admit(books: Books, wish: Wish, now: datetime) -> Admission | BudgetRefusal | Refusal:
    """Decide about a wish: its terms and its legs, or the level that refuses."""
    card = books.catalog.rate_cards.at(now, now)
    feature_rates = () if card is None else card.rates_of(wish.feature)
    unwelcome = _unwelcome(books, wish, feature_rates, now)
    if unwelcome is not None:
        return unwelcome
    assert card is not None, "it has rates"
    capacity = any(_is_capacity(books.wallets.get(rate.wallet_key)) for rate in feature_rates)
    by_count = capacity or any(rate.charge_type is ChargeType.PER_RESULT for rate in feature_rates)
    if by_count and wish.quantity % NANO:
        return invalid("quantity", "must be a whole number for this feature")
    cost = _estimated(books, wish, feature_rates, now)
    if not isinstance(cost, int):
        return cost
    own_key = wish.model is not None and wish.model.provider in books.tenant.own_key_providers
    route = route_of(books, feature_rates, own_key=own_key)
    max_cost = budgets.task_cap(books.book, wish.attribution.agent_role)
    counted = budgets.levels(books.book, wish.attribution, books.book.month)
    refusal = budgets.admit(books.book, wish.attribution, counted, cost, TaskRoom(max_cost))
    if refusal is not None:
        return refusal
    legs: list[tuple[Wallet, int]] = []
    for rate in feature_rates:
        wallet = books.wallets.get(rate.wallet_key)
        if not applicable(rate, route, wallet, wish.model is not None):
            continue
        if wallet is None:
            if rate.charge_type is not ChargeType.COST_PLUS or cost:
                return InsufficientFunds(rate.wallet_key, _hold(rate, card, None, wish.quantity, cost), 0)
            continue
        amount = _hold(rate, card, wallet, wish.quantity, cost)
        available = ledger.available_at(wallet, now)
        if amount and amount > available:
            return InsufficientFunds(wallet.key, amount, available)
        if amount:
            legs.append((wallet, amount))
    return Admission(card, route, cost, max_cost, counted, tuple(legs), capacity)


def _unwelcome(books: Books, wish: Wish, feature_rates: tuple[Rate, ...], now: datetime) -> Refusal | None:
    """Why a wish is refused whatever it costs."""
    suspended = closed(books.tenant)
    if suspended is not None:
        return suspended
    if not feature_rates:
        return UnknownFeature(wish.feature)
    if books.agents is None:
        return None
    return funds.newcomer(books, wish.attribution.agent_role, wish.attribution.campaign, now)


def _estimated(
    books: Books, wish: Wish, feature_rates: tuple[Rate, ...], now: datetime
) -> int | UnpricedModel | InvalidInput:
    """Provider cost of the whole wish: the caller's figure, else tokens at the model's price, else a call's price,
    else the rate's default. A model without a price is refused, whatever figure comes with it; an estimate of zero
    is none, because only what is free by its price may pass caps and empty wallets."""
    model, estimate = wish.model, wish.estimate
    price = None
    if model is not None:
        price = _price(books, model, estimate.tokens or NO_TOKENS, now)
        if price is None:
            return UnpricedModel(model.provider, model.model, model.operation)
    if price is not None and prices.is_free(price):
        return 0
    if estimate.cost:
        return estimate.cost
    if price is not None:
        calls = 1 if estimate.tokens is not None else -(-wish.quantity // NANO)
        cost = prices.cost(price, estimate.tokens or NO_TOKENS, calls)
        if cost:
            return cost
    return rates.estimate([rate for rate in feature_rates if model is not None or not rate.needs_model], wish.quantity)


def _hold(rate: Rate, card: RateCard, wallet: Wallet | None, quantity: int, cost: int) -> int:
    if rate.charge_type is ChargeType.COST_PLUS and cost == 0:
        return 0
    unit = Unit.USD if wallet is None else wallet.unit
    return rates.hold(rate, card, unit, quantity, cost)


def priced(books: Books, model: ModelName | None, estimate: Estimate, at: datetime) -> int | None:
    """What an estimate comes to in nano-dollars; None where its tokens have no priced model."""
    tokens = estimate.tokens or NO_TOKENS
    price = None if model is None else _price(books, model, tokens, at)
    if price is not None and prices.is_free(price):
        return 0
    if estimate.cost is not None:
        return estimate.cost
    return None if price is None or estimate.tokens is None else prices.cost(price, tokens, 1)


def _price(books: Books, model: ModelName, tokens: Tokens, at: datetime) -> Price | None:
    return books.catalog.prices.find(model.provider, model.model, model.operation, at, at, tokens.context)


def closed(tenant: Tenant) -> ScopePaused | None:
    """Why a tenant that is not active may not spend."""
    return closed_as(tenant.status)


def closed_as(status: TenantStatus) -> ScopePaused | None:
    """Why a tenant of this status may not spend; None for an active one."""
    if status is TenantStatus.ACTIVE:
        return None
    return ScopePaused(BudgetScope.TENANT, None, f"tenant_{status.lower()}")


def _is_capacity(wallet: Wallet | None) -> bool:
    return wallet is not None and wallet.bucket_type is BucketType.CAPACITY
