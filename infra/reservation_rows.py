"""Rows of `reservation`: read into values, and written as columns."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from domain.attribution import NOBODY, Attribution
from domain.budget_steps import Counted, Measure
from domain.holds import (
    NO_ESTIMATE,
    NOTHING_RECORDED,
    Estimate,
    Extension,
    Hold,
    ModelName,
    Recorded,
    Reservation,
    TaskKey,
)
from domain.ledger import Draw
from domain.prices import Tokens
from domain.refusals import ReservationState
from domain.usage import Route

RESERVATION_COLUMNS: Final = """r.tenant_id, r.id, r.state, r.feature, r.task_feature, r.task_key, r.route, r.quantity,
    r.rate_card, r.provider, r.model, r.operation, r.attribution, r.month, r.holds, r.held_usd, r.remaining_usd,
    r.max_cost_usd, r.recorded, r.charges, r.cost_usd, r.settled_events, r.created_at, r.expires_at, r.ended_at,
    r.steps, r.course"""

_MEASURES: Final = {measure.value: measure for measure in Measure}
# What every change may touch, in the order of `settling_columns`.
SETTLING_COLUMNS: Final = (
    ("state", "text"),
    ("remaining_usd", "bigint"),
    ("recorded", "jsonb"),
    ("charges", "jsonb"),
    ("cost_usd", "bigint"),
    ("settled_events", "jsonb"),
    ("ended_at", "timestamptz"),
    ("steps", "jsonb"),
    ("course", "jsonb"),
)
# What only an extension changes, in the order of `holding_columns`.
HOLDING_COLUMNS: Final = (
    ("holds", "jsonb"),
    ("held_usd", "bigint"),
    ("expires_at", "timestamptz"),
)
FIXED_COLUMNS: Final = (
    ("tenant_id", "uuid"),
    ("id", "uuid"),
    ("feature", "text"),
    ("task_feature", "text"),
    ("task_key", "text"),
    ("route", "text"),
    ("quantity", "bigint"),
    ("rate_card", "integer"),
    ("provider", "text"),
    ("model", "text"),
    ("operation", "text"),
    ("attribution", "jsonb"),
    ("month", "text"),
    ("max_cost_usd", "bigint"),
    ("created_at", "timestamptz"),
)


def reservation_of(row: "asyncpg.Record | tuple[Any, ...]") -> tuple[UUID, Reservation]:
    """The tenant and the reservation of a row of RESERVATION_COLUMNS."""
    (
        tenant_id,
        identifier,
        state,
        feature,
        task_feature,
        task_key,
        route,
        quantity,
        rate_card,
        provider,
        model,
        operation,
        attribution,
        month,
        holds,
        held_usd,
        remaining_usd,
        max_cost_usd,
        recorded,
        charges,
        cost_usd,
        settled_events,
        created_at,
        expires_at,
        ended_at,
        steps,
        course,
    ) = row
    return tenant_id, Reservation(
        identifier,
        ReservationState(state),
        feature,
        None if task_key is None else TaskKey(task_feature, task_key),
        Route(route),
        quantity,
        rate_card,
        None if provider is None else ModelName(provider, model, operation),
        attribution_of(attribution),
        month,
        tuple([Hold(key, amount, draws_of(draws)) for key, amount, draws in orjson.loads(holds)]),
        held_usd,
        remaining_usd,
        max_cost_usd,
        created_at,
        expires_at,
        NOTHING_RECORDED if recorded is None else _recorded(*orjson.loads(recorded)),
        () if charges is None else tuple([(key, amount) for key, amount in orjson.loads(charges)]),
        cost_usd,
        () if settled_events is None else tuple([UUID(hex=event) for event in orjson.loads(settled_events)]),
        ended_at,
        () if steps is None else tuple([counted_of(counted) for counted in orjson.loads(steps)]),
        *(() if course is None else _course_of(*orjson.loads(course))),
    )


def _course_of(
    extensions: list[tuple[str, int | None, int, str | None]], made: int | None, expired_at: str | None
) -> tuple[tuple[Extension, ...], int | None, datetime | None]:
    """The other way round than `_course_json`."""
    extended = [
        Extension(datetime.fromisoformat(at), ttl_seconds, cost, _moment(until))
        for at, ttl_seconds, cost, until in extensions
    ]
    return tuple(extended), made, _moment(expired_at)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _recorded(events: int, cost: int, results: int | None, unpriced: int) -> Recorded:
    """Rows of before say true or false of what has no price."""
    return Recorded(events, cost, results, int(unpriced))


def fixed_columns(tenant_id: UUID, reservation: Reservation) -> tuple[Any, ...]:
    """The values of FIXED_COLUMNS."""
    task, model = reservation.task, reservation.model
    return (
        tenant_id,
        reservation.id,
        reservation.feature,
        None if task is None else task.feature,
        None if task is None else task.key,
        reservation.route,
        reservation.quantity,
        reservation.rate_card,
        None if model is None else model.provider,
        None if model is None else model.model,
        None if model is None else model.operation,
        attribution_json(reservation.attribution),
        reservation.month,
        reservation.max_cost_usd,
        reservation.created_at,
    )


def holding_columns(reservation: Reservation) -> tuple[Any, ...]:
    """The values of HOLDING_COLUMNS."""
    return (
        json([(hold.wallet_key, hold.amount, draws_json(hold.draws)) for hold in reservation.holds]),
        reservation.held_usd,
        reservation.expires_at,
    )


def settling_columns(reservation: Reservation) -> tuple[Any, ...]:
    """The values of SETTLING_COLUMNS."""
    recorded = reservation.recorded
    return (
        reservation.state,
        reservation.remaining_usd,
        None
        if recorded is NOTHING_RECORDED
        else json((recorded.events, recorded.cost, recorded.results, recorded.unpriced)),
        json(reservation.charges) if reservation.charges else None,
        reservation.cost_usd,
        json([event.hex for event in reservation.settled_events]) if reservation.settled_events else None,
        reservation.ended_at,
        json([tuple(counted) for counted in reservation.counted]) if reservation.counted else None,
        _course_json(reservation),
    )


def _course_json(reservation: Reservation) -> str | None:
    extensions, made, expired_at = reservation.extensions, reservation.made, reservation.expired_at
    if not extensions and made is None and expired_at is None:
        return None
    return json(([tuple(extension) for extension in extensions], made, expired_at))


def estimate_fields(estimate: Estimate) -> tuple[Any, ...] | None:
    """An estimate as it stands in JSON; None: none was given."""
    if estimate == NO_ESTIMATE:
        return None
    tokens = estimate.tokens
    counts = (tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, tokens.reasoning) if tokens else None
    return counts, estimate.cost


def estimate_of(fields: list[Any] | None) -> Estimate:
    """The other way round."""
    if fields is None:
        return NO_ESTIMATE
    tokens, cost = fields
    return Estimate(None if tokens is None else Tokens(*tokens), cost)


def attribution_json(attribution: Attribution) -> str:
    """The fields that are set, as JSON."""
    if attribution is NOBODY:
        return "{}"
    return json({name: value for name in Attribution._fields if (value := getattr(attribution, name))})


def attribution_of(text: str) -> Attribution:
    """The other way round."""
    if text == "{}":
        return NOBODY
    fields = orjson.loads(text)
    tags = tuple([(key, value) for key, value in fields.pop("tags", ())])
    return Attribution(**fields, tags=tags)


def counted_of(fields: list[Any]) -> Counted:
    """What was counted in budgets, from the JSON of its fields."""
    measure, month, amount, levels = fields
    return Counted(_MEASURES[measure], month, amount, tuple([(before, cap) for before, cap in levels]))


def draws_json(draws: Iterable[Draw]) -> list[tuple[str, int]]:
    """Draws as they stand in JSON."""
    return [(lot_id.hex, amount) for lot_id, amount in draws]


def draws_of(pairs: Iterable[tuple[str, int]]) -> tuple[Draw, ...]:
    """The other way round."""
    return tuple([Draw(UUID(hex=lot_id), amount) for lot_id, amount in pairs])


def json(value: object) -> str:
    """JSON text for a jsonb parameter."""
    return orjson.dumps(value).decode()
