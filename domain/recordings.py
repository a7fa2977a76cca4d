"""Recordings: usage that is reported as it happens, under a reservation or without one.

Such an event is always accepted: the spend is real. Under an open reservation it moves what was held to spent and is
charged on consume; else it is counted in the month when it happened and charged at its feature's cost-plus, per-unit or
per-result rate, below zero if need be (document 001's metering of external cost).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain import budget_steps, budgets, ledger, rates, settlements, usage
from domain.admission import applicable, route_of
from domain.attribution import NOBODY, Attribution
from domain.books import Books, Changes, Decision, Request, paused, seen
from domain.budget_steps import Counted
from domain.budgets import Counter, CounterKey, Level, budget_key
from domain.holds import Reservation
from domain.ledger import Entry, Voucher
from domain.money import NANO, fits_storage
from domain.periods import month_key
from domain.rates import ChargeType, Rate, RateCard
from domain.refusals import FieldProblem, ReservationState
from domain.usage import Route, Usage, UsageEvent
from domain.wallets import BucketType, Wallet


class Reported(NamedTuple):
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


NO_SUCH_RESERVATION: Final = FieldProblem("reservationId", "there is no such reservation")
TOO_MUCH: Final = FieldProblem("usage", "is more than the books can hold: correct its counts or its cost")


class Recording(NamedTuple):
    """The events of a batch as they are kept, how many of it were known before, and the ids of those that cannot be
    taken, with the reason."""

    events: tuple[UsageEvent, ...]
    duplicates: int
    rejected: tuple[tuple[UUID, FieldProblem], ...] = ()

    @property
    def cost(self) -> int:
        """Their known cost, in nano-dollars."""
        return sum(event.priced.cost or 0 for event in self.events)


def record(books: Books, command: Record, now: datetime) -> Decision[Recording]:
    """Take what is new. Under an open reservation an event moves what was held to spent and is charged on consume;
    else it is counted in the month when it happened and charged at its feature's rate."""
    voucher = Voucher(command.request.actor, now, None, command.request.idempotency_key)
    folded = Fold(books)
    events: list[UsageEvent] = []
    fresh = new_events(command.events, books.recorded)
    rejected: list[tuple[UUID, FieldProblem]] = []
    for event in fresh:
        if event.reservation_id is not None and event.reservation_id not in books.reservations:
            rejected.append((event.id, NO_SUCH_RESERVATION))
            continue
        reservation = None if event.reservation_id is None else folded.reservation(event.reservation_id)
        if reservation is not None and reservation.state is ReservationState.HELD:
            taken = folded.under(reservation, event, voucher)
        else:
            taken = folded.alone(reservation, event, voucher)
        if taken is None:
            rejected.append((event.id, TOO_MUCH))
        else:
            events.append(taken)
    recording = Recording(tuple(events), len(command.events) - len(fresh), tuple(rejected))
    return folded.decision(recording, voucher)


def new_events(reported: Iterable[Reported], recorded: AbstractSet[tuple[str, str]]) -> tuple[Reported, ...]:
    """The events that are not recorded yet, the first of each (source, event id)."""
    found: dict[tuple[str | None, str | None], Reported] = {}
    for event in reported:
        name = (event.usage.source, event.usage.event_id)
        if name not in recorded:
            found.setdefault(name, event)
    return tuple(found.values())


class Fold:
    """Events of one command, folded over the books; nothing of it is seen outside before `decision` or `changes`."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._reservations: dict[UUID, Reservation] = {}
        self._counters: dict[CounterKey, Counter] = {}
        self._charges: defaultdict[str, int] = defaultdict(int)
        self._attributions: dict[Attribution, None] = {}

    def reservation(self, identifier: UUID) -> Reservation | None:
        """As the events before left it."""
        return self._reservations.get(identifier) or self._books.reservations.get(identifier)

    def under(self, reservation: Reservation, reported: Reported, voucher: Voucher) -> UsageEvent | None:
        """Usage moves min(cost, remaining) from held to spent, the excess adds to spent only. None: too much."""
        (event,) = settlements.events_of(self._books, reservation, ((reported.id, reported.usage),), voucher.at)
        event = event._replace(attribution=usage.attributed(reported.attribution, reservation.attribution))
        (event,) = settlements.counted((event,), reservation.remaining_usd)
        spent, used = settlements.spend((event,), reservation.remaining_usd)
        counted = self._counted(reservation.attribution, reservation.month, spent)
        if not self._count(budgets.counter_keys(reservation.attribution, reservation.month), spent, used, ()):
            return None
        self._reservations[reservation.id] = reservation._replace(
            remaining_usd=reservation.remaining_usd - used, recorded=settlements.with_recorded(reservation, (event,))
        )
        self._attributions[event.attribution] = None
        return event._replace(steps=counted)

    def alone(self, reservation: Reservation | None, reported: Reported, voucher: Voucher) -> UsageEvent | None:
        """Spent in the month of its `occurredAt`; charged by a cost-plus, per-unit or per-result rate, if it has one.
        None: too much."""
        event = rate(self._books, reported, voucher.at, reservation)
        charges = tuple([(key, amount) for key, amount, _ in event.charges])
        cost = event.priced.cost or 0
        counted = self._counted(event.attribution, month_key(event.occurred_at, self._books.tenant.zone), cost)
        fits = self.count(event.attribution, event.occurred_at, cost, charges)
        return event._replace(steps=counted) if fits else None

    def count(self, attribution: Attribution, at: datetime, cost: int, charges: Sequence[tuple[str, int]]) -> bool:
        """Count and charge what happened then, unless a counter or a wallet could not hold it."""
        keys = budgets.counter_keys(attribution, month_key(at, self._books.tenant.zone))
        fits = self._count(keys, cost, 0, charges)
        if fits:
            self._attributions[attribution] = None
        return fits

    def decision(self, recording: Recording, voucher: Voucher) -> Decision[Recording]:
        """All of it as one change: an entry pair per wallet, and the number of its charge on each event."""
        changes = self.changes(voucher)
        sequences = {wallet.key: wallet.sequence for wallet in changes.wallets}
        events = tuple(
            event._replace(charges=tuple((key, amount, sequences[key]) for key, amount, _ in event.charges))
            if event.charges
            else event
            for event in recording.events
        )
        told = changes.events + settlements.unpriced(events)
        return Decision(recording._replace(events=events), changes._replace(usage=events, events=told))

    def changes(self, voucher: Voucher) -> Changes:
        """What was counted and charged, without the events themselves."""
        wallets: list[Wallet] = []
        entries: list[Entry] = []
        for wallet_key, amount in self._charges.items():
            posting = ledger.expire_due(self._books.wallets[wallet_key], voucher)
            posting = posting.then(ledger.settle(posting.wallet, (), amount, voucher))
            wallets.append(posting.wallet)
            entries.extend(posting.entries)
        counters = tuple(self._counters.values())
        scopes = budgets.pauses_after(self._books.book, counters)
        return Changes(
            wallets=tuple(wallets),
            entries=tuple(entries),
            reservations=tuple(self._reservations.values()),
            counters=counters,
            scopes=scopes,
            seen=tuple(dict.fromkeys(found for attribution in self._attributions for found in seen(attribution))),
            events=tuple(paused(scope) for scope in scopes),
        )

    def _counted(self, attribution: Attribution, month: str, spent: int) -> Counted:
        """What this much more spent does, for the event's receipt."""
        book = self._books.book
        levels = [
            Level(self._counters.get(key) or book.counter(key), book.budget(budget_key(key)))
            for key in budgets.counter_keys(attribution, month)
        ]
        return budget_steps.spent(levels, month, spent)

    def _count(self, keys: Iterable[CounterKey], spent: int, held: int, charges: Sequence[tuple[str, int]]) -> bool:
        counters: list[Counter] = []
        for key in keys:
            before = self._counters.get(key) or self._books.book.counter(key)
            counters.append(Counter(key, before.spent + spent, before.held - held))
        fits = all(fits_storage(counter.spent + counter.held) for counter in counters)
        for wallet_key, amount in charges:
            wallet, charged = self._books.wallets[wallet_key], self._charges[wallet_key] + amount
            fits = fits and fits_storage(wallet.available - charged) and fits_storage(wallet.consumed + charged)
        if fits:
            self._counters.update((counter.key, counter) for counter in counters)
            for wallet_key, amount in charges:
                self._charges[wallet_key] += amount
        return fits


def rate(books: Books, reported: Reported, now: datetime, reservation: Reservation | None = None) -> UsageEvent:
    """An event on its own: what it cost, and what its feature's cost-plus, per-unit or per-result rate charges for it
    (without the number of the entry). `reservation` is the ended one that it names: it lends what the event leaves out."""
    inherited = NOBODY if reservation is None else reservation.attribution
    attribution = usage.attributed(reported.attribution, inherited)
    call = settlements.named(reported.usage, None if reservation is None else reservation.model)
    at = usage.occurred(reported.id, call)
    feature = reported.feature or (None if reservation is None else reservation.feature)
    priced = usage.price(call, books.catalog.prices, at, now)
    card = None if feature is None else books.catalog.rate_cards.at(now, now)
    feature_rates = () if card is None or feature is None else card.rates_of(feature)
    route = route_of(books, feature_rates, own_key=bool(call.own_key))
    charges: list[tuple[str, int, int]] = []
    for one in feature_rates:
        wallet = books.wallets.get(one.wallet_key)
        if card is None or wallet is None or not charged_alone(one, route, wallet, call):
            continue
        amount = _charge_alone(one, card, wallet, call, priced.cost or 0)
        if amount:
            charges.append((wallet.key, amount, 0))
    return UsageEvent(
        reported.id,
        call,
        at,
        now,
        feature,
        reported.reservation_id if reservation is not None else None,
        attribution,
        route,
        priced,
        tuple(charges),
    )


def charged_alone(rate: Rate, route: Route, wallet: Wallet, call: Usage) -> bool:
    """Whether a rate of its feature charges an event on its own."""
    by_rate = rate.charge_type in (ChargeType.COST_PLUS, ChargeType.PER_UNIT, ChargeType.PER_RESULT)
    consumable = wallet.bucket_type is BucketType.CONSUMABLE
    return by_rate and consumable and applicable(rate, route, wallet, call.model is not None)


def _charge_alone(rate: Rate, card: RateCard, wallet: Wallet, call: Usage, cost: int) -> int:
    quantity = call.calls * NANO if call.units is None else call.units
    return rates.charge(rate, card, wallet.unit, quantity, call.results or 0, cost)
