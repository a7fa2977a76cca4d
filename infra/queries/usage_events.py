"""Usage events: by id, the call log in keyset pages, newest first, and the sums of one session.

An id carries the moment of its event in milliseconds, and so its partition. An event that was corrected since (re-rating
adds amendments, it changes no event) shows its present cost, charges and price.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.breakdowns import UsageFilter, UsageTotals
from domain.ids import milliseconds_of
from domain.usage import UsageEvent
from infra.amended_usage import BY_ID, WITH_AMENDMENTS, event_of
from infra.application import Application
from infra.identifiers import EPOCH, MILLISECOND
from infra.usage_sums import AMENDMENT_MEASURES, EVENT_MEASURES, MEASURES

_SESSION: Final = f"""
SELECT {", ".join(f"sum({measure}) AS {measure}" for measure in MEASURES)}, min(first) AS first, max(last) AS last
FROM (
    SELECT {EVENT_MEASURES}, u.occurred_at AS first, u.occurred_at AS last
    FROM usage_event u WHERE u.tenant_id = $1 AND u.session = $2
    UNION ALL
    SELECT {AMENDMENT_MEASURES}, NULL, NULL
    FROM usage_amendment u WHERE u.tenant_id = $1 AND u.session = $2
) AS source"""
_LAST_MILLISECOND: Final = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND
_NAMED: Final = (
    "provider",
    "model",
    "operation",
    "feature",
    "agent_role",
    "campaign",
    "project",
    "research",
    "account",
    "session",
    "task_run",
    "kind",
    "route",
)


class Place(NamedTuple):
    """Where an event stands in the call log."""

    occurred_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class UsageEventPage:
    """Some events, and whether there are older ones (next) and newer ones (previous)."""

    events: tuple[UsageEvent, ...]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """The sums of one session over all time, with the moments of its first and last event (None: it has charges alone)."""

    session: str
    totals: UsageTotals
    first_at: datetime | None
    last_at: datetime | None


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[UsageEvent | None]:
    """Events in the order asked; None for those that the tenant does not have."""
    asked = [identifier for identifier in ids if milliseconds_of(identifier) < _LAST_MILLISECOND]
    moments = [EPOCH + milliseconds_of(identifier) * MILLISECOND for identifier in asked]
    rows = await application.readers.of(tenant_id).fetch(BY_ID, tenant_id, asked, moments)
    found = {row[0]: event_of(row) for row in rows}
    return [found.get(identifier) for identifier in ids]


async def page(
    application: Application, tenant_id: UUID, wanted: UsageFilter, first: int, after: Place | None
) -> UsageEventPage:
    """The newest `first` events of the filter that come after this place."""
    parameters: list[Any] = [tenant_id, wanted.start, wanted.end, first + 1]

    def place(value: object) -> str:
        parameters.append(value)
        return f"${len(parameters)}"

    conditions = ["tenant_id = $1", "occurred_at >= $2", "occurred_at < $3"]
    if after is not None:
        conditions.append(f"(occurred_at, id) < ({place(after.occurred_at)}, {place(after.id)})")
    for name in _NAMED:
        values = getattr(wanted, name)
        if values:
            conditions.append(f"{name} = ANY({place(list(values))}::text[])")
    if wanted.client:
        # A campaign knows its client, for usage that names none itself.
        clients = place(list(wanted.client))
        of_campaign = f"SELECT id FROM scope WHERE tenant_id = $1 AND kind = 'CAMPAIGN' AND client = ANY({clients})"
        conditions.append(f"(client = ANY({clients}::text[]) OR client IS NULL AND campaign IN ({of_campaign}))")
    conditions.extend(f"tags ->> {place(key)} = {place(value)}" for key, value in wanted.tags)
    newest = f"SELECT * FROM usage_event WHERE {' AND '.join(conditions)} ORDER BY occurred_at DESC, id DESC LIMIT $4"
    statement = f"{WITH_AMENDMENTS.format(events=newest)} ORDER BY u.occurred_at DESC, u.id DESC"
    rows = await application.readers.of(tenant_id).fetch(statement, *parameters)
    return UsageEventPage(tuple([event_of(row) for row in rows[:first]]), len(rows) > first, after is not None)


async def session_totals(application: Application, tenant_id: UUID, session: str) -> SessionTotals | None:
    """The sums of a session; None where nothing was recorded in it."""
    row = await application.readers.of(tenant_id).fetchrow(_SESSION, tenant_id, session)
    assert row is not None, "sums are always one row"
    if row[0] is None:
        return None
    *sums, first_at, last_at = row
    return SessionTotals(session, UsageTotals(*[int(value) for value in sums]), first_at, last_at)
