"""Usage events: the call log, and the sums of a session."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

import strawberry

from domain import ids, usage
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.usage import EPOCH
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from graphql_api.usage import UsageEvent
from graphql_api.usage_breakdowns import UsageTotals
from graphql_api.usage_filters import UsageFilterInput, filter_of
from infra.queries import usage_events as query
from infra.queries.usage_events import Place, UsageEventPage

_CURSOR: Final = re.compile(r"([0-9]{1,17})_(use_[0-9a-f]{32})", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)


@strawberry.type(description="An event in its list.")
class UsageEventEdge:
    """An event in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: UsageEvent = strawberry.field(description="The event.")

    @classmethod
    def of(cls, event: usage.UsageEvent) -> "UsageEventEdge":
        microseconds = (event.occurred_at - EPOCH) // _MICROSECOND
        return cls(cursor=f"{microseconds}_{ids.public('usage_event', event.id)}", node=UsageEvent.of(event))


@strawberry.type(description="A page of the call log.")
class UsageEventConnection:
    """A page of the call log."""

    edges: list[UsageEventEdge] = strawberry.field(description="The events, newest first by when they happened.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: UsageEventPage) -> "UsageEventConnection":
        edges = [UsageEventEdge.of(event) for event in page.events]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type(description="The sums of one session over all time.")
class SessionTotals:
    """The sums of one session."""

    session: str = strawberry.field(description="The session.")
    totals: UsageTotals = strawberry.field(description="Its sums, corrections included.")
    first_event_at: datetime | None = strawberry.field(
        description="When its first event happened; null if it was charged without one."
    )
    last_event_at: datetime | None = strawberry.field(description="When its last event happened.")

    @classmethod
    def of(cls, found: query.SessionTotals) -> "SessionTotals":
        return cls(
            session=found.session,
            totals=UsageTotals.of(found.totals),
            first_event_at=found.first_at,
            last_event_at=found.last_at,
        )


@strawberry.type
class UsageEventQueries:
    """What can be asked about single events."""

    @field(
        description="The call log: the events of a filter, newest first. An event that was corrected since shows its present "
        "cost, charges and price."
    )
    async def usage_events(
        self,
        info: Info,
        wanted: Annotated[UsageFilterInput, strawberry.argument(name="filter", description="Which events.")],
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> UsageEventConnection:
        place = None if after is None else _place(after)
        context = info.context
        asked = await filter_of(info, wanted)
        page = await query.page(context.application, context.caller.tenant_id, asked, page_size(first, 20), place)
        return UsageEventConnection.of(page)

    @field(description="The sums of one session over all time; null if nothing was recorded in it.")
    async def session_totals(
        self, info: Info, session: Annotated[str, strawberry.argument(description="As it stands in attributions.")]
    ) -> SessionTotals | None:
        if not is_identifier(session):
            raise bad_input(f"session {IDENTIFIER_RULE}")
        context = info.context
        found = await query.session_totals(context.application, context.caller.tenant_id, session)
        return None if found is None else SessionTotals.of(found)


def _place(cursor: str) -> Place:
    match = _CURSOR.fullmatch(cursor)
    identifier = None if match is None else ids.parse("usage_event", match[2])
    if match is None or identifier is None:
        raise bad_input("after must be a cursor of this list")
    return Place(EPOCH + int(match[1]) * _MICROSECOND, identifier)
