"""The web application: what is answered at which path."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from graphql_api import focus_downloads, limits
from graphql_api.console.serving import console_routes
from graphql_api.console.sign_in import DemoSignIn, sign_in_routes
from graphql_api.context import Context
from graphql_api.execution import Engine
from graphql_api.expense_uploads import expense_uploads
from graphql_api.http import GraphQLEndpoint
from graphql_api.schema import create_schema
from graphql_api.session_cookie import SessionCookie
from graphql_api.statements import statement_routes
from graphql_api.usage_lines import usage_lines
from graphql_api.webhooks import payment_webhook
from graphql_api.websocket import WebsocketEndpoint
from infra.application import Application
from infra.collector import seldom_collected
from infra.services.api_keys import Keyring
from infra.services.callers import Caller
from infra.transaction import UNANSWERED

SECONDS_FOR_HEALTH: Final = 5.0


class RunningEndpoint(Protocol):
    """An ASGI application that answers while it runs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """It runs within this block."""


EndpointOf = Callable[[Engine, Keyring, Callable[[Caller], Context]], RunningEndpoint]


def create_app(
    application: Application,
    schema: GraphQLSchema | None = None,
    *,
    seconds: float = limits.SECONDS,
    mcp: EndpointOf | None = None,
    admin: Callable[[Application, Keyring, str], RunningEndpoint] | None = None,
    demo: bool = False,
) -> Starlette:
    """The application over an open installation. Another tuned schema may be served in the same way: benchmarks do. A
    GraphQL request is given up after so many seconds. `mcp`: what answers agents at /mcp, `admin`: operators at /admin/, by
    the session cookie of this name. Their libraries take most of a second each to load, so only who serves them names them.
    `demo`: who sits at this machine signs in without a key."""
    engine, keyring = Engine(schema or create_schema(), seconds), Keyring(application)
    session = SessionCookie(application.settings.public_url)
    demo_sign_in = DemoSignIn(application.settings, session) if demo else None

    def context_of(caller: Caller) -> Context:
        return Context(application, caller)

    async def health(_request: Request) -> Response:
        try:
            async with asyncio.timeout(SECONDS_FOR_HEALTH):
                await application.across_tenants.fetchval("SELECT 1")
        except UNANSWERED:
            return JSONResponse({"status": "the database does not answer"}, status_code=503)
        return JSONResponse({"status": "ok"})

    routes: list[BaseRoute] = [
        Route("/graphql", GraphQLEndpoint(engine, keyring, context_of, session)),
        WebSocketRoute("/graphql", WebsocketEndpoint(engine, keyring, context_of, session)),
        Route("/healthz", health),
        Route("/usage", usage_lines(application, keyring), methods=["POST"]),
        Route("/expenses", expense_uploads(application, keyring, session), methods=["POST"]),
        Route(
            focus_downloads.PATH,
            focus_downloads.focus_downloads(application, keyring, session),
            methods=["GET", "POST"],
        ),
        Route("/stripe/webhook", payment_webhook(application), methods=["POST"]),
        *sign_in_routes(application, keyring, session, demo_sign_in),
        *console_routes(demo_sign_in),
        *statement_routes(application, keyring, session),
    ]
    running: list[RunningEndpoint] = []
    if mcp is not None:
        running.append(agents := mcp(engine, keyring, context_of))
        routes.append(Route("/mcp", agents))
    if admin is not None:
        running.append(tables := admin(application, keyring, session.name))
        routes.append(Mount("/admin", tables))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.enter_context(seldom_collected())
            for endpoint in running:
                await stack.enter_async_context(endpoint.running())
            yield

    return Starlette(routes=routes, lifespan=lifespan)
