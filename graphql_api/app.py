"""The web application: what is answered at which path."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from graphql import GraphQLSchema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from graphql_api.context import Context
from graphql_api.http import GraphQLEndpoint
from graphql_api.schema import create_schema
from infra.application import Application
from infra.services.api_keys import Keyring

SECONDS_FOR_HEALTH: Final = 5.0
# A request leaves no cycles behind, so looking for them every 700 objects is in vain: it took a third of the time.
COLLECTOR_THRESHOLDS: Final = (50_000, 20, 100)


def create_app(application: Application, schema: GraphQLSchema | None = None) -> Starlette:
    """The application over an open installation. Another tuned schema may be served in the same way: benchmarks do."""
    endpoint = GraphQLEndpoint(
        schema or create_schema(), Keyring(application), lambda caller: Context(application, caller)
    )

    async def health(_request: Request) -> Response:
        try:
            async with asyncio.timeout(SECONDS_FOR_HEALTH):
                await application.readers.fetchval("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return JSONResponse({"status": "the database does not answer"}, status_code=503)
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/graphql", endpoint), Route("/healthz", health)], lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    """While requests are answered, the garbage collector leaves alone what was there before, and comes seldom."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
