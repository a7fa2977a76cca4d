"""States that alerts are made of: the budgets that have reached a threshold, and how wallets stand, of many tenants at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.alerts import BudgetState, WalletState
from domain.budgets import BudgetKey, BudgetPeriod
from domain.ids import NIL
from domain.refusals import BudgetScope
from infra.application import Application

# Caps of the tenant's own, else the operator's; the most used of those that share a scope comes first. What is not in use
# any more, and what has spent nothing, is not told of.
_BUDGETS: Final = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::text[]) AS a (tenant_id, month)
), capped AS (
    SELECT a.tenant_id, a.month, b.scope, b.scope_id, b.period, b.cap, b.thresholds
    FROM asked a JOIN budget b ON b.tenant_id = a.tenant_id
    UNION ALL
    SELECT a.tenant_id, a.month, p.scope, p.scope_id, p.period, p.cap, p.thresholds
    FROM asked a CROSS JOIN budget p
    WHERE p.tenant_id = $3 AND NOT EXISTS (
        SELECT FROM budget b
        WHERE b.tenant_id = a.tenant_id AND (b.scope, b.scope_id, b.period) = (p.scope, p.scope_id, p.period)
    )
), counted AS (
    SELECT b.*, c.period_key, c.spent,
        CASE WHEN b.cap > 0 THEN div(c.spent::numeric * 10000, b.cap) ELSE 10000 END AS used
    FROM capped b JOIN budget_counter c ON c.tenant_id = b.tenant_id AND c.scope = b.scope AND c.scope_id = b.scope_id
        AND c.period_key = CASE b.period WHEN 'TOTAL' THEN 'TOTAL' ELSE b.month END
    WHERE b.period <> 'TASK' AND c.spent > 0
)
SELECT c.tenant_id, c.scope, c.scope_id, c.period, CASE c.scope WHEN 'TENANT' THEN t.name ELSE s.name END,
    c.cap, c.thresholds, c.spent,
    s.status = 'PAUSED' AND s.pause_period_key IS NOT DISTINCT FROM c.period_key
        AND s.pause_cap IS NOT DISTINCT FROM c.cap
FROM counted c
JOIN tenant t ON t.id = c.tenant_id
LEFT JOIN scope s ON s.tenant_id = c.tenant_id AND s.kind = c.scope AND s.id = c.scope_id
WHERE c.used >= (SELECT min(threshold) FROM unnest(c.thresholds) AS threshold) AND s.status IS DISTINCT FROM 'INACTIVE'
ORDER BY c.tenant_id, c.used DESC, c.scope, c.scope_id, c.period"""

# A platform wallet by the lots that are active, capacity by its ceiling; the prepaid one only once it has held something.
_WALLETS: Final = """
SELECT w.tenant_id, w.key,
    CASE WHEN w.bucket_type = 'CAPACITY' THEN w.reserved ELSE active.consumed END,
    CASE WHEN w.bucket_type = 'CAPACITY' THEN w.granted ELSE active.granted END,
    w.available, w.low_balance,
    EXISTS (SELECT FROM auto_recharge r WHERE (r.tenant_id, r.wallet_key) = (w.tenant_id, w.key) AND r.enabled)
FROM wallet w
CROSS JOIN LATERAL (
    SELECT coalesce(sum(granted), 0)::bigint AS granted, coalesce(sum(consumed), 0)::bigint AS consumed
    FROM lot
    WHERE w.kind = 'PLATFORM' AND tenant_id = w.tenant_id AND wallet_id = w.id AND (expires_at IS NULL OR expires_at > $2)
) active
WHERE w.tenant_id = ANY($1::uuid[]) AND (w.kind = 'PLATFORM' OR w.granted <> 0 OR w.available <> 0)
ORDER BY w.tenant_id, w.key"""


async def budgets(application: Application, months: Mapping[UUID, str]) -> dict[UUID, list[BudgetState]]:
    """By tenant: the budgets that stand at or above their first threshold. `months`: the current one of each tenant."""
    found: dict[UUID, list[BudgetState]] = {}
    rows = await application.across_tenants.fetch(_BUDGETS, list(months), list(months.values()), NIL)
    for tenant_id, scope, scope_id, period, name, cap, thresholds, spent, paused in rows:
        key = BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period))
        state = BudgetState(key, name, cap, tuple(thresholds), spent, bool(paused))
        found.setdefault(tenant_id, []).append(state)
    return found


async def wallets(application: Application, tenant_ids: Sequence[UUID], at: datetime) -> dict[UUID, list[WalletState]]:
    """By tenant: its wallets; what has expired by then counts no more."""
    found: dict[UUID, list[WalletState]] = {}
    for tenant_id, *state in await application.across_tenants.fetch(_WALLETS, list(tenant_ids), at):
        found.setdefault(tenant_id, []).append(WalletState(*state))
    return found
