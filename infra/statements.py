"""The statements and columns that write a batch.

Facts that are only added (entries, new reservations, idempotency keys, usage) go in by COPY, which takes half the time of
arrays. What changes in place (wallets, lots, reservations, counters) is one statement of data-modifying CTEs over arrays,
one for each column. What is rarer has statements of its own, run only when there is any.
"""

from collections.abc import Sequence
from typing import Final

from infra.reservation_rows import FIXED_COLUMNS, HOLDING_COLUMNS, SETTLING_COLUMNS

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
    "tenant_id",
    "wallet_id",
    "sequence",
    "type",
    "amount",
    "granted_after",
    "available_after",
    "reserved_after",
    "consumed_after",
    "expired_after",
    "draws",
    "repayments",
    "reservation_id",
    "reference",
    "note",
    "actor",
    "idempotency_key",
    "created_at",
    "previous_hash",
    "hash",
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
    "tenant_id",
    "operation",
    "key",
    "request_hash",
    "result_id",
    "created_at",
)
USAGE_KEY_COLUMNS: Final = ("tenant_id", "source", "event_id", "usage_id")
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
    "credits_charged",
    "usd_charged",
    "counted",
    "under_reservation",
    "steps",
)
AMENDMENT_COLUMNS: Final = (
    "tenant_id",
    "id",
    "occurred_at",
    "recorded_at",
    "event_id",
    "reservation_id",
    "kind",
    "provider",
    "model",
    "operation",
    "feature",
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
    "cost",
    "counted",
    "unpriced",
    "price_effective_from",
    "charges",
    "credits_charged",
    "usd_charged",
)
MARK_COLUMNS: Final = ("tenant_id", "quarter")
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


RESERVATION_COLUMNS: Final = tuple(name for name, _ in FIXED_COLUMNS + HOLDING_COLUMNS + SETTLING_COLUMNS)
RESERVATION_UPDATE: Final = FIXED_COLUMNS[:2] + SETTLING_COLUMNS
RESERVATION_EXTENSION: Final = FIXED_COLUMNS[:2] + HOLDING_COLUMNS


def _write_balances() -> str:
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
        f"changed AS (UPDATE reservation r SET {_set(SETTLING_COLUMNS, 'v')} "
        f"FROM {_unnest(RESERVATION_UPDATE, place(RESERVATION_UPDATE), 'v')} "
        "WHERE r.tenant_id = v.tenant_id AND r.id = v.id)"
    )
    counters = (
        f"INSERT INTO budget_counter ({_names(COUNTER_COLUMNS)}) "
        f"SELECT {_values(COUNTER_COLUMNS, 'v')} FROM {_unnest(COUNTER_COLUMNS, place(COUNTER_COLUMNS), 'v')} "
        "ON CONFLICT (tenant_id, scope, scope_id, period_key) DO UPDATE SET spent = EXCLUDED.spent, held = EXCLUDED.held"
    )
    return f"WITH {', '.join(parts)} {counters}"


WRITE_BALANCES: Final = _write_balances()
EXTEND_RESERVATIONS: Final = (
    f"UPDATE reservation r SET {_set(HOLDING_COLUMNS, 'v')} "
    f"FROM {_unnest(RESERVATION_EXTENSION, 1, 'v')} WHERE r.tenant_id = v.tenant_id AND r.id = v.id"
)
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
NAME_SCOPE: Final = """
INSERT INTO scope AS s (tenant_id, kind, id, name, client, status) VALUES ($1, $2, $3, $4, $5, 'ACTIVE')
ON CONFLICT (tenant_id, kind, id) DO UPDATE SET name = EXCLUDED.name, client = coalesce(EXCLUDED.client, s.client)"""
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
WRITE_COUNTED_BATCH: Final = (
    "INSERT INTO usage_batch (tenant_id, recorded_at, id, steps) VALUES ($1, $2, $3, $4::jsonb)"
)
WRITE_OUTBOX: Final = """
INSERT INTO outbox (tenant_id, id, type, payload, created_at)
SELECT v.tenant_id, v.id, v.type, v.payload::jsonb, v.created_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
    AS v (tenant_id, id, type, payload, created_at)"""
