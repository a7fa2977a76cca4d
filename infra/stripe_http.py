"""How Stripe's SDK reaches Stripe: by httpx, on the caller's loop.

The SDK's own httpx client hands its body over in a way that httpx gives up (a DeprecationWarning with each request), and
waits 80 seconds for an answer, longer than a job may run. Whatever goes wrong on the way leaves the outcome unknown.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
import stripe
from typing_extensions import override

SECONDS_TO_ANSWER: Final = 20


class StripeHttp(stripe.HTTPClient):
    """The connections of one gateway."""

    name = "httpx"

    def __init__(self) -> None:
        super().__init__()
        self._client = httpx.AsyncClient(timeout=SECONDS_TO_ANSWER)

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._client.request(method, url, headers=headers, content=post_data)
        except httpx.HTTPError as error:
            message = f"no answer ({type(error).__name__})"
            raise stripe.APIConnectionError(message, should_retry=True) from error  # type: ignore[no-untyped-call]
        return answer.content, answer.status_code, answer.headers

    @override
    async def sleep_async(self, secs: float) -> None:
        await asyncio.sleep(secs)

    @override
    async def close_async(self) -> None:
        await self._client.aclose()
