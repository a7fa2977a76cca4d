"""Messages: signed, sent to the webhook at least once, and again until it takes them (https://docs.stripe.com/webhooks)."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import datetime
from secrets import token_hex
from typing import Any, Final

import httpx
import stripe

from infra.stripe_stand_in.objects import API_VERSION

SECONDS_TO_ANSWER: Final = 10
# Between attempts; Stripe goes on for three days.
DELAYS: Final = (0.2, 1.0, 5.0, 30.0)

Event = dict[str, Any]


class Deliveries:
    """The messages of one stand-in. `copies`: how often each is sent; `events`: all that were made, oldest first;
    `answers`: the webhook's status to each attempt, None for no answer.

    While `is_holding`, messages wait for `release`.
    """

    def __init__(
        self, secret: str, webhook_url: str | None, clock: Callable[[], datetime], delays: Sequence[float] = DELAYS
    ) -> None:
        self.webhook_url = webhook_url
        self.copies = 1
        self.is_holding = False
        self.events: list[Event] = []
        self.answers: list[tuple[str, int | None]] = []
        self._secret = secret
        self._clock = clock
        self._delays = delays
        self._held: list[Event] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def tell(self, event_type: str, subject: dict[str, Any]) -> None:
        """Make a message about an object as it is now, and send it."""
        event = {
            "id": f"evt_{token_hex(12)}",
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self._clock().timestamp()),
            "data": {"object": deepcopy(subject)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event_type,
        }
        self.events.append(event)
        if self.is_holding:
            self._held.append(event)
            return
        for _ in range(self.copies):
            self._start(self._deliver(event))

    async def release(self, *, newest_first: bool = False) -> None:
        """Send what was held, one after another, each `copies` times; later messages are sent at once again."""
        self.is_holding = False
        held, self._held = self._held, []
        for event in reversed(held) if newest_first else held:
            for _ in range(self.copies):
                await self._deliver(event)

    async def settled(self) -> None:
        """Wait until every message was taken or given up."""
        while self._sending:
            await asyncio.gather(*self._sending)

    async def close(self) -> None:
        """Give up what is still being sent."""
        for task in list(self._sending):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._client is not None:
            await self._client.aclose()

    def signed(self, event: Event) -> tuple[bytes, str]:
        """A message as it goes over the wire now, with its signature."""
        payload = json.dumps(event, indent=2)
        signature: str = stripe.WebhookSignature.generate_signature_header(
            payload, self._secret, int(self._clock().timestamp())
        )
        return payload.encode(), signature

    def _start(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, event: Event) -> None:
        for delay in (*self._delays, None):
            status = await self._attempt(event)
            self.answers.append((event["id"], status))
            if delay is None or self.webhook_url is None or (status is not None and 200 <= status < 300):
                return
            await asyncio.sleep(delay)

    async def _attempt(self, event: Event) -> int | None:
        if self.webhook_url is None:
            return None
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=SECONDS_TO_ANSWER, trust_env=False)
        payload, signature = self.signed(event)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
        try:
            return (await self._client.post(self.webhook_url, content=payload, headers=headers)).status_code
        except httpx.HTTPError:
            return None
