"""Settlements: consume, the verb after a paid call."""

from collections.abc import Sequence
from uuid import UUID

from domain import settlements
from domain.books import Operation
from domain.settlements import Consume, Consumed
from domain.usage import Usage
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start


async def consume(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    reservation_id: UUID,
    quantity: int | None,
    usage: Sequence[Usage],
) -> Consumed | Refused:
    """Charge what the work cost and give the rest of the hold back."""
    request = request_of(
        caller, Operation.CONSUME, idempotency_key, (reservation_id, quantity, [_facts(call) for call in usage])
    )
    now = application.clock()
    events = tuple([(new_id(call.occurred_at or now), call) for call in usage])
    command = Consume(request, reservation_id, events, quantity)
    return await start(application, Consumed, command, settlements.problems(command, now))


def _facts(call: Usage) -> dict[str, object]:
    """What a call says beyond the defaults: a fact that is added to Usage later changes no request of today."""
    return {name: value for name, value in call._asdict().items() if value != Usage._field_defaults[name]}
