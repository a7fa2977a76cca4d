"""History: the facts of a month in the order of their moments, read as they are needed from one snapshot.

Reservations tell when work was admitted, extended and ended; usage, which calls were reported when; the log of refusals, what
was refused. The rest (money, caps, pauses) was gathered for the opening.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from asyncpg.cursor import CursorFactory

from domain.holds import Estimate, Reservation
from domain.periods import month_key
from domain.rates import RateCard
from domain.receipts import Asked
from domain.refusals import RefusalCode, ReservationState
from domain.usage import Route, UsageEvent
from infra.amended_usage import AS_RECORDED, event_of
from infra.back_test.counters import counted_as
from infra.back_test.facts import Corrected, Denied, Ended, Expired, Extended, Fact, Recorded, Reserved, rank_of
from infra.back_test.opening import PAID_BY, ROWS_AT_ONCE, Opening, ids_of
from infra.identifiers import moment_of
from infra.refusal_log import asked_of
from infra.reservation_rows import RESERVATION_COLUMNS, attribution_of
from infra.transaction import Connection

_RESERVED: Final = f"""
SELECT {RESERVATION_COLUMNS}, {PAID_BY} FROM reservation r
WHERE tenant_id = $1 AND id >= $4 AND id < $5 AND created_at >= $2 AND created_at < $3 ORDER BY created_at, id"""
# What happened about when it was recorded is found by when it happened, the rest by the index on when it was recorded.
_USAGE: Final = AS_RECORDED.format(
    events="""
    SELECT * FROM usage_event WHERE tenant_id = $1 AND occurred_at >= $2::timestamptz - interval '1 day'
        AND occurred_at < $3::timestamptz + interval '1 day' AND recorded_at >= $2 AND recorded_at < $3
    UNION ALL
    SELECT * FROM usage_event WHERE tenant_id = $1 AND occurred_at < $2::timestamptz - interval '1 day'
        AND recorded_at >= $2 AND recorded_at < $3
    ORDER BY recorded_at, id"""
)
_BATCHES: Final = (
    "SELECT recorded_at, id FROM usage_batch WHERE tenant_id = $1 AND recorded_at >= $2 AND recorded_at < $3"
)
_REFUSED: Final = """
SELECT created_at, code, figures, asked,
    EXISTS (SELECT FROM idempotency_key k WHERE (k.tenant_id, k.operation, k.key) = (r.tenant_id, 'reserve', asked ->> 6))
    OR EXISTS (
        SELECT FROM unnest(array_append($7::text[], asked ->> 0), array_append($8::text[], asked ->> 0)) b (feature, name)
        JOIN task t ON (t.tenant_id, t.feature, t.key) = (r.tenant_id, b.name, asked ->> 5)
        WHERE b.feature = asked ->> 0) AS again
FROM refusal r
WHERE tenant_id = $1 AND operation = 'reserve' AND id >= $4 AND id < $5 AND created_at >= $2 AND created_at < $3
    AND asked IS NOT NULL AND code = ANY($6) ORDER BY created_at, id"""
_CORRECTED: Final = """
SELECT a.recorded_at, a.occurred_at, a.cost, a.counted, a.unpriced, a.route, a.reservation_id, e.under_reservation,
    a.campaign, a.agent_role, a.tags, r.attribution, r.month
FROM usage_amendment a
JOIN usage_event e ON (e.tenant_id, e.occurred_at, e.id) = (a.tenant_id, a.occurred_at, a.event_id)
LEFT JOIN reservation r ON r.tenant_id = a.tenant_id AND r.id = a.reservation_id
WHERE a.tenant_id = $1 AND a.event_id IS NOT NULL AND a.recorded_at >= $2 AND a.recorded_at < $3
ORDER BY a.recorded_at, a.id"""
EVENTS_AT_ONCE: Final = 100
# What the books and the rules decide; what a client got wrong is no question of caps or prices.
_DECIDED: Final = [
    RefusalCode.INSUFFICIENT_FUNDS.value,
    RefusalCode.BUDGET_EXCEEDED.value,
    RefusalCode.SCOPE_PAUSED.value,
    RefusalCode.UNKNOWN_FEATURE.value,
    RefusalCode.UNPRICED_MODEL.value,
    RefusalCode.PLAN_LIMIT.value,
]


class _Group:
    """Calls that were recorded at one moment, and not taken yet by the consume that reported them."""

    def __init__(self, at: datetime, events: dict[UUID, UsageEvent]) -> None:
        self.at = at
        self.events = events

    def take(self, ids: Sequence[UUID]) -> tuple[UsageEvent, ...]:
        """Those of these ids."""
        return tuple([self.events.pop(identifier) for identifier in ids if identifier in self.events])


class History:
    """Reads a month's facts, each when its turn comes; what is read ahead is bounded."""

    def __init__(self, connection: Connection, opening: Opening, cards: Iterable[RateCard]) -> None:
        self._connection = connection
        self._opening = opening
        self._ids = ids_of(opening.start, opening.end)
        # A bundle's features share the keys of their tasks.
        self._bundles = {
            (rate.feature, rate.bundle) for card in cards for rate in card.rates if rate.bundle is not None
        }
        self._heap: list[tuple[datetime, int, int, Fact | _Group, AsyncIterator[Fact | _Group] | None]] = []
        self._numbers = count()
        self._group: _Group | None = None
        self._posted: dict[datetime, datetime] = {}

    async def facts(self) -> AsyncIterator[Fact]:
        """Every fact, in order."""
        opening, span = self._opening, (self._opening.tenant.id, self._opening.start, self._opening.end)
        for recorded_at, identifier in await self._connection.fetch(_BATCHES, *span):
            self._posted[recorded_at] = moment_of(identifier)
        for real in opening.ends:
            self._await_end(real)
        sources = (self._known(), self._reserved(), self._usage(), self._refused(), self._corrected())
        source: AsyncIterator[Fact | _Group] | None
        for source in sources:
            await self._advance(source)
        while self._heap:
            at, _, _, item, source = heappop(self._heap)
            if isinstance(item, _Group):
                for fact in self._recorded(item):
                    if fact.at > at:
                        self._push(fact)
                    else:
                        yield fact
            else:
                yield self._completed(item)
                if isinstance(item.what, Reserved):
                    self._await_end(item.what.reservation)
            if source is not None:
                await self._advance(source)

    def _push(self, item: Fact | _Group, source: AsyncIterator[Fact | _Group] | None = None) -> None:
        rank = item.rank if isinstance(item, Fact) else rank_of(Recorded)
        heappush(self._heap, (item.at, rank, next(self._numbers), item, source))

    async def _advance(self, source: AsyncIterator[Fact | _Group]) -> None:
        item = await anext(source, None)
        if item is not None:
            self._push(item, source)
            if isinstance(item, _Group):
                self._group = item

    def _await_end(self, real: Reservation) -> None:
        """What follows from a reservation within the month."""
        opening = self._opening
        for extension in real.extensions:
            if opening.start <= extension.at < opening.end:
                self._push(Fact(extension.at, Extended(real, extension)))
        expired_at, ended_at = real.expired_at, real.ended_at
        if expired_at is None and real.state is ReservationState.EXPIRED:
            expired_at = ended_at  # from before it was kept
        if expired_at is not None and opening.start <= expired_at < opening.end:
            self._push(Fact(expired_at, Expired(real.id, real.state is ReservationState.EXPIRED)))
        if ended_at is not None and ended_at < opening.end and real.state is not ReservationState.EXPIRED:
            self._push(Fact(ended_at, Ended(real, (), opening.payers.pop(real.id, None))))

    def _completed(self, fact: Fact) -> Fact:
        """A consume with the calls that it reported."""
        what, group = fact.what, self._group
        if not isinstance(what, Ended) or group is None or group.at != fact.at:
            return fact
        return Fact(fact.at, replace(what, events=group.take(what.reservation.settled_events)))

    def _recorded(self, group: _Group) -> Iterator[Fact]:
        """What of a group no consume reported: by itself, or as a large batch, which counts when it is posted."""
        posted_at = self._posted.get(group.at)
        events = tuple(sorted(group.events.values(), key=_place))
        if posted_at is not None:
            large = [event for event in events if _is_large(event)]
            events = tuple([event for event in events if not _is_large(event)])
            # In parts, so that others have their turn in between: it comes to the same.
            for first in range(0, len(large), EVENTS_AT_ONCE):
                part = tuple(large[first : first + EVENTS_AT_ONCE])
                yield Fact(max(posted_at, group.at), Recorded(part, at_once=True))
        if events:
            yield Fact(group.at, Recorded(events))

    async def _known(self) -> AsyncIterator[Fact]:
        for fact in self._opening.facts:
            yield fact

    async def _reserved(self) -> AsyncIterator[Fact]:
        async for row in self._rows(_RESERVED, *self._ids):
            reservation = self._opening.meet(row)
            yield Fact(reservation.created_at, Reserved(reservation))

    async def _usage(self) -> AsyncIterator[_Group]:
        group: _Group | None = None
        async for row in self._rows(_USAGE):
            event = event_of(row)
            if group is not None and group.at != event.recorded_at:
                yield group
                group = None
            if group is None:
                group = _Group(event.recorded_at, {})
            group.events[event.id] = event
        if group is not None:
            yield group

    async def _refused(self) -> AsyncIterator[Fact]:
        bundles = [list(names) for names in zip(*self._bundles, strict=True)] or [[], []]
        async for at, code, figures, asked, again in self._rows(_REFUSED, *self._ids, _DECIDED, *bundles):
            what = Denied(_asked(asked, orjson.loads(figures)), RefusalCode(code), orjson.loads(figures), again)
            yield Fact(at, what)

    async def _corrected(self) -> AsyncIterator[Fact]:
        zone = self._opening.tenant.zone
        async for row in self._rows(_CORRECTED):
            at, occurred_at, cost, counted, unpriced, route, reservation_id, under, campaign, role, tags, *terms = row
            if under:
                attribution, month = attribution_of(terms[0]), terms[1]
            else:
                attribution, month = counted_as(role, campaign, tags), month_key(occurred_at, zone)
            yield Fact(at, Corrected(reservation_id, attribution, month, cost, counted, unpriced, Route(route)))

    def _rows(self, query: str, *more: object) -> "CursorFactory[asyncpg.Record]":
        opening = self._opening
        span = (opening.tenant.id, opening.start, opening.end)
        return self._connection.cursor(query, *span, *more, prefetch=ROWS_AT_ONCE)


def _asked(text: str, figures: dict[str, Any]) -> Asked:
    """What a refused reserve asked for. Of one from before back-tests only its refusal tells what it would have cost."""
    asked = asked_of(text)
    if not asked.idempotency_key and figures.get("requested") and "cap" in figures:
        return replace(asked, estimate=Estimate(cost=figures["requested"]))
    return asked


def _is_large(event: UsageEvent) -> bool:
    """Whether a call came in a large batch, of the calls that were recorded at the moment of one."""
    return event.steps is None and event.reservation_id is None


def _place(event: UsageEvent) -> tuple[str, int]:
    """In which order calls were counted that were reported together: each found spent what those before it left."""
    return ("", 0) if event.steps is None else (event.steps.month, event.steps.levels[0][0])
