"""Resets of budgets: what a budget paused works again in the next month, and workers are told to queue it again.

A budget's pause stops nobody once its month is over, so the job may come late or never: it only tidies the scopes and sends
the message. Whether a pause has ended is decided under the tenant's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

from domain.books import Operation
from domain.budgets import ScopeKey, ScopeKind
from domain.controls import BudgetsReset, ResetBudgets
from domain.ids import NIL
from infra.application import Application
from infra.deciding import SYSTEM
from infra.months import months_by_zone
from infra.services.callers import Caller, Role
from infra.services.commands import request_of
from infra.services.progress import Progress

# Pauses that may have ended by themselves: of a month that is over in the tenant's zone, or under another cap.
_ENDED: Final = """
SELECT s.tenant_id, s.kind, s.id FROM scope s JOIN tenant t ON t.id = s.tenant_id
JOIN unnest($1::text[], $2::text[]) AS month (time_zone, key) ON month.time_zone = t.time_zone
LEFT JOIN budget b ON b.tenant_id = s.tenant_id AND b.scope = s.kind AND b.scope_id = s.id
    AND b.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
LEFT JOIN budget d ON d.tenant_id = '00000000-0000-0000-0000-000000000000'::uuid AND d.scope = s.kind
    AND d.scope_id = s.id AND d.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
WHERE s.pause_period_key IS NOT NULL AND s.status = 'PAUSED' AND t.status = 'ACTIVE'
    AND (s.pause_period_key NOT IN ('TOTAL', month.key)
        OR coalesce(b.cap, d.cap) IS NULL OR coalesce(b.cap, d.cap) > s.pause_cap)
    AND (s.tenant_id, s.kind, s.id) > ($3::uuid, $4::text, $5::text)
ORDER BY s.tenant_id, s.kind, s.id LIMIT 500"""


async def reset_budgets(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Resume what budgets of every tenant paused in a month that is over by now; twice, late or beside another run is
    harmless. Counts the scopes that were resumed."""
    done = 0
    after: tuple[UUID, str, str] = (NIL, "", "")
    async with application.across_tenants.acquire() as connection:
        months = await months_by_zone(connection, at)
    while rows := await application.across_tenants.fetch(_ENDED, *months, *after):
        for tenant_id, found in groupby(rows, key=itemgetter(0)):
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            keys = [ScopeKey(ScopeKind(kind), identifier) for _, kind, identifier in found]
            done += await _reset(application, tenant_id, keys)
        after = tuple(rows[-1])
    return Progress(done)


async def _reset(application: Application, tenant_id: UUID, keys: Sequence[ScopeKey]) -> int:
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    command = ResetBudgets(request_of(system, Operation.RESET_BUDGETS, "", ()), tuple(keys))
    answer, _ = await application.group_commit.submit(command)
    assert isinstance(answer, BudgetsReset), answer
    return len(answer.keys)
