"""What the audit proves across rows, as queries that answer what does not hold.

Each answers a place and the figures that differ, by column name. They stand in for the foreign keys and
triggers that the hot path does without (DESIGN.md 3).
"""

from typing import Final, NamedTuple

from domain.audit import FindingKind


class Check(NamedTuple):
    """`title` is what people see while it runs."""

    kind: FindingKind
    title: str
    query: str


_TENANT: Final = "LEFT JOIN tenant ON tenant.id = tenant_id"
_SLUG: Final = "coalesce(tenant.slug, tenant_id::text)"
_RESERVATION: Final = "'rsv_' || replace({}::text, '-', '')"
_OWNED: Final = (
    "api_key", "wallet", "lot", "reservation", "task", "idempotency_key", "budget_counter", "scope", "usage_key",
    "usage_event", "outbox",
)  # fmt: skip

WALLET_RESERVED: Final = f"""
WITH held AS (
    SELECT tenant_id, hold ->> 0 AS key, sum((hold ->> 1)::numeric) AS amount
    FROM reservation, jsonb_array_elements(holds) AS hold WHERE state = 'HELD' GROUP BY 1, 2
)
SELECT {_SLUG} || '/' || key AS place, coalesce(held.amount, 0) AS held, coalesce(wallet.reserved, 0) AS reserved
FROM wallet FULL JOIN held USING (tenant_id, key) {_TENANT}
WHERE coalesce(held.amount, 0) <> coalesce(wallet.reserved, 0) ORDER BY 1"""

LOT_RESERVED: Final = f"""
WITH held AS (
    SELECT tenant_id, (draw ->> 0)::uuid AS id, sum((draw ->> 1)::numeric) AS amount
    FROM reservation, jsonb_array_elements(holds) AS hold, jsonb_array_elements(hold -> 2) AS draw
    WHERE state = 'HELD' GROUP BY 1, 2
)
SELECT {_SLUG} || ' lot ' || lot_or_hold.id AS place, held, reserved
FROM (
    SELECT tenant_id, id, coalesce(held.amount, 0) AS held, coalesce(lot.reserved, 0) AS reserved
    FROM lot FULL JOIN held USING (tenant_id, id)
) AS lot_or_hold {_TENANT}
WHERE held <> reserved ORDER BY 1"""

HOLD_DRAWS: Final = f"""
SELECT {_SLUG} || ' ' || {_RESERVATION.format("held.id")} || ' in ' || key AS place, amount, drawn
FROM (
    SELECT tenant_id, id, hold ->> 0 AS key, (hold ->> 1)::numeric AS amount,
        (SELECT coalesce(sum((draw ->> 1)::numeric), 0) FROM jsonb_array_elements(hold -> 2) AS draw) AS drawn
    FROM reservation, jsonb_array_elements(holds) AS hold WHERE state = 'HELD'
) AS held {_TENANT}
WHERE amount <> drawn ORDER BY 1"""

# What is open: reserved, and neither released nor consumed. One pass over the entries serves both comparisons.
RESERVATION_ENTRIES: Final = f"""
WITH booked AS (
    SELECT tenant_id, reservation_id AS id, wallet_id,
        sum(CASE WHEN type = 'RESERVED' THEN amount WHEN type IN ('RELEASED', 'CONSUMED') THEN -amount ELSE 0 END) AS open,
        sum(CASE WHEN type = 'CONSUMED' THEN amount ELSE 0 END) AS consumed
    FROM ledger_entry WHERE reservation_id IS NOT NULL GROUP BY 1, 2, 3
), legs AS (
    SELECT tenant_id, id, leg ->> 0 AS key, (leg ->> 1)::numeric AS held, 0 AS charged
    FROM reservation, jsonb_array_elements(holds) AS leg WHERE state = 'HELD'
    UNION ALL
    SELECT tenant_id, id, leg ->> 0, 0, (leg ->> 1)::numeric
    FROM reservation, jsonb_array_elements(charges) AS leg WHERE state = 'CONSUMED'
), told AS (
    SELECT tenant_id, legs.id, wallet.id AS wallet_id, sum(held) AS held, sum(charged) AS charged
    FROM legs LEFT JOIN wallet USING (tenant_id, key) GROUP BY 1, 2, 3
), compared AS (
    SELECT tenant_id, id, wallet_id, coalesce(held, 0) AS held, coalesce(open, 0) AS open_in_entries,
        coalesce(charged, 0) AS charged, coalesce(consumed, 0) AS consumed_in_entries
    FROM told FULL JOIN booked USING (tenant_id, id, wallet_id)
)
SELECT {_SLUG} || ' ' || {_RESERVATION.format("compared.id")} || ' in ' || coalesce(wallet.key, 'no wallet') AS place,
    held, open_in_entries, charged, consumed_in_entries
FROM compared LEFT JOIN wallet ON wallet.tenant_id = compared.tenant_id AND wallet.id = wallet_id
LEFT JOIN tenant ON tenant.id = compared.tenant_id
WHERE held <> open_in_entries OR charged <> consumed_in_entries ORDER BY 1"""

# An open reservation must find its task's row, too: else a retry would be charged again.
TASKS: Final = f"""
SELECT {_SLUG} || ' task ' || feature || ' ' || key AS place, points_to, state
FROM (
    SELECT task.tenant_id, task.feature, task.key, {_RESERVATION.format("reservation_id")} AS points_to, r.state
    FROM task LEFT JOIN reservation r ON r.tenant_id = task.tenant_id AND r.id = reservation_id
    WHERE r.state IS NULL OR r.state NOT IN ('HELD', 'CONSUMED')
        OR (r.task_feature, r.task_key) IS DISTINCT FROM (task.feature, task.key)
    UNION ALL
    SELECT r.tenant_id, r.task_feature, r.task_key, NULL, r.state
    FROM reservation r LEFT JOIN task
        ON task.tenant_id = r.tenant_id AND task.feature = r.task_feature AND task.key = r.task_key
    WHERE r.state = 'HELD' AND r.task_key IS NOT NULL AND task.reservation_id IS DISTINCT FROM r.id
) AS wrong {_TENANT} ORDER BY 1"""

USAGE_KEYS: Final = f"""
WITH event AS (
    SELECT tenant_id, source, event_id, id AS usage_id, count(*) AS events
    FROM usage_event WHERE source IS NOT NULL GROUP BY 1, 2, 3, 4
)
SELECT {_SLUG} || ' event ' || source || ' ' || event_id AS place, keys, events
FROM (
    SELECT tenant_id, source, event_id, CASE WHEN usage_key.tenant_id IS NULL THEN 0 ELSE 1 END AS keys,
        coalesce(events, 0) AS events
    FROM usage_key FULL JOIN event USING (tenant_id, source, event_id, usage_id)
) AS pair {_TENANT}
WHERE keys <> 1 OR events <> 1 ORDER BY 1"""

IDEMPOTENCY_KEYS: Final = f"""
SELECT {_SLUG} || ' ' || operation || ' key ' || key AS place, {_RESERVATION.format("result_id")} AS missing
FROM idempotency_key {_TENANT}
WHERE result_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM reservation r WHERE r.tenant_id = idempotency_key.tenant_id AND r.id = result_id) ORDER BY 1"""

REFERENCES: Final = f"""
SELECT {_SLUG} || ' ' || what AS place, count(*) AS rows
FROM (
    {" UNION ALL ".join(f"SELECT tenant_id, '{table} without its tenant' AS what FROM {table}" for table in _OWNED)}
) AS owned {_TENANT}
WHERE tenant.id IS NULL AND tenant_id IS NOT NULL GROUP BY 1
UNION ALL
SELECT {_SLUG} || ' ' || what, count(*)
FROM (
    SELECT tenant_id, 'lot ' || id || ' without its wallet' AS what FROM lot
    WHERE NOT EXISTS (SELECT FROM wallet w WHERE w.tenant_id = lot.tenant_id AND w.id = lot.wallet_id)
    UNION ALL
    SELECT tenant_id, {_RESERVATION.format("reservation_id")} || ' of ledger entries is missing' FROM ledger_entry e
    WHERE reservation_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM reservation r WHERE r.tenant_id = e.tenant_id AND r.id = e.reservation_id)
    UNION ALL
    SELECT tenant_id, {_RESERVATION.format("reservation_id")} || ' of usage events is missing' FROM usage_event u
    WHERE reservation_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM reservation r WHERE r.tenant_id = u.tenant_id AND r.id = u.reservation_id)
) AS lost {_TENANT} GROUP BY 1 ORDER BY 1"""

CHECKS: Final = (
    Check(FindingKind.WALLET_RESERVED, "holds of wallets", WALLET_RESERVED),
    Check(FindingKind.LOT_RESERVED, "holds of lots", LOT_RESERVED),
    Check(FindingKind.HOLD_DRAWS, "draws of holds", HOLD_DRAWS),
    Check(FindingKind.RESERVATION_ENTRIES, "entries of reservations", RESERVATION_ENTRIES),
    Check(FindingKind.TASK, "tasks", TASKS),
    Check(FindingKind.USAGE_KEY, "usage keys", USAGE_KEYS),
    Check(FindingKind.IDEMPOTENCY_KEY, "idempotency keys", IDEMPOTENCY_KEYS),
    Check(FindingKind.REFERENCE, "references", REFERENCES),
)

# What is counted for the report, besides wallets, lots and entries, which are counted as they are read.
COUNTED: Final = (
    ("tenants", "tenant", ""),
    ("reservations", "reservation", ""),
    ("open reservations", "reservation", "WHERE state = 'HELD'"),
    ("budget counters", "budget_counter", ""),
    ("tasks", "task", ""),
    ("usage events", "usage_event", ""),
    ("usage keys", "usage_key", ""),
    ("idempotency keys", "idempotency_key", ""),
)
