"""The GraphQL application as a Lambda behind an HTTP API (payload version 2).

The schema is built when the module is loaded; the first request opens the application, and those that find the process warm
use it again, on the same event loop. Between two requests the process is frozen: so whatever a request has begun is finished
before it is answered, and no connection keeps a transaction open over it. Nothing runs in the background; what does
elsewhere has jobs of its own. Subscriptions need the container service.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

from mangum import Mangum
from mangum.types import LambdaContext, LambdaEvent

from graphql_api.app import create_app
from graphql_api.lambda_answers import Answerable
from graphql_api.schema import create_schema
from infra.application import Application, open_application
from infra.database import DatabaseError
from infra.settings import Settings

# Each process answers one request at a time; its resolvers may read at once.
MOST_READERS: Final = 2
# Less than the 29 s of the function and of API Gateway: a request that takes too long is told so by us.
SECONDS: Final = 25.0
# What makes its answer bit by bit, such as a statement, ends a little later than what says so by itself.
LONGEST: Final = SECONDS + 2

_SCHEMA: Final = create_schema()


class Warm:
    """What outlives a request: the event loop, and the application once it is open."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._application: Application | None = None
        self._answer: Mangum | None = None

    def __call__(self, event: LambdaEvent, context: LambdaContext) -> dict[str, Any]:
        if self._runner is None:
            self._runner = asyncio.Runner()
            # Mangum runs requests on the loop that is current.
            asyncio.set_event_loop(self._runner.get_loop())
        answer = self._runner.run(self._opened())
        try:
            return answer(event, context)
        finally:
            self._runner.run(self._finished())

    def close(self) -> None:
        """Give everything back."""
        if self._runner is not None:
            self._runner.run(self._stack.aclose())
            self._runner.close()

    async def _opened(self) -> Mangum:
        if self._answer is not None:
            # Let the loop hear of connections that ended while it was frozen, so that none of them is used.
            await asyncio.sleep(0.001)
            return self._answer
        settings = Settings.from_environment()
        if settings.database_url is None:
            raise DatabaseError("DATABASE_URL must name the database: a Lambda has no embedded one.")
        async with AsyncExitStack() as stack:
            self._application = await stack.enter_async_context(
                open_application(settings, settings.database_url, most_readers=MOST_READERS)
            )
            app = create_app(self._application, _SCHEMA, seconds=SECONDS)
            # Mangum would start and stop the application at each request.
            await stack.enter_async_context(app.router.lifespan_context(app))
            self._answer = Mangum(Answerable(app, LONGEST), lifespan="off")
            self._stack = stack.pop_all()
        return self._answer

    async def _finished(self) -> None:
        assert self._application is not None, "a request was answered"
        await self._application.group_commit.close()
        await self._application.refusals.written()
        await self._application.key_uses.close()
        await self._application.hints.close()


handler: Final = Warm()
