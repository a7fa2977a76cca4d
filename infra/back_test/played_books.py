"""Played books: one tenant's books while a month is played, in memory alone.

It is the fold that a batch is (`infra.deciding`), with nothing read and nothing written between two decisions. What decides
nothing any more is forgotten on the way, so that a month takes little more memory than the work that is open at a time.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from heapq import heappop, heappush
from uuid import UUID

from domain import funds, reservations
from domain.books import Books, Changes, Decision, EventType, Operation, Request
from domain.budgets import Counter, CounterKey, ScopeKind, ScopeStatus
from domain.catalog import Catalog
from domain.decisions import Answer, Command, decide
from domain.holds import Reservation
from domain.ledger import Posting
from domain.outcomes import Tally
from domain.periods import month_key, month_span
from domain.refusals import BudgetScope, ReservationState
from domain.tenants import Tenant
from infra.batch import Batch, OpenBooks
from infra.deciding import SYSTEM


class PlayedBooks:
    """Books that start as they are given, and what is decided over them. `tally` hears which scopes are stopped; `due` says
    when what is held is overdue."""

    def __init__(self, books: OpenBooks, catalog: Catalog, tally: Tally, *, own_keys_allowed: bool) -> None:
        self.open = books
        self.catalog = catalog
        self._tally = tally
        self._own_keys_allowed = own_keys_allowed
        self._commands = 0
        self._month_ends: datetime | None = None
        self.due: list[tuple[datetime, UUID]] = []
        self.view = self._look()
        for reservation in books.reservations.values():
            self._watch(reservation)

    def request(self, operation: Operation) -> Request:
        """One that was never sent before."""
        self._commands += 1
        return Request(self.open.tenant.id, SYSTEM, operation, str(self._commands), b"")

    def decide(self, command: Command, at: datetime) -> Answer:
        """Decide a command as a batch does, and keep what it changes."""
        decision = self.foresee(command, at)
        self.apply(decision.changes, at)
        return decision.answer

    def foresee(self, command: Command, at: datetime) -> Decision[Answer]:
        """What would be decided. Of that nothing is kept, but that overdue work gave way to it."""
        self._turn_month(at)
        decision = decide(self.view, command, at)
        while reservations.lacks_room(decision.answer) and self._expire_due(command, at):
            decision = decide(self.view, command, at)
        return decision

    def expire(self, reservation_id: UUID, at: datetime) -> bool:
        """Book a reservation that is overdue; whether it was."""
        reservation = self.open.reservations.get(reservation_id)
        if reservation is None or reservation.state is not ReservationState.HELD:
            return False
        if reservation.expires_at is None or reservation.expires_at > at:
            return False
        self.apply(reservations.expire(self.view, reservation, SYSTEM, at), at)
        return True

    def forget(self, reservation_id: UUID) -> None:
        """Nothing more will be asked about a reservation."""
        self.open.reservations.pop(reservation_id, None)
        self.open.new_reservations.discard(reservation_id)

    @contextmanager
    def paid_by(self, payer: UUID, real: Reservation) -> Iterator[None]:
        """While a reservation ends, another one that is forgotten already stands as the one that was consumed for its task."""
        assert real.task is not None, "it is paid for by its task's"
        books = self.open
        if real.id in books.reservations:
            books.reservations[real.id] = books.reservations[real.id]._replace(task=real.task)
        books.reservations[payer] = real._replace(id=payer, state=ReservationState.CONSUMED)
        books.tasks[real.task] = payer
        yield
        books.tasks.clear()
        self.forget(payer)

    def post(self, posting: Posting, at: datetime) -> None:
        """Keep a move of money that no command makes."""
        wallets = (posting.wallet,)
        events = funds.events_of(self.view, wallets, at)
        self.apply(Changes(wallets=wallets, entries=posting.entries, events=events), at)

    def apply(self, changes: Changes, at: datetime) -> None:
        """Make changes part of the books, with what follows at once: an empty prepaid wallet deactivates the campaigns."""
        books, tenant_id = self.open, self.open.tenant.id
        Batch(at, {tenant_id: books}).apply(tenant_id, changes)
        for forgotten in (books.used_keys, books.usage):
            forgotten.clear()
        books.recorded.clear()
        for reservation in changes.reservations:
            self._watch(reservation)
        for scope in changes.scopes:
            if scope.status is not ScopeStatus.ACTIVE:
                reason = scope.pause_reason or scope.status.lower()
                self._tally.stop(BudgetScope(scope.key.kind.value), scope.key.id or None, reason, at)
        if changes.tenant is not None:
            self._month_ends = None
            self.view = self._look()
        if any(event.type is EventType.BALANCE_EMPTY for event in changes.events):
            campaigns = [scope for key, scope in books.scopes.items() if key.kind is ScopeKind.CAMPAIGN]
            self.apply(funds.deactivate(campaigns), at)

    def change_tenant(self, tenant: Tenant) -> None:
        """The tenant is another from now on."""
        self.open.tenant = tenant
        self._month_ends = None
        self.view = self._look()

    def spend(self, keys: Iterable[CounterKey], amount: int) -> tuple[Counter, ...]:
        """The counters with this much more spent."""
        counters = [self.view.book.counter(key) for key in keys]
        return tuple([counter._replace(spent=counter.spent + amount) for counter in counters])

    def _turn_month(self, at: datetime) -> None:
        """The calendar month is that of the tenant's zone, which may change within the month that is played."""
        if self._month_ends is None or at >= self._month_ends:
            zone = self.open.tenant.zone
            self.open.month = month_key(at, zone)
            self._month_ends = month_span(self.open.month, zone).end
            self.view = self._look()

    def _look(self) -> Books:
        return self.open.view(self.catalog, self._own_keys_allowed)

    def _watch(self, reservation: Reservation) -> None:
        """Remember when it is due; forget what has ended. What expired may still be consumed."""
        if reservation.state is ReservationState.HELD:
            if reservation.expires_at is not None:
                heappush(self.due, (reservation.expires_at, reservation.id))
        elif reservation.state is not ReservationState.EXPIRED:
            self.forget(reservation.id)
            while self.due and not self._is_held(*self.due[0]):
                heappop(self.due)

    def _is_held(self, until: datetime, reservation_id: UUID) -> bool:
        """Whether a reservation is still held, and until then."""
        found = self.open.reservations.get(reservation_id)
        return found is not None and found.state is ReservationState.HELD and found.expires_at == until

    def _expire_due(self, command: Command, at: datetime) -> bool:
        """Book what is overdue and gives way to this command; whether there was any."""
        spared: list[tuple[datetime, UUID]] = []
        booked = False
        while self.due and self.due[0][0] <= at:
            until, reservation_id = heappop(self.due)
            if not self._is_held(until, reservation_id):
                continue
            if reservations.gives_way(self.open.reservations[reservation_id], command, at):
                booked = self.expire(reservation_id, at) or booked
            else:
                spared.append((until, reservation_id))
        for due in spared:
            heappush(self.due, due)
        return booked
