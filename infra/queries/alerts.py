"""Alerts, newest first, in keyset pages: their ids carry the moment at which they were raised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.alerts import AlertKind
from domain.ids import AFTER_ALL
from infra.alert_rows import ALERT_COLUMNS, RaisedAlert, raised_alert_of
from infra.application import Application

_ALERTS: Final = f"SELECT {ALERT_COLUMNS} FROM alert a WHERE a.tenant_id = $1"
_PAGE: Final = f"{_ALERTS} AND a.id < $2 AND ($3::text[] IS NULL OR a.kind = ANY($3)) ORDER BY a.id DESC LIMIT $4"
_BY_ID: Final = f"{_ALERTS} AND a.id = ANY($2::uuid[])"


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Some alerts, and whether there are older ones (next) and newer ones (previous)."""

    alerts: tuple[RaisedAlert, ...]
    has_next: bool
    has_previous: bool


async def page(
    application: Application, tenant_id: UUID, first: int, before: UUID | None, kinds: Sequence[AlertKind] | None = None
) -> AlertPage:
    """The newest `first` alerts before this one, of some kinds or (None) of all."""
    wanted = None if kinds is None else [kind.value for kind in kinds]
    rows = await application.readers.of(tenant_id).fetch(_PAGE, tenant_id, before or AFTER_ALL, wanted, first + 1)
    found = tuple([raised_alert_of(tuple(row)) for row in rows[:first]])
    return AlertPage(found, len(rows) > first, before is not None)


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[RaisedAlert | None]:
    """Alerts in the order asked; None for those that the tenant does not have."""
    rows = await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, list(ids))
    found = {alert.id: alert for alert in (raised_alert_of(tuple(row)) for row in rows)}
    return [found.get(identifier) for identifier in ids]
