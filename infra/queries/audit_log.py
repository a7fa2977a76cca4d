"""The audit log, newest first, in keyset pages: its ids carry the moment of each decision."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.audit_log import AuditEvent
from domain.ids import AFTER_ALL
from infra.application import Application

_PAGE: Final = """
SELECT id, occurred_at, tenant_id, actor, role, operation, subject, details, idempotency_key FROM audit_event
WHERE id < $1 AND ($2::text[] IS NULL OR operation = ANY($2)) AND ($3::text IS NULL OR actor = $3)
    AND ($4::timestamptz IS NULL OR occurred_at >= $4) AND ($5::timestamptz IS NULL OR occurred_at < $5)"""
_OF_ALL: Final = f"{_PAGE} ORDER BY id DESC LIMIT $6"
_OF_TENANT: Final = f"{_PAGE} AND tenant_id = $7 ORDER BY id DESC LIMIT $6"


class AuditFilter(NamedTuple):
    """Which decisions: of some operations, by one actor, in [start, end); None: whichever."""

    operations: tuple[str, ...] | None = None
    actor: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was recorded."""

    id: UUID
    occurred_at: datetime
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some decisions, and whether there are older ones (next) and newer ones (previous)."""

    records: tuple[Recorded, ...]
    has_next: bool
    has_previous: bool


async def page(
    application: Application, tenant_id: UUID, wanted: AuditFilter, first: int, before: UUID | None
) -> AuditPage:
    """The newest `first` decisions about a tenant before this one, the operator's too."""
    asked = (before or AFTER_ALL, *wanted, first + 1, tenant_id)
    return _page_of(await application.readers.of(tenant_id).fetch(_OF_TENANT, *asked), first, before)


async def page_of_all(application: Application, wanted: AuditFilter, first: int, before: UUID | None) -> AuditPage:
    """As `page`, about all tenants and what concerns none. For operators."""
    return _page_of(
        await application.across_tenants.fetch(_OF_ALL, before or AFTER_ALL, *wanted, first + 1), first, before
    )


def _page_of(rows: list[Any], first: int, before: UUID | None) -> AuditPage:
    records = [_recorded(*row) for row in rows[:first]]
    return AuditPage(tuple(records), len(rows) > first, before is not None)


def _recorded(identifier: UUID, at: datetime, *columns: Any) -> Recorded:
    tenant_id, actor, role, operation, subject, details, key = columns
    told = AuditEvent(tenant_id, actor, role, operation, subject, tuple(json.loads(details).items()), key)
    return Recorded(identifier, at, told)
