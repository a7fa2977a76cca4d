"""A real server on a free port, in the test's own loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

SECONDS_TO_END: Final = 1


class Listener:
    """A port that is taken before there is anything to serve at it: `origin` can be told to who is to be served."""

    def __init__(self) -> None:
        # The protocol is named so that asyncio switches Nagle's delay off for what is accepted.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @asynccontextmanager
    async def serving(self, app: ASGIApp, config: uvicorn.Config | None = None) -> AsyncIterator[None]:
        """Answer until the end of the block."""
        server = _Server(config or uvicorn.Config(app, log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve([self._socket]))
        try:
            await server.accepts.wait()
            yield
        finally:
            server.ends.set()
            await serving


class _Server(uvicorn.Server):
    """A uvicorn that says when it accepts, ends when it is told to, and leaves the signals to the test run."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepts = asyncio.Event()
        self.ends = asyncio.Event()

    @override
    async def main_loop(self) -> None:
        await self.on_tick(0)
        # Its own loop looks ten times a second.
        await self.ends.wait()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepts.set()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # As its own, which sleeps for a tenth of a second whether there is anything to wait for or not.
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_END):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110  # uvicorn has no event for it
                    await asyncio.sleep(0.001)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
