"""Opening: a tenant's books as they were when a month began, worked out from what stands today and what was added since.

Wallets and their lots go back entry by entry (`domain.hindsight`); on the way it is noted what only the ledger knows of the
month: the money that no work moved.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from domain import hindsight, settlements, subscriptions
from domain.budgets import Budget, BudgetKey, CounterKey, Scope, ScopeKey, counter_keys
from domain.budgets import Counter as BudgetCounter
from domain.cycles import Allocation
from domain.holds import NOTHING_RECORDED, Hold, Reservation
from domain.ledger import Draw, Entry, EntryType
from domain.refusals import ReservationState
from domain.rerating import REFERENCE as CORRECTION
from domain.tenants import Tenant
from domain.usage import UsageEvent
from domain.wallets import Lot, Wallet, in_burn_order
from infra.amended_usage import AS_RECORDED, event_of
from infra.back_test.facts import Fact, Moved
from infra.batch import OpenBooks
from infra.identifiers import first_id
from infra.ledger_rows import ENTRY_COLUMNS, entry_of
from infra.reservation_rows import RESERVATION_COLUMNS, reservation_of
from infra.transaction import Connection
from infra.wallet_rows import LOT_COLUMNS, WALLET_COLUMNS, lot_of, wallet_of

# Rows that are read without letting others have their turn: a few milliseconds' worth.
ROWS_AT_ONCE: Final = 200
# Work that runs longer than this holds a wallet, whose entries name it.
LONGEST: Final = timedelta(days=40)
_WAITING: Final = timedelta(days=1)
_WALLETS: Final = f"SELECT {WALLET_COLUMNS} FROM wallet w WHERE tenant_id = $1 ORDER BY key"
_LOTS: Final = f"SELECT {LOT_COLUMNS} FROM lot l WHERE tenant_id = $1 AND wallet_id = $2"
_ENTRIES: Final = f"""
SELECT {ENTRY_COLUMNS} FROM ledger_entry WHERE tenant_id = $1 AND wallet_id = $2 ORDER BY sequence DESC"""
# The first that is consumed for a task stands for it ever after.
PAID_BY: Final = """(SELECT t.reservation_id FROM task t
    WHERE r.state = 'CONSUMED' AND (t.tenant_id, t.feature, t.key) = (r.tenant_id, r.task_feature, r.task_key)
        AND t.reservation_id <> r.id) AS paid_by"""
_RESERVATIONS: Final = f"""
SELECT {RESERVATION_COLUMNS}, {PAID_BY} FROM reservation r WHERE tenant_id = $1 AND created_at < $2"""
# Capacity, which never expires, is looked for where it ends.
_OPEN_THEN: Final = f"""
{_RESERVATIONS} AND id >= $3 AND id < $4 AND ended_at >= $2
UNION ALL
{_RESERVATIONS} AND state = 'HELD' AND (remaining_usd > 0 OR expires_at IS NOT NULL)"""
_NAMED: Final = f"{_RESERVATIONS} AND ended_at >= $2 AND id = ANY($3::uuid[])"
_RECORDED_BEFORE: Final = AS_RECORDED.format(
    events="""SELECT * FROM usage_event WHERE tenant_id = $1 AND reservation_id = ANY($2::uuid[])
        AND under_reservation AND recorded_at < $3 AND occurred_at > $4"""
)


@dataclass(slots=True)
class Opening:
    """The books at `start`, and what the ledger tells of [start, end). `closing` are the wallets as they
    really were at `end`, without their lots. `held` says what open work holds in each counter, `granted` what plans granted
    since, by wallet key and start of the cycle."""

    tenant: Tenant
    month: str
    start: datetime
    end: datetime
    wallets: dict[str, Wallet] = field(default_factory=dict)
    closing: dict[str, Wallet] = field(default_factory=dict)
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    ends: list[Reservation] = field(default_factory=list)
    payers: dict[UUID, UUID] = field(default_factory=dict)
    held: defaultdict[CounterKey, int] = field(default_factory=lambda: defaultdict(int))
    counters: dict[CounterKey, BudgetCounter] = field(default_factory=dict)
    scopes: dict[ScopeKey, Scope] = field(default_factory=dict)
    budgets: dict[BudgetKey, Budget] = field(default_factory=dict)
    defaults: dict[BudgetKey, Budget] = field(default_factory=dict)
    allocations: dict[str, Allocation] = field(default_factory=dict)
    granted: Counter[tuple[str, str]] = field(default_factory=Counter)
    facts: list[Fact] = field(default_factory=list)

    def meet(self, row: asyncpg.Record) -> Reservation:
        """The reservation of a row that ends with who paid for its task."""
        _, reservation = reservation_of(row[:-1])
        if row["paid_by"] is not None:
            self.payers[reservation.id] = row["paid_by"]
        return reservation

    def fill(self, books: OpenBooks) -> None:
        """Begin books with it."""
        books.wallets.update(self.wallets)
        books.reservations.update(self.reservations)
        books.counters.update(self.counters)
        books.scopes.update(self.scopes)
        books.budgets.update(self.budgets)
        books.defaults.update(self.defaults)
        books.allocations.update(self.allocations)


class _Past:
    """What one pass over the ledger, newest first, finds out about reservations: those that began too long ago to be found
    otherwise, and by lot what later extensions hold in (reservation, wallet key)."""

    def __init__(self, extended: Iterable[Reservation], since: UUID) -> None:
        self.since = since
        self.named: set[UUID] = set()
        self.moments = {(found.id, extension.at) for found in extended for extension in found.extensions}
        self.extended: defaultdict[tuple[UUID, str], Counter[UUID]] = defaultdict(Counter)

    def note(self, wallet_key: str, entry: Entry) -> None:
        """An entry of the month."""
        reservation_id = entry.voucher.reservation_id
        if reservation_id is None:
            return
        if reservation_id < self.since:
            self.named.add(reservation_id)
        if entry.type is EntryType.RESERVED and (reservation_id, entry.voucher.at) in self.moments:
            self.extended[reservation_id, wallet_key].update(dict(entry.draws))


def ids_of(start: datetime, end: datetime) -> tuple[UUID, UUID]:
    """From which id on, and up to which, those lie of what was decided in [start, end): ids are made when a request arrives,
    which may wait for its decision, and by another clock."""
    return first_id(start - _WAITING), first_id(end + _WAITING)


async def read(connection: Connection, opening: Opening) -> None:
    """Work out wallets and open reservations; the plan is `subscription`'s, caps and pauses are `controls`'."""
    tenant_id, start = opening.tenant.id, opening.start
    since, until = ids_of(start - LONGEST, start)
    found = [opening.meet(row) for row in await connection.fetch(_OPEN_THEN, tenant_id, start, since, until)]
    past = _Past(found, since)
    for row in await connection.fetch(_WALLETS, tenant_id):
        wallet = wallet_of(row[:])
        await _go_back(connection, opening, wallet, past)
    rows = await connection.fetch(_NAMED, tenant_id, start, list(past.named))
    await _open(connection, opening, [*found, *map(opening.meet, rows)], past)


async def _go_back(connection: Connection, opening: Opening, wallet: Wallet, past: _Past) -> None:
    start, end = opening.start, opening.end
    lots = [lot_of(row[:]) for row in await connection.fetch(_LOTS, wallet.tenant_id, wallet.id)]
    known: dict[UUID, Lot] = {lot.id: lot for lot in lots if lot is not None}
    # Only the lots of one entry are looked at in each step back.
    bare = wallet._replace(lots=())
    closing: Wallet | None = None
    newest_first: list[Fact] = []
    async for row in connection.cursor(_ENTRIES, wallet.tenant_id, wallet.id, prefetch=ROWS_AT_ONCE):
        entry = entry_of(row[:])
        at = entry.voucher.at
        if at < end and closing is None:
            closing = bare._replace(lots=())
        if at < start:
            break
        granted_for = subscriptions.granted_for(entry.voucher.reference)
        if granted_for is not None:
            opening.granted[wallet.key, granted_for] += entry.amount
        touched = {draw.lot_id for draw in entry.draws} | {repaid.lot_id for repaid in entry.repayments}
        if entry.repayments:
            touched.add(wallet.id)
        if at < end:
            past.note(wallet.key, entry)
            newest_first.extend(_facts(wallet.key, entry, known[entry.draws[0].lot_id]))
        bare = hindsight.before(bare._replace(lots=tuple([known[lot_id] for lot_id in touched])), entry)
        known.update({lot.id: lot for lot in bare.lots})
    bare = bare._replace(lots=())
    opening.closing[wallet.key] = closing or bare
    opening.facts.extend(reversed(newest_first))
    open_lots = tuple([lot for lot in known.values() if lot.is_open])
    opening.wallets[wallet.key] = bare._replace(lots=in_burn_order(bare, open_lots))


def _facts(wallet_key: str, entry: Entry, lot: Lot) -> Iterator[Fact]:
    """What the month's entry tells that nothing else does."""
    voucher = entry.voucher
    by_work = entry.type in (EntryType.RESERVED, EntryType.RELEASED, EntryType.CONSUMED)
    if not by_work or (entry.type is EntryType.CONSUMED and voucher.reference == CORRECTION):
        yield Fact(voucher.at, Moved(wallet_key, entry, lot))


async def _open(connection: Connection, opening: Opening, found: list[Reservation], past: _Past) -> None:
    if not found:
        return
    earliest = min(reservation.created_at for reservation in found) - timedelta(days=1)
    recorded: defaultdict[UUID | None, list[UsageEvent]] = defaultdict(list)
    ids = [reservation.id for reservation in found]
    for row in await connection.fetch(_RECORDED_BEFORE, opening.tenant.id, ids, opening.start, earliest):
        event = event_of(row)
        recorded[event.reservation_id].append(event)
    for reservation in found:
        then = _as_it_was(reservation, recorded[reservation.id], past, opening.start)
        for key in counter_keys(then.attribution, then.month):
            opening.held[key] += then.remaining_usd
        if reservation.ended_at is not None or reservation.expires_at is not None:
            opening.reservations[then.id] = then
            opening.ends.append(reservation)


def _as_it_was(real: Reservation, recorded: list[UsageEvent], past: _Past, start: datetime) -> Reservation:
    """A reservation that was open when the month began, with what it held and what was recorded under it by then."""
    later = [extension for extension in real.extensions if extension.at >= start]
    holds: list[Hold] = []
    for hold in real.holds:
        since = past.extended[real.id, hold.wallet_key]
        draws = [Draw(lot_id, amount - since[lot_id]) for lot_id, amount in hold.draws if amount > since[lot_id]]
        holds.append(Hold(hold.wallet_key, sum([draw.amount for draw in draws]), tuple(draws)))
    held = real.held_usd - sum([extension.cost for extension in later])
    _, used = settlements.spend(recorded, held)
    expired_at = real.expired_at if real.expired_at is not None and real.expired_at < start else None
    return real._replace(
        state=ReservationState.HELD if expired_at is None else ReservationState.EXPIRED,
        holds=tuple(hold for hold in holds if hold.amount),
        held_usd=held,
        remaining_usd=held - used if expired_at is None else 0,
        expires_at=later[0].until if later else real.expires_at,
        recorded=settlements.with_recorded(real._replace(recorded=NOTHING_RECORDED), tuple(recorded)),
        charges=(),
        cost_usd=None,
        settled_events=(),
        ended_at=expired_at,
        counted=real.counted[:1],
        extensions=tuple([extension for extension in real.extensions if extension.at < start]),
        made=None,
        expired_at=expired_at,
    )
