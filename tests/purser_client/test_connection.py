"""What stands between a worker and Purser: overload, limits, gateways that answer in its place, and nothing at all."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
from starlette.types import Receive, Scope, Send

from purser_client import Purser, Refused, Unauthenticated, Unavailable
from purser_client.journal import Journal
from tests.in_process import Listener

pytestmark = pytest.mark.anyio

Answer = tuple[int, dict[str, str], str]
GRANTED: Final[Answer] = (
    200,
    {},
    json.dumps(
        {
            "data": {
                "reserve": {
                    "id": "rsv_1",
                    "state": "HELD",
                    "route": "MANAGED",
                    "maxCostUsd": None,
                    "promptNotice": None,
                    "expiresAt": None,
                    "warnings": [],
                }
            }
        }
    ),
)


def error(status: int, code: str, **headers: str) -> Answer:
    return status, headers, json.dumps({"errors": [{"message": "no", "extensions": {"code": code}}]})


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


@asynccontextmanager
async def answering(*answers: Answer) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that gives these answers, one after the other, and what it was asked."""
    waiting, asked = list(answers), list[Any]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        asked.append(json.loads(body)["variables"]["input"])
        status, headers, text = waiting.pop(0)
        raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": text.encode()})

    listener = Listener()
    async with listener.serving(app):
        yield listener.origin, asked


@pytest.mark.slow
async def test_what_may_pass_is_asked_again_with_the_same_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("purser_client.connection.LONGEST_WAIT", 0.1)
    answers: tuple[Answer, ...] = (
        error(200, "OVERLOADED"),
        error(200, "TIMEOUT"),
        (502, {}, "<html>Bad gateway</html>"),
        (200, {}, "<html>Please sign in to this network</html>"),
        (200, {}, "[]"),
        (200, {}, '{"data": null}'),
        (200, {}, '{"data": {}}'),
        (200, {}, '{"data": {"reserve": null}}'),
        (200, {}, '{"errors": "no"}'),
        (503, {"retry_after": "\xb2"}, "[" * 100_000),
        error(500, "INTERNAL"),
        error(429, "RATE_LIMITED", retry_after="1"),
        GRANTED,
    )
    began = monotonic()
    async with answering(*answers) as (url, asked), Purser(url, "psk_1", journal=tmp_path, patience=60) as purser:
        work = await purser.reservation("blog_post").__aenter__()
        assert work.id == "rsv_1"
    assert len(asked) == len(answers)
    assert all(each == asked[0] for each in asked)
    assert monotonic() - began >= 1, "it is left alone for as long as it asks for"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((404, {}, "<html>Not found</html>"), Unavailable),
        ((301, {"location": "http://127.0.0.1:1/"}, ""), Unavailable),
        (error(401, "UNAUTHENTICATED"), Unauthenticated),
        (error(200, "FORBIDDEN"), Unauthenticated),
        (error(413, "TOO_COMPLEX"), Refused),
        (error(200, "BAD_USER_INPUT"), Refused),
    ],
)
@pytest.mark.slow
async def test_what_will_not_pass_is_told_at_once_and_leaves_nothing_to_settle(
    tmp_path: Path, answer: Answer, kind: type[Exception]
) -> None:
    async with answering(answer) as (url, asked), Purser(url, "psk_1", journal=tmp_path) as purser:
        with pytest.raises(kind):
            await purser.reservation("blog_post").__aenter__()
        assert await purser.flush() == 0
    assert len(asked) == 1
    assert is_empty(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("last", "left"), [(error(200, "OVERLOADED"), 0), (error(200, "TIMEOUT"), 1)])
async def test_a_reservation_that_nobody_answered_is_given_back_only_if_it_may_have_been_made(
    tmp_path: Path, last: Answer, left: int
) -> None:
    async with (
        answering(last, last, last) as (url, _),
        Purser(url, "psk_1", journal=tmp_path, patience=0, closing=0) as purser,
    ):
        with pytest.raises(Unavailable):
            await purser.reservation("blog_post").__aenter__()
    journal = Journal(tmp_path)
    assert len(journal.open()) == left
    journal.close()


async def test_no_server_at_all_is_told_when_the_worker_has_waited_long_enough(tmp_path: Path) -> None:
    def broken() -> str:
        raise OSError("the vault is sealed")

    async with Purser("http://127.0.0.1:1", "psk_1", journal=tmp_path, patience=0) as purser:
        with pytest.raises(Unavailable, match="cannot be reached"):
            await purser.reservation("blog_post").__aenter__()
    async with Purser("http://127.0.0.1:1", broken, journal=tmp_path, patience=0) as purser:
        with pytest.raises(Unauthenticated, match="the key cannot be read: OSError"):
            await purser.reservation("blog_post").__aenter__()
        with pytest.raises(RuntimeError, match="open already"):
            await purser.__aenter__()
    for key in ("", "psk_secret\npsk_other", "psk_s\xe9cret"):
        async with Purser("http://127.0.0.1:1", key, journal=tmp_path) as purser:
            with pytest.raises(Unauthenticated, match="the key is empty, or holds") as told:
                await purser.reservation("blog_post").__aenter__()
            assert "psk" not in "".join(traceback.format_exception(told.value))
    with pytest.raises(TypeError, match="key: give text, a path or a function, not NoneType"):
        Purser("http://127.0.0.1:1", None, journal=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="url: must begin with http"):
        Purser("127.0.0.1:8000", "psk_1", journal=tmp_path)
    assert is_empty(tmp_path)


async def test_a_server_that_sends_its_answer_byte_by_byte_is_no_server(tmp_path: Path) -> None:
    serving = list[asyncio.Task[None]]()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Purser(url, "psk_1", journal=tmp_path, patience=0, timeout=0.1, closing=0) as purser:
        with pytest.raises(Unavailable, match="TimeoutError"):
            await purser.reservation("blog_post").__aenter__()
    await asyncio.wait(serving)
