"""Guarded requests: what goes out to addresses that others have named. To public addresses alone, without redirects, and
the connection goes to the address that was checked, its certificate still being for the name."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

from infra.public_addresses import NotPublicError, public_address

if TYPE_CHECKING:
    import httpx


class NoAnswerError(Exception):
    """There is no answer that would do; the message says why, and shows nothing of it."""


async def reachable(url: str, *, local_allowed: bool) -> bool:
    """Whether a URL leads to an address at all, and to a public one unless local ones are allowed."""
    import httpx

    try:
        target = httpx.URL(url)
        await public_address(target.raw_host.decode(), _port(target), local_allowed=local_allowed)
    except (httpx.InvalidURL, NotPublicError):
        return False
    return True


@asynccontextmanager
async def answer_to(
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    seconds: float,
    local_allowed: bool,
) -> AsyncIterator["httpx.Response"]:
    """Send a request; its answer, nothing of whose body has been read. Raises NotPublicError, and what httpx raises.
    `seconds`: for each step; the caller bounds the whole."""
    import httpx

    _hush()
    target = httpx.URL(url)
    host = target.raw_host.decode()
    address = await public_address(host, _port(target), local_allowed=local_allowed)
    # No proxy of the environment: it would connect to wherever the name points by then.
    async with (
        httpx.AsyncClient(verify=_trusted(), trust_env=False, timeout=seconds) as client,
        client.stream(
            method,
            target.copy_with(host=address),
            content=content,
            headers={"Host": target.netloc.decode(), "User-Agent": "Purser", **headers},
            follow_redirects=False,
            extensions={"sni_hostname": host},
        ) as answer,
    ):
        yield answer


async def whole_answer(
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
    *,
    seconds: float,
    most_bytes: int,
    local_allowed: bool,
) -> tuple[int, bytes]:
    """Send a request; the status and the body of its answer, all within so many seconds. Raises NoAnswerError."""
    import httpx

    body = b""
    plain = {"Accept-Encoding": "identity", **headers}
    try:
        async with (
            asyncio.timeout(seconds),
            answer_to(method, url, plain, content, seconds=seconds, local_allowed=local_allowed) as answer,
        ):
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > most_bytes:
                    raise NoAnswerError(f"it is longer than {most_bytes} bytes")
            return answer.status_code, body
    except NotPublicError as error:
        raise NoAnswerError("its host has no public address") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # a TimeoutError is an OSError too
        raise NoAnswerError(type(error).__name__) from error


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates of the world, read once."""
    import httpx

    return httpx.create_ssl_context()


def _hush() -> None:
    """Neither may log URLs: they may hold secrets."""
    for name in ("httpx", "httpcore"):
        log = logging.getLogger(name)
        log.setLevel(max(log.level, logging.WARNING))


def _port(target: "httpx.URL") -> int:
    if target.port is not None:
        return target.port
    return 443 if target.scheme == "https" else 80
