"""Settlements: consume, after the work is done."""

from typing import Annotated

import strawberry

from domain import settlements
from domain.usage import MOST_EVENTS
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.refusals import (
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    ReservationEnded,
    refusal_of,
)
from graphql_api.reservations import Reservation
from graphql_api.scalars import Amount, UsdAmount, usd
from graphql_api.usage import UsageEvent, UsageInput, usage_of
from graphql_api.wallets import Charge
from infra.services import settlements as service
from infra.services.callers import Refused


@strawberry.type(description="The work is settled: what it cost was charged, the rest of the hold went back.")
class Consumed:
    """The work is settled."""

    settled: strawberry.Private[settlements.Consumed]
    reservation: Reservation = strawberry.field(description="The reservation as it is now.")
    charges: list[Charge] = strawberry.field(description="What was charged, per wallet.")
    cost_usd: UsdAmount | None = strawberry.field(
        description="What the providers charged; null while a model of it has no price."
    )

    @field(description="The calls that this consume added. Those that were known before are not among them.")
    async def usage_events(self, info: Info) -> list[UsageEvent]:
        events = self.settled.events
        if not events and self.settled.reservation.settled_events:
            # A repeated consume: what the first one added.
            loaded = await info.context.loaders.usage_events.load_many(self.settled.reservation.settled_events)
            events = tuple(event for event in loaded if event is not None)
        return [UsageEvent.of(event) for event in events]

    @classmethod
    def of(cls, consumed: settlements.Consumed) -> "Consumed":
        reservation = consumed.reservation
        return cls(
            settled=consumed,
            reservation=Reservation.of(reservation),
            charges=[Charge(wallet_key=key, amount=Amount(amount)) for key, amount in reservation.charges],
            cost_usd=usd(reservation.cost_usd),
        )


@strawberry.input(description="Settle a reservation with what really happened.")
class ConsumeInput:
    """Settle a reservation."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    reservation_id: strawberry.ID = strawberry.field(description="The work's reservation.")
    quantity: Amount | None = strawberry.field(default=None, description="What was really made; null: as reserved.")
    usage: list[UsageInput] | None = strawberry.field(
        default=None, description="The calls that were made, at most 1,000, as far as they were not recorded before."
    )


ConsumeResult = Annotated[
    Consumed | NotFound | ReservationEnded | IdempotencyKeyReused | InvalidInput,
    strawberry.union("ConsumeResult", description="What was charged, or why nothing was."),
]


@strawberry.type
class SettlementMutations:
    """What settles a reservation."""

    @field(
        description="Charge what the work cost and give the rest of its hold back. A reservation that expired "
        "meanwhile is still settled."
    )
    async def consume(
        self,
        info: Info,
        given: Annotated[ConsumeInput, strawberry.argument(name="input", description="What happened.")],
    ) -> ConsumeResult:
        calls = given.usage or []
        if len(calls) > MOST_EVENTS:
            raise bad_input(f"usage: at most {MOST_EVENTS} at once, these are {len(calls)}")
        answer = await service.consume(
            info.context.application,
            info.context.caller,
            given.idempotency_key,
            parse_or_nobodys("reservation", given.reservation_id),
            given.quantity,
            [usage_of(call) for call in calls],
        )
        return refusal_of(answer) if isinstance(answer, Refused) else Consumed.of(answer)
