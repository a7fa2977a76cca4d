"""Whoever takes nothing any more is cut off, whatever is still to be sent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

import pytest
from starlette.types import Receive, Scope, Send

from graphql_api import serving, websocket_protocol
from graphql_api.websocket_protocol import LeavingWebsocket
from tests.in_process import Listener

pytestmark = pytest.mark.anyio

MORE_THAN_FITS: Final = b"x" * 16_000_000
HANDSHAKE: Final = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def asleep(then: Callable[[Receive], Awaitable[object]]) -> AsyncIterator[None]:
    """A client that reads nothing and stays, of a server that says more to it than fits on the way and does `then`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": MORE_THAN_FITS})
        await then(receive)

    listener = Listener()
    async with listener.serving(app, serving.configuration(app)):  # type: ignore[arg-type]  # it is any application
        host, _, port = listener.origin.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(HANDSHAKE)
            yield


async def test_who_answers_no_ping_is_cut_off_with_all_that_was_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SECONDS_BETWEEN_PINGS", 0.05)
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def wait(receive: Receive) -> None:
        told.put_nowait(await receive())

    async with asleep(wait), asyncio.timeout(10):
        assert (await told.get())["type"] == "websocket.disconnect"


async def test_who_does_not_take_what_is_left_at_the_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_protocol, "SECONDS_TO_LEAVE", 0.05)
    lost = asyncio.Event()
    connection_lost = LeavingWebsocket.connection_lost

    def noted(protocol: LeavingWebsocket, error: Exception | None) -> None:
        connection_lost(protocol, error)
        lost.set()

    async def leave(_: Receive) -> None:
        """The application has done its part."""

    with patch.object(LeavingWebsocket, "connection_lost", noted):
        async with asleep(leave), asyncio.timeout(10):
            await lost.wait()
