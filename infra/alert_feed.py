"""What is new among alerts.

Ids tell when an alert was made, and transactions commit in any order: an older id may become visible after a newer one.
So each look reads the ids of the last hour and takes those that it has not seen. No alert is committed an hour after its
id was made: the job that makes it is ended long before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self
from uuid import UUID

import asyncpg
from typing_extensions import override

from domain.ids import NIL
from infra.alert_rows import ALERT_COLUMNS, RaisedAlert, raised_alert_of
from infra.identifiers import first_id
from infra.topics import News

WINDOW: Final = timedelta(hours=1)
# Of one tenant within the window.
MOST_SEEN: Final = 10_000

_RECENT: Final = """
SELECT t.number, a.id
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS t (tenant_id, oldest, number)
CROSS JOIN LATERAL (
    SELECT id FROM alert WHERE tenant_id = t.tenant_id AND id >= t.oldest ORDER BY id DESC LIMIT $3
) a"""
_ALERTS: Final = f"""
SELECT a.tenant_id, {ALERT_COLUMNS}
FROM alert a JOIN unnest($1::uuid[], $2::uuid[]) AS t (tenant_id, id) USING (tenant_id, id)
ORDER BY a.id"""


class AlertsRaised(News[RaisedAlert]):
    """The alerts of a tenant as they are raised, in the order of their ids as far as they became visible together."""

    channel: ClassVar[str] = "purser_alert"

    def __init__(self, tenant_id: UUID, subject: str = "") -> None:
        super().__init__(tenant_id, subject)
        self.oldest = NIL
        self.seen: set[UUID] | None = None  # None before the first look

    @override
    @classmethod
    async def look(cls, connection: asyncpg.Connection, topics: Sequence[Self], now: datetime) -> None:
        oldest = first_id(now - WINDOW)
        for topic in topics:
            # Never back, though the clock may be set back: what was forgotten is not new.
            topic.oldest = max(topic.oldest, oldest)
        found: list[set[UUID]] = [set() for _ in topics]
        tenants = [topic.tenant_id for topic in topics]
        for number, identifier in await connection.fetch(
            _RECENT, tenants, [topic.oldest for topic in topics], MOST_SEEN
        ):
            found[number - 1].add(identifier)
        fresh = [
            ids - topic.seen if topic.seen is not None else set() for topic, ids in zip(topics, found, strict=True)
        ]
        alerts = await _alerts(connection, zip(tenants, fresh, strict=True))
        for topic, ids, new in zip(topics, found, fresh, strict=True):
            topic.remember(ids)
            topic.tell(alerts.get(topic.tenant_id, []))
            if len(new) == MOST_SEEN:
                topic.lose()

    def remember(self, seen: set[UUID]) -> None:
        """What the next look does not tell again."""
        self.seen = seen
        if len(seen) == MOST_SEEN:
            self.oldest = min(seen)


async def _alerts(
    connection: asyncpg.Connection, fresh: Iterable[tuple[UUID, set[UUID]]]
) -> dict[UUID, list[RaisedAlert]]:
    wanted = [(tenant_id, identifier) for tenant_id, ids in fresh for identifier in ids]
    alerts: dict[UUID, list[RaisedAlert]] = {}
    if wanted:
        for tenant_id, *row in await connection.fetch(_ALERTS, *zip(*wanted, strict=True)):
            alerts.setdefault(tenant_id, []).append(raised_alert_of(tuple(row)))
    return alerts
