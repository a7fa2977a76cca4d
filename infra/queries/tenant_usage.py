"""Tenant usage: what an operator looks at first when a tenant asks about its account."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain.breakdowns import Dimension, UsageFilter, UsageTotals
from domain.ledger import Entry
from domain.rollups import day_named, day_of
from domain.usage import UsageKind
from infra.application import Application
from infra.ledger_rows import ENTRY_COLUMNS, entry_of
from infra.queries.tenants import zone_of
from infra.queries.usage_breakdowns import Breakdown, BreakdownRow, usage_breakdown

MOST_ENTRIES: Final = 20
MOST_GROUPS: Final = 100
_DAYS_BEFORE: Final = timedelta(days=29)

# The newest of each wallet by its numbers, and of those the newest.
_ENTRIES: Final = f"""
SELECT {ENTRY_COLUMNS} FROM (SELECT id FROM wallet WHERE tenant_id = $1) w CROSS JOIN LATERAL (
    SELECT * FROM ledger_entry WHERE tenant_id = $1 AND wallet_id = w.id ORDER BY sequence DESC LIMIT $2
) e ORDER BY created_at DESC, wallet_id, sequence DESC LIMIT $2"""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Usage of language models in [start, end)."""

    start: datetime
    end: datetime
    total: UsageTotals
    by_model: tuple[BreakdownRow, ...]
    by_agent_role: tuple[BreakdownRow, ...]


async def recent_entries(application: Application, tenant_id: UUID) -> list[Entry]:
    """The newest ledger entries over all wallets of a tenant."""
    rows = await application.readers.of(tenant_id).fetch(_ENTRIES, tenant_id, MOST_ENTRIES)
    return [entry_of(row[:]) for row in rows]


async def model_usage(application: Application, tenant_id: UUID) -> ModelUsage:
    """The last 30 days of the tenant's time zone, today included."""
    zone = await zone_of(application, tenant_id)
    today = day_of(application.clock(), zone)
    start = day_named(today.day - _DAYS_BEFORE, zone).start
    wanted = UsageFilter(start, today.end, kind=(UsageKind.LLM,))

    async def by(*dimensions: Dimension) -> Breakdown:
        return await usage_breakdown(application, tenant_id, wanted, dimensions, top=MOST_GROUPS)

    models = await by(Dimension.PROVIDER, Dimension.MODEL)
    roles = await by(Dimension.AGENT_ROLE)
    return ModelUsage(start, today.end, models.total, models.rows, roles.rows)
