"""The stand-in over HTTP: the API under /v1, with Stripe's key, form encoding and errors, and the pay pages.

It can be mounted under any path. Nothing that a test does beside the payer's and the shop's part can be reached here.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from infra.stripe_stand_in import forms, operations
from infra.stripe_stand_in.cards import CARDS
from infra.stripe_stand_in.errors import StripeRefusal, invalid
from infra.stripe_stand_in.idempotency import Answer, KeptAnswers
from infra.stripe_stand_in.objects import new_id
from infra.stripe_stand_in.operations import Operation
from infra.stripe_stand_in.pay_page import ended_page, pay_page
from infra.stripe_stand_in.stand_in import StandIn

_LARGEST_BODY: Final = 64 * 1024

_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/customers"): operations.open_customer,
    ("GET", "/v1/customers/{identifier}"): operations.read_customer,
    ("POST", "/v1/checkout/sessions"): operations.open_session,
    ("GET", "/v1/checkout/sessions/{identifier}"): operations.read_session,
    ("POST", "/v1/checkout/sessions/{identifier}/expire"): operations.expire_session,
    ("POST", "/v1/payment_intents"): operations.open_intent,
    ("GET", "/v1/payment_intents/{identifier}"): operations.read_intent,
    ("POST", "/v1/payment_intents/{identifier}/confirm"): operations.confirm_intent,
    ("POST", "/v1/payment_intents/{identifier}/cancel"): operations.cancel_intent,
    ("POST", "/v1/refunds"): operations.open_refund,
    ("GET", "/v1/refunds"): operations.list_refunds,
    ("GET", "/v1/disputes"): operations.list_disputes,
    ("GET", "/v1/payment_methods/{identifier}"): operations.read_payment_method,
}


def create_stand_in(stand_in: StandIn) -> Starlette:
    """The app of one account."""
    kept = KeptAnswers()
    routes = [
        Route(path, _endpoint(stand_in, kept, operation), methods=[method])
        for (method, path), operation in _OPERATIONS.items()
    ]
    routes.append(Route("/pay/{session_id}", _page(stand_in, _shown), methods=["GET"]))
    routes.append(Route("/pay/{session_id}", _page(stand_in, _answered), methods=["POST"]))
    return Starlette(routes=routes)


def _endpoint(stand_in: StandIn, kept: KeptAnswers, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            answer = await _executed(stand_in, kept, operation, request)
        except StripeRefusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        if request.method == "POST" and stand_in.swallow_answers > 0:
            stand_in.swallow_answers -= 1
            return _NoAnswer()
        headers = {"Request-Id": new_id("req")}
        if answer.was_replayed:
            headers["Idempotent-Replayed"] = "true"
        return JSONResponse(answer.body, answer.status, headers)

    return endpoint


async def _executed(stand_in: StandIn, kept: KeptAnswers, operation: Operation, request: Request) -> Answer:
    _authorize(stand_in, request)
    if stand_in.is_unavailable:
        raise StripeRefusal(503, "api_error", "The stand-in was told to be unavailable.", was_executed=False)
    identifier = request.path_params.get("identifier", "")
    if request.method != "POST":
        params = forms.decoded(request.url.query)
        wanted = params.pop("expand", None)
        return Answer(200, operations.expanded(stand_in, operation(stand_in, params, identifier), wanted))
    params = forms.decoded(await _body(request))

    async def execute() -> dict[str, Any]:
        if stand_in.gate is not None:
            await stand_in.gate.wait()
        asked = dict(params)
        wanted = asked.pop("expand", None)
        return operations.expanded(stand_in, operation(stand_in, asked, identifier), wanted)

    return await kept.once(request.headers.get("idempotency-key"), (request.url.path, params), execute)


def _authorize(stand_in: StandIn, request: Request) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), stand_in.api_key.encode()):
        raise StripeRefusal(401, "invalid_request_error", "Invalid API Key provided", was_executed=False)


async def _body(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise invalid("The request is too large.")
    return body.decode("utf-8", "replace")


class _NoAnswer(Response):
    """Closes the connection in the middle of the answer: the server does so when less comes than was announced."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


Page = Callable[[StandIn, str, Request], Awaitable[Response]]


def _page(stand_in: StandIn, page: Page) -> Callable[[Request], Awaitable[Response]]:
    return partial(_on_a_session, stand_in, page)


async def _on_a_session(stand_in: StandIn, page: Page, request: Request) -> Response:
    try:
        session = stand_in.session(request.path_params["session_id"])
    except StripeRefusal:
        return ended_page(None)
    if session["status"] != "open":
        return ended_page(session)
    return await page(stand_in, session["id"], request)


async def _shown(stand_in: StandIn, session_id: str, _request: Request) -> Response:
    return pay_page(stand_in.session(session_id), stand_in.product(session_id))


async def _answered(stand_in: StandIn, session_id: str, request: Request) -> Response:
    session, product = stand_in.session(session_id), stand_in.product(session_id)
    try:
        form = forms.decoded(await _body(request))
        if form.get("action") == "leave":
            return RedirectResponse(session["cancel_url"] or session["success_url"], 303)
        number = "".join(str(form.get("card", "")).split())
        if number not in CARDS:
            return pay_page(session, product, "This is none of the test cards below.")
        stand_in.pay(session_id, number)
    except StripeRefusal as refusal:
        return pay_page(session, product, str(refusal))
    return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id), 303)
