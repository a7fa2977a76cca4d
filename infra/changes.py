"""Changes of a batch, written to PostgreSQL in as few statements as there can be.

The money of a batch (wallets, lots, entries, reservations, counters, idempotency keys) is one statement of
data-modifying CTEs over unnest; what is rarer has statements of its own, run only when there is any.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from domain.usage import UsageEvent
from infra.books import Batch
from infra.identifiers import new_id
from infra.reservation_rows import (
    FIXED_COLUMNS,
    HOLDING_COLUMNS,
    SETTLING_COLUMNS,
    draws_json,
    fixed_columns,
    holding_columns,
    json,
    settling_columns,
)
from infra.transaction import Connection

WALLET_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("id", "uuid"),
    ("granted", "bigint"),
    ("available", "bigint"),
    ("reserved", "bigint"),
    ("consumed", "bigint"),
    ("expired", "bigint"),
    ("sequence", "bigint"),
    ("head_hash", "bytea"),
)
LOT_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("id", "uuid"),
    ("wallet_id", "uuid"),
    ("source", "text"),
    ("granted", "bigint"),
    ("available", "bigint"),
    ("reserved", "bigint"),
    ("consumed", "bigint"),
    ("expired", "bigint"),
    ("is_open", "boolean"),
    ("granted_at", "timestamptz"),
    ("expires_at", "timestamptz"),
)
ENTRY_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("wallet_id", "uuid"),
    ("sequence", "bigint"),
    ("type", "text"),
    ("amount", "bigint"),
    ("granted_after", "bigint"),
    ("available_after", "bigint"),
    ("reserved_after", "bigint"),
    ("consumed_after", "bigint"),
    ("expired_after", "bigint"),
    ("draws", "jsonb"),
    ("repayments", "jsonb"),
    ("reservation_id", "uuid"),
    ("reference", "text"),
    ("note", "text"),
    ("actor", "text"),
    ("idempotency_key", "text"),
    ("created_at", "timestamptz"),
    ("previous_hash", "bytea"),
    ("hash", "bytea"),
)
COUNTER_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("scope", "text"),
    ("scope_id", "text"),
    ("period_key", "text"),
    ("spent", "bigint"),
    ("held", "bigint"),
)
KEY_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("operation", "text"),
    ("key", "text"),
    ("request_hash", "bytea"),
    ("result_id", "uuid"),
    ("created_at", "timestamptz"),
)
USAGE_COLUMNS: Final = (
    "tenant_id",
    "id",
    "occurred_at",
    "recorded_at",
    "kind",
    "provider",
    "model",
    "operation",
    "feature",
    "reservation_id",
    "project",
    "research",
    "campaign",
    "account",
    "client",
    "agent_role",
    "session",
    "task_run",
    "tags",
    "route",
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "units",
    "results",
    "cost",
    "price_effective_from",
    "charges",
    "duration_ms",
    "success",
    "prompt_hash",
    "response_hash",
    "trace_id",
    "source",
    "event_id",
)
Columns = Sequence[tuple[str, str]]


def _names(columns: Columns, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}" for name, _ in columns)


def _unnest(columns: Columns, first: int, alias: str) -> str:
    """FROM item over one array parameter per column; jsonb comes as text."""
    arrays = ", ".join(
        f"${first + index}::{'text' if kind == 'jsonb' else kind}[]" for index, (_, kind) in enumerate(columns)
    )
    return f"unnest({arrays}) AS {alias} ({_names(columns)})"


def _values(columns: Columns, alias: str) -> str:
    """The unnested columns as they are stored."""
    return ", ".join(f"{alias}.{name}::jsonb" if kind == "jsonb" else f"{alias}.{name}" for name, kind in columns)


def _set(columns: Columns, alias: str) -> str:
    return ", ".join(
        f"{name} = {alias}.{name}::jsonb" if kind == "jsonb" else f"{name} = {alias}.{name}" for name, kind in columns
    )


RESERVATION_INSERT: Final = FIXED_COLUMNS + HOLDING_COLUMNS + SETTLING_COLUMNS
RESERVATION_UPDATE: Final = FIXED_COLUMNS[:2] + SETTLING_COLUMNS
RESERVATION_EXTENSION: Final = FIXED_COLUMNS[:2] + HOLDING_COLUMNS


def _write_money() -> str:
    first = 1
    parts: list[str] = []

    def place(columns: Columns) -> int:
        nonlocal first
        start = first
        first += len(columns)
        return start

    parts.append(
        f"wallets AS (UPDATE wallet w SET {_set(WALLET_COLUMNS[2:], 'v')} "
        f"FROM {_unnest(WALLET_COLUMNS, place(WALLET_COLUMNS), 'v')} "
        "WHERE w.tenant_id = v.tenant_id AND w.id = v.id)"
    )
    parts.append(
        f"lots AS (INSERT INTO lot ({_names(LOT_COLUMNS)}) "
        f"SELECT {_values(LOT_COLUMNS, 'v')} FROM {_unnest(LOT_COLUMNS, place(LOT_COLUMNS), 'v')} "
        f"ON CONFLICT (tenant_id, id) DO UPDATE SET {_set(LOT_COLUMNS[4:10], 'EXCLUDED')})"
    )
    parts.append(
        f"entries AS (INSERT INTO ledger_entry ({_names(ENTRY_COLUMNS)}) "
        f"SELECT {_values(ENTRY_COLUMNS, 'v')} FROM {_unnest(ENTRY_COLUMNS, place(ENTRY_COLUMNS), 'v')})"
    )
    parts.append(
        f"reserved AS (INSERT INTO reservation ({_names(RESERVATION_INSERT)}) "
        f"SELECT {_values(RESERVATION_INSERT, 'v')} "
        f"FROM {_unnest(RESERVATION_INSERT, place(RESERVATION_INSERT), 'v')})"
    )
    parts.append(
        f"changed AS (UPDATE reservation r SET {_set(SETTLING_COLUMNS, 'v')} "
        f"FROM {_unnest(RESERVATION_UPDATE, place(RESERVATION_UPDATE), 'v')} "
        "WHERE r.tenant_id = v.tenant_id AND r.id = v.id)"
    )
    parts.append(
        f"counters AS (INSERT INTO budget_counter ({_names(COUNTER_COLUMNS)}) "
        f"SELECT {_values(COUNTER_COLUMNS, 'v')} FROM {_unnest(COUNTER_COLUMNS, place(COUNTER_COLUMNS), 'v')} "
        "ON CONFLICT (tenant_id, scope, scope_id, period_key) DO UPDATE SET spent = EXCLUDED.spent, held = EXCLUDED.held)"
    )
    keys = (
        f"INSERT INTO idempotency_key ({_names(KEY_COLUMNS)}) "
        f"SELECT {_values(KEY_COLUMNS, 'v')} FROM {_unnest(KEY_COLUMNS, place(KEY_COLUMNS), 'v')}"
    )
    return f"WITH {', '.join(parts)} {keys}"


WRITE_MONEY: Final = _write_money()
EXTEND_RESERVATIONS: Final = (
    f"UPDATE reservation r SET {_set(HOLDING_COLUMNS, 'v')} "
    f"FROM {_unnest(RESERVATION_EXTENSION, 1, 'v')} WHERE r.tenant_id = v.tenant_id AND r.id = v.id"
)
WRITE_USAGE_KEYS: Final = """
INSERT INTO usage_key (tenant_id, source, event_id, usage_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])"""
WRITE_TASKS: Final = """
INSERT INTO task (tenant_id, feature, key, reservation_id)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
ON CONFLICT (tenant_id, feature, key) DO UPDATE SET reservation_id = EXCLUDED.reservation_id"""
REMOVE_TASKS: Final = """
DELETE FROM task t USING unnest($1::uuid[], $2::text[], $3::text[]) AS v (tenant_id, feature, key)
WHERE t.tenant_id = v.tenant_id AND t.feature = v.feature AND t.key = v.key"""
WRITE_SCOPES: Final = """
INSERT INTO scope (tenant_id, kind, id, name, status, pause_reason, pause_period_key, pause_cap)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])
ON CONFLICT (tenant_id, kind, id) DO UPDATE SET status = EXCLUDED.status, pause_reason = EXCLUDED.pause_reason,
    pause_period_key = EXCLUDED.pause_period_key, pause_cap = EXCLUDED.pause_cap"""
REGISTER_SCOPES: Final = """
INSERT INTO scope AS s (tenant_id, kind, id, client, status)
SELECT v.*, 'ACTIVE' FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS v (tenant_id, kind, id, client)
ON CONFLICT (tenant_id, kind, id) DO UPDATE SET client = EXCLUDED.client
WHERE s.client IS NULL AND EXCLUDED.client IS NOT NULL"""
WRITE_BUDGET: Final = """
INSERT INTO budget (tenant_id, scope, scope_id, period, cap, thresholds)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, scope, scope_id, period) DO UPDATE SET cap = EXCLUDED.cap, thresholds = EXCLUDED.thresholds"""
REMOVE_BUDGET: Final = "DELETE FROM budget WHERE tenant_id = $1 AND scope = $2 AND scope_id = $3 AND period = $4"
WRITE_OUTBOX: Final = """
INSERT INTO outbox (tenant_id, id, type, payload, created_at)
SELECT v.tenant_id, v.id, v.type, v.payload::jsonb, $5
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS v (tenant_id, id, type, payload)"""


async def write(connection: Connection, batch: Batch) -> None:
    """Write all that the batch has changed."""
    await _write_money_of(connection, batch)
    if batch.usage:
        await _write_usage(connection, batch.usage)
    if batch.extended:
        rows = [
            (tenant_id, identifier, *holding_columns(batch.tenants[tenant_id].reservations[identifier]))
            for tenant_id, identifier in batch.extended
        ]
        await connection.execute(EXTEND_RESERVATIONS, *_columns(rows, len(RESERVATION_EXTENSION)))
    if batch.tasks:
        await _write_tasks(connection, batch)
    if batch.scopes:
        await _write_scopes(connection, batch)
    for (tenant_id, key), budget in batch.budgets.items():
        place = (tenant_id, key.scope, key.scope_id, key.period)
        if budget is None:
            await connection.execute(REMOVE_BUDGET, *place)
        else:
            await connection.execute(WRITE_BUDGET, *place, budget.cap, list(budget.thresholds))
    if batch.events:
        await _write_events(connection, batch)


async def register(connection: Connection, seen: Iterable[tuple[UUID, str, str, str | None]]) -> None:
    """Register the customer's own ids (tenant, kind, id, client) that were not known yet."""
    rows = sorted(seen, key=lambda row: (row[0], row[1], row[2], row[3] is None))
    unique = list({row[:3]: row for row in reversed(rows)}.values())
    await connection.execute(REGISTER_SCOPES, *_columns(unique, 4))


async def _write_money_of(connection: Connection, batch: Batch) -> None:
    wallets: list[tuple[Any, ...]] = []
    lots: list[tuple[Any, ...]] = []
    for tenant_id, key in batch.wallets:
        books = batch.tenants[tenant_id]
        wallet = books.wallets[key]
        wallets.append(
            (
                tenant_id,
                wallet.id,
                wallet.granted,
                wallet.available,
                wallet.reserved,
                wallet.consumed,
                wallet.expired,
                wallet.sequence,
                wallet.head_hash,
            )
        )
        for lot in wallet.lots:
            if books.loaded_lots.get(lot.id) is not lot:
                amounts = (lot.granted, lot.available, lot.reserved, lot.consumed, lot.expired)
                lots.append(
                    (
                        tenant_id,
                        lot.id,
                        wallet.id,
                        lot.source,
                        *amounts,
                        lot.is_open,
                        lot.granted_at,
                        lot.expires_at,
                    )
                )
    entries = [
        (
            entry.tenant_id,
            entry.wallet_id,
            entry.sequence,
            entry.type,
            entry.amount,
            entry.granted_after,
            entry.available_after,
            entry.reserved_after,
            entry.consumed_after,
            entry.expired_after,
            json(draws_json(entry.draws)),
            json([(lot.hex, consumed, granted) for lot, consumed, granted in entry.repayments])
            if entry.repayments
            else None,
            entry.voucher.reservation_id,
            entry.voucher.reference,
            entry.voucher.note,
            entry.voucher.actor,
            entry.voucher.idempotency_key,
            entry.voucher.at,
            entry.previous_hash,
            entry.hash,
        )
        for entry in batch.entries
    ]
    inserted: list[tuple[Any, ...]] = []
    updated: list[tuple[Any, ...]] = []
    for tenant_id, reservation_id in batch.reservations:
        books = batch.tenants[tenant_id]
        reservation = books.reservations[reservation_id]
        settling = settling_columns(reservation)
        if reservation_id in books.new_reservations:
            inserted.append(fixed_columns(tenant_id, reservation) + holding_columns(reservation) + settling)
        else:
            updated.append((tenant_id, reservation_id, *settling))
    counters = [
        (tenant_id, key.scope, key.scope_id, key.period_key, counter.spent, counter.held)
        for tenant_id, key in batch.counters
        for counter in (batch.tenants[tenant_id].counters[key],)
    ]
    keys = [
        (tenant_id, operation, key, used.hash, used.result_id, batch.now)
        for tenant_id, operation, key, used in batch.used_keys
    ]
    if not (wallets or inserted or updated or counters or keys):
        return
    await connection.execute(
        WRITE_MONEY,
        *_columns(wallets, len(WALLET_COLUMNS)),
        *_columns(lots, len(LOT_COLUMNS)),
        *_columns(entries, len(ENTRY_COLUMNS)),
        *_columns(inserted, len(RESERVATION_INSERT)),
        *_columns(updated, len(RESERVATION_UPDATE)),
        *_columns(counters, len(COUNTER_COLUMNS)),
        *_columns(keys, len(KEY_COLUMNS)),
    )


async def _write_usage(connection: Connection, events: list[tuple[UUID, UsageEvent]]) -> None:
    keyed = [
        (tenant_id, event.usage.source, event.usage.event_id, event.id)
        for tenant_id, event in events
        if event.usage.source is not None
    ]
    if keyed:
        await connection.execute(WRITE_USAGE_KEYS, *_columns(keyed, 4))
    await connection.copy_records_to_table(
        "usage_event",
        records=[_usage_row(tenant_id, event) for tenant_id, event in events],
        columns=USAGE_COLUMNS,
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
    identifiers = sorted([new_id(batch.now) for _ in batch.events])
    rows = [
        (tenant_id, identifier, event.type, json(dict(event.payload)))
        for identifier, (tenant_id, event) in zip(identifiers, batch.events, strict=True)
    ]
    await connection.execute(WRITE_OUTBOX, *_columns(rows, 4), batch.now)


def _usage_row(tenant_id: UUID, event: UsageEvent) -> tuple[Any, ...]:
    usage, attribution, tokens = event.usage, event.attribution, event.usage.tokens
    return (
        tenant_id,
        event.id,
        event.occurred_at,
        event.recorded_at,
        usage.kind,
        usage.provider,
        usage.model,
        usage.operation,
        event.feature,
        event.reservation_id,
        attribution.project,
        attribution.research,
        attribution.campaign,
        attribution.account,
        attribution.client,
        attribution.agent_role,
        attribution.session,
        attribution.task_run,
        json(dict(attribution.tags)) if attribution.tags else None,
        event.route,
        usage.calls,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        tokens.reasoning,
        usage.units,
        usage.results,
        event.priced.cost,
        event.priced.effective_from,
        json(event.charges) if event.charges else None,
        usage.duration_ms,
        usage.success,
        usage.prompt_hash,
        usage.response_hash,
        usage.trace_id,
        usage.source,
        usage.event_id,
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    """Rows turned into one array per column."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
