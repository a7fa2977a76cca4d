"""Subscriptions: another plan, another anchor day, another time zone."""

from typing import Annotated

import strawberry

from domain.subscriptions import Subscribed
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.refusals import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from graphql_api.tenants import Tenant, tenant_by_id
from infra.services import subscriptions as service
from infra.services.callers import Refused


@strawberry.input(description="Subscribe to another plan.")
class ChangePlanInput:
    """Subscribe to another plan."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    plan: str = strawberry.field(description="A plan of the tenant's region; the present one takes a change back.")


@strawberry.input(description="Move the tenant's cycles; what is left out stays.")
class SetCycleInput:
    """Move the tenant's cycles."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    anchor_day: int | None = strawberry.field(
        default=None, description="The day of the month on which cycles start, 1 to 31."
    )
    time_zone: str | None = strawberry.field(default=None, description="An IANA name such as Asia/Kolkata.")


SubscriptionResult = Annotated[
    Tenant | Conflict | InvalidInput | NotFound | IdempotencyKeyReused | ScopePaused,
    strawberry.union(
        "SubscriptionResult", description="The tenant as it is subscribed now, or why nothing was changed."
    ),
]


@strawberry.type
class SubscriptionMutations:
    """What can be done with a subscription."""

    @field(
        description="Subscribe to another plan: one that costs no less at once, with the difference of what it grants; a "
        "cheaper one from the next cycle."
    )
    async def change_plan(
        self, info: Info, given: Annotated[ChangePlanInput, strawberry.argument(name="input", description="The plan.")]
    ) -> SubscriptionResult:
        context = info.context
        answer = await service.change_plan(context.application, context.caller, given.idempotency_key, given.plan)
        return await _answer(info, answer)

    @field(description="Move the day on which cycles start, or the time zone, from the next cycle on.")
    async def set_cycle(
        self,
        info: Info,
        given: Annotated[SetCycleInput, strawberry.argument(name="input", description="The day, the zone, or both.")],
    ) -> SubscriptionResult:
        context = info.context
        answer = await service.set_cycle(
            context.application, context.caller, given.idempotency_key, given.anchor_day, given.time_zone
        )
        return await _answer(info, answer)


async def _answer(info: Info, answer: Subscribed | Refused) -> SubscriptionResult:
    return refusal_of(answer) if isinstance(answer, Refused) else await tenant_by_id(info, answer.tenant.id)
