"""Downloads: answers that are made on disk, a part at a time, and sent as they are taken.

Who takes nothing for a while is let go, and with it what was kept for the answer.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, suppress
from typing import IO, Final

from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

SECONDS_OF_SILENCE: Final = 30.0
PIECE: Final = 64 * 1024


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
        async def taken(message: Message) -> None:
            async with asyncio.timeout(SECONDS_OF_SILENCE):
                await send(message)

        with self._kept, suppress(TimeoutError, ClientDisconnect):
            await super().__call__(scope, receive, taken)


def spooled() -> IO[bytes]:
    """A file that is gone when it is closed; small ones stay in memory."""
    return tempfile.SpooledTemporaryFile(max_size=PIECE)


async def pieces_of(file: IO[bytes]) -> AsyncIterator[bytes]:
    """What a file holds, from its beginning."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece
