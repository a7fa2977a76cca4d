"""Refusals: their records are kept long enough to be explained (their receipts), and then forgotten."""

from datetime import datetime, timedelta
from typing import Final

from infra.application import Application
from infra.identifiers import first_id
from infra.services.progress import Progress

KEPT: Final = timedelta(days=90)

_TENANTS: Final = "SELECT DISTINCT tenant_id FROM refusal"
# Ids carry their moments, so the key finds the oldest.
_FORGET: Final = """
WITH old AS (
    DELETE FROM refusal r USING (
        SELECT id FROM refusal WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT 5000
    ) o WHERE r.tenant_id = $1 AND r.id = o.id RETURNING 1
) SELECT count(*) FROM old"""


async def forget_old(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Forget the refusals that are older than 90 days, of every tenant; harmless at any time, twice or beside another
    run."""
    before = first_id(at - KEPT)
    done = 0
    for (tenant_id,) in await application.across_tenants.fetch(_TENANTS):
        while forgotten := await application.writers.fetchval(_FORGET, tenant_id, before):
            done += forgotten
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
    return Progress(done)
