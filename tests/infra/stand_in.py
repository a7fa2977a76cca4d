"""Stripe's stand-in under a real server on a free port, in the test's own loop, with a webhook that takes notes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from infra.stripe_gateway import StripeGateway
from infra.stripe_stand_in import StandIn, create_stand_in
from tests.in_process import Listener

API_KEY: Final = "sk_test_stand_in"
WEBHOOK_SECRET: Final = "whsec_stand_in"
PATH: Final = "/stripe-stand-in"
PUBLIC_URL: Final = "http://shop.test"


class Clock:
    """A clock that the test sets; it shows the time until then."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def __call__(self) -> datetime:
        return self.moment or datetime.now(UTC)


class RunningStandIn:
    """`controls` is the stand-in itself, `received` what its messages brought to the webhook: body and signature.

    `refuse` answers so many messages with 500 first.
    """

    def __init__(self, origin: str, clock: Clock) -> None:
        self.url = origin + PATH
        self.api_key = API_KEY
        self.webhook_secret = WEBHOOK_SECRET
        self.clock = clock
        self.received: list[tuple[bytes, str]] = []
        self.refuse = 0
        self.controls = StandIn(
            api_key=API_KEY,
            webhook_secret=WEBHOOK_SECRET,
            public_url=self.url,
            webhook_url=f"{origin}/webhook",
            clock=clock,
            delays=(0.01, 0.01, 0.01),
        )

    def gateway(self, api_key: str = API_KEY) -> StripeGateway:
        """A gateway to it; close it."""
        return StripeGateway(api_key, WEBHOOK_SECRET, api_base=self.url, public_url=PUBLIC_URL)

    def deliver_to(self, webhook_url: str) -> None:
        """Send messages there from now on, instead of taking notes."""
        self.controls.deliveries.webhook_url = webhook_url

    async def press(self, checkout_url: str, action: str, **form: Any) -> httpx.Response:
        """Press a button of a pay page, as a browser does."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(checkout_url, data={"action": action, **form})

    def app(self) -> Starlette:
        """The stand-in mounted under a path, beside the webhook."""
        return Starlette(
            routes=[
                Mount(PATH, create_stand_in(self.controls)),
                Route("/webhook", self._take, methods=["POST"]),
            ]
        )

    async def _take(self, request: Request) -> Response:
        if self.refuse:
            self.refuse -= 1
            return Response(status_code=500)
        self.received.append((await request.body(), request.headers["stripe-signature"]))
        return Response()


@asynccontextmanager
async def running_stand_in() -> AsyncIterator[RunningStandIn]:
    """A stand-in that answers until the end of the block."""
    listener = Listener()
    running = RunningStandIn(listener.origin, Clock())
    async with listener.serving(running.app()):
        try:
            yield running
        finally:
            await running.controls.close()
