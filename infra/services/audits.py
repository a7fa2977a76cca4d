"""Audits of the books, as the daily job: what does not hold is told to the tenants' people and to the operator's alarm."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from infra.application import Application
from infra.audit import AuditReport, audit
from infra.services.alerts import raise_imbalance
from infra.services.progress import Progress

_THERE_ARE: Final = "SELECT id FROM tenant WHERE id = ANY($1::uuid[])"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Audited:
    """`progress` counts the ledger entries that were checked; `imbalances` is None where the time did not suffice."""

    progress: Progress
    imbalances: int | None


async def audit_ledger(application: Application, *, stop_at: datetime | None = None) -> Audited:
    """Prove the books, and raise an alert for each tenant whose books do not hold: once a day, however often this runs. It
    is one snapshot and cannot be taken up where it stopped: out of time it begins anew the next day."""
    remaining = None if stop_at is None else (stop_at - application.clock()).total_seconds()
    try:
        async with asyncio.timeout(remaining), application.across_tenants.acquire() as connection:
            report = await audit(connection)
    except TimeoutError:
        return Audited(Progress(0, complete=False), None)
    await _tell(application, report)
    return Audited(Progress(dict(report.counts)["ledger entries"]), report.found)


async def _tell(application: Application, report: AuditReport) -> None:
    for finding in report.findings:
        _log.error("the books do not hold: %s at %s: %s", finding.kind.value, finding.place, dict(finding.figures))
    found = dict(report.tenants)
    # What belongs to no tenant that there is has nobody to be told but the operator.
    for (tenant_id,) in await application.across_tenants.fetch(_THERE_ARE, list(found)):
        await raise_imbalance(application, tenant_id, found[tenant_id])
