"""Downloads: answers that are made while they are taken, and may be far larger than memory.

Only some are taken at once, and who takes none of one for a while is let go. What breaks off in the middle ends without the
end that HTTP gives to whole answers, so that nobody takes it for one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override


class Download(StreamingResponse):
    """An answer in pieces. `kept`, such as its place among others, is let go when they are sent, or when nobody has taken any
    for so many seconds of `silence`. `seconds` None: it may take as long as somebody takes it."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        kept: ExitStack,
        *,
        media_type: str,
        silence: float,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        super().__init__(pieces, status, headers, media_type)
        self._kept = kept
        self._silence = silence
        self._seconds = seconds

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def taken(message: Message) -> None:
            async with asyncio.timeout(self._silence):
                await send(message)

        with self._kept, suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(self._seconds):
                await super().__call__(scope, receive, taken)
