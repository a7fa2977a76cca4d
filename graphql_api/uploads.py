"""Uploads: bodies that are read as they arrive, in far larger numbers than one GraphQL request may carry.

Only some senders are listened to at once, and one that says nothing for a while is let go.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from graphql_api import errors
from graphql_api.errors import ErrorCode, RequestError

_STATUS: Final = {
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.TENANT_REQUIRED: 400,
    ErrorCode.BAD_USER_INPUT: 400,
    ErrorCode.TOO_COMPLEX: 413,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.TIMEOUT: 408,
    ErrorCode.INTERNAL: 500,
}
_SECONDS_TO_WAIT: Final = b"1"

Header = tuple[bytes, bytes]


def place(
    senders: Counter[UUID], tenant_id: UUID, what: str, *, most: int, most_of_a_tenant: int
) -> AbstractContextManager[None]:
    """One of the places for senders that are listened to."""
    refusal = f"Too many are sending {what} at this moment. Nothing was taken: send it again later."
    return one_of(senders, tenant_id, refusal, most=most, most_of_a_tenant=most_of_a_tenant)


@contextmanager
def one_of(places: Counter[UUID], tenant_id: UUID, refusal: str, *, most: int, most_of_a_tenant: int) -> Iterator[None]:
    """One of some places, of which a tenant has its share. Raises RequestError where all are taken."""
    if places.total() >= most or places[tenant_id] >= most_of_a_tenant:
        raise RequestError(ErrorCode.OVERLOADED, refusal)
    places[tenant_id] += 1
    try:
        yield
    finally:
        places[tenant_id] -= 1
        if not places[tenant_id]:
            del places[tenant_id]


async def chunks(request: Request, seconds: float, remedy: str) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises RequestError if nothing comes for so many seconds; `remedy` says what to do then."""
    arriving = request.stream()
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(arriving, None)
        except TimeoutError as error:
            raise RequestError(ErrorCode.TIMEOUT, f"nothing came for {seconds:g} seconds: {remedy}") from error
        if chunk is None:
            return
        yield chunk


def refused(error: RequestError, **told: Any) -> Response:
    """An error as at /graphql with the status that it has here, and what else there is to tell."""
    code = ErrorCode((error.extensions or {})["code"])
    headers: list[Header] = []
    if code is ErrorCode.OVERLOADED:
        headers.append((b"retry-after", _SECONDS_TO_WAIT))
    elif code is ErrorCode.TIMEOUT:
        # The rest of the body will not come.
        headers.append((b"connection", b"close"))
    return failed(_STATUS[code], error, *headers, **told)


def failed(status: int, error: RequestError, *headers: Header, **told: Any) -> Response:
    """As `refused`, with another status."""
    return answer(status, {"errors": errors.formatted([error]), **told}, *headers)


def answer(status: int, document: dict[str, Any], *headers: Header) -> Response:
    """A document in JSON."""
    response = Response(orjson.dumps(document), status, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
