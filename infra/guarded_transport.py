"""Guarded requests of libraries that bring their own HTTP client (httpx2): an answer is had as `infra.guarded_requests` has
it, whole, bounded, and from a public address alone."""

from typing import Final

import httpx2
from typing_extensions import override

from infra.guarded_requests import whole_answer

SECONDS_TO_ANSWER: Final = 5.0
MOST_BYTES: Final = 200_000
_PASSED_ON: Final = ("accept", "authorization", "content-type")


class GuardedTransport(httpx2.AsyncBaseTransport):
    """What a client sends its requests through."""

    def __init__(self, *, local_allowed: bool) -> None:
        self._local_allowed = local_allowed

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        status, body = await whole_answer(
            request.method,
            str(request.url),
            {name: value for name, value in request.headers.items() if name in _PASSED_ON},
            await request.aread(),
            seconds=SECONDS_TO_ANSWER,
            most_bytes=MOST_BYTES,
            local_allowed=self._local_allowed,
        )
        return httpx2.Response(status, content=body)
