"""Callers: on whose behalf a service acts, and how it says no."""

from dataclasses import dataclass, field
from datetime import datetime
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
class Credential:
    """What a caller came with. `name`: under what its requests are counted. `key_id`: of its API key; None for a token of
    an identity provider. `expires_at` None: it does not end by itself. `requests_per_minute` None: no limit of its own."""

    name: str
    key_id: UUID | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None

    def has_ended(self, now: datetime) -> bool:
        """Whether it has stopped by itself."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for which tenant. `actor` is how the ledger names them: `key:<name>`, or `jwt:<subject>` for people of an
    identity provider. `credential` None: nobody had to be asked for one, as on the command line."""

    tenant_id: UUID
    role: Role
    actor: str
    credential: Credential | None = field(default=None, compare=False, repr=False)

    def has_ended(self, now: datetime) -> bool:
        """Whether what they came with has stopped by itself."""
        return self.credential is not None and self.credential.has_ended(now)


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal with the id of its record; None where none is kept (previews)."""

    refusal: Refusal
    id: UUID | None
