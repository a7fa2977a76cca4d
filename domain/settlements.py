"""Settlements: what work really cost is charged, once, and the rest of its hold goes back.

Spend is never lost: a charge above the hold, usage of an expired reservation and usage without one are
booked even where the balance goes below zero; only the next admission is refused (PRODUCT.md 3 and 4).
Amounts are nano-units, quantities nano, costs nano-dollars.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from domain import budgets, ledger, rates, usage
from domain.attribution import Attribution
from domain.books import Books, Changes, Decision, Event, EventType, Request, paused, seen
from domain.budgets import Counter, CounterKey
from domain.holds import ModelName, Recorded, Reservation
from domain.ids import milliseconds_of
from domain.ledger import Draw, Entry, EntryType, Voucher
from domain.money import NANO
from domain.periods import month_key
from domain.rates import ChargeType, Rate, RateCard
from domain.refusals import (
    FieldProblem,
    NotFound,
    Refusal,
    ReservationEnded,
    ReservationState,
    invalid,
)
from domain.reservations import applicable, route_of
from domain.usage import Route, Usage, UsageEvent, UsageKind
from domain.wallets import BucketType, Wallet

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Consume:
    """Settle a reservation. `events` are the calls that were not recorded before, with the ids that they get;
    `quantity` (nano) is what was really made, None as reserved."""

    request: Request
    reservation_id: UUID
    events: tuple[tuple[UUID, Usage], ...]
    quantity: int | None = None


class Consumed(NamedTuple):
    """A settled reservation: charges per wallet and cost stand on it. `events` are those that this consume added."""

    reservation: Reservation
    events: tuple[UsageEvent, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    """One event of a batch, new to us: its id, what was called for which feature, and the reservation that it names."""

    id: UUID
    usage: Usage
    feature: str | None
    reservation_id: UUID | None
    attribution: Attribution


@dataclass(frozen=True, slots=True)
class Record:
    """Take events that happened, each once by (source, event id)."""

    request: Request
    events: tuple[Reported, ...]


class Recording(NamedTuple):
    """The events of a batch as they are kept, how many of it were known before, and the ids of those that name a
    reservation that does not exist."""

    events: tuple[UsageEvent, ...]
    duplicates: int
    rejected: tuple[UUID, ...] = ()

    @property
    def cost(self) -> int:
        """Their known cost, in nano-dollars."""
        return sum(event.priced.cost or 0 for event in self.events)


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
    events = _events(books, reservation, command.events, now)
    recorded = _recorded(reservation, events)
    results = quantity // NANO if recorded.results is None else recorded.results
    if command.quantity is not None:
        results = command.quantity // NANO
    request = command.request
    voucher = Voucher(request.actor, now, reservation.id, "", "", request.idempotency_key)
    wallets, entries, charges = _charge(books, reservation, card, quantity, results, recorded, voucher)
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
        # An expired one takes its task back, whoever stands for it by now: what was settled is never charged again.
        tasks=((task, settled.id),) if task is not None and books.tasks.get(task) != settled.id else (),
        counters=counters,
        scopes=scopes,
        usage=events,
        events=(*(paused(scope) for scope in scopes), *_unpriced(events)),
    )
    return Decision(Consumed(settled, events), changes)


def record(books: Books, command: Record, now: datetime) -> Decision[Recording]:
    """Take what is new. Under an open reservation an event moves what was held to spent and is charged on consume;
    else it is counted in the month when it happened and charged at its feature's rate."""
    voucher = Voucher(command.request.actor, now, None, command.request.idempotency_key)
    folded = _Fold(books)
    events: list[UsageEvent] = []
    fresh = new_events(command.events, books.recorded)
    lost: list[UUID] = []
    for event in fresh:
        if event.reservation_id is not None and event.reservation_id not in books.reservations:
            lost.append(event.id)
            continue
        reservation = None if event.reservation_id is None else folded.reservation(event.reservation_id)
        if reservation is not None and reservation.state is ReservationState.HELD:
            events.append(folded.under(reservation, event, voucher))
        else:
            events.append(folded.alone(reservation, event, voucher))
    recording = Recording(tuple(events), len(command.events) - len(fresh), tuple(lost))
    return folded.decision(recording, voucher)


def new_events(reported: Iterable[Reported], recorded: AbstractSet[tuple[str, str]]) -> tuple[Reported, ...]:
    """The events that are not recorded yet, the first of each (source, event id)."""
    found: dict[tuple[str | None, str | None], Reported] = {}
    for event in reported:
        name = (event.usage.source, event.usage.event_id)
        if name not in recorded:
            found.setdefault(name, event)
    return tuple(found.values())


def occurred(identifier: UUID, reported: Usage) -> datetime:
    """When a call happened: as reported, else the moment of its id; either way the id's milliseconds are its own."""
    if reported.occurred_at is not None:
        return reported.occurred_at
    return EPOCH + timedelta(milliseconds=milliseconds_of(identifier))


class _Fold:
    """One batch of events, folded over the books; nothing of it is seen outside before `decision`."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._reservations: dict[UUID, Reservation] = {}
        self._counters: dict[CounterKey, Counter] = {}
        self._charges: defaultdict[str, int] = defaultdict(int)
        self._attributions: dict[Attribution, None] = {}

    def reservation(self, identifier: UUID) -> Reservation | None:
        """As the events before left it."""
        return self._reservations.get(identifier) or self._books.reservations.get(identifier)

    def under(self, reservation: Reservation, reported: Reported, voucher: Voucher) -> UsageEvent:
        """Usage moves min(cost, remaining) from held to spent, the excess adds to spent only."""
        (event,) = _events(self._books, reservation, ((reported.id, reported.usage),), voucher.at)
        event = event._replace(attribution=usage.attributed(reported.attribution, reservation.attribution))
        spent, used = _spend((event,), reservation.remaining_usd)
        keys = budgets.counter_keys(reservation.attribution, reservation.month)
        self._count(keys, spent, used)
        self._reservations[reservation.id] = reservation._replace(
            remaining_usd=reservation.remaining_usd - used, recorded=_recorded(reservation, (event,))
        )
        self._attributions[event.attribution] = None
        return event

    def alone(self, reservation: Reservation | None, reported: Reported, voucher: Voucher) -> UsageEvent:
        """Spent in the month of its `occurredAt`; charged by a cost-plus, per-unit or per-result rate, if it has one."""
        books = self._books
        inherited = Attribution() if reservation is None else reservation.attribution
        attribution = usage.attributed(reported.attribution, inherited)
        call = _named(reported.usage, None if reservation is None else reservation.model)
        at = occurred(reported.id, call)
        feature = reported.feature or (None if reservation is None else reservation.feature)
        priced = usage.price(call, books.catalog.prices, at, voucher.at)
        card = books.catalog.rate_cards.at(voucher.at, voucher.at)
        feature_rates = () if card is None or feature is None else card.rates_of(feature)
        route = route_of(books, feature_rates, own_key=bool(call.own_key))
        charges: list[tuple[str, int, int]] = []
        for rate in feature_rates:
            wallet = books.wallets.get(rate.wallet_key)
            if card is None or wallet is None or not _charged_alone(rate, route, wallet, call):
                continue
            amount = _charge_alone(rate, card, wallet, call, priced.cost or 0)
            if amount:
                self._charges[wallet.key] += amount
                charges.append((wallet.key, amount, 0))
        keys = budgets.counter_keys(attribution, month_key(at, books.tenant.zone))
        self._count(keys, priced.cost or 0, 0)
        self._attributions[attribution] = None
        return UsageEvent(
            reported.id,
            call,
            at,
            voucher.at,
            feature,
            reported.reservation_id if reservation is not None else None,
            attribution,
            route,
            priced,
            tuple(charges),
        )

    def decision(self, recording: Recording, voucher: Voucher) -> Decision[Recording]:
        """All of it as one change: an entry pair per wallet, and the number of its charge on each event."""
        wallets: list[Wallet] = []
        entries: list[Entry] = []
        for wallet_key, amount in self._charges.items():
            posting = ledger.expire_due(self._books.wallets[wallet_key], voucher)
            posting = posting.then(ledger.settle(posting.wallet, (), amount, voucher))
            wallets.append(posting.wallet)
            entries.extend(posting.entries)
        sequences = {wallet.key: wallet.sequence for wallet in wallets}
        events = tuple(
            event._replace(charges=tuple((key, amount, sequences[key]) for key, amount, _ in event.charges))
            if event.charges
            else event
            for event in recording.events
        )
        counters = tuple(self._counters.values())
        scopes = budgets.pauses_after(self._books.book, counters)
        changes = Changes(
            wallets=tuple(wallets),
            entries=tuple(entries),
            reservations=tuple(self._reservations.values()),
            counters=counters,
            scopes=scopes,
            seen=tuple(dict.fromkeys(found for attribution in self._attributions for found in seen(attribution))),
            usage=events,
            events=(*(paused(scope) for scope in scopes), *_unpriced(events)),
        )
        return Decision(recording._replace(events=events), changes)

    def _count(self, keys: Iterable[CounterKey], spent: int, held: int) -> None:
        for key in keys:
            before = self._counters.get(key) or self._books.book.counter(key)
            self._counters[key] = Counter(key, before.spent + spent, before.held - held)


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


def _events(
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
        named = _named(call, reservation.model)
        at = reservation.created_at
        events.append(
            UsageEvent(
                identifier,
                named,
                occurred(identifier, call),
                now,
                reservation.feature,
                reservation.id,
                reservation.attribution,
                reservation.route,
                usage.price(named, books.catalog.prices, at, at),
            )
        )
    return tuple(events)


def _named(call: Usage, model: ModelName | None) -> Usage:
    """A model or API call that does not say what was called was a call of the reservation's model."""
    if model is None or call.provider is not None or call.model is not None:
        return call
    if call.kind not in (UsageKind.LLM, UsageKind.API):
        return call
    operation = model.operation if call.operation is None else call.operation
    return call._replace(provider=model.provider, model=model.model, operation=operation)


def _recorded(reservation: Reservation, events: tuple[UsageEvent, ...]) -> Recorded:
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
    quantity: int,
    results: int,
    recorded: Recorded,
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
        amount = rates.charge(rate, card, wallet.unit, quantity, results, recorded.cost)
        if recorded.unpriced and rate.charge_type is ChargeType.COST_PLUS and hold is not None:
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
    spent, _ = _spend(events, reservation.remaining_usd)
    counted = budgets.levels(books.book, reservation.attribution, reservation.month)
    return budgets.settle(counted, spent, -reservation.remaining_usd)


def _spend(events: tuple[UsageEvent, ...], remaining: int) -> tuple[int, int]:
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


def _charged_alone(rate: Rate, route: Route, wallet: Wallet, call: Usage) -> bool:
    by_rate = rate.charge_type in (ChargeType.COST_PLUS, ChargeType.PER_UNIT, ChargeType.PER_RESULT)
    consumable = wallet.bucket_type is BucketType.CONSUMABLE
    return by_rate and consumable and applicable(rate, route, wallet, call.model is not None)


def _charge_alone(rate: Rate, card: RateCard, wallet: Wallet, call: Usage, cost: int) -> int:
    quantity = call.calls * NANO if call.units is None else call.units
    return rates.charge(rate, card, wallet.unit, quantity, call.results or 0, cost)


def _unpriced(events: Iterable[UsageEvent]) -> tuple[Event, ...]:
    names = {
        (event.usage.provider, event.usage.model, event.usage.operation)
        for event in events
        if event.priced.cost is None
    }
    return tuple(
        Event(EventType.USAGE_UNPRICED, (("provider", provider), ("model", model), ("operation", operation)))
        for provider, model, operation in sorted(names, key=str)
    )
