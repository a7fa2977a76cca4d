"""Tenants: the customers whose money it is, with the settings that decisions look at."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from uuid import UUID

from domain.periods import Cycle, cycle_at, cycle_of


class TenantStatus(StrEnum):
    """A suspended or closed tenant is refused every new spend."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`own_key_providers`: providers for which the tenant brought its own key; whether that counts is
    for the rate's route class, the plan (`unlimited_plan`) and the deployment to say (PRODUCT.md 5).

    `cycle` is the last one that was granted, None before the first. `next_*` hold from the start of the next one.
    """

    id: UUID
    slug: str
    name: str
    status: TenantStatus
    zone: tzinfo
    cycle_anchor_day: int
    region: str
    plan: str
    unlimited_plan: bool
    own_key_providers: frozenset[str]
    cycle: Cycle | None = None
    next_plan: str | None = None
    next_anchor_day: int | None = None
    next_zone: tzinfo | None = None


def running_cycle(tenant: Tenant, now: datetime) -> Cycle:
    """The cycle around this moment, whether it was granted already or not."""
    anchor_day, zone = tenant.cycle_anchor_day, tenant.zone
    if tenant.cycle is None:
        return cycle_of(now, anchor_day, zone)
    return cycle_at(now, tenant.cycle, tenant.next_anchor_day or anchor_day, tenant.next_zone or zone)


def cycle_is_due(tenant: Tenant, now: datetime) -> bool:
    """Whether a cycle has begun whose credits were not granted yet. A closed tenant gets none."""
    return tenant.cycle is not None and now >= tenant.cycle.end and tenant.status is not TenantStatus.CLOSED
