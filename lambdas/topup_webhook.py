"""Stripe's webhook behind API Gateway (HTTP API, payload version 2): the same service as `/stripe/webhook`.

What Stripe signed are the bytes that it sent, so the body is taken as it came. An error leaves the function: API Gateway
answers 500 without detail, the alarm sees it, and Stripe sends the message again.
"""

from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from infra.application import Application
from infra.services import topups
from lambdas.runtime import WARM, Answer, LambdaContext


def handler(event: dict[str, Any], context: LambdaContext) -> Answer:
    """Many may run at once: the service takes each message once."""
    # Powertools' class for such events loads those for all others too, a quarter of what this handler loads.
    body: str = event.get("body") or ""
    payload = b64decode(body) if event.get("isBase64Encoded") else body.encode()
    signature: str = event["headers"].get("stripe-signature", "")

    async def work(application: Application) -> Answer:
        answer = await topups.receive(application, payload, signature)
        return {"statusCode": answer.status, "body": answer.message}

    at = datetime.fromtimestamp(event["requestContext"]["timeEpoch"] / 1000, UTC)
    return WARM.run(at, work, job="topup_webhook", request_id=context.aws_request_id)
