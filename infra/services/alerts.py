"""Alerts: raised once per tenant, kind, scope, threshold and day, whoever raises them and however often.

An alert and its event are written by one statement: what is in the log of alerts is told, and nothing else is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from domain import alerts, ids
from domain.alerts import Alert, AlertKind
from domain.audit import Finding
from domain.books import EventType
from domain.ids import NIL
from domain.periods import month_key
from infra.alert_feed import AlertsRaised
from infra.application import Application
from infra.identifiers import new_id
from infra.queries import alert_states
from infra.services.progress import Progress
from infra.transaction import Connection, transaction

_TENANTS: Final = """
SELECT id, name, time_zone FROM tenant WHERE status <> 'CLOSED' AND id > $1 ORDER BY id LIMIT 200"""
_ZONE: Final = "SELECT time_zone FROM tenant WHERE id = $1"
# Alert and event have one id. The rows come sorted, so that two that raise the same ones wait for each other and do not
# lock each other out; the later one finds them raised.
_RAISE: Final = """
WITH given AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::date[], $8::text[], $9::text[], $10::text[]
    ) AS g (tenant_id, id, kind, scope, scope_id, threshold, day, action, message, payload)
), raised AS (
    INSERT INTO alert (tenant_id, id, kind, scope, scope_id, threshold, day, action, message, raised_at)
    SELECT tenant_id, id, kind, scope, scope_id, threshold, day, action, message, $11 FROM given
    ON CONFLICT ON CONSTRAINT alert_once DO NOTHING RETURNING tenant_id, id
), told AS (
    INSERT INTO outbox (tenant_id, id, type, payload, created_at)
    SELECT g.tenant_id, g.id, $12, g.payload::jsonb, $11 FROM given g JOIN raised USING (tenant_id, id)
)
SELECT id, pg_notify($13, tenant_id::text) FROM raised"""


async def check_alerts(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Raise what the budgets and wallets of all tenants call for now; `done` counts what is new. The day is that of the
    time that the check is for, where each tenant is."""
    done = 0
    after = NIL
    while rows := await application.across_tenants.fetch(_TENANTS, after):
        if stop_at is not None and application.clock() >= stop_at:
            return Progress(done, complete=False)
        tenants = {tenant_id: (name, ZoneInfo(time_zone)) for tenant_id, name, time_zone in rows}
        months = {tenant_id: month_key(at, zone) for tenant_id, (_, zone) in tenants.items()}
        budgets = await alert_states.budgets(application, months)
        wallets = await alert_states.wallets(application, list(tenants), at)
        due = [
            (tenant_id, alert)
            for tenant_id, (_, zone) in tenants.items()
            for alert in alerts.due(budgets.get(tenant_id, ()), wallets.get(tenant_id, ()), alerts.day_of(at, zone))
        ]
        done += await raise_alerts(application, due)
        after = rows[-1][0]
    return Progress(done)


async def raise_alert(application: Application, tenant_id: UUID, alert: Alert) -> bool:
    """Raise one alert; whether it is new."""
    return await raise_alerts(application, [(tenant_id, alert)]) == 1


async def raise_alerts(application: Application, due: Sequence[tuple[UUID, Alert]]) -> int:
    """Raise several; how many of them are new."""
    if not due:
        return 0
    async with application.writers.acquire() as connection, transaction(connection):
        return await write_alerts(connection, due, application.clock())


async def raise_imbalance(application: Application, tenant_id: UUID, findings: Sequence[Finding]) -> bool:
    """Raise what the audit found in a tenant's books, once a day; whether it is new."""
    zone: str = await application.readers.of(tenant_id).fetchval(_ZONE, tenant_id)
    day = alerts.day_of(application.clock(), ZoneInfo(zone))
    return await raise_alert(application, tenant_id, alerts.imbalance([finding.place for finding in findings], day))


async def write_alerts(connection: Connection, due: Iterable[tuple[UUID, Alert]], now: datetime) -> int:
    """Write the alerts that were not raised yet, with their events, in the caller's transaction; how many."""
    given = sorted([_row(tenant_id, alert, now) for tenant_id, alert in due], key=_order)
    if not given:
        return 0
    columns = zip(*given, strict=True)
    raised = await connection.fetch(_RAISE, *columns, now, EventType.ALERT_RAISED.value, AlertsRaised.channel)
    return len(raised)


def _row(tenant_id: UUID, alert: Alert, now: datetime) -> tuple[Any, ...]:
    operators = alert.kind is AlertKind.NEGATIVE_MARGIN
    assert operators == (tenant_id == NIL), "tenants are not told of margins, and the nil tenant of nothing else"
    identifier = new_id(now)
    scope = None if alert.scope is None else alert.scope.value
    payload = {
        "alert": ids.public("alert", identifier),
        "kind": alert.kind.value,
        "scope": scope,
        "scopeId": alert.scope_id or None,
        "threshold": alert.threshold or None,
        "action": alert.action,
        "message": alert.message,
    }
    place = (alert.kind.value, scope, alert.scope_id, alert.threshold, alert.day)
    return (tenant_id, identifier, *place, alert.action, alert.message, orjson.dumps(payload).decode())


def _order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    tenant_id, _, kind, scope, *place = row[:7]
    return (tenant_id, kind, scope or "", *place)
