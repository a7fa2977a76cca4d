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
FROM compared {_TENANT} LEFT JOIN wallet USING (tenant_id) WHERE false"""
RESERVATION_ENTRIES = RESERVATION_ENTRIES  # placeholder
