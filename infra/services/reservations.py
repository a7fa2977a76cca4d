"""Reservations: the verbs of workers before and around a paid call."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain import admission, reservations
from domain.admission import Wish
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.books import Operation
from domain.holds import NO_ESTIMATE, Estimate, ModelName
from domain.prices import Tokens
from domain.refusals import FieldProblem, InvalidInput, Refusal
from domain.reservations import Extend, Granted, Preview, Release, Released, Reserve
from infra.application import Application
from infra.identifiers import new_id
from infra.reservation_rows import attribution_json
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start
from infra.services.progress import Progress
from infra.transaction import BEGIN_READING, transaction

_TENANTS_WITH_DUE: Final = """
SELECT DISTINCT tenant_id FROM reservation WHERE state = 'HELD' AND expires_at <= $1 ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class Order:
    """One reserve of many."""

    idempotency_key: str
    wish: Wish
    task_key: str | None = None
    ttl_seconds: int = reservations.DEFAULT_TTL


@dataclass(frozen=True, slots=True)
class ReleaseOrder:
    """One release of many."""

    idempotency_key: str
    reservation_id: UUID
    reason: str = ""


async def reserve(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    wish: Wish,
    task_key: str | None = None,
    ttl_seconds: int = reservations.DEFAULT_TTL,
) -> Granted | Refused:
    """Admit a piece of work and hold what it may cost, or say which level refuses and its figures."""
    return await _reserve(application, caller, Order(idempotency_key, wish, task_key, ttl_seconds))


async def reserve_many(application: Application, caller: Caller, orders: Sequence[Order]) -> list[Granted | Refused]:
    """Each its own decision, in order."""
    application.group_commit.require_room(caller.tenant_id, len(orders))
    return await asyncio.gather(*[_reserve(application, caller, order) for order in orders])


async def preview(application: Application, caller: Caller, wish: Wish) -> Preview | Refused:
    """Decide as reserve does; hold, write and pause nothing."""
    problems = admission.problems(wish)
    if problems:
        return Refused(InvalidInput(problems), None)
    async with application.readers.of(caller.tenant_id).acquire() as connection, transaction(connection, BEGIN_READING):
        answer = await application.group_commit.deciding.preview(connection, caller.tenant_id, wish)
    return Refused(answer, None) if isinstance(answer, Refusal) else answer


async def extend(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    reservation_id: UUID,
    ttl_seconds: int | None = None,
    estimate: Estimate = NO_ESTIMATE,
) -> Granted | Refused:
    """More time (from now), more room, or both."""
    asked = (reservation_id, ttl_seconds, *_estimate(estimate))
    request = request_of(caller, Operation.EXTEND, idempotency_key, asked)
    problems = (*reservations.ttl_problems(ttl_seconds), *admission.estimate_problems(estimate))
    return await start(application, Granted, Extend(request, reservation_id, ttl_seconds, estimate), problems)


async def release(
    application: Application, caller: Caller, idempotency_key: str, reservation_id: UUID, reason: str = ""
) -> Released | Refused:
    """Give everything back."""
    return await _release(application, caller, ReleaseOrder(idempotency_key, reservation_id, reason))


async def release_many(
    application: Application, caller: Caller, orders: Sequence[ReleaseOrder]
) -> list[Released | Refused]:
    """Each its own decision, in order."""
    application.group_commit.require_room(caller.tenant_id, len(orders))
    return await asyncio.gather(*[_release(application, caller, order) for order in orders])


async def check_task(
    application: Application,
    caller: Caller,
    reservation_id: UUID,
    running_cost: int | None = None,
    tokens: Tokens | None = None,
) -> bool | None:
    """Whether running work goes on; None: there is no such reservation."""
    async with application.readers.of(caller.tenant_id).acquire() as connection, transaction(connection, BEGIN_READING):
        return await application.group_commit.deciding.check_task(
            connection, caller.tenant_id, reservation_id, running_cost, tokens
        )


async def expire_due(application: Application, tenant_id: UUID) -> int:
    """Book every overdue reservation of a tenant; answers how many. Harmless at any time and more than once."""
    booked = 0
    while (some := await application.group_commit.expire(tenant_id)) > 0:
        booked += some
    return booked


async def expire_all_due(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Book the overdue reservations of every tenant."""
    done = 0
    for (tenant_id,) in await application.across_tenants.fetch(_TENANTS_WITH_DUE, at):
        if stop_at is not None and application.clock() >= stop_at:
            return Progress(done, complete=False)
        done += await expire_due(application, tenant_id)
    return Progress(done)


def _reserve(application: Application, caller: Caller, order: Order) -> Awaitable[Granted | Refused]:
    wish = order.wish
    problems = [*admission.problems(wish), *reservations.ttl_problems(order.ttl_seconds)]
    if order.task_key is not None and not is_identifier(order.task_key):
        problems.append(FieldProblem("taskKey", IDENTIFIER_RULE))
    asked = (
        wish.feature,
        wish.quantity,
        _model(wish.model),
        _estimate(wish.estimate),
        None if problems else attribution_json(wish.attribution),
        order.task_key,
        order.ttl_seconds,
    )
    request = request_of(caller, Operation.RESERVE, order.idempotency_key, asked)
    command = Reserve(request, new_id(application.clock()), wish, order.task_key, order.ttl_seconds)
    return start(application, Granted, command, problems)


def _release(application: Application, caller: Caller, order: ReleaseOrder) -> Awaitable[Released | Refused]:
    asked = (order.reservation_id, order.reason)
    request = request_of(caller, Operation.RELEASE, order.idempotency_key, asked)
    problems = reservations.reason_problems(order.reason)
    return start(application, Released, Release(request, order.reservation_id, order.reason), problems)


def _model(model: ModelName | None) -> tuple[Any, ...] | None:
    return None if model is None else (model.provider, model.model, model.operation)


def _estimate(estimate: Estimate) -> tuple[Any, ...]:
    tokens = estimate.tokens
    return (None if tokens is None else (tokens.input, tokens.output), estimate.cost)
