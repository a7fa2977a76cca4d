"""The connection: one question to Purser, and how often it is asked again.

Every operation that moves something carries an idempotency key, so asking again is always safe. The key is read anew for
each attempt: a rotated one is found as soon as it is there.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx

from purser_client.facts import Wire, snake
from purser_client.refusals import PurserError, Unauthenticated, Unavailable, refused

Key = str | Path | Callable[[], str]
SHORTEST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 30.0
LONGEST_RETRY_AFTER: Final = 300.0
MOST_CONNECTIONS: Final = 16
_UNREADABLE: Final = frozenset(("BAD_USER_INPUT", "TOO_COMPLEX"))
_NOTHING_DONE: Final = frozenset(("OVERLOADED", "RATE_LIMITED"))
_NOT_ADMITTED: Final = frozenset(("UNAUTHENTICATED", "FORBIDDEN", "TENANT_REQUIRED"))


class Connection:
    """Asks one server, with one key."""

    def __init__(self, url: str, key: Key, *, timeout: float) -> None:
        self._key = key
        self._timeout = timeout
        # Not the pool's own limit: a cancelled request may keep its place there for ever (httpcore issue 1093).
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(None, connect=timeout / 2),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=MOST_CONNECTIONS),
        )
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The time by the server's clock, as far as it is known: a call must not seem to lie in the future."""
        return datetime.now(UTC) - self._ahead

    async def ask(self, document: str, variables: Wire) -> Any:
        """One attempt: the answer of the document's only field. Raises Refused or Unavailable."""
        if self._http.is_closed:
            raise RuntimeError("the client was closed")
        headers = {"Authorization": f"Bearer {self._token()}"}
        request = {"query": document, "variables": variables}
        try:
            # Over the whole answer: a server that sends it byte by byte does not answer either.
            async with self._turns, asyncio.timeout(self._timeout):
                response = await self._http.post("/graphql", json=request, headers=headers)
        except Exception as error:  # whatever it was, nobody knows what became of it
            where = self._http.base_url.netloc.decode()
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise Unavailable(
                f"Purser cannot be reached at {where}: {type(error).__name__} {error}".strip(), nothing_done=never_sent
            ) from error
        self._set_clock(response)
        return _result(response)

    async def ask_until(self, deadline: float, document: str, variables: Wire) -> Any:
        """Ask again, with growing pauses, until there is an answer or `deadline` (of the monotonic clock). Raises Refused,
        or the last Unavailable."""
        nothing_done = True
        for pause in pauses():
            try:
                return await self.ask(document, variables)
            except Unavailable as error:
                nothing_done = error.nothing_done = nothing_done and error.nothing_done
                wait = max(pause, error.wait)
                hopeless = isinstance(error, Unauthenticated) and isinstance(self._key, str)
                if error.lasting or hopeless or monotonic() + wait > deadline:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("there is always another pause")

    async def close(self) -> None:
        await self._http.aclose()

    def _token(self) -> str:
        key = self._key
        try:
            token = (key if isinstance(key, str) else key.read_text() if isinstance(key, Path) else key()).strip()
        except Exception as error:
            raise Unauthenticated(f"the key cannot be read: {type(error).__name__}", nothing_done=True) from error
        # httpx would put what cannot stand in a header into its message.
        if not (token and token.isascii() and token.isprintable()):
            raise Unauthenticated("the key is empty, or holds more than one line of plain text", nothing_done=True)
        return token

    def _set_clock(self, response: httpx.Response) -> None:
        try:
            ahead = datetime.now(UTC) - parsedate_to_datetime(response.headers["date"])
        except (KeyError, TypeError, ValueError):
            return
        # The header knows seconds only, and is older than the answer: less than that is no difference.
        self._ahead = ahead if abs(ahead) > timedelta(seconds=5) else timedelta(0)


def pauses() -> Iterator[float]:
    """How long to wait before each further attempt, in seconds: twice as long each time, and by chance any part of it, so
    that those who failed together do not come back together."""
    longest = SHORTEST_WAIT
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST_WAIT)


def _result(response: httpx.Response) -> Any:
    """What Purser answered, and not somebody on the way to it."""
    try:
        answer = response.json()
        for problem in answer.get("errors") or ():
            raise _failure(response, problem)
        (result,) = answer["data"].values()
        if "code" in result:
            raise _refusal(result)
    except PurserError:
        raise
    except Exception as error:
        raise _unavailable(
            response, f"with what is no answer of Purser: is it to be found at {response.url}?"
        ) from error
    return result


def _failure(response: httpx.Response, problem: Any) -> Exception:
    message = str(problem.get("message", ""))
    code = (problem.get("extensions") or {}).get("code", "")
    if code in _NOT_ADMITTED:
        return Unauthenticated(f"Purser does not let this key in: {message}", nothing_done=True)
    if code in _UNREADABLE and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return refused(code, message, {})
    return _unavailable(response, f"{code}: {message}", nothing_done=code in _NOTHING_DONE)


def _unavailable(response: httpx.Response, message: str, *, nothing_done: bool = False) -> Unavailable:
    status = response.status_code
    wait = response.headers.get("retry-after", "")
    lasting = 300 <= status < 500 and status not in {408, 425, 429}
    return Unavailable(
        f"Purser answered {status} {message}",
        wait=min(float(wait), LONGEST_RETRY_AFTER) if wait.isdecimal() else 0,
        lasting=lasting,
        nothing_done=nothing_done or lasting,
    )


def _refusal(result: Wire) -> Exception:
    figures = {snake(name): value for name, value in result.items() if name not in {"__typename", "code", "message"}}
    if "requested_usd" in figures:
        figures["requested"] = figures.pop("requested_usd")
    return refused(result["code"], result["message"], figures, figures.pop("refusal_id", None))
