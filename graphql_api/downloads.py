"""Downloads: files that are made while, or before, they are sent, and sent as they are taken.

Only some are made at once, for a tenant and in all. Who takes nothing for a while, or is not done after an hour, is let go,
and with it what was kept for the answer.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import IO, Final
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from graphql_api import errors, uploads
from graphql_api.errors import RequestError
from graphql_api.http import HttpError, address_of, authenticated, credentials_in
from graphql_api.permissions import ALLOWED, check
from graphql_api.session_cookie import SessionCookie
from infra.services.api_keys import Keyring
from infra.services.callers import Caller

MOST_AT_ONCE: Final = 8
# No tenant may keep the others waiting.
MOST_OF_A_TENANT: Final = 2
SECONDS_OF_SILENCE: Final = 30.0
SECONDS_IN_ALL: Final = 3_600.0
PIECE: Final = 64 * 1024

_REFUSAL: Final = "Too many files are being downloaded at this moment. Ask for this one again later."


class Download(StreamingResponse):
    """`kept`, such as the place of the one who asked and the file that is sent, is let go when all is sent, or when nobody
    takes it. Where the pieces end in an error the answer breaks off: it is not taken for a whole one."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        kept: ExitStack,
        media_type: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pieces, status, headers, media_type=media_type)
        self._kept = kept

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = False
        whole = asyncio.timeout(SECONDS_IN_ALL)

        async def taken(message: Message) -> None:
            nonlocal gone
            try:
                async with asyncio.timeout(SECONDS_OF_SILENCE):
                    await send(message)
            except OSError as error:
                gone = True
                raise ClientDisconnect from error

        with self._kept:
            try:
                async with whole:
                    await super().__call__(scope, receive, taken)
            except (TimeoutError, ClientDisconnect):
                # What is not the taker's doing is an error of ours, such as of a database that does not answer.
                if not gone and not whole.expired():
                    raise


def endpoint(make: Callable[[Request, ExitStack], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint that answers with what `make` makes. What is refused or fails before is told as at /graphql, and what is
    in the stack is let go then."""

    async def answer(request: Request) -> Response:
        with ExitStack() as kept:
            try:
                return await make(request, kept)
            except HttpError as error:
                return uploads.failed(error.status, RequestError(error.code, str(error)), *error.headers)
            except RequestError as error:
                return uploads.refused(error)
            except Exception as error:  # noqa: BLE001  # masked, and logged in full
                return uploads.refused(errors.internal(error))

    return answer


async def caller_of(request: Request, keyring: Keyring, session: SessionCookie, field: str) -> Caller:
    """Who asks for a file, with a key or from a page of ours, and may ask for this field of the schema as well. Raises
    HttpError, RequestError."""
    headers: dict[bytes, bytes] = dict(request.scope["headers"])
    caller = await authenticated(keyring, *credentials_in(headers, session), address_of(request.scope))
    check(caller, ALLOWED[field], "this file", needs_tenant=True)
    return caller


def place(takers: Counter[UUID], tenant_id: UUID) -> AbstractContextManager[None]:
    """One of the places for those who take a file. Raises RequestError where all are taken."""
    return uploads.one_of(takers, tenant_id, _REFUSAL, most=MOST_AT_ONCE, most_of_a_tenant=MOST_OF_A_TENANT)


def headers_of_file(name: str) -> dict[str, str]:
    """By which browsers keep an answer as a file of this name, and nothing between keeps it at all."""
    return {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }


def spooled() -> IO[bytes]:
    """A file that is gone when it is closed; small ones stay in memory."""
    return tempfile.SpooledTemporaryFile(max_size=PIECE)


async def pieces_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    """What a file holds, from its beginning."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece
