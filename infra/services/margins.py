"""Margins, as the daily job: what does not earn what it should is told to operators, and how much was not metered.

Its alerts belong to no tenant: they are kept under the nil tenant, as the operator's default budgets are, so that no key of
a tenant, no channel and no subscription ever meets them.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from domain import alerts
from domain.ids import NIL
from infra.application import Application
from infra.queries.margin_reports import MarginReport, check
from infra.queries.margins import Period
from infra.services.alerts import raise_alerts
from infra.services.progress import Progress

# Long enough that one late settlement or a slow day says little.
DAYS: Final = 30

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """`progress` counts the alerts that are new. How many lines are flagged and calls unmetered; None where the time did not
    suffice."""

    progress: Progress
    flagged: int | None = None
    unmetered: int | None = None


def usual_period(at: datetime) -> Period:
    """The 30 days before the day (UTC) of a moment, and that day so far."""
    day = datetime.combine(at.astimezone(UTC).date(), time(), UTC)
    return Period(day - timedelta(days=DAYS), at)


async def check_margins(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Checked:
    """Check the margins of the days before a moment and raise an alert for each line that is flagged: once a day (UTC),
    however often this runs. Out of time it begins anew the next time."""
    remaining = None if stop_at is None else (stop_at - application.clock()).total_seconds()
    try:
        async with asyncio.timeout(remaining):
            report = await check(application, usual_period(at))
    except TimeoutError:
        return Checked(Progress(0, complete=False))
    raised = await _tell(application, report, at)
    return Checked(Progress(raised), len(report.flagged), report.metering.unmetered.events)


async def _tell(application: Application, report: MarginReport, at: datetime) -> int:
    unmetered = report.metering.unmetered
    if unmetered.events:
        _log.warning("%s paid calls were not metered: see `purser check-margins`", unmetered.events)
    day = at.astimezone(UTC).date()
    due = [
        (NIL, alerts.of_margin(key.dimension, key.value, line.sums, report.target, report.period.start.date(), day))
        for line in report.flagged
        for key in line.keys
    ]
    return await raise_alerts(application, due)
