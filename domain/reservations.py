"""Reservations: may this call run, and what is held for it.

One admission decides over everything at once: the feature's rates, the price of the model, pauses, every
budget level, every wallet that the feature draws on. Either all of it is held or nothing is. Amounts are
nano-units, quantities nano, costs nano-dollars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from domain import budgets, ledger, prices, rates
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, is_identifier, is_text
from domain.attribution import problems as attribution_problems
from domain.books import Books, Changes, Decision, Event, Request, debts_repaid, paused, seen
from domain.budgets import BudgetRefusal, BudgetWarning, Level, TaskRoom
from domain.holds import Hold, ModelName, Reservation, TaskKey
from domain.ledger import Voucher
from domain.money import NANO
from domain.prices import NO_TOKENS, Price, Tokens
from domain.rates import ChargeType, Rate, RateCard, RouteClass
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    FieldProblem,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    Refusal,
    ReservationEnded,
    ReservationState,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    invalid,
)
from domain.tenants import Tenant, TenantStatus
from domain.usage import MOST_COST, MOST_COUNT, Route
from domain.wallets import METERED_KEY, BucketType, Unit, Wallet, WalletKind

DEFAULT_TTL: Final = 900
LONGEST_TTL: Final = 7 * 24 * 3600
LONGEST_REASON: Final = 1_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the caller expects the whole reservation to use: tokens, or the provider's cost itself."""

    tokens: Tokens | None = None
    cost: int | None = None


NO_ESTIMATE: Final = Estimate()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be held: the part that reserve and preview share."""

    feature: str
    quantity: int = NANO
    model: ModelName | None = None
    estimate: Estimate = NO_ESTIMATE
    attribution: Attribution = NOBODY


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold what a piece of work may cost. `reservation_id` is its id if it is granted."""

    request: Request
    reservation_id: UUID
    wish: Wish
    task_key: str | None = None
    ttl_seconds: int = DEFAULT_TTL


@dataclass(frozen=True, slots=True)
class Extend:
    """Give a running reservation more time (from now), more room, or both."""

    request: Request
    reservation_id: UUID
    ttl_seconds: int | None = None
    estimate: Estimate = NO_ESTIMATE


@dataclass(frozen=True, slots=True)
class Release:
    """Give everything back that is held."""

    request: Request
    reservation_id: UUID
    reason: str = ""


class Granted(NamedTuple):
    """A reservation in its present state, with the warnings and the notice of the moment (they are not stored)."""

    reservation: Reservation
    warnings: tuple[BudgetWarning, ...] = ()
    prompt_notice: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a reserve would hold now."""

    route: Route
    holds: tuple[tuple[str, int], ...]
    estimated_usd: int
    max_cost_usd: int | None
    warnings: tuple[BudgetWarning, ...]
    prompt_notice: str | None


class Released(NamedTuple):
    """The reservation after its release (or its expiry)."""

    reservation: Reservation


class _Admission(NamedTuple):
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


def key_problems(idempotency_key: str) -> tuple[FieldProblem, ...]:
    """What is wrong with an idempotency key."""
    return () if is_identifier(idempotency_key) else (FieldProblem("idempotencyKey", IDENTIFIER_RULE),)


def reason_problems(reason: str) -> tuple[FieldProblem, ...]:
    """What is wrong with the reason of a release; there need be none."""
    if is_text(reason, LONGEST_REASON):
        return ()
    return (FieldProblem("reason", f"at most {LONGEST_REASON} characters without NUL"),)


def ttl_problems(ttl_seconds: int | None) -> tuple[FieldProblem, ...]:
    """What is wrong with a time to live."""
    if ttl_seconds is None or 1 <= ttl_seconds <= LONGEST_TTL:
        return ()
    return (FieldProblem("ttlSeconds", f"must be 1 to {LONGEST_TTL}"),)


def task_of(card: RateCard, feature: str, task_key: str | None) -> TaskKey | None:
    """The key that makes retries one unit; the features of a bundle share it (document 004)."""
    if task_key is None:
        return None
    rates_of = card.rates_of(feature)
    bundle = rates_of[0].bundle if rates_of else None
    return TaskKey(bundle or feature, task_key)


def reserve(books: Books, command: Reserve, now: datetime) -> Decision[Granted | Refusal]:
    """Admit and hold, or refuse with the level and its figures.

    A task key that stands for held or consumed work answers with that reservation and holds nothing.
    """
    wish = command.wish
    card = books.catalog.rate_cards.at(now, now)
    task = None if card is None else task_of(card, wish.feature, command.task_key)
    if task is not None and task in books.tasks:
        return Decision(as_it_stands(books, books.reservations[books.tasks[task]]))
    admission = _admit(books, wish, now)
    if isinstance(admission, BudgetRefusal):
        return _refused(admission)
    if not isinstance(admission, _Admission):
        return Decision(admission)
    request = command.request
    voucher = Voucher(request.actor, now, command.reservation_id, "", "", request.idempotency_key)
    holds: list[Hold] = []
    wallets: list[Wallet] = []
    entries: list[ledger.Entry] = []
    for wallet, amount in admission.legs:
        posting = ledger.expire_due(wallet, voucher)
        posting = posting.then(ledger.reserve(posting.wallet, amount, voucher))
        holds.append(Hold(wallet.key, amount, posting.entries[-1].draws))
        wallets.append(posting.wallet)
        entries.extend(posting.entries)
    book = books.book
    reservation = Reservation(
        command.reservation_id,
        ReservationState.HELD,
        wish.feature,
        task,
        admission.route,
        wish.quantity,
        admission.card.version,
        wish.model,
        wish.attribution,
        book.month,
        tuple(holds),
        admission.cost,
        admission.cost,
        admission.max_cost,
        now,
        None if admission.capacity else now + timedelta(seconds=command.ttl_seconds),
    )
    changes = Changes(
        wallets=tuple(wallets),
        entries=tuple(entries),
        reservations=(reservation,),
        tasks=() if task is None else ((task, reservation.id),),
        counters=budgets.settle(admission.levels, 0, admission.cost),
        seen=seen(wish.attribution),
    )
    return Decision(granted(reservation, admission.levels), changes)


def preview(books: Books, wish: Wish, now: datetime) -> Preview | Refusal:
    """Decide as `reserve` does, and hold, write and pause nothing."""
    admission = _admit(books, wish, now)
    if isinstance(admission, BudgetRefusal):
        return admission.refusal
    if not isinstance(admission, _Admission):
        return admission
    return Preview(
        admission.route,
        tuple((wallet.key, amount) for wallet, amount in admission.legs),
        admission.cost,
        admission.max_cost,
        budgets.warnings(admission.levels),
        budgets.prompt_notice(admission.levels),
    )


def as_it_stands(books: Books, reservation: Reservation) -> Granted:
    """A reservation as it is answered to a retry."""
    return granted(reservation, budgets.levels(books.book, reservation.attribution, reservation.month))


def granted(reservation: Reservation, counted: Sequence[Level]) -> Granted:
    """A reservation as it is answered, with what its budgets say."""
    return Granted(reservation, budgets.warnings(counted), budgets.prompt_notice(counted))


def extend(books: Books, command: Extend, now: datetime) -> Decision[Granted | Refusal]:
    """Move the end to `ttl_seconds` from now (never nearer), hold more by an estimate, or both; decided like a
    reserve, under the reservation's own terms."""
    reservation = books.reservations.get(command.reservation_id)
    if reservation is None:
        return Decision(NotFound("reservation"))
    if reservation.state is not ReservationState.HELD:
        return Decision(ReservationEnded(reservation.state))
    closed = _closed(books.tenant)
    if closed is not None:
        return Decision(closed)
    expires_at = reservation.expires_at
    if command.ttl_seconds is not None:
        if expires_at is None:
            return Decision(invalid("ttlSeconds", "capacity does not expire: leave it out"))
        expires_at = max(expires_at, now + timedelta(seconds=command.ttl_seconds))
    cost = 0
    if command.estimate != NO_ESTIMATE:
        priced = _priced(books, reservation.model, command.estimate, reservation.created_at)
        if priced is None:
            return Decision(invalid("estimate", "tokens are priced by the reservation's model: give costUsd"))
        cost = priced
    elif command.ttl_seconds is None:
        return Decision(invalid("ttlSeconds", "give ttlSeconds, an estimate, or both"))
    counted = budgets.levels(books.book, reservation.attribution, reservation.month)
    room = TaskRoom(reservation.max_cost_usd, reservation.recorded.cost + reservation.remaining_usd)
    refusal = budgets.admit(books.book, reservation.attribution, counted, cost, room)
    if refusal is not None:
        return _refused(refusal)
    return _extended(books, command, reservation, cost, expires_at, counted, now)


def release(books: Books, command: Release, now: datetime) -> Decision[Released | Refusal]:
    """Give the whole hold back. One that has expired was given back already; one that was consumed is not."""
    reservation = books.reservations.get(command.reservation_id)
    if reservation is None:
        return Decision(NotFound("reservation"))
    if reservation.state is ReservationState.EXPIRED:
        return Decision(Released(reservation))
    if reservation.state is not ReservationState.HELD:
        return Decision(ReservationEnded(reservation.state))
    request = command.request
    voucher = Voucher(request.actor, now, reservation.id, "", command.reason, request.idempotency_key)
    changes = _given_back(books, reservation, ReservationState.RELEASED, voucher)
    return Decision(Released(changes.reservations[0]), changes)


def expire(books: Books, reservation: Reservation, actor: str, now: datetime) -> Changes:
    """Book an overdue reservation: everything that it holds goes back."""
    assert reservation.state is ReservationState.HELD
    assert reservation.expires_at is not None
    assert reservation.expires_at <= now
    voucher = Voucher(actor, now, reservation.id, "", "expired")
    changes = _given_back(books, reservation, ReservationState.EXPIRED, voucher)
    return changes._replace(events=debts_repaid(books.wallets, changes.wallets))


def lacks_room(answer: object) -> bool:
    """Whether a refusal is for room that overdue reservations may still hold."""
    return isinstance(answer, InsufficientFunds) or (isinstance(answer, BudgetExceeded) and answer.held > 0)


def may_continue(books: Books, reservation: Reservation, running_cost: int | None, tokens: Tokens | None) -> bool:
    """Whether running work goes on: only while it is held, unpaused and not above its task cap (document 003,
    mid-stream abort). The cost is the caller's, else that of the tokens at the reservation's price."""
    if reservation.state is not ReservationState.HELD or _closed(books.tenant) is not None:
        return False
    if running_cost is None and tokens is not None:
        running_cost = _priced(books, reservation.model, Estimate(tokens=tokens), reservation.created_at)
    if running_cost is not None and reservation.max_cost_usd is not None and running_cost > reservation.max_cost_usd:
        return False
    requested = max(running_cost or 0, reservation.held_usd)
    return all(
        budgets.pause_of(books.book, scope, requested) is None for scope in budgets.scope_keys(reservation.attribution)
    )


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


def _admit(books: Books, wish: Wish, now: datetime) -> _Admission | BudgetRefusal | Refusal:
    closed = _closed(books.tenant)
    if closed is not None:
        return closed
    card = books.catalog.rate_cards.at(now, now)
    feature_rates = () if card is None else card.rates_of(wish.feature)
    if card is None or not feature_rates:
        return UnknownFeature(wish.feature)
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
    return _Admission(card, route, cost, max_cost, counted, tuple(legs), capacity)


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


def _priced(books: Books, model: ModelName | None, estimate: Estimate, at: datetime) -> int | None:
    if estimate.cost is not None:
        return estimate.cost
    if model is None or estimate.tokens is None:
        return None
    price = _price(books, model, estimate.tokens, at)
    return None if price is None else prices.cost(price, estimate.tokens, 1)


def _price(books: Books, model: ModelName, tokens: Tokens, at: datetime) -> Price | None:
    return books.catalog.prices.find(model.provider, model.model, model.operation, at, at, tokens.context)


def _extended(
    books: Books,
    command: Extend,
    reservation: Reservation,
    cost: int,
    expires_at: datetime | None,
    counted: Sequence[Level],
    now: datetime,
) -> Decision[Granted | Refusal]:
    card = books.catalog.rate_cards.version(reservation.rate_card)
    assert card is not None, "rate card versions stay"
    request = command.request
    voucher = Voucher(request.actor, now, reservation.id, "", "", request.idempotency_key)
    holds = {hold.wallet_key: hold for hold in reservation.holds}
    wallets: list[Wallet] = []
    entries: list[ledger.Entry] = []
    for rate in card.rates_of(reservation.feature):
        wallet = books.wallets.get(rate.wallet_key)
        if rate.charge_type is not ChargeType.COST_PLUS or not cost:
            continue
        if not applicable(rate, reservation.route, wallet, reservation.model is not None):
            continue
        amount = rates.charge(rate, card, Unit.USD if wallet is None else wallet.unit, 0, 0, cost)
        if wallet is None:
            return Decision(InsufficientFunds(rate.wallet_key, amount, 0))
        posting = ledger.expire_due(wallet, voucher)
        if amount > posting.wallet.available:
            return Decision(InsufficientFunds(wallet.key, amount, posting.wallet.available))
        posting = posting.then(ledger.reserve(posting.wallet, amount, voucher))
        before = holds.get(wallet.key, Hold(wallet.key, 0, ()))
        draws = ledger.joined(before.draws, posting.entries[-1].draws)
        holds[wallet.key] = Hold(wallet.key, before.amount + amount, draws)
        wallets.append(posting.wallet)
        entries.extend(posting.entries)
    extended = reservation._replace(
        holds=tuple(holds.values()),
        held_usd=reservation.held_usd + cost,
        remaining_usd=reservation.remaining_usd + cost,
        expires_at=expires_at,
    )
    changes = Changes(
        wallets=tuple(wallets),
        entries=tuple(entries),
        reservations=(extended,),
        counters=budgets.settle(counted, 0, cost) if cost else (),
    )
    return Decision(granted(extended, counted), changes)


def _given_back(books: Books, reservation: Reservation, state: ReservationState, voucher: Voucher) -> Changes:
    wallets: list[Wallet] = []
    entries: list[ledger.Entry] = []
    for hold in reservation.holds:
        posting = ledger.expire_due(books.wallets[hold.wallet_key], voucher)
        posting = posting.then(ledger.release(posting.wallet, hold.draws, voucher))
        wallets.append(posting.wallet)
        entries.extend(posting.entries)
    counted = budgets.levels(books.book, reservation.attribution, reservation.month)
    task = reservation.task
    return Changes(
        wallets=tuple(wallets),
        entries=tuple(entries),
        reservations=(reservation._replace(state=state, remaining_usd=0, ended_at=voucher.at),),
        tasks=((task, None),) if task is not None and books.tasks.get(task) == reservation.id else (),
        counters=budgets.settle(counted, 0, -reservation.remaining_usd),
    )


def _refused(refused: BudgetRefusal) -> Decision[Granted | Refusal]:
    if refused.paused is None:
        return Decision(refused.refusal)
    events: tuple[Event, ...] = (paused(refused.paused),)
    return Decision(refused.refusal, Changes(scopes=(refused.paused,), events=events))


def _closed(tenant: Tenant) -> ScopePaused | None:
    if tenant.status is TenantStatus.ACTIVE:
        return None
    return ScopePaused(BudgetScope.TENANT, None, f"tenant_{tenant.status.lower()}")


def _is_capacity(wallet: Wallet | None) -> bool:
    return wallet is not None and wallet.bucket_type is BucketType.CAPACITY
