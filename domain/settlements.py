"""Settlements: what work really cost is charged, once, and the rest of its hold goes back.

Spend is never lost: a charge above the hold, usage of an expired reservation and usage without one are
booked even where the balance goes below zero; only the next admission is refused (PRODUCT.md 3 and 4).
Amounts are nano-units, quantities nano, costs nano-dollars.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain import budget_steps, budgets, ledger, rates, usage
from domain.admission import applicable
from domain.books import Books, Changes, Decision, Event, EventType, Request, paused
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
from domain.usage import Amendment, Usage, UsageEvent, UsageKind
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
    events = counted(events, reservation.remaining_usd)
    levels = budgets.levels(books.book, reservation.attribution, reservation.month)
    spent, _ = spend(events, reservation.remaining_usd)
    counters = budgets.settle(levels, spent, -reservation.remaining_usd)
    scopes = budgets.pauses_after(books.book, counters)
    settled = reservation._replace(
        state=ReservationState.CONSUMED,
        remaining_usd=0,
        recorded=recorded,
        charges=tuple((wallet.key, amount) for wallet, amount in charges),
        cost_usd=None if recorded.unpriced else recorded.cost,
        settled_events=tuple(event.id for event in events),
        ended_at=now,
        made=command.quantity,
        counted=(*reservation.counted, budget_steps.spent(levels, reservation.month, spent)),
    )
    events, amendments = _with_charges(settled, card, events, charges, entries)
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
        amendments=amendments,
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
                under_reservation=True,
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
        before.unpriced + sum([event.priced.cost is None for event in events]),
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


def spend(events: Iterable[UsageEvent], remaining: int) -> tuple[int, int]:
    """What events add to spent, and how much of that had been held."""
    spent = sum([event.priced.cost or event.counted or 0 for event in events])
    return spent, min(spent, remaining)


def counted(events: tuple[UsageEvent, ...], remaining: int) -> tuple[UsageEvent, ...]:
    """The events with what budgets count for those without a price: together they are taken to have cost what is left
    of the hold beside the others, and the first of them stands for all (PRODUCT.md 5)."""
    for index, event in enumerate(events):
        if event.priced.cost is None:
            known = sum([event.priced.cost or 0 for event in events])
            whole = event._replace(counted=max(0, remaining - known))
            return (*events[:index], whole, *events[index + 1 :])
    return events


def _with_charges(
    settled: Reservation,
    card: RateCard,
    events: tuple[UsageEvent, ...],
    charges: tuple[tuple[Wallet, int], ...],
    entries: tuple[Entry, ...],
) -> tuple[tuple[UsageEvent, ...], tuple[Amendment, ...]]:
    """Say on each event what it was charged: the steps of a cost-plus total, any other charge with the first call. What
    no call of this settlement carries is an amendment: so events and amendments add up to the charges."""
    if not charges:
        return events, ()
    charged_by = {entry.wallet_id: entry.sequence for entry in entries if entry.type is EntryType.CONSUMED}
    cost_plus = {rate.wallet_key for rate in card.rates_of(settled.feature) if rate.charge_type is ChargeType.COST_PLUS}
    lone: list[tuple[str, int, int]] = []
    for wallet, amount in charges:
        if wallet.key in cost_plus:
            steps = _steps(settled, card, wallet, events)
        else:
            steps = [amount if index == 0 else 0 for index in range(len(events))]
        rest = amount - sum(steps)
        if rest:
            lone.append((wallet.key, rest, charged_by[wallet.id]))
        events = tuple(
            [
                event._replace(charges=(*event.charges, (wallet.key, step, charged_by[wallet.id]))) if step else event
                for event, step in zip(events, steps, strict=True)
            ]
        )
    return events, (charged_beside(settled, tuple(lone)),) if lone else ()


def _steps(settled: Reservation, card: RateCard, wallet: Wallet, events: tuple[UsageEvent, ...]) -> list[int]:
    """What each event adds to a cost-plus charge, so that all of them add up exactly."""
    cost = settled.recorded.cost - sum([event.priced.cost or 0 for event in events])
    before = rates.cost_plus(card, wallet.unit, cost)
    steps: list[int] = []
    for event in events:
        cost += event.priced.cost or 0
        after = rates.cost_plus(card, wallet.unit, cost)
        steps.append(after - before)
        before = after
    return steps


def charged_beside(settled: Reservation, charges: tuple[tuple[str, int, int], ...]) -> Amendment:
    """What a settled reservation is charged that no event carries."""
    model, at = settled.model, settled.ended_at
    assert at is not None, "it was settled"
    return Amendment(
        settled.id,
        at,
        at,
        None,
        settled.id,
        None,
        None if model is None else model.provider,
        None if model is None else model.model,
        None if model is None else model.operation,
        settled.feature,
        settled.attribution,
        settled.route,
        charges,
    )


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
