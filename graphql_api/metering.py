"""Metering, for operators: whether every call that has to be paid was charged, and the calls that were not."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

import strawberry

from domain import ids
from domain.usage import EPOCH
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from graphql_api.margins import OF_PERIOD, period_of
from graphql_api.scalars import Count, UsdAmount, usd
from infra.queries import metering as query
from infra.queries.margins import OnOurKeys
from infra.queries.metering import Place, Unmetered, UnmeteredPage
from infra.queries.usage_breakdowns import TooManyRowsError

_CURSOR: Final = re.compile(r"(ten_[0-9a-f]{32})_([0-9]{1,17})_(use_[0-9a-f]{32})", re.ASCII)
_MICROSECOND: Final = timedelta(microseconds=1)
_RULE: Final = (
    "A call is metered if it was charged, if it was recorded under a reservation that was settled and charged or is still "
    "open, or if its feature is charged per result and it found nothing."
)


@strawberry.input(
    name="PeriodFilter", description=f"Which usage: from <= occurredAt < to, {OF_PERIOD}. Up to ten years."
)
class PeriodInput:
    """Which usage."""

    start: datetime = strawberry.field(name="from", description="The first moment that counts.")
    end: datetime = strawberry.field(name="to", description="The first moment after it that does not.")


@strawberry.type(description="Some calls, and what they cost.")
class CallSums:
    """Some calls."""

    events: Count = strawberry.field(description="Recorded events.")
    calls: Count = strawberry.field(description="Calls; an event can stand for several.")
    cost_usd: UsdAmount = strawberry.field(
        description="What providers charged. Events whose cost is not known yet are left out: unpriced counts them."
    )
    unpriced: Count = strawberry.field(description="Events whose cost is not known yet.")

    @classmethod
    def of(cls, found: OnOurKeys) -> "CallSums":
        return cls(
            events=Count(found.events),
            calls=Count(found.calls),
            cost_usd=UsdAmount(found.cost),
            unpriced=Count(found.unpriced),
        )


@strawberry.type(
    description="Whether every call on our keys was charged to somebody: metered and unmetered are all of them."
)
class Metering:
    """Whether every call on our keys was charged."""

    total: CallSums = strawberry.field(description="All calls on our keys that are not free on the rate card.")
    metered: CallSums = strawberry.field(description="Those that were metered, and those that cost nothing. " + _RULE)
    unmetered: CallSums = strawberry.field(
        description="Those that cost something, or may have, and that nobody was charged for: `unmetered` lists them."
    )
    free: CallSums = strawberry.field(description="Beside them: calls on our keys that are free on the rate card.")


@strawberry.type(description="A call that has to be paid, and that nobody was charged for.")
class UnmeteredCall:
    """A call that nobody was charged for."""

    id: strawberry.ID = strawberry.field(description="The usage event.")
    tenant: str = strawberry.field(description="The tenant's slug.")
    reason: Unmetered = strawberry.field(description="Why nobody was charged.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    provider: str | None = strawberry.field(description="Who was called.")
    model: str | None = strawberry.field(description="The model.")
    operation: str | None = strawberry.field(description="The operation.")
    feature: str | None = strawberry.field(description="For which feature; null if it names none.")
    calls: Count = strawberry.field(description="Calls that the event stands for.")
    cost_usd: UsdAmount | None = strawberry.field(description="What it cost; null: not known yet.")
    reservation_id: strawberry.ID | None = strawberry.field(description="The reservation that it names.")
    agent_role: str | None = strawberry.field(description="Which agent role made it.")
    campaign: str | None = strawberry.field(description="For which campaign.")

    @classmethod
    def of(cls, call: query.UnmeteredCall) -> "UnmeteredCall":
        reservation = call.reservation_id
        return cls(
            id=strawberry.ID(ids.public("usage_event", call.place.id)),
            tenant=call.tenant,
            reason=call.reason,
            occurred_at=call.place.occurred_at,
            provider=call.provider,
            model=call.model,
            operation=call.operation,
            feature=call.feature,
            calls=Count(call.calls),
            cost_usd=usd(call.cost),
            reservation_id=None if reservation is None else strawberry.ID(ids.public("reservation", reservation)),
            agent_role=call.agent_role,
            campaign=call.campaign,
        )


@strawberry.type(description="A call in the list of those that nobody was charged for.")
class UnmeteredEdge:
    """A call in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: UnmeteredCall = strawberry.field(description="The call.")


@strawberry.type(description="A page of the calls that nobody was charged for.")
class UnmeteredConnection:
    """A page of calls."""

    edges: list[UnmeteredEdge] = strawberry.field(description="The calls, tenant by tenant, the oldest first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: UnmeteredPage) -> "UnmeteredConnection":
        edges = [UnmeteredEdge(cursor=_cursor(call.place), node=UnmeteredCall.of(call)) for call in page.calls]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type
class MeteringQueries:
    """What operators can ask about metering."""

    @field(description=f"Operators: the proof that every paid call was charged, {OF_PERIOD}. {_RULE}")
    async def metering(
        self,
        info: Info,
        wanted: Annotated[PeriodInput, strawberry.argument(name="filter", description="Which usage.")],
    ) -> Metering:
        context = info.context
        try:
            found = await query.of(context.application, period_of(context, wanted.start, wanted.end))
        except TooManyRowsError as error:
            raise bad_input(f"filter: {error}") from error
        return Metering(
            total=CallSums.of(found.all),
            metered=CallSums.of(found.metered),
            unmetered=CallSums.of(found.unmetered),
            free=CallSums.of(found.free),
        )

    @field(
        description=f"Operators: the calls on our keys that cost something and that nobody was charged for, {OF_PERIOD}."
    )
    async def unmetered(
        self,
        info: Info,
        wanted: Annotated[PeriodInput, strawberry.argument(name="filter", description="Which usage.")],
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> UnmeteredConnection:
        place = None if after is None else _place(after)
        context = info.context
        period = period_of(context, wanted.start, wanted.end)
        return UnmeteredConnection.of(await query.page(context.application, period, page_size(first, 20), place))


def _cursor(place: Place) -> str:
    microseconds = (place.occurred_at - EPOCH) // _MICROSECOND
    return f"{ids.public('tenant', place.tenant_id)}_{microseconds}_{ids.public('usage_event', place.id)}"


def _place(cursor: str) -> Place:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise bad_input("after must be a cursor of this list")
    tenant_id, event_id = ids.parse("tenant", match[1]), ids.parse("usage_event", match[3])
    assert tenant_id is not None, "the form is checked"
    assert event_id is not None, "the form is checked"
    return Place(tenant_id, EPOCH + int(match[2]) * _MICROSECOND, event_id)
