"""Webhooks that go out: signed to the Standard Webhooks scheme, to public addresses alone, and nothing is read of what
comes back but its status."""

import asyncio
from base64 import b64encode
from datetime import datetime
from secrets import token_bytes
from typing import Final

from infra.guarded_requests import answer_to
from infra.public_addresses import NotPublicError
from infra.sending import DELIVERED, Sent

SECONDS_TO_ANSWER: Final = 10
SECRET_BYTES: Final = 32
GONE: Final = 410


def new_secret() -> str:
    """What a webhook's messages are signed by, in the form that receivers' libraries take."""
    return "whsec_" + b64encode(token_bytes(SECRET_BYTES)).decode()


async def post(
    url: str, secret: str, message_id: str, body: bytes, now: datetime, *, local_allowed: bool = False
) -> Sent:
    """Send one message. Its id is the same at each attempt, so that receivers can drop what they have."""
    import httpx
    from standardwebhooks import Webhook

    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode()),
    }
    seconds = SECONDS_TO_ANSWER
    try:
        async with (
            asyncio.timeout(seconds),
            answer_to("POST", url, headers, body, seconds=seconds, local_allowed=local_allowed) as answer,
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
