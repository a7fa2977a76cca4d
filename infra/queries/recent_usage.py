"""Recent usage: a tenant's newest calls and what its month has cost, as the call log and the budgets have them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain.breakdowns import UsageFilter
from domain.usage import FUTURE_TOLERANCE
from infra.application import Application
from infra.queries import spending, usage_events
from infra.queries.spending import Spending
from infra.queries.usage_events import UsageEventPage

SPAN: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class RecentUsage:
    """The newest calls of the last 31 days, and the running month against its cap; nothing in it is older than `as_of`."""

    calls: UsageEventPage
    spending: Spending
    as_of: datetime

    def says_the_same_as(self, other: "RecentUsage") -> bool:
        """Whether only time has passed."""
        mine, theirs = self.spending, other.spending
        same_month = (mine.month, mine.spent, mine.held, mine.cap) == (
            theirs.month,
            theirs.spent,
            theirs.held,
            theirs.cap,
        )
        return same_month and self.calls == other.calls

    def first(self, number: int) -> UsageEventPage:
        """So many calls of these."""
        calls = self.calls.events
        return UsageEventPage(calls[:number], self.calls.has_next or len(calls) > number, has_previous=False)


async def read(application: Application, tenant_id: UUID, first: int) -> RecentUsage:
    """The newest `first` calls, and the month."""
    now = application.clock()
    # Clocks differ: events may lie a little ahead of ours.
    wanted = UsageFilter(now - SPAN, now + 2 * FUTURE_TOLERANCE)
    # First, so that whatever the month counts is among the calls too: what is recorded meanwhile is only counted later.
    month = await spending.of_month(application, tenant_id, None)
    return RecentUsage(await usage_events.page(application, tenant_id, wanted, first, None), month, now)
