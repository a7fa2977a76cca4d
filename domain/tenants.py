"""Tenants: the customers whose money it is, with the settings that decisions look at."""

from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum
from uuid import UUID


class TenantStatus(StrEnum):
    """A suspended or closed tenant is refused every new spend."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Tenant:
    """`own_key_providers`: providers for which the tenant brought its own key; whether that counts is
    for the rate's route class, the plan (`unlimited_plan`) and the deployment to say (PRODUCT.md 5)."""

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
