"""What the audit proves across rows, as queries that answer what does not hold.

Each answers the tenant, a place, and the figures that differ under their columns' names. They stand in for the
foreign keys and triggers that the hot path does without (DESIGN.md 3).
"""

from typing import Final, NamedTuple

from domain.audit import FindingKind


class Check(NamedTuple):
    """`title` is what people see while it runs."""

    kind: FindingKind
    title: str
    query: str


WALLET_RESERVED: Final = """
WITH held AS (
    SELECT tenant_id, hold ->> 0 AS key, sum((hold ->> 1)::numeric) AS amount
    FROM reservation, jsonb_array_elements(holds) AS hold WHERE state = 'HELD' GROUP BY 1, 2
)
SELECT tenant_id, key AS place, coalesce(amount, 0) AS held_by_reservations, coalesce(reserved, 0) AS reserved
FROM wallet FULL JOIN held USING (tenant_id, key)
WHERE coalesce(amount, 0) <> coalesce(reserved, 0) ORDER BY 1, 2"""

LOT_RESERVED: Final = """
WITH held AS (
    SELECT tenant_id, (draw ->> 0)::uuid AS id, sum((draw ->> 1)::numeric) AS amount
    FROM reservation, jsonb_array_elements(holds) AS hold, jsonb_array_elements(hold -> 2) AS draw
    WHERE state = 'HELD' GROUP BY 1, 2
)
SELECT tenant_id, 'lot ' || id AS place, coalesce(amount, 0) AS held_by_reservations, coalesce(reserved, 0) AS reserved
FROM lot FULL JOIN held USING (tenant_id, id)
WHERE coalesce(amount, 0) <> coalesce(reserved, 0) ORDER BY 1, 2"""

HOLD_DRAWS: Final = """
SELECT tenant_id, 'rsv_' || replace(id::text, '-', '') || ' in ' || key AS place, amount, drawn
FROM (
    SELECT tenant_id, id, hold ->> 0 AS key, (hold ->> 1)::numeric AS amount,
        (SELECT coalesce(sum((draw ->> 1)::numeric), 0) FROM jsonb_array_elements(hold -> 2) AS draw) AS drawn
    FROM reservation, jsonb_array_elements(holds) AS hold WHERE state = 'HELD'
) AS held
WHERE amount <> drawn ORDER BY 1, 2"""

# Open is what was reserved and neither released nor consumed; what re-rating gave back of a charge is an adjustment. One
# pass over the entries serves both comparisons.
RESERVATION_ENTRIES: Final = """
WITH booked AS (
    SELECT tenant_id, reservation_id AS id, wallet_id,
        sum(CASE WHEN type = 'RESERVED' THEN amount WHEN type IN ('RELEASED', 'CONSUMED') THEN -amount ELSE 0 END)
            AS open,
        sum(CASE WHEN type = 'CONSUMED' THEN amount WHEN type = 'ADJUSTED' THEN -amount ELSE 0 END) AS consumed
    FROM ledger_entry WHERE reservation_id IS NOT NULL GROUP BY 1, 2, 3
), leg AS (
    SELECT tenant_id, id, hold ->> 0 AS key, (hold ->> 1)::numeric AS held, 0 AS charged
    FROM reservation, jsonb_array_elements(holds) AS hold WHERE state = 'HELD'
    UNION ALL
    SELECT tenant_id, id, charge ->> 0, 0, (charge ->> 1)::numeric
    FROM reservation, jsonb_array_elements(charges) AS charge WHERE state = 'CONSUMED'
), told AS (
    SELECT tenant_id, leg.id, wallet.id AS wallet_id, sum(held) AS held, sum(charged) AS charged
    FROM leg LEFT JOIN wallet USING (tenant_id, key) GROUP BY 1, 2, 3
), compared AS (
    SELECT tenant_id, id, wallet_id, coalesce(held, 0) AS held, coalesce(open, 0) AS open_in_entries,
        coalesce(charged, 0) AS charged, coalesce(consumed, 0) AS consumed_in_entries
    FROM told FULL JOIN booked USING (tenant_id, id, wallet_id)
)
SELECT c.tenant_id, 'rsv_' || replace(c.id::text, '-', '') || ' in ' || coalesce(w.key, 'no wallet') AS place,
    held, open_in_entries, charged, consumed_in_entries
FROM compared c LEFT JOIN wallet w ON w.tenant_id = c.tenant_id AND w.id = c.wallet_id
WHERE held <> open_in_entries OR charged <> consumed_in_entries ORDER BY 1, 2"""

# An open reservation must be its task's: else a retry would be charged again.
TASKS: Final = """
SELECT t.tenant_id, 'task ' || t.feature || ' ' || t.key AS place,
    'rsv_' || replace(reservation_id::text, '-', '') AS reservation, state, task_feature, task_key
FROM task t LEFT JOIN reservation r ON r.tenant_id = t.tenant_id AND r.id = reservation_id
WHERE state IS NULL OR state NOT IN ('HELD', 'CONSUMED') OR (task_feature, task_key) IS DISTINCT FROM (t.feature, t.key)
UNION ALL
SELECT r.tenant_id, 'task ' || task_feature || ' ' || task_key,
    'rsv_' || replace(r.id::text, '-', '') || ' is not found by it', state, task_feature, task_key
FROM reservation r LEFT JOIN task t ON t.tenant_id = r.tenant_id AND t.feature = task_feature AND t.key = task_key
WHERE state = 'HELD' AND task_key IS NOT NULL AND t.reservation_id IS DISTINCT FROM r.id
ORDER BY 1, 2"""

USAGE_KEYS: Final = """
WITH event AS (
    SELECT tenant_id, source, event_id, id AS usage_id, count(*) AS events
    FROM usage_event WHERE source IS NOT NULL GROUP BY 1, 2, 3, 4
)
SELECT tenant_id, 'event ' || source || ' ' || event_id AS place, keys, events
FROM (
    SELECT tenant_id, source, event_id, CASE WHEN usage_key.tenant_id IS NULL THEN 0 ELSE 1 END AS keys,
        coalesce(events, 0) AS events
    FROM usage_key FULL JOIN event USING (tenant_id, source, event_id, usage_id)
) AS pair
WHERE keys <> 1 OR events <> 1 ORDER BY 1, 2"""

# What re-rating gave back was consumed at first.
USAGE_CHARGES: Final = """
WITH charge AS (
    SELECT tenant_id, charge ->> 0 AS key, (charge ->> 1)::numeric AS amount
    FROM usage_event, jsonb_array_elements(charges) AS charge
    UNION ALL
    SELECT tenant_id, charge ->> 0, (charge ->> 1)::numeric
    FROM usage_amendment, jsonb_array_elements(charges) AS charge
), charged AS (
    SELECT tenant_id, key, sum(amount) AS amount FROM charge GROUP BY 1, 2
), given_back AS (
    SELECT tenant_id, wallet_id, sum(amount) AS amount FROM ledger_entry
    WHERE type = 'ADJUSTED' AND reference = 'rerate' GROUP BY 1, 2
)
SELECT tenant_id, key || ' on usage' AS place, coalesce(w.consumed, 0) AS consumed,
    coalesce(c.amount, 0) AS charged_on_usage
FROM (
    SELECT w.tenant_id, w.key, w.consumed - coalesce(b.amount, 0) AS consumed
    FROM wallet w LEFT JOIN given_back b ON b.tenant_id = w.tenant_id AND b.wallet_id = w.id
) AS w FULL JOIN charged c USING (tenant_id, key)
WHERE coalesce(w.consumed, 0) <> coalesce(c.amount, 0) ORDER BY 1, 2"""

USAGE_COUNTED: Final = """
WITH used AS (
    SELECT tenant_id, coalesce(cost, counted, 0) AS counted FROM usage_event
    UNION ALL SELECT tenant_id, counted FROM usage_amendment
), counted AS (
    SELECT tenant_id, sum(counted) AS amount FROM used GROUP BY 1
), spent AS (
    SELECT tenant_id, sum(spent) AS amount FROM budget_counter WHERE scope = 'TENANT' GROUP BY 1
)
SELECT tenant_id, 'spent' AS place, coalesce(s.amount, 0) AS spent, coalesce(c.amount, 0) AS cost_of_usage
FROM spent s FULL JOIN counted c USING (tenant_id)
WHERE coalesce(s.amount, 0) <> coalesce(c.amount, 0) ORDER BY 1"""

# Publications have numbers; a key keeps them as an id.
IDEMPOTENCY_KEYS: Final = """
SELECT k.tenant_id, 'key of ' || k.operation || ' ' || k.key AS place, replace(result_id::text, '-', '') AS missing
FROM idempotency_key k
LEFT JOIN reservation r ON r.tenant_id = k.tenant_id AND r.id = result_id
LEFT JOIN top_up o ON o.tenant_id = k.tenant_id AND o.id = result_id
LEFT JOIN tenant t ON t.id = result_id
LEFT JOIN channel c ON c.tenant_id = k.tenant_id AND c.id = result_id
LEFT JOIN delivery d ON k.operation = 'testChannel' AND d.tenant_id = k.tenant_id AND d.event_id = result_id
LEFT JOIN api_key a ON k.operation LIKE '%ApiKey' AND a.tenant_id = k.tenant_id AND a.id = result_id
LEFT JOIN identity_provider i ON k.operation LIKE '%IdentityProvider' AND i.tenant_id = k.tenant_id AND i.id = result_id
LEFT JOIN expense e ON e.tenant_id = k.tenant_id AND e.id = result_id
LEFT JOIN customers_won w ON w.tenant_id = k.tenant_id AND w.id = result_id
LEFT JOIN publication p ON k.operation LIKE 'publish%' AND lpad(to_hex(p.sequence), 32, '0')::uuid = result_id
WHERE result_id IS NOT NULL
    AND coalesce(r.id, o.id, t.id, c.id, d.event_id, a.id, i.id, e.id, w.id) IS NULL AND p.sequence IS NULL ORDER BY 1, 2"""

# Each order's entries carry its public id as their reference.
TOP_UPS: Final = """
WITH booked AS (
    SELECT tenant_id, reference, sum(CASE WHEN type = 'TOPPED_UP' THEN amount ELSE 0 END) AS credited,
        sum(CASE WHEN type = 'ADJUSTED' THEN -amount ELSE 0 END) AS taken_back
    FROM ledger_entry WHERE reference LIKE 'top!_%' ESCAPE '!' GROUP BY 1, 2
), told AS (
    SELECT tenant_id, 'top_' || replace(id::text, '-', '') AS reference, credited, taken_back FROM top_up
)
SELECT tenant_id, reference AS place, coalesce(t.credited, 0) AS credited, coalesce(b.credited, 0) AS credited_in_entries,
    coalesce(t.taken_back, 0) AS taken_back, coalesce(b.taken_back, 0) AS taken_back_in_entries
FROM told t FULL JOIN booked b USING (tenant_id, reference)
WHERE coalesce(t.credited, 0) <> coalesce(b.credited, 0) OR coalesce(t.taken_back, 0) <> coalesce(b.taken_back, 0)
ORDER BY 1, 2"""

# A cycle's entries carry its start. Of capacity wallets only the ceiling is known, and that it was reached by entries.
ALLOCATIONS: Final = """
WITH booked AS (
    SELECT e.tenant_id, w.key AS wallet_key, regexp_replace(e.reference, '^plan:.*:(\\d{4}-\\d{2}-\\d{2}T.*)$', '\\1')::timestamptz AS cycle_start,
        sum(e.amount) AS amount
    FROM ledger_entry e JOIN wallet w ON w.tenant_id = e.tenant_id AND w.id = e.wallet_id
    WHERE e.type = 'ALLOCATED' AND e.reference ~ '^plan:.*:\\d{4}-\\d{2}-\\d{2}T' AND w.bucket_type = 'CONSUMABLE' GROUP BY 1, 2, 3
), told AS (
    SELECT a.tenant_id, wallet_key, cycle_start, amount
    FROM allocation a JOIN wallet w ON w.tenant_id = a.tenant_id AND w.key = a.wallet_key
    WHERE w.bucket_type = 'CONSUMABLE' AND amount > 0
)
SELECT tenant_id, wallet_key || ' in the cycle from ' || cycle_start AS place, coalesce(t.amount, 0) AS allocated,
    coalesce(b.amount, 0) AS allocated_in_entries
FROM told t FULL JOIN booked b USING (tenant_id, wallet_key, cycle_start)
WHERE coalesce(t.amount, 0) <> coalesce(b.amount, 0)
    -- Months before there were allocations have entries only.
    AND (t.tenant_id IS NOT NULL OR cycle_start >= (
        SELECT min(a.cycle_start) FROM allocation a WHERE a.tenant_id = b.tenant_id))
ORDER BY 1, 2"""

_STATED: Final = (
    "ROW({0}.campaign, {0}.kind, {0}.minor, {0}.currency, {0}.hours, {0}.hourly_rate, {0}.incurred_on, {0}.description)"
)
EXPENSES: Final = f"""
WITH kept AS (
    SELECT tenant_id, expense_id AS id, count(*) AS versions, max(version) AS newest FROM expense_version GROUP BY 1, 2
), stated AS (
    SELECT e.*, v.change, ({_STATED.format("e")}) IS DISTINCT FROM ({_STATED.format("v")}) AS differs
    FROM expense e LEFT JOIN expense_version v ON v.tenant_id = e.tenant_id AND v.expense_id = e.id AND v.version = e.version
)
SELECT tenant_id, 'exp_' || replace(id::text, '-', '') AS place, coalesce(s.version, 0) AS version,
    coalesce(k.versions, 0) AS versions_kept, coalesce(k.newest, 0) AS newest_kept
FROM stated s FULL JOIN kept k USING (tenant_id, id)
WHERE s.version IS DISTINCT FROM k.versions OR s.version IS DISTINCT FROM k.newest OR s.differs
    OR (s.deleted_at IS NULL) = (s.change = 'DELETED') ORDER BY 1, 2"""

REFERENCES: Final = """
SELECT tenant_id, what || ' without its tenant' AS place, count(*) AS rows
FROM (
    SELECT tenant_id, 'api_key' AS what FROM api_key WHERE tenant_id IS NOT NULL
    UNION ALL SELECT tenant_id, 'wallet' FROM wallet
    UNION ALL SELECT tenant_id, 'reservation' FROM reservation
    UNION ALL SELECT tenant_id, 'idempotency_key' FROM idempotency_key WHERE tenant_id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL SELECT tenant_id, 'budget_counter' FROM budget_counter
    UNION ALL SELECT tenant_id, 'scope' FROM scope
    UNION ALL SELECT tenant_id, 'usage_event' FROM usage_event
    UNION ALL SELECT tenant_id, 'usage_amendment' FROM usage_amendment
    UNION ALL SELECT tenant_id, 'outbox' FROM outbox WHERE tenant_id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL SELECT tenant_id, 'alert' FROM alert WHERE tenant_id <> '00000000-0000-0000-0000-000000000000'
    UNION ALL SELECT tenant_id, 'channel' FROM channel
    UNION ALL SELECT tenant_id, 'identity_provider' FROM identity_provider
    UNION ALL SELECT tenant_id, 'top_up' FROM top_up
    UNION ALL SELECT tenant_id, 'allocation' FROM allocation
    UNION ALL SELECT tenant_id, 'auto_recharge' FROM auto_recharge
    UNION ALL SELECT tenant_id, 'expense' FROM expense
    UNION ALL SELECT tenant_id, 'customers_won' FROM customers_won
    UNION ALL SELECT tenant_id, 'publication' FROM publication WHERE tenant_id IS NOT NULL
) AS owned LEFT JOIN tenant ON tenant.id = tenant_id
WHERE tenant.id IS NULL GROUP BY 1, 2
UNION ALL
SELECT l.tenant_id, 'lot ' || l.id || ' without its wallet', 1
FROM lot l LEFT JOIN wallet w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id WHERE w.id IS NULL
UNION ALL
SELECT named.tenant_id, what || ' of a missing rsv_' || replace(reservation_id::text, '-', ''), count(*)
FROM (
    SELECT tenant_id, 'ledger_entry' AS what, reservation_id FROM ledger_entry WHERE reservation_id IS NOT NULL
    UNION ALL SELECT tenant_id, 'usage_event', reservation_id FROM usage_event WHERE reservation_id IS NOT NULL
) AS named LEFT JOIN reservation r ON r.tenant_id = named.tenant_id AND r.id = reservation_id
WHERE r.id IS NULL GROUP BY 1, 2
ORDER BY 1, 2"""

CHECKS: Final = (
    Check(FindingKind.WALLET_RESERVED, "holds of wallets", WALLET_RESERVED),
    Check(FindingKind.LOT_RESERVED, "holds of lots", LOT_RESERVED),
    Check(FindingKind.HOLD_DRAWS, "draws of holds", HOLD_DRAWS),
    Check(FindingKind.RESERVATION_ENTRIES, "entries of reservations", RESERVATION_ENTRIES),
    Check(FindingKind.TASK, "tasks", TASKS),
    Check(FindingKind.USAGE_KEY, "usage keys", USAGE_KEYS),
    Check(FindingKind.USAGE_CHARGED, "charges on usage", USAGE_CHARGES),
    Check(FindingKind.USAGE_COUNTED, "cost of usage", USAGE_COUNTED),
    Check(FindingKind.IDEMPOTENCY_KEY, "idempotency keys", IDEMPOTENCY_KEYS),
    Check(FindingKind.TOP_UP, "top-ups", TOP_UPS),
    Check(FindingKind.ALLOCATION, "allocations", ALLOCATIONS),
    Check(FindingKind.EXPENSE, "histories of expenses", EXPENSES),
    Check(FindingKind.REFERENCE, "references", REFERENCES),
)

# Counted for the report, besides wallets, lots and entries, which are counted as they are read.
COUNTS: Final = """
SELECT (SELECT count(*) FROM tenant) AS "tenants", (SELECT count(*) FROM reservation) AS "reservations",
    (SELECT count(*) FROM reservation WHERE state = 'HELD') AS "open reservations",
    (SELECT count(*) FROM budget_counter) AS "budget counters", (SELECT count(*) FROM task) AS "tasks",
    (SELECT count(*) FROM usage_event) AS "usage events", (SELECT count(*) FROM usage_key) AS "usage keys",
    (SELECT count(*) FROM idempotency_key) AS "idempotency keys" """
