"""Cycles: what the plan grants each billing month.

The first command in a new cycle finds it granted, so this job changes nothing but that tenants who ask for nothing are
granted too. Running it twice, late, or after missed months is harmless: only the running cycle is ever granted, once.
"""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain.ids import NIL
from domain.tenants import Tenant
from infra.application import Application
from infra.services.progress import Progress

DUE: Final = """
SELECT id FROM tenant WHERE status <> 'CLOSED' AND (cycle_end IS NULL OR cycle_end <= $1) AND id > $2
ORDER BY id LIMIT 100"""

_log: Final = logging.getLogger(__name__)


async def start_cycle(application: Application, tenant_id: UUID) -> Tenant:
    """Grant a tenant's running cycle, unless it was."""
    tenant = await application.group_commit.start_cycle(tenant_id)
    assert tenant is not None, "the tenant exists"
    return tenant


async def start_due(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Grant the running cycle to every tenant whose last one has ended."""
    done = 0
    after = NIL
    while rows := await application.across_tenants.fetch(DUE, at, after):
        for (tenant_id,) in rows:
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            after = tenant_id
            try:
                await start_cycle(application, tenant_id)
                done += 1
            except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                raise
            except Exception:  # noqa: BLE001  # one tenant must not stand in the way of the others
                _log.exception("the cycle of tenant %s could not be granted", tenant_id)
    return Progress(done)
