"""The protocol of websockets as uvicorn has it, but that a connection to whom nobody listens any more really ends.

A transport that is closed first sends what it holds. A client that takes nothing and stays would keep it, its memory and
its place among the open files for as long as it likes.
"""

import asyncio
from typing import Final

from typing_extensions import override
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Longer than a client has to answer that it is closed.
SECONDS_TO_LEAVE: Final = 15.0


class LeavingWebsocket(WebSocketsSansIOProtocol):
    """Cuts a connection off that answers no ping, or does not take in time what was left for it at the end."""

    _cut: asyncio.TimerHandle | None = None

    @override
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        if self.transport.is_closing():
            self.transport.abort()

    @override
    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self._cut = self.loop.call_later(SECONDS_TO_LEAVE, self.transport.abort)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)
