"""Changes of a batch, written to PostgreSQL in as few statements as there can be (`infra.statements`)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.ledger import Entry
from domain.rollups import EVERY_QUARTER, quarter_of
from domain.usage import Amendment, UsageEvent
from domain.wallets import Lot, Wallet
from infra import audit_log
from infra.account_changes import write_accounts
from infra.batch import Batch
from infra.identifiers import new_id
from infra.reservation_rows import (
    draws_json,
    fixed_columns,
    holding_columns,
    json,
    settling_columns,
)
from infra.statements import (
    AMENDMENT_COLUMNS,
    COUNTER_COLUMNS,
    ENTRY_COLUMNS,
    EXTEND_RESERVATIONS,
    KEY_COLUMNS,
    LOT_COLUMNS,
    MARK_COLUMNS,
    NAME_SCOPE,
    REGISTER_SCOPES,
    REMOVE_BUDGET,
    REMOVE_TASKS,
    RESERVATION_COLUMNS,
    RESERVATION_EXTENSION,
    RESERVATION_UPDATE,
    USAGE_COLUMNS,
    USAGE_KEY_COLUMNS,
    WALLET_COLUMNS,
    WRITE_BALANCES,
    WRITE_BUDGET,
    WRITE_COUNTED_BATCH,
    WRITE_OUTBOX,
    WRITE_SCOPES,
    WRITE_TASKS,
)
from infra.transaction import Connection
from infra.usage_rows import amendment_row, event_row


async def write(connection: Connection, batch: Batch) -> None:
    """Write all that the batch has changed."""
    await write_accounts(connection, batch)
    if batch.extended:  # first: at no moment may more be left of a hold than was held
        rows = [
            (tenant_id, identifier, *holding_columns(batch.tenants[tenant_id].reservations[identifier]))
            for tenant_id, identifier in batch.extended
        ]
        await connection.execute(EXTEND_RESERVATIONS, *_columns(rows, len(RESERVATION_EXTENSION)))
    await _write_facts(connection, batch)
    await _write_balances(connection, batch)
    if batch.tasks:
        await _write_tasks(connection, batch)
    if batch.scopes:
        await _write_scopes(connection, batch)
    for tenant_id, named in batch.names:
        await connection.execute(NAME_SCOPE, tenant_id, *named.key, named.name, named.client)
    for (tenant_id, key), budget in batch.budgets.items():
        place = (tenant_id, key.scope, key.scope_id, key.period)
        if budget is None:
            await connection.execute(REMOVE_BUDGET, *place)
        else:
            await connection.execute(WRITE_BUDGET, *place, budget.cap, list(budget.thresholds))
    for tenant_id, counted in batch.counted_batches:
        steps = json([(*step.counter, step.before, step.after, step.cap) for step in counted.steps])
        await connection.execute(WRITE_COUNTED_BATCH, tenant_id, counted.recorded_at, new_id(batch.now), steps)
    if batch.events:
        await _write_events(connection, batch)
    for event, at in batch.audit_events:
        await audit_log.record(connection, event, at=at)


async def register(connection: Connection, seen: Iterable[tuple[UUID, str, str, str | None]]) -> None:
    """Register the customer's own ids (tenant, kind, id, client) that were not known yet."""
    rows = sorted(seen, key=lambda row: (row[0], row[1], row[2], row[3] is None))
    unique = list({row[:3]: row for row in reversed(rows)}.values())
    await connection.execute(REGISTER_SCOPES, *_columns(unique, 4))


async def _write_facts(connection: Connection, batch: Batch) -> None:
    """What is only added."""
    reservations: list[tuple[Any, ...]] = []
    for tenant_id, reservation_id in batch.reservations:
        books = batch.tenants[tenant_id]
        if reservation_id in books.new_reservations:
            reservation = books.reservations[reservation_id]
            columns = fixed_columns(tenant_id, reservation) + holding_columns(reservation)
            reservations.append(columns + settling_columns(reservation))
    keys = [
        (tenant_id, operation, key, used.hash, used.result_id, at)
        for tenant_id, operation, key, used, at in batch.used_keys
    ]
    usage_keys = [
        (tenant_id, event.usage.source, event.usage.event_id, event.id)
        for tenant_id, event in batch.usage
        if event.usage.source is not None
    ]
    for table, columns_of, rows in (
        ("ledger_entry", ENTRY_COLUMNS, [_entry_row(entry) for entry in batch.entries]),
        ("reservation", RESERVATION_COLUMNS, reservations),
        ("idempotency_key", KEY_COLUMNS, keys),
        ("usage_key", USAGE_KEY_COLUMNS, usage_keys),
        ("usage_event", USAGE_COLUMNS, [event_row(tenant_id, event) for tenant_id, event in batch.usage]),
        ("usage_amendment", AMENDMENT_COLUMNS, [amendment_row(*amended) for amended in batch.amendments]),
        ("usage_mark", MARK_COLUMNS, _marks(batch)),
    ):
        if rows:
            await connection.copy_records_to_table(table, records=rows, columns=columns_of)


async def _write_balances(connection: Connection, batch: Batch) -> None:
    """What changes in place."""
    wallets: list[tuple[Any, ...]] = []
    lots: list[tuple[Any, ...]] = []
    for tenant_id, key in batch.wallets:
        books = batch.tenants[tenant_id]
        wallet = books.wallets[key]
        wallets.append((tenant_id, wallet.id, *_amounts(wallet), wallet.sequence, wallet.head_hash))
        for lot in wallet.lots:
            if books.loaded_lots.get(lot.id) is not lot:
                ends = (lot.is_open, lot.granted_at, lot.expires_at)
                lots.append((tenant_id, lot.id, wallet.id, lot.source, *_amounts(lot), *ends))
    reservations = [
        (tenant_id, identifier, *settling_columns(batch.tenants[tenant_id].reservations[identifier]))
        for tenant_id, identifier in batch.reservations
        if identifier not in batch.tenants[tenant_id].new_reservations
    ]
    counters = [(tenant_id, *key, *batch.tenants[tenant_id].counters[key][1:]) for tenant_id, key in batch.counters]
    if not (wallets or reservations or counters):
        return
    await connection.execute(
        WRITE_BALANCES,
        *_columns(wallets, len(WALLET_COLUMNS)),
        *_columns(lots, len(LOT_COLUMNS)),
        *_columns(reservations, len(RESERVATION_UPDATE)),
        *_columns(counters, len(COUNTER_COLUMNS)),
    )


async def _write_tasks(connection: Connection, batch: Batch) -> None:
    kept: list[tuple[Any, ...]] = []
    removed: list[tuple[Any, ...]] = []
    for tenant_id, task in batch.tasks:
        reservation_id = batch.tenants[tenant_id].tasks.get(task)
        if reservation_id is None:
            removed.append((tenant_id, task.feature, task.key))
        else:
            kept.append((tenant_id, task.feature, task.key, reservation_id))
    if kept:
        await connection.execute(WRITE_TASKS, *_columns(kept, 4))
    if removed:
        await connection.execute(REMOVE_TASKS, *_columns(removed, 3))


async def _write_scopes(connection: Connection, batch: Batch) -> None:
    rows: list[tuple[Any, ...]] = []
    for tenant_id, key in batch.scopes:
        scope = batch.tenants[tenant_id].scopes[key]
        pause = (scope.pause_reason, scope.pause_period_key, scope.pause_cap)
        rows.append((tenant_id, key.kind, key.id, scope.name, scope.status, *pause))
    await connection.execute(WRITE_SCOPES, *_columns(rows, 8))


async def _write_events(connection: Connection, batch: Batch) -> None:
    # Ids that grow with the order of the events: a pause and its end, decided at one moment, are told in turn.
    identifiers = sorted([new_id(at) for _, _, at in batch.events])
    rows = [
        (tenant_id, identifier, event.type, json(dict(event.payload)), at)
        for identifier, (tenant_id, event, at) in zip(identifiers, batch.events, strict=True)
    ]
    await connection.execute(WRITE_OUTBOX, *_columns(rows, 5))


def _amounts(holder: Wallet | Lot) -> tuple[int, int, int, int, int]:
    return (holder.granted, holder.available, holder.reserved, holder.consumed, holder.expired)


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    voucher = entry.voucher
    repaid = [(lot.hex, consumed, granted) for lot, consumed, granted in entry.repayments]
    return (
        *entry[:10],
        json(draws_json(entry.draws)),
        json(repaid) if repaid else None,
        voucher.reservation_id,
        voucher.reference,
        voucher.note,
        voucher.actor,
        voucher.idempotency_key,
        voucher.at,
        entry.previous_hash,
        entry.hash,
    )


def _marks(batch: Batch) -> list[tuple[UUID, datetime]]:
    """The quarters of an hour whose rollups no longer hold; of a tenant with a new time zone, all."""
    usage: list[tuple[UUID, UsageEvent | Amendment]] = [*batch.usage, *batch.amendments]
    marks = {(tenant_id, quarter_of(fact.occurred_at)): None for tenant_id, fact in usage}
    marks.update({(tenant_id, EVERY_QUARTER): None for tenant_id in batch.rezoned})
    return list(marks)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Rows turned into one array per column."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
