"""Margin reports: margins by feature, provider and tenant beside the proof of metering, on one snapshot (for operators)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import margins
from domain.ids import NIL
from domain.margins import MarginDimension, Sums
from infra.application import Application
from infra.queries import metering
from infra.queries.margins import Line, Period, Show, lines, read
from infra.queries.metering import Metering, UnmeteredCall
from infra.transaction import BEGIN_READING, transaction

CHECKED: Final = (MarginDimension.FEATURE, MarginDimension.PROVIDER, MarginDimension.TENANT)
MOST_CALLS: Final = 100


@dataclass(frozen=True, slots=True)
class MarginReport:
    """`lines`: of each dimension that is checked, the worst first. `unmetered`: the first MOST_CALLS calls that nobody was
    charged for; how many there are says `metering`."""

    period: Period
    target: int
    total: Sums
    lines: dict[MarginDimension, tuple[Line, ...]]
    metering: Metering
    unmetered: tuple[UnmeteredCall, ...]
    as_of: datetime

    @property
    def flagged(self) -> tuple[Line, ...]:
        """The lines with which something is wrong."""
        return tuple([line for each in self.lines.values() for line in each if line.sums.flag is not None])

    @property
    def sound(self) -> bool:
        """Whether every line earns what it should and every paid call was metered."""
        return not self.flagged and self.metering.unmetered.events == 0


async def check(
    application: Application, period: Period, target: int = margins.TARGET, show: Show | None = None
) -> MarginReport:
    """Check the margins and the metering of a period. `target`: hundredths of a percent."""
    async with (
        application.reports.turn(NIL),
        application.across_tenants.acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        cells = await read(application, connection, period, target, show=show)
        catalog = application.catalog
        proof = await metering.read_metering(connection, catalog, period, cells)
        found = await metering.read_page(connection, catalog, period, MOST_CALLS)
    return MarginReport(
        period,
        target,
        margins.total(cells.sums.values()),
        {dimension: tuple(lines(cells, [dimension])) for dimension in CHECKED},
        proof,
        found.calls,
        application.clock(),
    )
