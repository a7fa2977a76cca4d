"""Once: the work of a request that is not decided in batches, done once for its idempotency key."""

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from domain.books import Request
from domain.refusals import IdempotencyKeyReused, InvalidInput, Refusal
from domain.reservations import key_problems
from infra.application import Application
from infra.idempotency_keys import LOCK_KEY, USED_KEY, WRITE_KEY
from infra.transaction import Connection, transaction

LOCK_TENANT: Final = "SELECT FROM tenant WHERE id = $1 FOR UPDATE"


async def once(
    application: Application,
    request: Request,
    work: Callable[[Connection], Awaitable[UUID | Refusal]],
    *,
    alone: bool = False,
) -> UUID | Refusal:
    """Do the work of a request unless it is done; what it made, now or then. `alone`: whoever changes what is the tenant's
    comes one after the other, and admission waits; else only the same request waits."""
    key, place = request.idempotency_key, (request.tenant_id, request.operation.value, request.idempotency_key)
    problems = key_problems(key)
    if problems:
        return InvalidInput(problems)
    async with application.writers.acquire() as connection, transaction(connection):
        if alone:
            await connection.execute(LOCK_TENANT, request.tenant_id)
        else:
            await connection.execute(LOCK_KEY, f"{request.operation}:{request.tenant_id}:{key}")
        used = await connection.fetchrow(USED_KEY, *place)
        if used is not None:
            made: UUID = used[1]
            return made if used[0] == request.hash else IdempotencyKeyReused(key)
        outcome = await work(connection)
        if isinstance(outcome, UUID):
            await connection.execute(WRITE_KEY, *place, request.hash, outcome, application.clock())
        return outcome
