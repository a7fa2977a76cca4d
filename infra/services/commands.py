"""Commands on their way: how a service asks the group commit and hands a refusal on."""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import orjson

from domain.books import Operation, Request
from domain.decisions import Command
from domain.receipts import Asked
from domain.refusals import FieldProblem, InvalidInput, Refusal
from domain.reservations import Reserve, key_problems
from infra.application import Application
from infra.deciding import Decided
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused

Success = TypeVar("Success")


def request_of(caller: Caller, operation: Operation, idempotency_key: str, asked: object) -> Request:
    """The request of a command. `asked` is all that the client asked for but the key: the same key with anything
    else is refused. Fields that are added later must stay out of it while they are not set."""
    digest = sha256(_as_bytes(asked)).digest()
    return Request(caller.tenant_id, caller.actor, operation, idempotency_key, digest, caller.role.value)


def start(
    application: Application, success: type[Success], command: Command, problems: Sequence[FieldProblem]
) -> Awaitable[Success | Refused]:
    """Have a command decided, unless its fields are wrong already. It is queued at once, so that several keep their
    order."""
    request = command.request
    wrong = (*key_problems(request.idempotency_key), *problems)
    if wrong:
        return _answered(refused(application, request.tenant_id, request.operation, InvalidInput(wrong)))
    return _outcome(application, success, command, application.group_commit.submit(command))


def refused(
    application: Application,
    tenant_id: UUID,
    operation: str,
    refusal: Refusal,
    asked: Asked | None = None,
    at: datetime | None = None,
) -> Refused:
    """A refusal with its id, kept for its receipt and for back-tests; `at`: when it was decided, else now."""
    at = at or application.clock()
    identifier = new_id(at)
    application.refusals.add(tenant_id, identifier, operation, refusal, at, asked)
    return Refused(refusal, identifier)


async def _outcome(
    application: Application, success: type[Success], command: Command, decided: Awaitable[Decided]
) -> Success | Refused:
    (outcome, at), request = await decided, command.request
    if isinstance(outcome, success):
        return outcome
    assert isinstance(outcome, Refusal), f"{request.operation} answered {type(outcome).__name__}"
    asked = None
    if isinstance(command, Reserve):
        wish, keys = command.wish, (command.task_key, request.idempotency_key)
        asked = Asked(wish.feature, wish.quantity, wish.model, wish.attribution, wish.estimate, *keys)
    return refused(application, request.tenant_id, request.operation, outcome, asked, at)


def _as_bytes(asked: object) -> bytes:
    try:
        return orjson.dumps(asked, default=_plain)
    except orjson.JSONEncodeError:  # half of a surrogate pair: the command's problems name its field
        return repr(asked).encode(errors="surrogatepass")


def _plain(value: object) -> object:
    # Ids that were read from the database are of a class that asyncpg derives from UUID.
    return str(value) if isinstance(value, UUID) else tuple(value)  # type: ignore[arg-type]


async def _answered(answer: Refused) -> Refused:
    return answer
