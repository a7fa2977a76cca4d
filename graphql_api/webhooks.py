"""Webhooks: messages of the payment rail as they arrive over HTTP.

Only the signature says who sends them. The body is taken byte by byte as it came, because that is what was signed, and
never more of it than a message may have.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from infra.application import Application
from infra.services import topups
from infra.services.topups import MOST_BYTES, WebhookAnswer

TOO_LARGE: Final = WebhookAnswer(413, "the message is too large")
CUT_OFF: Final = WebhookAnswer(400, "the message was cut off")


def payment_webhook(application: Application) -> Callable[[Request], Awaitable[Response]]:
    """What answers at /stripe/webhook."""

    async def receive(request: Request) -> Response:
        answer = await _receive(application, request)
        return JSONResponse({"message": answer.message}, status_code=answer.status)

    return receive


async def _receive(application: Application, request: Request) -> WebhookAnswer:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MOST_BYTES:
                return TOO_LARGE
            chunks.append(chunk)
    except ClientDisconnect:
        return CUT_OFF
    return await topups.receive(application, b"".join(chunks), request.headers.get("stripe-signature", ""))
