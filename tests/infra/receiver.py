"""A receiver of webhooks on a real server: what it was sent, and what it answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.in_process import Listener

TAKEN: Final = 204


class Receiver:
    """Answers with `statuses`, the last of them for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: list[int] = [TAKEN]
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.arrived = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        self.taken.append((dict(request.headers), await request.body()))
        self.arrived.set()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return Response("x" * 100_000 if status == 200 else None, status, {"Location": self.url})

    @property
    def ids(self) -> list[str]:
        """The ids of what was sent, in order."""
        return [headers["webhook-id"] for headers, _ in self.taken]


@asynccontextmanager
async def receiving(path: str = "/in") -> AsyncIterator[Receiver]:
    """Receive until the end of the block."""
    listener = Listener()
    receiver = Receiver(f"{listener.origin}{path}")
    app = Starlette(routes=[Route("/{rest:path}", receiver.answer, methods=["POST"])])
    async with listener.serving(app):
        yield receiver
