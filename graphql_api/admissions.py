"""Admissions: the mutations that open, extend and give back a reservation."""

from typing import Annotated, Any

import strawberry

from domain.reservations import Granted, Released
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.refusals import (
    BudgetExceeded,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    PlanLimit,
    ReservationEnded,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    refusal_of,
)
from graphql_api.reservations import Reservation
from graphql_api.wishes import EstimateInput, ReserveInput, estimate_of, order_of
from infra.services import reservations as service
from infra.services.callers import Refused
from infra.services.reservations import ReleaseOrder

MOST_AT_ONCE = 500


@strawberry.input(description="Give running work more time, more room, or both.")
class ExtendInput:
    """More time, more room, or both."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    reservation_id: strawberry.ID = strawberry.field(description="The work's reservation.")
    ttl_seconds: int | None = strawberry.field(
        default=None, description="It expires so many seconds from now, 1 to 604800, and never earlier than before."
    )
    estimate: EstimateInput | None = strawberry.field(default=None, description="What is to be held on top.")


@strawberry.input(description="Give back what a reservation holds.")
class ReleaseInput:
    """Give back what is held."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    reservation_id: strawberry.ID = strawberry.field(description="The reservation.")
    reason: str | None = strawberry.field(default=None, description="Why, for the ledger.")


@strawberry.type(name="Released", description="Everything that was held went back.")
class ReleasedReservation:
    """Everything went back."""

    reservation: Reservation = strawberry.field(description="The reservation as it is now.")


ReserveResult = Annotated[
    Reservation
    | InsufficientFunds
    | BudgetExceeded
    | ScopePaused
    | UnknownFeature
    | UnpricedModel
    | PlanLimit
    | IdempotencyKeyReused
    | InvalidInput,
    strawberry.union("ReserveResult", description="The reservation, or which level refused and its figures."),
]
ExtendResult = Annotated[
    Reservation
    | InsufficientFunds
    | BudgetExceeded
    | ScopePaused
    | NotFound
    | ReservationEnded
    | IdempotencyKeyReused
    | InvalidInput,
    strawberry.union("ExtendResult", description="The reservation as it is now, or which level refused."),
]
ReleaseResult = Annotated[
    ReleasedReservation | NotFound | ReservationEnded | IdempotencyKeyReused | InvalidInput,
    strawberry.union("ReleaseResult", description="The reservation as it is now, or why nothing was given back."),
]


@strawberry.type
class AdmissionMutations:
    """What opens, extends and gives back a reservation."""

    @field(
        description="May this work run, and what is held for it. One decision over rates, prices, pauses, every budget "
        "and every wallet: all of it is held, or nothing."
    )
    async def reserve(
        self, info: Info, given: Annotated[ReserveInput, strawberry.argument(name="input", description="The work.")]
    ) -> ReserveResult:
        order = order_of(given)
        context = info.context
        return _reserved(
            await service.reserve(
                context.application,
                context.caller,
                order.idempotency_key,
                order.wish,
                order.task_key,
                order.ttl_seconds,
            )
        )

    @field(description="Reserve up to 500 times at once: each its own decision, answered in order.")
    async def reserve_many(
        self, info: Info, inputs: Annotated[list[ReserveInput], strawberry.argument(description="At most 500.")]
    ) -> list[ReserveResult]:
        _check_length(len(inputs))
        orders = [order_of(given) for given in inputs]
        answers = await service.reserve_many(info.context.application, info.context.caller, orders)
        return [_reserved(answer) for answer in answers]

    @field(description="Give running work more time, more room, or both; decided as a reserve is.")
    async def extend(
        self, info: Info, given: Annotated[ExtendInput, strawberry.argument(name="input", description="What to add.")]
    ) -> ExtendResult:
        answer = await service.extend(
            info.context.application,
            info.context.caller,
            given.idempotency_key,
            parse_or_nobodys("reservation", given.reservation_id),
            given.ttl_seconds,
            estimate_of(given.estimate),
        )
        return _reserved(answer)

    @field(description="Give back everything that a reservation holds.")
    async def release(
        self,
        info: Info,
        given: Annotated[ReleaseInput, strawberry.argument(name="input", description="The reservation.")],
    ) -> ReleaseResult:
        order = _release_order(given)
        return _released(
            await service.release(
                info.context.application,
                info.context.caller,
                order.idempotency_key,
                order.reservation_id,
                order.reason,
            )
        )

    @field(description="Release up to 500 times at once: each its own decision, answered in order.")
    async def release_many(
        self, info: Info, inputs: Annotated[list[ReleaseInput], strawberry.argument(description="At most 500.")]
    ) -> list[ReleaseResult]:
        _check_length(len(inputs))
        orders = [_release_order(given) for given in inputs]
        answers = await service.release_many(info.context.application, info.context.caller, orders)
        return [_released(answer) for answer in answers]


def _check_length(length: int) -> None:
    if length > MOST_AT_ONCE:
        raise bad_input(f"inputs: at most {MOST_AT_ONCE} at once, these are {length}")


def _release_order(given: ReleaseInput) -> ReleaseOrder:
    return ReleaseOrder(
        given.idempotency_key, parse_or_nobodys("reservation", given.reservation_id), given.reason or ""
    )


def _reserved(answer: Granted | Refused) -> Reservation | Any:
    return refusal_of(answer) if isinstance(answer, Refused) else Reservation.granted(answer)


def _released(answer: Released | Refused) -> ReleasedReservation | Any:
    if isinstance(answer, Refused):
        return refusal_of(answer)
    return ReleasedReservation(reservation=Reservation.of(answer.reservation))
