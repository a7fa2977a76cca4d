"""The stand-in as a demo's checkout: inside the demo's own server, and spoken to over HTTP only. No real money moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Final

from starlette.applications import Starlette

from infra.settings import Settings
from infra.stripe_stand_in.app import create_stand_in
from infra.stripe_stand_in.stand_in import StandIn

PATH: Final = "/stripe-stand-in"
WEBHOOK_PATH: Final = "/stripe/webhook"


@dataclass(frozen=True, slots=True)
class DemoCheckout:
    """The app, the path to mount it at, and the settings with which it is spoken to."""

    app: Starlette
    path: str
    settings: Settings


@asynccontextmanager
async def demo_checkout(settings: Settings, address: str) -> AsyncIterator[DemoCheckout]:
    """A stand-in for a demo whose server listens at an address such as http://127.0.0.1:8000. Its key and its secret are
    drawn anew at each start, so nobody else can speak to it."""
    api_key, secret = f"sk_test_{token_hex(16)}", f"whsec_{token_hex(16)}"
    stand_in = StandIn(
        api_key=api_key,
        webhook_secret=secret,
        public_url=f"{settings.public_url or address}{PATH}",
        webhook_url=f"{address}{WEBHOOK_PATH}",
    )
    connected = replace(
        settings, stripe_api_key=api_key, stripe_webhook_secret=secret, stripe_api_base=f"{address}{PATH}"
    )
    try:
        yield DemoCheckout(create_stand_in(stand_in), PATH, connected)
    finally:
        await stand_in.close()
