"""Counters: what each budget had spent when a month began.

What it has spent today, less what was counted since: calls that were recorded, and corrections of what they cost. It takes
the budgets for ever, those of the month, and those of earlier months in which work that was open then still counts.
"""

from collections import defaultdict
from typing import Final

import orjson

from domain.attribution import Attribution
from domain.budgets import Counter, CounterKey, counter_keys
from domain.periods import TOTAL, month_key
from domain.refusals import BudgetScope
from infra.back_test.opening import Opening
from infra.reservation_rows import attribution_of
from infra.tenant_rows import zone_name
from infra.transaction import Connection

_TODAY: Final = """
SELECT scope, scope_id, period_key, spent FROM budget_counter WHERE tenant_id = $1 AND period_key = ANY($2)"""
# Under a reservation its attribution and its month count, else those of the call.
_SINCE: Final = """
SELECT r.attribution, r.month, u.month, u.agent_role, u.campaign, u.tags, sum(u.amount)::bigint
FROM (
    SELECT CASE WHEN under_reservation THEN reservation_id END AS reservation_id,
        coalesce(steps ->> 1, to_char(occurred_at AT TIME ZONE $3, 'YYYY-MM')) AS month, agent_role, campaign, tags,
        coalesce(cost, counted, 0) AS amount
    FROM usage_event WHERE tenant_id = $1 AND recorded_at >= $2
    UNION ALL
    SELECT CASE WHEN e.under_reservation THEN e.reservation_id END,
        to_char(a.occurred_at AT TIME ZONE $3, 'YYYY-MM'), a.agent_role, a.campaign, a.tags, a.counted
    FROM usage_amendment a
    JOIN usage_event e ON (e.tenant_id, e.occurred_at, e.id) = (a.tenant_id, a.occurred_at, a.event_id)
    WHERE a.tenant_id = $1 AND a.event_id IS NOT NULL AND a.recorded_at >= $2
) u
LEFT JOIN reservation r ON r.tenant_id = $1 AND r.id = u.reservation_id
GROUP BY 1, 2, 3, 4, 5, 6"""


async def read(connection: Connection, opening: Opening) -> None:
    """Put the counters of the opening into it, with what open work holds in them."""
    tenant = opening.tenant
    first = month_key(opening.start, tenant.zone)
    periods = {TOTAL, first, opening.month, *[reservation.month for reservation in opening.reservations.values()]}
    spent: defaultdict[CounterKey, int] = defaultdict(int)
    for scope, scope_id, period, amount in await connection.fetch(_TODAY, tenant.id, list(periods)):
        spent[CounterKey(BudgetScope(scope), scope_id, period)] += amount
    for terms, of_terms, month, role, campaign, tags, amount in await connection.fetch(
        _SINCE, tenant.id, opening.start, zone_name(tenant.zone)
    ):
        attribution = counted_as(role, campaign, tags) if terms is None else attribution_of(terms)
        for key in counter_keys(attribution, of_terms or month):
            if key.period_key in periods:
                spent[key] -= amount
    held = opening.held
    opening.counters = {key: Counter(key, spent[key], held[key]) for key in {*spent, *held}}


def counted_as(role: str | None, campaign: str | None, tags: str | None) -> Attribution:
    """What budgets know of a call's attribution, from its columns."""
    pairs = () if tags is None else tuple(sorted(orjson.loads(tags).items()))
    return Attribution(campaign=campaign, agent_role=role, tags=pairs)
