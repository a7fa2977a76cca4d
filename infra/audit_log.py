"""The audit log, written in the transaction of what it tells of: no act without its record, no record without its act."""

from datetime import datetime
from typing import Final

import orjson

from domain.audit_log import AuditEvent
from infra.identifiers import new_id
from infra.transaction import Connection

_RECORD: Final = """
INSERT INTO audit_event (tenant_id, id, occurred_at, actor, role, operation, subject, details, idempotency_key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""


async def record(connection: Connection, event: AuditEvent, at: datetime) -> None:
    """Write what was decided. The caller's transaction makes it, or it never was."""
    assert connection.is_in_transaction(), "the record commits with what it tells of"
    await connection.execute(
        _RECORD,
        event.tenant_id,
        new_id(at),
        at,
        event.actor,
        event.role,
        event.operation,
        event.subject,
        orjson.dumps(dict(event.details)).decode(),
        event.idempotency_key,
    )
