"""What Lambda cannot hand over is refused in words, and what broke off is no answer."""

import asyncio
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from graphql_api import lambda_answers
from graphql_api.downloads import Download
from graphql_api.lambda_answers import Answerable

pytestmark = pytest.mark.anyio


async def answered(app: Any, seconds: float = 30) -> httpx.Response:
    transport = httpx.ASGITransport(Answerable(app, seconds))
    async with httpx.AsyncClient(transport=transport, base_url="http://lambda") as client:
        return await client.get("/")


def streaming(*pieces: bytes, fails: bool = False) -> Any:
    """Answers with the pieces as a download."""

    async def made() -> Any:
        for piece in pieces:
            yield piece
        if fails:
            raise ConnectionError("the database is gone")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Download(made(), ExitStack(), "text/csv")(scope, receive, send)

    return app


async def test_what_is_too_large_too_late_or_broken_off_never_looks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    monkeypatch.setattr(lambda_answers, "MOST_BYTES", 8)
    assert (await answered(streaming(b"four", b"four"))).content == b"fourfour"
    too_large = await answered(streaming(b"four", b"four", b"more"))
    (error,) = too_large.json()["errors"]
    assert (too_large.status_code, error["extensions"]["code"]) == (413, "TOO_COMPLEX")
    assert "ask for a shorter period" in error["message"]
    too_late = await answered(never, 0.01)
    assert (too_late.status_code, too_late.json()["errors"][0]["extensions"]["code"]) == (504, "TIMEOUT")
    with pytest.raises(RuntimeError, match="broke off"):
        await answered(half)
    with pytest.raises(ConnectionError):
        await answered(streaming(b"four", fails=True))
