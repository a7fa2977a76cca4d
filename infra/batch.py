"""A batch while it is decided: each tenant's books as they were read, overlaid by what was changed."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from domain.audit_log import AuditEvent
from domain.books import Books, Changes, Event, Named, Operation, Seen, Used
from domain.budget_steps import CountedBatch
from domain.budgets import (
    Budget,
    BudgetBook,
    BudgetKey,
    Counter,
    CounterKey,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
)
from domain.catalog import Catalog
from domain.cycles import Allocation
from domain.holds import Reservation, TaskKey
from domain.ledger import Entry
from domain.payments import AutoRecharge, TopUp
from domain.periods import month_key
from domain.rerating import amended
from domain.tenants import Tenant
from domain.usage import Amendment, UsageEvent
from domain.wallets import Lot, Wallet

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(slots=True)
class OpenBooks:
    """One tenant's books while a batch is decided: what was read, overlaid by what was changed.

    `books` looks into these same dictionaries, so that each decision sees what the ones before it did.
    """

    tenant: Tenant
    month: str
    agents: set[str] | None = None
    allocations: dict[str, Allocation] = field(default_factory=dict)
    top_ups: dict[UUID, TopUp] = field(default_factory=dict)
    told_cards: dict[UUID, tuple[str, str] | None] = field(default_factory=dict)
    recharges: dict[str, AutoRecharge] = field(default_factory=dict)
    wallets: dict[str, Wallet] = field(default_factory=dict)
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    tasks: dict[TaskKey, UUID] = field(default_factory=dict)
    used_keys: dict[tuple[Operation, str], Used] = field(default_factory=dict)
    budgets: dict[BudgetKey, Budget] = field(default_factory=dict)
    defaults: dict[BudgetKey, Budget] = field(default_factory=dict)
    counters: dict[CounterKey, Counter] = field(default_factory=dict)
    scopes: dict[ScopeKey, Scope] = field(default_factory=dict)
    recorded: set[tuple[str, str]] = field(default_factory=set)
    usage: dict[UUID, UsageEvent] = field(default_factory=dict)
    loaded_lots: dict[UUID, Lot] = field(default_factory=dict)
    loaded_counters: set[tuple[CounterKey, BudgetKey]] = field(default_factory=set)
    loaded_budgets: set[BudgetKey] = field(default_factory=set)
    new_reservations: set[UUID] = field(default_factory=set)
    due_read: int = 0
    due_is_booked: bool = False
    spared: set[UUID] = field(default_factory=set)

    def view(self, catalog: Catalog, own_keys_allowed: bool) -> Books:
        """What the rules look at."""
        book = BudgetBook(self.month, self.budgets, self.defaults, self.counters, self.scopes)
        return Books(
            self.tenant,
            catalog,
            own_keys_allowed,
            self.wallets,
            book,
            self.reservations,
            self.tasks,
            self.used_keys,
            self.recorded,
            self.agents,
            self.allocations,
            self.top_ups,
            self.recharges,
            self.usage,
        )


@dataclass(slots=True)
class Batch:
    """All that a batch has read and will write. `now` is the moment of the decision that is made; the sets hold the keys of
    what differs from the database."""

    now: datetime
    tenants: dict[UUID, OpenBooks] = field(default_factory=dict)
    wallets: set[tuple[UUID, str]] = field(default_factory=set)
    reservations: set[tuple[UUID, UUID]] = field(default_factory=set)
    extended: set[tuple[UUID, UUID]] = field(default_factory=set)
    counters: set[tuple[UUID, CounterKey]] = field(default_factory=set)
    scopes: set[tuple[UUID, ScopeKey]] = field(default_factory=set)
    tasks: set[tuple[UUID, TaskKey]] = field(default_factory=set)
    budgets: dict[tuple[UUID, BudgetKey], Budget | None] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    usage: list[tuple[UUID, UsageEvent]] = field(default_factory=list)
    amendments: list[tuple[UUID, Amendment]] = field(default_factory=list)
    used_keys: list[tuple[UUID, Operation, str, Used, datetime]] = field(default_factory=list)
    events: list[tuple[UUID, Event, datetime]] = field(default_factory=list)
    seen: dict[tuple[UUID, Seen], None] = field(default_factory=dict)
    names: list[tuple[UUID, Named]] = field(default_factory=list)
    new_wallets: list[Wallet] = field(default_factory=list)
    changed_tenants: set[UUID] = field(default_factory=set)
    rezoned: set[UUID] = field(default_factory=set)
    allocations: list[tuple[UUID, Allocation]] = field(default_factory=list)
    top_ups: set[tuple[UUID, UUID]] = field(default_factory=set)
    recharges: set[tuple[UUID, str]] = field(default_factory=set)
    counted_batches: list[tuple[UUID, CountedBatch]] = field(default_factory=list)
    audit_events: list[tuple[AuditEvent, datetime]] = field(default_factory=list)

    def apply(self, tenant_id: UUID, changes: Changes) -> None:
        """Make a decision's changes part of the books that the next one sees, and of what is written."""
        books = self.tenants[tenant_id]
        for wallet in changes.wallets:
            books.wallets[wallet.key] = wallet
            self.wallets.add((tenant_id, wallet.key))
        for reservation in changes.reservations:
            self._apply_reservation(tenant_id, books, reservation)
        for counter in changes.counters:
            books.counters[counter.key] = counter
            self.counters.add((tenant_id, counter.key))
        for operation, key_text, used in changes.used_keys:
            books.used_keys[operation, key_text] = used
            self.used_keys.append((tenant_id, operation, key_text, used, self.now))
        self.entries.extend(changes.entries)
        for event in changes.usage:
            if event.usage.source is not None and event.usage.event_id is not None:
                books.recorded.add((event.usage.source, event.usage.event_id))
            books.usage[event.id] = event
            self.usage.append((tenant_id, event))
        for seen in changes.seen:
            self.seen[tenant_id, seen] = None
            if seen.key not in books.scopes:
                books.scopes[seen.key] = Scope(seen.key)
                if books.agents is not None and seen.key.kind is ScopeKind.AGENT:
                    books.agents.add(seen.key.id)
        if changes.tasks or changes.scopes or changes.names or changes.budgets or changes.events or changes.amendments:
            self._apply_rare(tenant_id, books, changes)
        if changes.tenant is not None or changes.top_ups or changes.recharges or changes.counted_batch:
            self._apply_seldom(tenant_id, books, changes)

    def add_wallet(self, wallet: Wallet) -> None:
        """A wallet that did not exist before."""
        self.tenants[wallet.tenant_id].wallets[wallet.key] = wallet
        self.new_wallets.append(wallet)

    def _apply_reservation(self, tenant_id: UUID, books: OpenBooks, reservation: Reservation) -> None:
        before = books.reservations.get(reservation.id)
        if before is None:
            books.new_reservations.add(reservation.id)
        elif before.held_usd != reservation.held_usd or before.expires_at is not reservation.expires_at:
            self.extended.add((tenant_id, reservation.id))
        books.reservations[reservation.id] = reservation
        self.reservations.add((tenant_id, reservation.id))

    def _apply_rare(self, tenant_id: UUID, books: OpenBooks, changes: Changes) -> None:
        for task, reservation_id in changes.tasks:
            _put(books.tasks, task, reservation_id)
            self.tasks.add((tenant_id, task))
        for scope in changes.scopes:
            books.scopes[scope.key] = scope
            self.scopes.add((tenant_id, scope.key))
            if books.agents is not None and scope.key.kind is ScopeKind.AGENT:
                if scope.status is ScopeStatus.INACTIVE:
                    books.agents.discard(scope.key.id)
                else:
                    books.agents.add(scope.key.id)
        for named in changes.names:
            self._apply_name(tenant_id, books, named)
        for key, budget in changes.budgets:
            _put(books.budgets, key, budget)
            self.budgets[tenant_id, key] = budget
        self._apply_amendments(tenant_id, books, changes.amendments)
        for message in changes.events:
            self.events.append((tenant_id, message, self.now))

    def _apply_amendments(self, tenant_id: UUID, books: OpenBooks, amendments: Iterable[Amendment]) -> None:
        for amendment in amendments:
            self.amendments.append((tenant_id, amendment))
            if amendment.event_id is not None:
                books.usage[amendment.event_id] = amended(books.usage[amendment.event_id], amendment)

    def _apply_name(self, tenant_id: UUID, books: OpenBooks, named: Named) -> None:
        scope = books.scopes.get(named.key)
        if scope is None and books.agents is not None and named.key.kind is ScopeKind.AGENT:
            books.agents.add(named.key.id)
        books.scopes[named.key] = replace(scope or Scope(named.key), name=named.name)
        self.names.append((tenant_id, named))

    def _apply_seldom(self, tenant_id: UUID, books: OpenBooks, changes: Changes) -> None:
        if changes.tenant is not None:
            if changes.tenant.zone != books.tenant.zone:
                self.rezoned.add(tenant_id)
            books.tenant = changes.tenant
            books.month = month_key(self.now, changes.tenant.zone)
            self.changed_tenants.add(tenant_id)
        for allocation in changes.allocations:
            books.allocations[allocation.wallet_key] = allocation
            self.allocations.append((tenant_id, allocation))
        for top_up in changes.top_ups:
            books.top_ups[top_up.id] = top_up
            self.top_ups.add((tenant_id, top_up.id))
        for recharge in changes.recharges:
            books.recharges[recharge.wallet_key] = recharge
            self.recharges.add((tenant_id, recharge.wallet_key))
        if changes.counted_batch is not None:
            self.counted_batches.append((tenant_id, changes.counted_batch))


def open_batch(tenants: Iterable[Tenant], now: datetime) -> Batch:
    """Empty books for each tenant."""
    batch = Batch(now)
    for tenant in tenants:
        batch.tenants[tenant.id] = OpenBooks(tenant, month_key(now, tenant.zone))
    return batch


def _put(places: dict[Key, Value], key: Key, value: Value | None) -> None:
    """Put a value in its place; None empties it."""
    if value is None:
        places.pop(key, None)
    else:
        places[key] = value
