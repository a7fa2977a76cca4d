"""Answers that Lambda can give: no larger and no later than it allows, or else an answer that says what to do.

Lambda hands answers over in one piece. One that is too large is thrown away by it, and who asked is told of an internal
error; so is one that comes after the function has been ended.
"""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graphql_api import uploads
from graphql_api.errors import ErrorCode, RequestError

# Lambda takes 6 MB of JSON, in which an answer stands as text with escapes or, a third larger, in base 64.
MOST_BYTES: Final = 4 * 1024 * 1024

_TOO_LARGE: Final = (
    f"the answer has more than the {MOST_BYTES // 1024**2} MB that can be given here: ask for a shorter period, "
    "or have it compressed (Accept-Encoding: gzip)"
)
_TOO_LATE: Final = "the answer takes longer than can be waited for here: ask for a shorter period"


class _TooLargeError(Exception):
    """No more is taken."""


class Answerable:
    """An application whose answers are held until they are whole. One that breaks off raises, as an error of ours."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []
        size = 0

        async def hold(message: Message) -> None:
            nonlocal size
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise _TooLargeError
            held.append(message)

        whole = asyncio.timeout(self._seconds)
        try:
            async with whole:
                await self._app(scope, receive, hold)
        except _TooLargeError:
            await uploads.failed(413, RequestError(ErrorCode.TOO_COMPLEX, _TOO_LARGE))(scope, receive, send)
        except TimeoutError:
            if not whole.expired():
                raise
            await uploads.failed(504, RequestError(ErrorCode.TIMEOUT, _TOO_LATE))(scope, receive, send)
        else:
            if not held or held[-1].get("more_body", False):
                raise RuntimeError("the answer broke off")
            for message in held:
                await send(message)
