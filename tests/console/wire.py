"""The page's websocket with a hand on it: what the server would say only once in a while can be said at once."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Page, WebSocketRoute


@dataclass
class Wire:
    """Passes everything on, and knows what the page follows: by the name of its operation and what that is of
    ("News", "Balance credits"), the id and what was told last."""

    ids: dict[str, str] = field(default_factory=dict)
    _begun: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    newest: dict[str, dict[str, Any]] = field(default_factory=dict)
    _socket: WebSocketRoute | None = None

    async def attach(self, page: Page) -> None:
        """To be called before the page is opened."""
        await page.route_web_socket("**/graphql", self._take)

    async def tell(self, followed: str, data: dict[str, Any]) -> None:
        """Tell the page something as the server would."""
        await self._begun[followed].wait()
        self._send({"id": self.ids[followed], "type": "next", "payload": {"data": data}})

    async def end(self, followed: str, code: str) -> None:
        """End one of its subscriptions with an error."""
        await self._begun[followed].wait()
        errors = [{"message": "It has ended.", "extensions": {"code": code}}]
        self._send({"id": self.ids[followed], "type": "error", "payload": errors})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None, "the page has no connection"
        self._socket.send(json.dumps(message))

    def _take(self, opened: WebSocketRoute) -> None:
        self._socket = opened
        server = opened.connect_to_server()

        def asked(message: str | bytes) -> None:
            said = json.loads(message)
            if said["type"] == "subscribe":
                name = said["payload"]["query"].split()[1].split("(")[0]
                followed = " ".join([name, *said["payload"]["variables"].values()])
                self.ids[followed] = said["id"]
                self._begun[followed].set()
            server.send(message)

        def answered(message: str | bytes) -> None:
            said = json.loads(message)
            names = [name for name, identifier in self.ids.items() if identifier == said.get("id")]
            if said["type"] == "next" and names:
                self.newest[names[-1]] = said["payload"]["data"]
            opened.send(message)

        opened.on_message(asked)
        server.on_message(answered)
