"""Callers: on whose behalf a service acts, and how it says no."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.refusals import Refusal


class Role(StrEnum):
    """What a key may do: an operator runs the installation, an admin a tenant; a member reads; a service is a
    worker that reserves, consumes and records."""

    OPERATOR = "OPERATOR"
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"
    SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for which tenant. `actor` is how the ledger names them: `key:<name>`."""

    tenant_id: UUID
    role: Role
    actor: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal with the id of its record; None where none is kept (previews)."""

    refusal: Refusal
    id: UUID | None
