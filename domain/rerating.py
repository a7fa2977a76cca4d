"""Re-rating: what happened is priced again by what is known now, and the difference is booked.

A price that was added gives unpriced events their cost; one that was corrected changes it. Events stay as they were: an
amendment carries the difference, dated like its event, so that it lands in the same hour and month. What a price decides,
budgets and cost-plus charges, follows; what a charge does not depend on stays. Whatever is priced rightly already is left
alone, so the same command once more changes nothing.

Amounts are nano-units, costs nano-dollars. Costs that a provider reported, and calls that nobody has to pay, are no list's
to correct.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple
from uuid import UUID

from domain import adjustments, budgets, ids, ledger, rates, settlements, usage
from domain.admission import applicable
from domain.attribution import Attribution
from domain.books import Books, Changes, Decision, Request, paused
from domain.budgets import Counter, CounterKey
from domain.catalog import Catalog
from domain.holds import Recorded, Reservation
from domain.ledger import Entry, EntryType, Posting, Voucher
from domain.money import LARGEST_STORED, fits_storage
from domain.periods import month_key
from domain.rates import ChargeType, Rate, RateCard
from domain.recordings import charged_alone
from domain.refusals import ReservationState
from domain.tenants import Tenant
from domain.usage import Amendment, Priced, UsageEvent
from domain.wallets import LotSource, Wallet

REFERENCE: Final = "rerate"
NOTE: Final = "re-rated"
_DAY: Final = timedelta(days=1)

# The reservation whose charge it is (None: the event's own), and the wallet.
_Place = tuple[UUID | None, str]
_Charges = tuple[tuple[str, int], ...]
_NO_CHARGES: Final[_Charges] = ()


@dataclass(frozen=True, slots=True)
class Rerate:
    """Price events again: each the id that its amendment gets, and its own. What else is made (lots, amendments of
    reservations) has `spare_id` and the ids after it."""

    request: Request
    events: tuple[tuple[UUID, UUID], ...]
    spare_id: UUID


class Rerated(NamedTuple):
    """How many events cost something else now, and how many of them got their first price; how many have no price still,
    belong to work that is not settled yet, or come to more than the books can hold: those are left as they are. `cost` and
    `charges` (by wallet) are what was added, less than 0 where something was given back."""

    corrected: int = 0
    priced: int = 0
    unpriced: int = 0
    held: int = 0
    unfit: int = 0
    cost: int = 0
    charges: _Charges = ()


class _Skipped(Enum):
    """Why an event is left as it is."""

    RIGHT = auto()
    UNPRICED = auto()
    HELD = auto()
    UNFIT = auto()


class _Correction(NamedTuple):
    """What one event changes: its amendment with `charges` that have no entry yet, and the same per reservation."""

    amendment: Amendment
    counters: tuple[Counter, ...]
    reservation: Reservation | None
    charges: tuple[tuple[_Place, int], ...]
    beside: _Charges


def rerate(books: Books, command: Rerate, now: datetime) -> Decision[Rerated]:
    """Correct what the prices known now make different; always granted."""
    folded = _Fold(books, now)
    skipped: list[_Skipped] = []
    for amendment_id, event_id in command.events:
        event = folded.event(event_id)
        if event is not None:
            reason = folded.take(amendment_id, event)
            if reason is not None:
                skipped.append(reason)
    return folded.decision(command, skipped)


def amended(event: UsageEvent, amendment: Amendment) -> UsageEvent:
    """An event with one of its corrections: its cost, its price and its charges as they are now."""
    charges = {key: (amount, sequence) for key, amount, sequence in event.charges}
    for key, amount, sequence in amendment.charges:
        before, entry = charges.get(key, (0, sequence))
        charges[key] = (before + amount, entry)
    return event._replace(
        priced=Priced((event.priced.cost or 0) + amendment.cost, amendment.price_effective_from),
        charges=tuple([(key, amount, sequence) for key, (amount, sequence) in charges.items() if amount]),
        counted=None,
    )


def wallet_keys(catalog: Catalog, event: UsageEvent) -> tuple[str, ...]:
    """The wallets that the correction of an event can touch, besides those of its reservation."""
    return tuple([rate.wallet_key for rate in _rates_alone(catalog, event)[1]])


def months(tenant: Tenant, event: UsageEvent) -> tuple[str, ...]:
    """The months in which an event outside a reservation may have been counted, the likeliest first: with another time
    zone than the tenant's present one it may have been a neighbour."""
    moments = (event.occurred_at, event.occurred_at - _DAY, event.occurred_at + _DAY)
    return tuple(dict.fromkeys([month_key(at, tenant.zone) for at in moments]))


class _Fold:
    """One command, folded over the books; nothing of it is seen outside before `decision`."""

    def __init__(self, books: Books, now: datetime) -> None:
        self._books = books
        self._now = now
        self._events: dict[UUID, UsageEvent] = {}
        self._reservations: dict[UUID, Reservation] = {}
        self._counters: dict[CounterKey, Counter] = {}
        self._charges: defaultdict[_Place, int] = defaultdict(int)
        self._moved: defaultdict[str, int] = defaultdict(int)
        self._beside: defaultdict[UUID, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._amendments: list[Amendment] = []

    def event(self, identifier: UUID) -> UsageEvent | None:
        """As it is now; None: the tenant has no such event."""
        return self._events.get(identifier) or self._books.usage.get(identifier)

    def take(self, amendment_id: UUID, event: UsageEvent) -> _Skipped | None:
        """Correct one event, or say why not."""
        if event.priced.cost is not None and event.priced.effective_from is None:
            return _Skipped.RIGHT
        reservation = self._reservation(event)
        if reservation is not None and reservation.state is ReservationState.HELD:
            return _Skipped.HELD
        at = event.occurred_at if reservation is None else reservation.created_at
        priced = usage.price(event.usage, self._books.catalog.prices, at, self._now)
        if priced.cost is None or priced.effective_from is None:
            return _Skipped.UNPRICED if event.priced.cost is None else _Skipped.RIGHT
        if priced.cost == event.priced.cost:
            return _Skipped.RIGHT
        correction = self._correction(amendment_id, event, reservation, priced, priced.cost)
        if correction is None:
            return _Skipped.UNFIT
        self._apply(event, correction)
        return None

    def decision(self, command: Rerate, skipped: list[_Skipped]) -> Decision[Rerated]:
        """All of it as one change."""
        wallets, entries, sequences = self._post(command)
        spares = self._spares(command, len(entries))
        counters = tuple(self._counters.values())
        scopes = budgets.pauses_after(self._books.book, counters)
        totals: defaultdict[str, int] = defaultdict(int)
        for (_, key), amount in self._charges.items():
            totals[key] += amount
        answer = Rerated(
            len(self._amendments),
            sum([amendment.unpriced < 0 for amendment in self._amendments]),
            skipped.count(_Skipped.UNPRICED),
            skipped.count(_Skipped.HELD),
            skipped.count(_Skipped.UNFIT),
            sum([amendment.cost for amendment in self._amendments]),
            tuple(sorted((key, amount) for key, amount in totals.items() if amount)),
        )
        changes = Changes(
            wallets=tuple(wallets.values()),
            entries=entries,
            reservations=tuple(self._reservations.values()),
            counters=counters,
            scopes=scopes,
            amendments=(*self._numbered(sequences), *self._amendments_beside(spares, sequences)),
            events=tuple([paused(scope) for scope in scopes]),
        )
        return Decision(answer, changes)

    def _reservation(self, event: UsageEvent) -> Reservation | None:
        """The reservation whose terms hold for an event; None: it stands alone."""
        if not event.under_reservation or event.reservation_id is None:
            return None
        return self._reservations.get(event.reservation_id) or self._books.reservations[event.reservation_id]

    def _correction(
        self, amendment_id: UUID, event: UsageEvent, reservation: Reservation | None, priced: Priced, cost: int
    ) -> _Correction | None:
        """What an event's new price changes; None where the books cannot hold it."""
        newly = event.priced.cost is None
        added = cost - (event.priced.cost or 0)
        counted = added - ((event.counted or 0) if newly else 0)
        if reservation is None:
            place, beside = None, _NO_CHARGES
            own = self._charges_alone(event, cost)
            counters = self._counters_of(event.attribution, months(self._books.tenant, event), counted)
        else:
            recorded = _recorded(reservation.recorded, added, newly=newly)
            own, beside, charges = self._charges_under(reservation, recorded)
            place = reservation.id
            counters = self._counters_of(reservation.attribution, (reservation.month,), counted)
            settled = reservation.state is ReservationState.CONSUMED
            known = recorded.cost if settled and not recorded.unpriced else None
            reservation = reservation._replace(recorded=recorded, charges=charges, cost_usd=known)
        moved = [((place, key), amount) for key, amount in (*own, *beside)]
        if counters is None or not fits_storage(cost) or not self._fits(moved):
            return None
        amendment = Amendment(
            amendment_id,
            event.occurred_at,
            self._now,
            event.id,
            event.reservation_id,
            event.usage.kind,
            event.usage.provider,
            event.usage.model,
            event.usage.operation,
            event.feature,
            event.attribution,
            event.route,
            tuple([(key, amount, 0) for key, amount in own]),
            added,
            counted,
            -1 if newly else 0,
            priced.effective_from,
        )
        return _Correction(amendment, counters, reservation, tuple(moved), beside)

    def _apply(self, event: UsageEvent, correction: _Correction) -> None:
        self._events[event.id] = amended(event, correction.amendment)
        self._amendments.append(correction.amendment)
        self._counters.update((counter.key, counter) for counter in correction.counters)
        reservation = correction.reservation
        if reservation is not None:
            self._reservations[reservation.id] = reservation
            for key, amount in correction.beside:
                self._beside[reservation.id][key] += amount
        for place, amount in correction.charges:
            self._charges[place] += amount
            self._moved[place[1]] += abs(amount)

    def _counters_of(self, attribution: Attribution, known: Iterable[str], counted: int) -> tuple[Counter, ...] | None:
        """The counters with this much more spent, in the first month that can be it: spent is never below 0."""
        for month in known:
            counters = [
                Counter(key, before.spent + counted, before.held)
                for key in budgets.counter_keys(attribution, month)
                for before in [self._counters.get(key) or self._books.book.counter(key)]
            ]
            if all(counter.spent >= 0 and fits_storage(counter.spent + counter.held) for counter in counters):
                return tuple(counters)
        return None

    def _charges_alone(self, event: UsageEvent, cost: int) -> _Charges:
        """What its feature's cost-plus rates charge an event more, by the card of when it was recorded."""
        card, feature_rates = _rates_alone(self._books.catalog, event)
        present = {key: amount for key, amount, _ in event.charges}
        found: list[tuple[str, int]] = []
        for rate in feature_rates:
            wallet = self._books.wallets.get(rate.wallet_key)
            if card is None or wallet is None or not charged_alone(rate, event.route, wallet, event.usage):
                continue
            more = rates.cost_plus(card, wallet.unit, cost) - present.get(wallet.key, 0)
            if more:
                found.append((wallet.key, more))
        return tuple(found)

    def _charges_under(self, reservation: Reservation, recorded: Recorded) -> tuple[_Charges, _Charges, _Charges]:
        """What cost-plus rates charge a settled reservation more: the part of the event itself, what is charged beside its
        events (a provisional charge, which ends with its last event without a price), and the charges after it."""
        charges = dict(reservation.charges)
        own: list[tuple[str, int]] = []
        beside: list[tuple[str, int]] = []
        for card, rate, wallet in self._cost_plus(reservation):
            present = charges.get(wallet.key, 0)
            total = rates.cost_plus(card, wallet.unit, recorded.cost)
            step = total - rates.cost_plus(card, wallet.unit, reservation.recorded.cost)
            if recorded.unpriced:
                total = max(total, present)
            charges[rate.wallet_key] = total
            own.append((wallet.key, step))
            beside.append((wallet.key, total - present - step))
        return _without_zeros(own), _without_zeros(beside), _without_zeros(charges.items())

    def _cost_plus(self, reservation: Reservation) -> Iterator[tuple[RateCard, Rate, Wallet]]:
        """The rates by which a settled reservation was charged what it cost."""
        if reservation.state is not ReservationState.CONSUMED:
            return
        card = self._books.catalog.rate_cards.version(reservation.rate_card)
        assert card is not None, "rate card versions stay"
        for rate in card.rates_of(reservation.feature):
            wallet = self._books.wallets.get(rate.wallet_key)
            by_cost = rate.charge_type is ChargeType.COST_PLUS and wallet is not None
            if by_cost and wallet is not None and applicable(rate, reservation.route, wallet, model_named=True):
                yield card, rate, wallet

    def _fits(self, moved: Iterable[tuple[_Place, int]]) -> bool:
        """Whether the wallets can hold these corrections too, in whichever order they are booked."""
        after = dict(self._moved)
        for (_, key), amount in moved:
            after[key] = after.get(key, 0) + abs(amount)
        wallets = [(self._books.wallets[key], amount) for key, amount in after.items()]
        return all(abs(wallet.available) + wallet.granted + amount <= LARGEST_STORED for wallet, amount in wallets)

    def _post(self, command: Rerate) -> tuple[dict[str, Wallet], tuple[Entry, ...], Mapping[_Place, int]]:
        """An entry pair for each reservation and wallet, and one per wallet for what stands alone; what is given back
        comes first. With the number of each one's entry."""
        wallets: dict[str, Wallet] = {}
        entries: list[Entry] = []
        sequences: dict[_Place, int] = {}
        for place, amount in sorted(self._charges.items(), key=lambda item: item[1] > 0):
            if not amount:
                continue
            reservation_id, key = place
            voucher = Voucher(command.request.actor, self._now, reservation_id, REFERENCE, NOTE)
            posting = ledger.expire_due(wallets.get(key) or self._books.wallets[key], voucher)
            if amount > 0:
                posting = posting.then(ledger.settle(posting.wallet, (), amount, voucher))
            else:
                spare = ids.following(command.spare_id, len(entries))
                posting = posting.then(self._give_back(posting.wallet, -amount, spare, voucher))
            wallets[key] = posting.wallet
            entries.extend(posting.entries)
            sequences[place] = posting.wallet.sequence
        return wallets, tuple(entries), sequences

    def _give_back(self, wallet: Wallet, amount: int, lot_id: UUID, voucher: Voucher) -> Posting:
        """As an adjustment does; into a lot like the new one's where there is one, so that many corrections do not make
        many lots."""
        expires_at = adjustments.expiry(self._books, wallet, self._now)
        for lot in wallet.lots:
            if lot.source is LotSource.ADJUSTMENT and lot.available > 0 and lot.expires_at == expires_at:
                return ledger.add(wallet, lot.id, amount, voucher)
        lot = ledger.new_lot(lot_id, LotSource.ADJUSTMENT, self._now, expires_at)
        return ledger.grant(wallet, EntryType.ADJUSTED, lot, amount, voucher)

    def _spares(self, command: Rerate, first: int) -> Iterator[UUID]:
        """Ids that no lot of this command has."""
        while True:
            yield ids.following(command.spare_id, first)
            first += 1

    def _numbered(self, sequences: Mapping[_Place, int]) -> Iterator[Amendment]:
        """The corrections of events, each charge with its entry's number."""
        for amendment in self._amendments:
            assert amendment.event_id is not None, "it corrects an event"
            reservation = self._reservation(self._events[amendment.event_id])
            place = None if reservation is None else reservation.id
            numbered = [(key, amount, sequences.get((place, key), 0)) for key, amount, _ in amendment.charges]
            yield amendment._replace(charges=tuple(numbered))

    def _amendments_beside(self, spares: Iterator[UUID], sequences: Mapping[_Place, int]) -> Iterator[Amendment]:
        """What changes in the charges that no event carries."""
        for identifier, charges in self._beside.items():
            numbered = tuple(
                [(key, amount, sequences.get((identifier, key), 0)) for key, amount in charges.items() if amount]
            )
            if numbered:
                amendment = settlements.charged_beside(self._reservations[identifier], numbered)
                yield amendment._replace(id=next(spares), recorded_at=self._now)


def _recorded(before: Recorded, added: int, *, newly: bool) -> Recorded:
    return before._replace(cost=before.cost + added, unpriced=max(0, before.unpriced - newly))


def _rates_alone(catalog: Catalog, event: UsageEvent) -> tuple[RateCard | None, tuple[Rate, ...]]:
    """The cost-plus rates that charge an event outside a reservation."""
    if event.under_reservation or event.feature is None:
        return None, ()
    card = catalog.rate_cards.at(event.recorded_at, event.recorded_at)
    feature_rates = () if card is None else card.rates_of(event.feature)
    return card, tuple([rate for rate in feature_rates if rate.charge_type is ChargeType.COST_PLUS])


def _without_zeros(charges: Iterable[tuple[str, int]]) -> _Charges:
    return tuple([(key, amount) for key, amount in charges if amount])
