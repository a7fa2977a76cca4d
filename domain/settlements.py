"""Settlements: what work really cost is charged, once, and the rest of its hold goes back.

Spend is never lost: a charge above the hold, usage of an expired reservation and usage without one are
booked even where the balance goes below zero; only the next admission is refused (PRODUCT.md 3 and 4).
Amounts are nano-units, quantities nano, costs nano-dollars.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain import budgets, ledger, rates, usage
from domain.admission import applicable
from domain.books import Books, Changes, Decision, Event, EventType, Request, paused
from domain.budgets import Counter
from domain.holds import ModelName, Recorded, Reservation
from domain.ledger import Draw, Entry, EntryType, Voucher
from domain.money import NANO
from domain.rates import ChargeType, Rate, RateCard
from domain.refusals import (
    FieldProblem,
    NotFound,
    Refusal,
    ReservationEnded,
    ReservationState,
    invalid,
)
from domain.usage import Usage, UsageEvent, UsageKind
from domain.wallets import BucketType, Wallet


@dataclass(frozen=True, slots=True)
class Consume:
    """Settle a reservation. `events` are the calls that were not recorded before, with the ids that they get;
    `quantity` (nano) is what was really made, None as reserved."""

    request: Request
    reservation_id: UUID
    events: tuple[tuple[UUID, Usage], ...]
    quantity: int | None = None


class _Actual(NamedTuple):
    """What was really made, found and used."""

    quantity: int
    results: int
    recorded: Recorded


class Consumed(NamedTuple):
    """A settled reservation: charges per wallet and cost stand on it. `events` are those that this consume added."""

    reservation: Reservation
    events: tuple[UsageEvent, ...]


def problems(command: Consume, now: datetime) -> tuple[FieldProblem, ...]:
    """What is wrong with a consume, whatever the books say."""
    found: list[FieldProblem] = []
    if command.quantity is not None and command.quantity < 0:
        found.append(FieldProblem("quantity", "must not be negative"))
    if len(command.events) > usage.MOST_EVENTS:
        found.append(FieldProblem("usage", f"at most {usage.MOST_EVENTS} events"))
    for index, (_, reported) in enumerate(command.events):
        found.extend(usage.problems(reported, f"usage.{index}", now))
    return tuple(found)


def consume(books: Books, command: Consume, now: datetime) -> Decision[Consumed | Refusal]:
    """Charge what the work cost under the reservation's own terms. An expired reservation is still settled."""
    reservation = books.reservations.get(command.reservation_id)
    if reservation is None:
        return Decision(NotFound("reservation"))
    if reservation.state not in (ReservationState.HELD, ReservationState.EXPIRED):
        return Decision(ReservationEnded(reservation.state))
    card = _card(books, reservation)
    feature_rates = card.rates_of(reservation.feature)
    quantity = reservation.quantity if command.quantity is None else command.quantity
    refusal = _unfit(books, reservation, feature_rates, command, quantity)
    if refusal is not None:
        return Decision(refusal)
    events = events_of(books, reservation, command.events, now)
    recorded = with_recorded(reservation, events)
    results = quantity // NANO if recorded.results is None else recorded.results
    if command.quantity is not None:
        results = command.quantity // NANO
    request = command.request
    voucher = Voucher(request.actor, now, reservation.id, "", "", request.idempotency_key)
    paid = _paid_by_another(books, reservation)
    actual = _Actual(0, 0, recorded) if paid else _Actual(quantity, results, recorded)
    wallets, entries, charges = _charge(books, reservation, card, actual, voucher)
    counters = _counted(books, reservation, events)
    scopes = budgets.pauses_after(books.book, counters)
    settled = reservation._replace(
        state=ReservationState.CONSUMED,
        remaining_usd=0,
        recorded=recorded,
        charges=tuple((wallet.key, amount) for wallet, amount in charges),
        cost_usd=None if recorded.unpriced else recorded.cost,
        settled_events=tuple(event.id for event in events),
        ended_at=now,
    )
    events = _with_charges(reservation, card, events, books.wallets, entries)
    task = reservation.task
    changes = Changes(
        wallets=wallets,
        entries=entries,
        reservations=(settled,),
        # An expired one takes its task back from work that is only held: what was settled is never charged again.
        tasks=() if task is None or paid or books.tasks.get(task) == settled.id else ((task, settled.id),),
        counters=counters,
        scopes=scopes,
        usage=events,
        events=(*(paused(scope) for scope in scopes), *unpriced(events)),
    )
    return Decision(Consumed(settled, events), changes)


def _paid_by_another(books: Books, reservation: Reservation) -> bool:
    """Whether another reservation was settled for the same task: then this one is charged by what it cost alone
    (document 004: a retry feels like one unit)."""
    stands = None if reservation.task is None else books.tasks.get(reservation.task)
    other = None if stands is None or stands == reservation.id else books.reservations.get(stands)
    return other is not None and other.state is ReservationState.CONSUMED


def _card(books: Books, reservation: Reservation) -> RateCard:
    card = books.catalog.rate_cards.version(reservation.rate_card)
    assert card is not None, "rate card versions stay"
    return card


def _unfit(
    books: Books, reservation: Reservation, feature_rates: tuple[Rate, ...], command: Consume, quantity: int
) -> Refusal | None:
    for rate in feature_rates:
        wallet = books.wallets.get(rate.wallet_key)
        if wallet is not None and wallet.bucket_type is BucketType.CAPACITY:
            return invalid("reservationId", f"{reservation.feature} takes capacity: release it, it is never consumed")
        if rate.charge_type is ChargeType.PER_RESULT and quantity % NANO:
            return invalid("quantity", "must be a whole number for this feature")
        needs_usage = rate.charge_type is ChargeType.COST_PLUS and applicable(
            rate, reservation.route, wallet, reservation.model is not None
        )
        if needs_usage and not command.events and reservation.recorded.events == 0:
            return invalid("usage", "this feature is charged by what it cost: report at least one call")
    return None


def events_of(
    books: Books, reservation: Reservation, reported: Iterable[tuple[UUID, Usage]], now: datetime
) -> tuple[UsageEvent, ...]:
    """The calls that are new, priced under the reservation's terms."""
    events: list[UsageEvent] = []
    taken: set[tuple[str, str]] = set()
    for identifier, call in reported:
        if call.source is not None and call.event_id is not None:
            name = (call.source, call.event_id)
            if name in books.recorded or name in taken:
                continue
            taken.add(name)
        whole = named(call, reservation.model)
        at = reservation.created_at
        events.append(
            UsageEvent(
                identifier,
                whole,
                usage.occurred(identifier, whole),
                now,
                reservation.feature,
                reservation.id,
                reservation.attribution,
                reservation.route,
                usage.price(whole, books.catalog.prices, at, at),
            )
        )
    return tuple(events)


def named(call: Usage, model: ModelName | None) -> Usage:
    """A model or API call that does not say what was called was a call of the reservation's model."""
    if model is None or call.provider is not None or call.model is not None:
        return call
    if call.kind not in (UsageKind.LLM, UsageKind.API):
        return call
    operation = model.operation if call.operation is None else call.operation
    return call._replace(provider=model.provider, model=model.model, operation=operation)


def with_recorded(reservation: Reservation, events: tuple[UsageEvent, ...]) -> Recorded:
    """What is recorded under a reservation once these events are."""
    before = reservation.recorded
    counts = [count for count in (before.results, *[event.usage.results for event in events]) if count is not None]
    return Recorded(
        before.events + len(events),
        before.cost + sum([event.priced.cost or 0 for event in events]),
        sum(counts) if counts else None,
        before.unpriced or any(event.priced.cost is None for event in events),
    )


def _charge(
    books: Books,
    reservation: Reservation,
    card: RateCard,
    actual: _Actual,
    voucher: Voucher,
) -> tuple[tuple[Wallet, ...], tuple[Entry, ...], tuple[tuple[Wallet, int], ...]]:
    wallets: list[Wallet] = []
    entries: list[Entry] = []
    charges: list[tuple[Wallet, int]] = []
    open_hold = reservation.state is ReservationState.HELD
    for rate in card.rates_of(reservation.feature):
        wallet = books.wallets.get(rate.wallet_key)
        if wallet is None or not applicable(rate, reservation.route, wallet, model_named=True):
            continue
        hold = reservation.held_in(wallet.key)
        amount = rates.charge(rate, card, wallet.unit, actual.quantity, actual.results, actual.recorded.cost)
        cost_plus = rate.charge_type is ChargeType.COST_PLUS
        if actual.recorded.unpriced and cost_plus and hold is not None and open_hold:
            # Provisional until re-rated: what a call without a price cost is taken to be what is left of the hold.
            amount = max(amount, hold.amount)
        held: tuple[Draw, ...] = hold.draws if hold is not None and open_hold else ()
        posting = ledger.expire_due(wallet, voucher)
        posting = posting.then(ledger.settle(posting.wallet, held, amount, voucher))
        if posting.entries:
            wallets.append(posting.wallet)
            entries.extend(posting.entries)
        if amount:
            charges.append((posting.wallet, amount))
    return tuple(wallets), tuple(entries), tuple(charges)


def _counted(books: Books, reservation: Reservation, events: tuple[UsageEvent, ...]) -> tuple[Counter, ...]:
    spent, _ = spend(events, reservation.remaining_usd)
    counted = budgets.levels(books.book, reservation.attribution, reservation.month)
    return budgets.settle(counted, spent, -reservation.remaining_usd)


def spend(events: tuple[UsageEvent, ...], remaining: int) -> tuple[int, int]:
    """What events add to spent, and how much of that had been held: an unpriced one counts as all that is left."""
    cost = sum([event.priced.cost or 0 for event in events])
    if any(event.priced.cost is None for event in events):
        cost = max(cost, remaining)
    return cost, min(cost, remaining)


def _with_charges(
    reservation: Reservation,
    card: RateCard,
    events: tuple[UsageEvent, ...],
    wallets: Mapping[str, Wallet],
    entries: tuple[Entry, ...],
) -> tuple[UsageEvent, ...]:
    """Say on each event what it was charged by cost-plus: the steps of the total, so that they add up exactly."""
    charged_by = {entry.wallet_id: entry.sequence for entry in entries if entry.type is EntryType.CONSUMED}
    for rate in card.rates_of(reservation.feature):
        wallet = wallets.get(rate.wallet_key)
        if rate.charge_type is not ChargeType.COST_PLUS or wallet is None or wallet.id not in charged_by:
            continue
        cost = reservation.recorded.cost
        charged: list[UsageEvent] = []
        for event in events:
            before = rates.charge(rate, card, wallet.unit, 0, 0, cost)
            cost += event.priced.cost or 0
            amount = rates.charge(rate, card, wallet.unit, 0, 0, cost) - before
            charge = ((wallet.key, amount, charged_by[wallet.id]),) if amount else ()
            charged.append(event._replace(charges=event.charges + charge))
        events = tuple(charged)
    return events


def unpriced(events: Iterable[UsageEvent]) -> tuple[Event, ...]:
    """One message for each model or operation that was used without a price."""
    names = {
        (event.usage.provider, event.usage.model, event.usage.operation)
        for event in events
        if event.priced.cost is None
    }
    return tuple(
        Event(EventType.USAGE_UNPRICED, (("provider", provider), ("model", model), ("operation", operation)))
        for provider, model, operation in sorted(names, key=str)
    )
