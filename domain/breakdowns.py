"""Breakdowns: what a question about usage may ask, and the figures that answer it.

A filter names a span and values; a grouping names dimensions. Figures are sums over usage events and what amends them
(charges that no event carries, corrections). Amounts are nano-units, and costs nano-dollars.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import NamedTuple

from domain.usage import Route, UsageKind


class Dimension(StrEnum):
    """What usage can be grouped by. DAY, WEEK (from Monday) and MONTH are those of the tenant's time zone."""

    PROVIDER = "PROVIDER"
    MODEL = "MODEL"
    OPERATION = "OPERATION"
    FEATURE = "FEATURE"
    KIND = "KIND"
    AGENT_ROLE = "AGENT_ROLE"
    CAMPAIGN = "CAMPAIGN"
    CLIENT = "CLIENT"
    PROJECT = "PROJECT"
    RESEARCH = "RESEARCH"
    ACCOUNT = "ACCOUNT"
    SESSION = "SESSION"
    TAG = "TAG"
    ROUTE = "ROUTE"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage: start <= occurred at < end, and of each field that names any values, one of them. Of `tags` (key,
    value) all must be there."""

    start: datetime
    end: datetime
    provider: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    feature: tuple[str, ...] = ()
    agent_role: tuple[str, ...] = ()
    campaign: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    research: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    task_run: tuple[str, ...] = ()
    kind: tuple[UsageKind, ...] = ()
    route: tuple[Route, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


class UsageTotals(NamedTuple):
    """Sums. `unpriced` counts events whose cost is not known yet; they are not in `cost`."""

    events: int = 0
    calls: int = 0
    failures: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    duration_ms: int = 0
    cost: int = 0
    credits_charged: int = 0
    usd_charged: int = 0


def previous_span(start: datetime, end: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The period before: of whole months of the zone as many months, else a span of the same length."""
    local_start, local_end = start.astimezone(zone), end.astimezone(zone)
    if _begins_a_month(local_start) and _begins_a_month(local_end) and start < end:
        months = (local_end.year - local_start.year) * 12 + local_end.month - local_start.month
        year, month = divmod(local_start.year * 12 + local_start.month - 1 - months, 12)
        return datetime(year, month + 1, 1, tzinfo=zone).astimezone(UTC), start
    return start - (end - start), start


def _begins_a_month(local: datetime) -> bool:
    return (local.day, local.hour, local.minute, local.second, local.microsecond) == (1, 0, 0, 0, 0)
