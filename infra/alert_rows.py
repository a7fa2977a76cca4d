"""Rows of `alert`, read into values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.alerts import Alert, AlertKind
from domain.refusals import BudgetScope

ALERT_COLUMNS: Final = "a.id, a.raised_at, a.kind, a.scope, a.scope_id, a.threshold, a.day, a.action, a.message"


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """An alert as it is kept."""

    id: UUID
    raised_at: datetime
    alert: Alert


def raised_alert_of(row: tuple[Any, ...]) -> RaisedAlert:
    """An alert from the values of ALERT_COLUMNS."""
    identifier, raised_at, kind, scope, *rest = row
    return RaisedAlert(
        identifier, raised_at, Alert(AlertKind(kind), None if scope is None else BudgetScope(scope), *rest)
    )
