"""A client as a page writes it: subscriptions over a websocket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PROTOCOL: Final = "graphql-transport-ws"


class Watcher:
    """Speaks graphql-transport-ws."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, kind: str, identifier: str | None = None, payload: Any = None) -> None:
        message = {"type": kind, "id": identifier, "payload": payload}
        await self.connection.send(
            orjson.dumps({name: value for name, value in message.items() if value is not None}).decode()
        )

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            message: dict[str, Any] = orjson.loads(await self.connection.recv())
        return message

    async def initialise(self, token: str | None, **credentials: str) -> None:
        """Connect with a key, which must be taken."""
        payload = credentials if token is None else {"authorization": f"Bearer {token}", **credentials}
        await self.send("connection_init", payload=payload)
        assert await self.receive() == {"type": "connection_ack"}

    async def watch(self, query: str, identifier: str = "1", **variables: Any) -> None:
        """Subscribe, which must succeed, and wait until it has begun."""
        await self.send("subscribe", identifier, {"query": query, "variables": variables})
        await self.send("ping")
        assert await self.receive() == {"type": "pong"}

    async def told(self, identifier: str = "1") -> Any:
        """The data that comes next, without errors."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("next", identifier), message
        assert message["payload"].keys() == {"data"}, message
        return message["payload"]["data"]

    async def refused(self, identifier: str = "1") -> tuple[str, str]:
        """Code and message of the one error with which a subscription ends."""
        message = await self.receive()
        assert (message["type"], message["id"]) == ("error", identifier), message
        (error,) = message["payload"]
        return error["extensions"]["code"], error["message"]

    async def closed(self) -> tuple[int, str]:
        """Code and reason with which the server closes; nothing else comes before."""
        try:
            message = await self.receive()
        except ConnectionClosed as error:
            return (1006, "") if error.rcvd is None else (error.rcvd.code, error.rcvd.reason)
        raise AssertionError(message)


@asynccontextmanager
async def watching(origin: str, *protocols: str, **options: Any) -> AsyncIterator[Watcher]:
    """A connection to the server at this origin."""
    url = f"{origin.replace('http', 'ws', 1)}/graphql"
    offered = [Subprotocol(protocol) for protocol in protocols or (PROTOCOL,)]
    async with connect(url, subprotocols=offered, proxy=None, close_timeout=1, **options) as connection:
        yield Watcher(connection)
