"""Downloads: whose fault it is that one ends early, and how it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from starlette.types import Message

from graphql_api.downloads import Download

pytestmark = pytest.mark.anyio


async def test_a_database_that_does_not_answer_is_no_taker_that_went_away() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"some"
        raise TimeoutError

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(_: Message) -> None:
        pass

    kept, let_go = ExitStack(), list[str]()
    kept.callback(let_go.append, "place")
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}, "method": "GET", "headers": []}
    with pytest.raises(TimeoutError):
        await Download(pieces(), kept, "text/csv")(scope, receive, send)
    assert let_go == ["place"]
