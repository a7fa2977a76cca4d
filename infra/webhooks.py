"""Webhooks that go out: signed to the Standard Webhooks scheme, to public addresses alone, and nothing is read of what
comes back but its status."""

import asyncio
import logging
import ssl
from base64 import b64encode
from datetime import datetime
from functools import cache
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from infra.public_addresses import NotPublicError, public_address
from infra.sending import DELIVERED, Sent

if TYPE_CHECKING:
    import httpx

SECONDS_TO_ANSWER: Final = 10
SECRET_BYTES: Final = 32
GONE: Final = 410


def new_secret() -> str:
    """What a webhook's messages are signed by, in the form that receivers' libraries take."""
    return "whsec_" + b64encode(token_bytes(SECRET_BYTES)).decode()


async def check(url: str, *, local_allowed: bool) -> bool:
    """Whether a webhook's URL can be reached at all."""
    import httpx

    try:
        target = httpx.URL(url)
        await public_address(target.raw_host.decode(), _port(target), local_allowed=local_allowed)
    except (httpx.InvalidURL, NotPublicError):
        return False
    return True


async def post(
    url: str, secret: str, message_id: str, body: bytes, now: datetime, *, local_allowed: bool = False
) -> Sent:
    """Send one message. Its id is the same at each attempt, so that receivers can drop what they have."""
    import httpx
    from standardwebhooks import Webhook

    _hush()
    target = httpx.URL(url)
    headers = {
        "Host": target.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": "Purser",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode()),
    }
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            host = target.raw_host.decode()
            address = await public_address(host, _port(target), local_allowed=local_allowed)
            # No proxy of the environment: it would connect to wherever the name points by then.
            async with (
                httpx.AsyncClient(verify=_trusted(), trust_env=False, timeout=SECONDS_TO_ANSWER) as client,
                client.stream(
                    "POST",
                    target.copy_with(host=address),
                    content=body,
                    headers=headers,
                    follow_redirects=False,
                    extensions={"sni_hostname": host},
                ) as answer,
            ):
                status = answer.status_code
    except NotPublicError:
        return Sent("its host has no public address", reached=False)
    except TimeoutError:
        return Sent(f"no answer within {SECONDS_TO_ANSWER} seconds", reached=False)
    except (httpx.HTTPError, OSError) as error:
        return Sent(f"no connection ({type(error).__name__})", reached=False)
    return _told(status)


def _told(status: int) -> Sent:
    if 200 <= status < 300:
        return DELIVERED
    if status == GONE:
        return Sent("it answered 410: it is gone", gone=True)
    followed = ": redirects are not followed" if 300 <= status < 400 else ""
    return Sent(f"it answered {status}{followed}")


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
