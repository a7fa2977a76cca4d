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

from domain import admission, budget_steps, budgets, funds, ledger, rates
from domain.admission import Admission, Wish
from domain.attribution import IDENTIFIER_RULE, is_identifier, is_text
from domain.books import Books, Changes, Decision, Event, Request, paused, seen
from domain.budgets import BudgetRefusal, BudgetWarning, Level, TaskRoom
from domain.holds import NO_ESTIMATE, Estimate, Extension, Hold, Reservation, TaskKey
from domain.ledger import Voucher
from domain.prices import Tokens
from domain.rates import ChargeType, RateCard, RateCards
from domain.refusals import (
    BudgetExceeded,
    FieldProblem,
    InsufficientFunds,
    NotFound,
    Refusal,
    ReservationEnded,
    ReservationState,
    invalid,
)
from domain.usage import Route
from domain.wallets import Unit, Wallet

DEFAULT_TTL: Final = 900
LONGEST_TTL: Final = 7 * 24 * 3600
LONGEST_REASON: Final = 1_000


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


def tasks_of(cards: RateCards, card: RateCard, feature: str, task_key: str | None) -> tuple[TaskKey, ...]:
    """The key that makes retries one unit; the features of a bundle share it (document 004). After it come those under
    which the same work may stand since a time when other bundles held."""
    if task_key is None:
        return ()
    rates_of = card.rates_of(feature)
    name = (rates_of[0].bundle if rates_of else None) or feature
    names = dict.fromkeys((name, feature, *cards.bundles_of(feature)))
    return tuple([TaskKey(each, task_key) for each in names])


def reserve(books: Books, command: Reserve, now: datetime) -> Decision[Granted | Refusal]:
    """Admit and hold, or refuse with the level and its figures.

    A task key that stands for held or consumed work answers with that reservation and holds nothing.
    """
    wish = command.wish
    cards = books.catalog.rate_cards
    card = cards.at(now, now)
    tasks = () if card is None else tasks_of(cards, card, wish.feature, command.task_key)
    standing = _standing(books, wish.feature, tasks)
    if standing is not None:
        return Decision(as_it_stands(books, standing))
    admitted = admission.admit(books, wish, now)
    if isinstance(admitted, BudgetRefusal):
        return _refused(admitted)
    if not isinstance(admitted, Admission):
        return Decision(admitted)
    request = command.request
    voucher = Voucher(request.actor, now, command.reservation_id, "", "", request.idempotency_key)
    task = tasks[0] if tasks else None
    holds: list[Hold] = []
    wallets: list[Wallet] = []
    entries: list[ledger.Entry] = []
    for wallet, amount in admitted.legs:
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
        admitted.route,
        wish.quantity,
        admitted.card.version,
        wish.model,
        wish.attribution,
        book.month,
        tuple(holds),
        admitted.cost,
        admitted.cost,
        admitted.max_cost,
        now,
        None if admitted.capacity else now + timedelta(seconds=command.ttl_seconds),
        counted=(budget_steps.held(admitted.levels, book.month, admitted.cost),),
    )
    changes = Changes(
        wallets=tuple(wallets),
        entries=tuple(entries),
        reservations=(reservation,),
        tasks=() if task is None else ((task, reservation.id),),
        counters=budgets.settle(admitted.levels, 0, admitted.cost),
        seen=seen(wish.attribution),
    )
    return Decision(granted(reservation, admitted.levels), changes)


def _standing(books: Books, feature: str, tasks: tuple[TaskKey, ...]) -> Reservation | None:
    """The reservation that stands for a task: under an earlier name only if it was for the same feature."""
    for index, task in enumerate(tasks):
        found = books.tasks.get(task)
        if found is not None and (index == 0 or books.reservations[found].feature == feature):
            return books.reservations[found]
    return None


def preview(books: Books, wish: Wish, now: datetime) -> Preview | Refusal:
    """Decide as `reserve` does, and hold, write and pause nothing."""
    admitted = admission.admit(books, wish, now)
    if isinstance(admitted, BudgetRefusal):
        return admitted.refusal
    if not isinstance(admitted, Admission):
        return admitted
    return Preview(
        admitted.route,
        tuple((wallet.key, amount) for wallet, amount in admitted.legs),
        admitted.cost,
        admitted.max_cost,
        budgets.warnings(admitted.levels),
        budgets.prompt_notice(admitted.levels),
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
    closed = admission.closed(books.tenant)
    if closed is not None:
        return Decision(closed)
    expires_at = reservation.expires_at
    if command.ttl_seconds is not None:
        if expires_at is None:
            return Decision(invalid("ttlSeconds", "capacity does not expire: leave it out"))
        expires_at = max(expires_at, now + timedelta(seconds=command.ttl_seconds))
    cost = 0
    if command.estimate != NO_ESTIMATE:
        priced = admission.priced(books, reservation.model, command.estimate, reservation.created_at)
        if priced is None:
            return Decision(invalid("estimate", "tokens are priced by the reservation's model: give costUsd"))
        cost = priced
    elif command.ttl_seconds is None:
        return Decision(invalid("ttlSeconds", "give ttlSeconds, an estimate, or both"))
    counted = budgets.levels(books.book, reservation.attribution, reservation.month)
    room = TaskRoom(reservation.max_cost_usd, reservation.recorded.cost, reservation.remaining_usd)
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
    return changes._replace(events=funds.events_of(books, changes.wallets, now))


def lacks_room(answer: object) -> bool:
    """Whether a refusal is for room that overdue reservations may still hold."""
    return isinstance(answer, InsufficientFunds) or (isinstance(answer, BudgetExceeded) and answer.held > 0)


def gives_way(reservation: Reservation, command: object, now: datetime) -> bool:
    """Whether a reservation is booked as expired before a command is refused for lack of room: every overdue one,
    but for that which the command extends."""
    if isinstance(command, Extend) and command.reservation_id == reservation.id:
        return False
    held = reservation.state is ReservationState.HELD
    return held and reservation.expires_at is not None and reservation.expires_at <= now


def may_continue(books: Books, reservation: Reservation, running_cost: int | None, tokens: Tokens | None) -> bool:
    """Whether running work goes on: only while it is held, unpaused and not above its task cap (document 003,
    mid-stream abort). The cost is the caller's, else that of the tokens at the reservation's price, and never less than
    what was recorded under it."""
    if reservation.state is not ReservationState.HELD or admission.closed(books.tenant) is not None:
        return False
    if running_cost is None and tokens is not None:
        running_cost = admission.priced(books, reservation.model, Estimate(tokens=tokens), reservation.created_at)
    cost = max(running_cost or 0, reservation.recorded.cost)
    if reservation.max_cost_usd is not None and cost > reservation.max_cost_usd:
        return False
    requested = max(cost, reservation.held_usd)
    return all(
        budgets.pause_of(books.book, scope, requested) is None for scope in budgets.scope_keys(reservation.attribution)
    )


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
        if not admission.applicable(rate, reservation.route, wallet, reservation.model is not None):
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
        counted=budget_steps.holding_more(reservation.counted, cost),
        extensions=(
            *reservation.extensions,
            Extension(now, command.ttl_seconds, cost, reservation.expires_at),
        ),
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
        reservations=(
            reservation._replace(
                state=state,
                remaining_usd=0,
                ended_at=voucher.at,
                expired_at=voucher.at if state is ReservationState.EXPIRED else None,
            ),
        ),
        tasks=((task, None),) if task is not None and books.tasks.get(task) == reservation.id else (),
        counters=budgets.settle(counted, 0, -reservation.remaining_usd),
    )


def _refused(refused: BudgetRefusal) -> Decision[Granted | Refusal]:
    if refused.paused is None:
        return Decision(refused.refusal)
    events: tuple[Event, ...] = (paused(refused.paused),)
    return Decision(refused.refusal, Changes(scopes=(refused.paused,), events=events))
