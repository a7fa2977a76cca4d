"""Metering: the proof that every paid call was charged, and the calls that were not (for operators).

A paid call is a usage event on our keys (route MANAGED; what is FREE on the rate card is given away on purpose) that cost
something, or whose cost is not known yet. It was metered if any of these holds, corrections included:
- it was charged itself, in credits or dollars;
- it was recorded under a reservation that was settled, whose charge covers all that was recorded under it (or that of the
  reservation that its task was paid by), or that is still open, so that its settlement will (capacity is given back and never settled: what is recorded under it is not metered);
- its feature is charged per result, and it found nothing: then its charge, or that of its settlement, is nothing.
Everything else nobody was charged for: calls of a settlement that charged nothing; calls without a feature, or whose feature's rate charges no single call or draws on
a wallet that the tenant does not have; calls without a price until they are re-rated; and calls of work that was given up.

Candidates come from small indexes of what carries no charge, so that what was charged is never read. How many calls there
were in all, and at what cost, comes from the rollups; so what is not listed was metered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from domain import margins
from domain.catalog import Catalog
from domain.ids import NIL
from domain.rates import ChargeType, RateCards
from domain.usage import FUTURE_TOLERANCE
from infra.application import Application
from infra.queries.margins import Cells, OnOurKeys, Period, read
from infra.queries.usage_breakdowns import PIN
from infra.transaction import BEGIN_READING, Connection, transaction

_UNCHARGED: Final = """u.tenant_id = t.id AND u.occurred_at >= asked.first AND u.occurred_at < asked.past
    AND u.route = 'MANAGED' AND u.credits_charged = 0 AND u.usd_charged = 0"""
_PAID: Final = "(u.cost > 0 OR u.cost IS NULL)"
_COLUMNS: Final = """u.id, u.occurred_at, u.recorded_at, u.provider, u.model, u.operation, u.feature, u.calls, u.results,
    u.cost, u.reservation_id, u.under_reservation, u.agent_role, u.campaign"""
# A settlement that charged nothing for what cost something, though its task was paid by no other.
_SETTLED_FOR_NOTHING: Final = """r.state = 'CONSUMED' AND r.charges IS NULL AND r.route = 'MANAGED'
    AND r.cost_usd IS DISTINCT FROM 0 AND NOT EXISTS (
        SELECT FROM task k WHERE k.tenant_id = r.tenant_id AND k.feature = r.task_feature AND k.key = r.task_key
            AND k.reservation_id <> r.id)"""
# By OFFSET and LIMIT each is looked up for itself, whatever the statistics say.
# $1 the tenant, $2 and $3 the span, $4 and $5 tenant and moment from which on (a page), $6 the least moment at which a
# reservation ended whose events can lie in the span; $7 to $10 the features charged per result, by tenant and span, and $11
# the tenants with cards of their own.
_CANDIDATES: Final = f"""
FROM tenant t
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.id = $4 THEN greatest($2::timestamptz, $5) ELSE $2 END AS first, $3::timestamptz AS past
) asked
CROSS JOIN LATERAL (
    SELECT {_COLUMNS}, false AS settled FROM usage_event u
    WHERE {_UNCHARGED} AND NOT u.under_reservation AND {_PAID}
    UNION ALL
    SELECT under.*, r.settled FROM (
        SELECT id, false AS settled FROM reservation
        WHERE tenant_id = t.id AND state IN ('RELEASED', 'EXPIRED') AND ended_at >= $6 AND recorded IS NOT NULL
        UNION ALL
        SELECT id, false FROM reservation
        WHERE tenant_id = t.id AND state = 'HELD' AND expires_at IS NULL AND recorded IS NOT NULL
        UNION ALL
        SELECT id, true FROM reservation r
        WHERE tenant_id = t.id AND ended_at >= $6 AND {_SETTLED_FOR_NOTHING}
    ) r CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM usage_event u
        WHERE u.reservation_id = r.id AND u.source IS NOT NULL AND {_UNCHARGED} AND u.under_reservation AND {_PAID}
        OFFSET 0
    ) under
    UNION ALL
    -- Calls of a consume may have no name of their own; the milliseconds of an id are those of its event.
    SELECT consumed.*, true FROM reservation r
    CROSS JOIN LATERAL jsonb_array_elements_text(r.settled_events) AS of_consume (id)
    CROSS JOIN LATERAL (SELECT to_timestamp(0) + ('x' || left(of_consume.id, 12))::bit(48)::bigint
        * interval '1 millisecond' AS at) millisecond
    CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM usage_event u
        WHERE u.id = of_consume.id::uuid AND u.source IS NULL AND {_UNCHARGED} AND {_PAID}
            AND u.occurred_at >= millisecond.at AND u.occurred_at < millisecond.at + interval '1 millisecond' LIMIT 1
    ) consumed
    WHERE r.tenant_id = t.id AND r.ended_at >= $6 AND {_SETTLED_FOR_NOTHING}
    UNION ALL
    -- What cost nothing by a price that was corrected since.
    SELECT once_free.*, once_free.under_reservation AND r.state = 'CONSUMED' FROM (
        SELECT DISTINCT event_id, occurred_at FROM usage_amendment
        WHERE tenant_id = t.id AND occurred_at >= asked.first AND occurred_at < asked.past
            AND event_id IS NOT NULL AND cost > 0
    ) corrected
    CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM usage_event u
        WHERE u.id = corrected.event_id AND u.occurred_at = corrected.occurred_at AND {_UNCHARGED} AND u.cost = 0
        LIMIT 1
    ) once_free
    LEFT JOIN reservation r ON r.tenant_id = t.id AND r.id = once_free.reservation_id
    WHERE NOT once_free.under_reservation OR r.state IN ('RELEASED', 'EXPIRED') OR ({_SETTLED_FOR_NOTHING})
) u
CROSS JOIN LATERAL (
    SELECT coalesce(sum(cost), 0) AS cost, coalesce(sum(unpriced), 0) AS unpriced,
        coalesce(sum(credits_charged), 0) + coalesce(sum(usd_charged), 0) AS charged
    FROM usage_amendment WHERE tenant_id = t.id AND event_id = u.id
) a
CROSS JOIN LATERAL (
    SELECT CASE WHEN (u.cost IS NULL)::int + a.unpriced > 0 THEN NULL ELSE coalesce(u.cost, 0) + a.cost END AS cost
) now
WHERE ($1::uuid IS NULL OR t.id = $1) AND t.id >= $4 AND a.charged = 0 AND coalesce(now.cost, 1) > 0
    AND NOT ((u.settled OR NOT u.under_reservation) AND coalesce(u.results, 0) = 0 AND u.feature IS NOT NULL AND EXISTS (
        SELECT FROM unnest($7::uuid[], $8::text[], $9::timestamptz[], $10::timestamptz[])
            AS per_result (tenant_id, feature, first, past)
        WHERE per_result.tenant_id = CASE WHEN t.id = ANY($11::uuid[]) THEN t.id ELSE '{NIL}' END
            AND per_result.feature = u.feature AND u.recorded_at >= per_result.first AND u.recorded_at < per_result.past
    ))"""
_PAGE: Final = f"""
SELECT t.id AS tenant_id, t.slug, u.id, u.occurred_at, u.provider, u.model, u.operation, u.feature, u.calls,
    now.cost::bigint, u.reservation_id, u.under_reservation, u.settled, u.agent_role, u.campaign
{_CANDIDATES} AND (t.id > $4 OR (u.occurred_at, u.id) > ($5, $12))
ORDER BY t.id, u.occurred_at, u.id LIMIT $13"""
_SUMS: Final = f"""
SELECT count(*), coalesce(sum(u.calls), 0), coalesce(sum(now.cost), 0), count(*) FILTER (WHERE now.cost IS NULL)
{_CANDIDATES}"""
_AFTER_ALL: Final = datetime(9998, 1, 1, tzinfo=UTC)


class Unmetered(StrEnum):
    """Why nobody was charged for a call."""

    GIVEN_UP = "GIVEN_UP"  # its reservation was released, expired and was not settled, or takes capacity and never is
    SETTLED_FOR_NOTHING = "SETTLED_FOR_NOTHING"  # its reservation was settled, and nothing was charged
    UNPRICED = "UNPRICED"  # its price is not known yet
    NO_FEATURE = "NO_FEATURE"  # it names no feature
    NO_RATE = "NO_RATE"  # no rate of its feature charges such a call by itself, or the tenant has no wallet for it


class Place(NamedTuple):
    """Where a call stands in the list of all tenants'."""

    tenant_id: UUID
    occurred_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class UnmeteredCall:
    """A paid call that nobody was charged for. `cost`: nano-dollars as it is known by now, None: not known yet."""

    place: Place
    tenant: str
    reason: Unmetered
    provider: str | None
    model: str | None
    operation: str | None
    feature: str | None
    calls: int
    cost: int | None
    reservation_id: UUID | None
    agent_role: str | None
    campaign: str | None


@dataclass(frozen=True, slots=True)
class UnmeteredPage:
    """Some calls by tenant and time, and whether there are others after them (next) and before them (previous)."""

    calls: tuple[UnmeteredCall, ...]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class Metering:
    """`all`: the calls on our keys that are not free on the card. `unmetered`: those of them that cost something, or may
    have, and that nobody was charged for. `free`: given away on purpose."""

    all: OnOurKeys
    unmetered: OnOurKeys
    free: OnOurKeys

    @property
    def metered(self) -> OnOurKeys:
        """The others."""
        return OnOurKeys(
            self.all.events - self.unmetered.events,
            self.all.calls - self.unmetered.calls,
            self.all.cost - self.unmetered.cost,
            self.all.unpriced - self.unmetered.unpriced,
        )


async def page(application: Application, period: Period, first: int, after: Place | None) -> UnmeteredPage:
    """The first calls of a period after this place that nobody was charged for."""
    async with (
        application.reports.turn(NIL),
        application.across_tenants.acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        await connection.execute(PIN)
        await application.catalogs.load(connection)
        return await read_page(connection, application.catalog, period, first, after)


async def of(application: Application, period: Period) -> Metering:
    """The proof for a period."""
    async with (
        application.reports.turn(NIL),
        application.across_tenants.acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        cells = await read(application, connection, period, margins.TARGET)
        return await read_metering(connection, application.catalog, period, cells)


async def read_page(
    connection: Connection, catalog: Catalog, period: Period, first: int, after: Place | None = None
) -> UnmeteredPage:
    """A page, on the snapshot of the connection's transaction."""
    place = after or Place(NIL, period.start, NIL)
    rows = await connection.fetch(_PAGE, *_parameters(catalog, period, place), place.id, first + 1)
    return UnmeteredPage(tuple([_call(row) for row in rows[:first]]), len(rows) > first, after is not None)


async def read_metering(connection: Connection, catalog: Catalog, period: Period, cells: Cells) -> Metering:
    """The proof beside cells of the same period and snapshot, which count all calls."""
    row = await connection.fetchrow(_SUMS, *_parameters(catalog, period, Place(NIL, period.start, NIL)))
    assert row is not None, "sums are always one row"
    return Metering(cells.managed, OnOurKeys(*[int(figure) for figure in row]), cells.free)


def _parameters(catalog: Catalog, period: Period, place: Place) -> list[Any]:
    least = period.start - FUTURE_TOLERANCE
    rows = [(NIL, *each) for each in _per_result(catalog.rate_cards, least)]
    for tenant_id, own in catalog.overrides.items():
        rows += [(tenant_id, *each) for each in _per_result(own.rate_cards, least)]
    columns = [[row[index] for row in rows] for index in range(4)]
    return [
        period.tenant_id,
        period.start,
        period.end,
        place.tenant_id,
        place.occurred_at,
        least,
        *columns,
        list(catalog.overrides),
    ]


def _per_result(cards: RateCards, start: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    """From when to when each feature was charged by nothing but what it found."""
    for begin, end, card in margins.cards_between(cards, start, _AFTER_ALL):
        if card is not None:
            others = {rate.feature for rate in card.rates if rate.charge_type is not ChargeType.PER_RESULT}
            for feature in sorted({rate.feature for rate in card.rates} - others):
                yield feature, begin, end


def _call(row: asyncpg.Record) -> UnmeteredCall:
    place = Place(row["tenant_id"], row["occurred_at"], row["id"])
    if row["settled"]:
        reason = Unmetered.SETTLED_FOR_NOTHING
    elif row["under_reservation"]:
        reason = Unmetered.GIVEN_UP
    elif row["cost"] is None:
        reason = Unmetered.UNPRICED
    else:
        reason = Unmetered.NO_FEATURE if row["feature"] is None else Unmetered.NO_RATE
    return UnmeteredCall(
        place,
        row["slug"],
        reason,
        row["provider"],
        row["model"],
        row["operation"],
        row["feature"],
        row["calls"],
        row["cost"],
        row["reservation_id"],
        row["agent_role"],
        row["campaign"],
    )
