"""Recharges: a prepaid wallet that tops itself up by a kept card."""

from datetime import datetime
from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from graphql_api.scalars import Amount
from graphql_api.topups import TopUp
from graphql_api.wallets import Wallet, wallet_by_key
from infra.queries.recharges import RechargeView
from infra.services import recharges as service
from infra.services.callers import Refused


async def _in_flight(recharge: strawberry.Parent[RechargeView], info: Info) -> TopUp | None:
    found = None if recharge.in_flight is None else await info.context.loaders.top_ups.load(recharge.in_flight)
    return None if found is None else TopUp.of(found)


@strawberry.type(description="When and by how much a wallet tops itself up. Amounts are in the wallet's unit.")
class AutoRecharge:
    """When and by how much a wallet tops itself up."""

    enabled: bool = strawberry.field(description="Whether it is switched on.")
    threshold: Amount = strawberry.field(description="It recharges when less than this is available.")
    amount: Amount = strawberry.field(description="What one recharge buys.")
    monthly_limit: Amount | None = strawberry.field(description="The most that a calendar month buys; null: no limit.")
    month_ordered: Amount = strawberry.field(description="What this month has ordered so far.")
    in_flight: TopUp | None = strawberry.field(
        resolver=_in_flight, description="The recharge that is being paid; null if there is none."
    )
    retry_at: datetime | None = strawberry.field(
        description="After a decline: not before this moment again; null if there was none."
    )
    disabled_reason: str | None = strawberry.field(
        description="Why it was switched off after repeated declines; null if it was not. Switching it on starts anew."
    )


@strawberry.input(description="Switch a wallet's recharge on or off.")
class SetAutoRechargeInput:
    """Switch a wallet's recharge on or off."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    wallet_key: str = strawberry.field(description="The wallet: metered.")
    enabled: bool = strawberry.field(description="Whether it recharges. It needs a card that was paid with before.")
    threshold: Amount | None = strawberry.field(
        default=None, description="It recharges when less than this is available; null: as before, at first 50."
    )
    amount: Amount | None = strawberry.field(
        default=None, description="What one recharge buys, US dollars in whole cents; null: as before."
    )
    monthly_limit: Amount | None = strawberry.field(
        default=strawberry.UNSET,
        description="The most that a calendar month buys; null: no limit; left out: as before, at first no limit.",
    )


SetAutoRechargeResult = Annotated[
    Wallet | InvalidInput | NotFound | IdempotencyKeyReused | ScopePaused,
    strawberry.union("SetAutoRechargeResult", description="The wallet with its recharge, or why nothing was changed."),
]


@strawberry.type
class RechargeMutations:
    """What can be done with recharges."""

    @field(
        description="Switch a wallet's recharge on or off, and set its figures. Its threshold is also that of the "
        "low-balance warning."
    )
    async def set_auto_recharge(
        self,
        info: Info,
        given: Annotated[SetAutoRechargeInput, strawberry.argument(name="input", description="What is wanted.")],
    ) -> SetAutoRechargeResult:
        context = info.context
        answer = await service.set_auto_recharge(
            context.application,
            context.caller,
            given.idempotency_key,
            given.wallet_key,
            enabled=given.enabled,
            threshold=given.threshold,
            amount=given.amount,
            monthly_limit=None if given.monthly_limit is strawberry.UNSET else given.monthly_limit,
            keeps_limit=given.monthly_limit is strawberry.UNSET,
        )
        return refusal_of(answer) if isinstance(answer, Refused) else await wallet_by_key(info, answer.wallet.key)
