"""Books of a batch: the state that its commands need, read from PostgreSQL and kept while the batch is decided.

Everything is read after the tenants' rows are locked, in statements of their own: a statement that locks
and reads at once would see rows older than the lock. What the batch has already changed is never read
over.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import asyncpg

from domain.adjustments import AdjustWallet, ExpireLots, Grant
from domain.attribution import NOBODY, Attribution
from domain.books import Operation, Used
from domain.budgets import (
    SCOPE_KINDS,
    Budget,
    BudgetKey,
    BudgetPeriod,
    Counter,
    CounterKey,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
    budget_key,
    counter_keys,
)
from domain.catalog import Catalog
from domain.controls import DeactivateScope, NameScope, PauseScope, RemoveBudget, ResetBudgets, ResumeScope, SetBudget
from domain.decisions import Command
from domain.holds import TaskKey
from domain.periods import TOTAL, month_key
from domain.postings import Post
from domain.recordings import Record, Reported
from domain.refusals import BudgetScope
from domain.rerating import Rerate
from domain.reservations import Extend, Release, Reserve, tasks_of
from domain.settlements import Consume
from domain.tenants import Tenant, running_cycle
from domain.topups import StartTopUp
from domain.usage import attributed, occurred
from domain.wallets import METERED_KEY, Lot, Wallet, in_burn_order, new_wallet
from infra.batch import Batch, OpenBooks
from infra.catalog.publications import NEWEST_PUBLICATION
from infra.identifiers import new_id
from infra.rerated_books import counted_in, read_events, reservations_of, wallets_of
from infra.reservation_rows import RESERVATION_COLUMNS, reservation_of
from infra.tenant_books import plans_changed, read_agents, read_allocations, read_payments
from infra.tenant_rows import TENANT_COLUMNS, TENANT_WIDTH, tenant_of
from infra.transaction import Connection
from infra.wallet_rows import LOT_COLUMNS, WALLET_COLUMNS, WALLET_WIDTH, lot_of, wallet_of

MOST_DUE: Final = 500

LOCK_TENANTS: Final = (
    f"SELECT {TENANT_COLUMNS}, {NEWEST_PUBLICATION} FROM tenant WHERE id = ANY($1::uuid[]) ORDER BY id"
)
USED_KEYS: Final = """
SELECT k.tenant_id, k.operation, k.key, k.request_hash, k.result_id
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, operation, key)
JOIN idempotency_key k USING (tenant_id, operation, key)"""
TASKS: Final = """
SELECT t.tenant_id, t.feature, t.key, t.reservation_id
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, feature, key)
JOIN task t USING (tenant_id, feature, key)"""
RESERVATIONS: Final = f"""
SELECT {RESERVATION_COLUMNS}
FROM unnest($1::uuid[], $2::uuid[]) AS asked (tenant_id, id) JOIN reservation r USING (tenant_id, id)"""
DUE: Final = f"""
SELECT {RESERVATION_COLUMNS} FROM reservation r
WHERE tenant_id = $1 AND state = 'HELD' AND expires_at <= $2 ORDER BY expires_at, id LIMIT $3 OFFSET $4"""
WALLETS: Final = f"""
SELECT {WALLET_COLUMNS}, {LOT_COLUMNS}
FROM unnest($1::uuid[], $2::text[]) AS asked (tenant_id, key) JOIN wallet w USING (tenant_id, key)
LEFT JOIN lot l ON l.tenant_id = w.tenant_id AND l.wallet_id = w.id AND l.is_open"""
BUDGETS: Final = """
SELECT asked.tenant_id, asked.scope, asked.scope_id, asked.period, asked.period_key,
    c.spent, c.held, b.cap, b.thresholds, d.cap, d.thresholds,
    s.name, s.status, s.pause_reason, s.pause_period_key, s.pause_cap
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS asked (tenant_id, scope, scope_id, period, period_key)
LEFT JOIN budget_counter c USING (tenant_id, scope, scope_id, period_key)
LEFT JOIN budget b USING (tenant_id, scope, scope_id, period)
LEFT JOIN budget d ON d.tenant_id = '00000000-0000-0000-0000-000000000000'::uuid
    AND d.scope = asked.scope AND d.scope_id = asked.scope_id AND d.period = asked.period
LEFT JOIN scope s ON s.tenant_id = asked.tenant_id AND s.kind = asked.scope AND s.id = asked.scope_id
WHERE coalesce(c.spent, b.cap, d.cap) IS NOT NULL OR s.id IS NOT NULL"""
RECORDED: Final = """
SELECT k.tenant_id, k.source, k.event_id
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (tenant_id, source, event_id)
JOIN usage_key k USING (tenant_id, source, event_id)"""


async def lock(connection: Connection, tenant_ids: Iterable[UUID], *, for_update: bool) -> tuple[list[Tenant], int]:
    """Take the tenants' rows, sorted, so that two batches can never wait for each other in a circle. Every writer
    of money or counters takes them first, and there is no other lock. Answers also the newest publication to the catalog
    that there was when the wait for them began."""
    statement = f"{LOCK_TENANTS} FOR UPDATE" if for_update else LOCK_TENANTS
    rows = await connection.fetch(statement, sorted(set(tenant_ids)))
    return [tenant_of(row) for row in rows], rows[0][TENANT_WIDTH] if rows else 0


async def read(connection: Connection, batch: Batch, commands: Iterable[Command], catalog: Catalog) -> None:
    """Read whatever these commands may look at."""
    commands = [command for command in commands if command.request.tenant_id in batch.tenants]
    await _read_used_keys(connection, batch, commands)
    await _read_tasks(connection, batch, commands, catalog)
    rerated = [command for command in commands if isinstance(command, Rerate)]
    if rerated:
        await read_events(connection, batch, rerated)
    wanted = {
        (command.request.tenant_id, reservation_id)
        for command in commands
        for reservation_id in _reservation_ids(batch, command)
    }
    for tenant_id, books in batch.tenants.items():
        wanted.update((tenant_id, used.result_id) for used in books.used_keys.values())
        wanted.update((tenant_id, reservation_id) for reservation_id in books.tasks.values())
    await read_reservations(connection, batch, wanted)
    await _read_recorded(connection, batch, commands)
    features = [
        (command.request.tenant_id, feature) for command in commands for feature in _features(command) if feature
    ]
    named = [(command.request.tenant_id, key) for command in commands for key in _wallet_keys(batch, catalog, command)]
    named.extend(await read_payments(connection, batch, commands))
    await read_wallets(connection, batch, catalog, features, named)
    counted = [place for command in commands for place in _counted(batch, command)]
    await read_budgets(connection, batch, commands, counted)
    newcomers = await read_agents(connection, batch, commands)
    if newcomers:
        await read_wallets(connection, batch, catalog, (), [(tenant_id, METERED_KEY) for tenant_id in newcomers])
    for tenant_id, plans in plans_changed(batch, catalog, commands).items():
        await open_plan(connection, batch, tenant_id, catalog, plans)


async def open_plan(
    connection: Connection, batch: Batch, tenant_id: UUID, catalog: Catalog, plans: Iterable[str]
) -> None:
    """Read what these plans and earlier ones fill; a wallet that the tenant does not have yet is made."""
    books = batch.tenants[tenant_id]
    await read_allocations(connection, batch, tenant_id)
    keys = set(books.allocations)
    for key in plans:
        for at in (running_cycle(books.tenant, batch.now).start, batch.now):
            plan = catalog.plan(books.tenant.region, key, at)
            keys.update(() if plan is None else [wallet_key for wallet_key, _ in plan.allocations])
    await read_wallets(connection, batch, catalog, (), [(tenant_id, key) for key in keys])
    for key in sorted(keys.difference(books.wallets)):
        batch.add_wallet(new_wallet(tenant_id, new_id(batch.now), key))


def _counted(batch: Batch, command: Command) -> Iterable[tuple[UUID, Attribution, str]]:
    """Tenant, attribution and month of usage that counts where no reservation says so."""
    tenant_id = command.request.tenant_id
    if isinstance(command, Record):
        return [(tenant_id, *counted_as(batch, command, event)) for event in command.events]
    if isinstance(command, Post):
        zone = batch.tenants[tenant_id].tenant.zone
        return [(tenant_id, tally.attribution, month_key(tally.at, zone)) for tally in command.tallies]
    if isinstance(command, Rerate):
        return counted_in(batch, command)
    return ()


def counted_as(batch: Batch, command: Record, event: Reported) -> tuple[Attribution, str]:
    """The attribution and the month that an event counts in if no open reservation takes it."""
    books = batch.tenants[command.request.tenant_id]
    reservation = None if event.reservation_id is None else books.reservations.get(event.reservation_id)
    inherited = NOBODY if reservation is None else reservation.attribution
    at = occurred(event.id, event.usage)
    return attributed(event.attribution, inherited), month_key(at, books.tenant.zone)


async def read_due(connection: Connection, batch: Batch, tenant_id: UUID, catalog: Catalog) -> list[UUID]:
    """Read a tenant's next overdue reservations with all that giving them back touches; answers their ids."""
    books = batch.tenants[tenant_id]
    due: list[UUID] = []
    rows = await connection.fetch(DUE, tenant_id, batch.now, MOST_DUE, books.due_read)
    books.due_read += len(rows)
    books.due_is_booked = len(rows) < MOST_DUE
    for row in rows:
        _, reservation = reservation_of(row)
        books.reservations.setdefault(reservation.id, reservation)
        due.append(reservation.id)
    if due:
        tasks = [(tenant_id, task) for identifier in due if (task := books.reservations[identifier].task) is not None]
        await read_tasks(connection, batch, tasks)
        await read_wallets(connection, batch, catalog, (), ())
        await read_budgets(connection, batch, ())
    return due


async def _read_used_keys(connection: Connection, batch: Batch, commands: list[Command]) -> None:
    requests = [command.request for command in commands if not isinstance(command, Record)]
    if not requests:
        return
    rows = await connection.fetch(
        USED_KEYS,
        [request.tenant_id for request in requests],
        [request.operation.value for request in requests],
        [request.idempotency_key for request in requests],
    )
    for tenant_id, operation, key, request_hash, result_id in rows:
        batch.tenants[tenant_id].used_keys[Operation(operation), key] = Used(request_hash, result_id)


async def _read_tasks(connection: Connection, batch: Batch, commands: list[Command], catalog: Catalog) -> None:
    asked: list[tuple[UUID, TaskKey]] = []
    for command in commands:
        if isinstance(command, Reserve) and command.task_key is not None:
            tenant_id = command.request.tenant_id
            cards = catalog.for_tenant(tenant_id).rate_cards
            card = cards.at(batch.now, batch.now)
            tasks = () if card is None else tasks_of(cards, card, command.wish.feature, command.task_key)
            asked.extend((tenant_id, task) for task in tasks)
    await read_tasks(connection, batch, asked)


async def read_tasks(connection: Connection, batch: Batch, asked: Iterable[tuple[UUID, TaskKey]]) -> None:
    """Read which reservations stand for these tasks, unless the batch has changed that already."""
    unread = [place for place in asked if place not in batch.tasks]
    if not unread:
        return
    rows = await connection.fetch(
        TASKS,
        [tenant_id for tenant_id, _ in unread],
        [task.feature for _, task in unread],
        [task.key for _, task in unread],
    )
    for tenant_id, feature, key, reservation_id in rows:
        batch.tenants[tenant_id].tasks[TaskKey(feature, key)] = reservation_id


async def read_reservations(connection: Connection, batch: Batch, wanted: Iterable[tuple[UUID, UUID | None]]) -> None:
    """Read reservations by tenant and id, and those that stand for their tasks now."""
    pairs = [
        (tenant_id, reservation_id)
        for tenant_id, reservation_id in wanted
        if reservation_id is not None and reservation_id not in batch.tenants[tenant_id].reservations
    ]
    if not pairs:
        return
    tenant_ids, reservation_ids = zip(*pairs, strict=True)
    tasks: list[tuple[UUID, TaskKey]] = []
    for row in await connection.fetch(RESERVATIONS, tenant_ids, reservation_ids):
        tenant_id, reservation = reservation_of(row)
        batch.tenants[tenant_id].reservations[reservation.id] = reservation
        if reservation.task is not None:
            tasks.append((tenant_id, reservation.task))
    await read_tasks(connection, batch, tasks)
    stand = [(tenant_id, batch.tenants[tenant_id].tasks.get(task)) for tenant_id, task in tasks]
    await read_reservations(connection, batch, stand)


async def _read_recorded(connection: Connection, batch: Batch, commands: list[Command]) -> None:
    asked: list[tuple[UUID, str | None, str | None]] = []
    for command in commands:
        if isinstance(command, Consume):
            reported = [usage for _, usage in command.events]
        elif isinstance(command, Record):
            reported = [event.usage for event in command.events]
        else:
            continue
        tenant_id = command.request.tenant_id
        asked.extend((tenant_id, usage.source, usage.event_id) for usage in reported if usage.source is not None)
    if not asked:
        return
    tenant_ids, sources, event_ids = zip(*asked, strict=True)
    for tenant_id, source, event_id in await connection.fetch(RECORDED, tenant_ids, sources, event_ids):
        batch.tenants[tenant_id].recorded.add((source, event_id))


async def read_wallets(
    connection: Connection,
    batch: Batch,
    catalog: Catalog,
    features: Iterable[tuple[UUID, str]],
    wallet_keys: Iterable[tuple[UUID, str]],
) -> None:
    """Read, with their open lots, the wallets that these features draw on (under the card in force), those that
    the reservations read so far hold or will charge, and those named."""
    wanted = _wanted_wallets(batch, catalog, features)
    wanted.update(dict.fromkeys(wallet_keys))
    asked = [(tenant_id, key) for tenant_id, key in wanted if key not in batch.tenants[tenant_id].wallets]
    if not asked:
        return
    tenant_ids, keys = zip(*asked, strict=True)
    found: dict[tuple[UUID, str], tuple[Wallet, list[Lot]]] = {}
    for row in await connection.fetch(WALLETS, tenant_ids, keys):
        place = (row[0], row[2])
        if place not in found:
            found[place] = (wallet_of(row[:WALLET_WIDTH]), [])
        lot = lot_of(row[WALLET_WIDTH:])
        if lot is not None:
            found[place][1].append(lot)
    for (tenant_id, key), (wallet, lots) in found.items():
        books = batch.tenants[tenant_id]
        for lot in lots:
            books.loaded_lots[lot.id] = lot
        books.wallets[key] = wallet._replace(lots=in_burn_order(wallet, tuple(lots)))


def _wanted_wallets(
    batch: Batch, catalog: Catalog, features: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], None]:
    wanted: dict[tuple[UUID, str], None] = {}
    cards = {tenant_id: catalog.for_tenant(tenant_id).rate_cards for tenant_id in batch.tenants}
    in_force = {tenant_id: known.at(batch.now, batch.now) for tenant_id, known in cards.items()}
    for tenant_id, feature in features:
        card = in_force[tenant_id]
        for rate in () if card is None else card.rates_of(feature):
            wanted[tenant_id, rate.wallet_key] = None
    for tenant_id, books in batch.tenants.items():
        for reservation in books.reservations.values():
            for hold in reservation.holds:
                wanted[tenant_id, hold.wallet_key] = None
            card = cards[tenant_id].version(reservation.rate_card)
            for rate in () if card is None else card.rates_of(reservation.feature):
                wanted[tenant_id, rate.wallet_key] = None
    return wanted


async def read_budgets(
    connection: Connection,
    batch: Batch,
    commands: Iterable[Command],
    counted: Iterable[tuple[UUID, Attribution, str]] = (),
) -> None:
    """Read caps, counters and pauses of everything that the commands, the reservations read so far and `counted`
    (tenant, attribution, month) are attributed to."""
    wanted: dict[tuple[UUID, CounterKey, BudgetKey], None] = {}
    attributed_to = set(counted)
    for command in commands:
        tenant_id = command.request.tenant_id
        books = batch.tenants[tenant_id]
        if isinstance(command, Reserve):
            attributed_to.add((tenant_id, command.wish.attribution, books.month))
        elif isinstance(command, SetBudget | RemoveBudget):
            key = command.budget.key if isinstance(command, SetBudget) else command.key
            period_key = TOTAL if key.period is BudgetPeriod.TOTAL else books.month
            wanted[tenant_id, CounterKey(key.scope, key.scope_id, period_key), key] = None
        else:
            for scope_key in _scope_keys(command):
                for period_key in (books.month, TOTAL):
                    counter = CounterKey(BudgetScope(scope_key.kind.value), scope_key.id, period_key)
                    wanted[tenant_id, counter, budget_key(counter)] = None
    for tenant_id, books in batch.tenants.items():
        for reservation in books.reservations.values():
            attributed_to.add((tenant_id, reservation.attribution, reservation.month))
    for tenant_id, attribution, month in attributed_to:
        _want(wanted, tenant_id, attribution, month)
    asked = [item for item in wanted if item[1:] not in batch.tenants[item[0]].loaded_counters]
    if not asked:
        return
    rows = await connection.fetch(
        BUDGETS,
        [tenant_id for tenant_id, _, _ in asked],
        [counter.scope.value for _, counter, _ in asked],
        [counter.scope_id for _, counter, _ in asked],
        [budget.period.value for _, _, budget in asked],
        [counter.period_key for _, counter, _ in asked],
    )
    for tenant_id, counter, budget in asked:
        batch.tenants[tenant_id].loaded_counters.add((counter, budget))
    for row in rows:
        _take_budget_row(batch.tenants[row[0]], row)


def _scope_keys(command: Command) -> Iterable[ScopeKey]:
    """The scopes that a command pauses, resumes or names, as far as they can be paused and capped."""
    match command:
        case PauseScope() | ResumeScope() | DeactivateScope() | NameScope():
            keys: tuple[ScopeKey, ...] = (command.key,)
        case ResetBudgets():
            keys = command.keys
        case _:
            keys = ()
    return [key for key in keys if key.kind in SCOPE_KINDS.values()]


def _want(
    wanted: dict[tuple[UUID, CounterKey, BudgetKey], None], tenant_id: UUID, attribution: Attribution, month: str
) -> None:
    for counter in counter_keys(attribution, month):
        wanted[tenant_id, counter, budget_key(counter)] = None
    for role in {"", attribution.agent_role or ""}:
        task = BudgetKey(BudgetScope.AGENT, role, BudgetPeriod.TASK)
        wanted[tenant_id, CounterKey(BudgetScope.AGENT, role, BudgetPeriod.TASK.value), task] = None


def _take_budget_row(books: OpenBooks, row: asyncpg.Record) -> None:
    scope = BudgetScope(row[1])
    scope_id = row[2]
    key = BudgetKey(scope, scope_id, BudgetPeriod(row[3]))
    if row[5] is not None:
        counter_key = CounterKey(scope, scope_id, row[4])
        books.counters.setdefault(counter_key, Counter(counter_key, row[5], row[6]))
    if row[7] is not None and key not in books.loaded_budgets:
        books.budgets[key] = Budget(key, row[7], tuple(row[8]))
    books.loaded_budgets.add(key)
    if row[9] is not None:
        books.defaults[key] = Budget(key, row[9], tuple(row[10]))
    if row[12] is not None:
        scope_key = ScopeKey(ScopeKind(scope.value), scope_id)
        books.scopes.setdefault(scope_key, Scope(scope_key, row[11], ScopeStatus(row[12]), row[13], row[14], row[15]))


def _features(command: Command) -> Iterable[str | None]:
    match command:
        case Reserve():
            return (command.wish.feature,)
        case Record():
            return {event.feature for event in command.events}
        case _:
            return ()


def _wallet_keys(batch: Batch, catalog: Catalog, command: Command) -> Iterable[str]:
    match command:
        case AdjustWallet() | Grant() | StartTopUp():
            return (command.wallet_key,)
        case ExpireLots():
            return command.wallet_keys
        case Post():
            return {key for tally in command.tallies for key, _ in tally.charges}
        case Rerate():
            return wallets_of(batch, catalog, command)
        case _:
            return ()


def _reservation_ids(batch: Batch, command: Command) -> Iterable[UUID | None]:
    match command:
        case Consume() | Release() | Extend():
            return (command.reservation_id,)
        case Record():
            return [event.reservation_id for event in command.events]
        case Rerate():
            return reservations_of(batch, command)
        case _:
            return ()
