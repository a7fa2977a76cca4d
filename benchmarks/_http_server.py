"""A server process, set up as `purser serve` does it: with the product's schema, or with one whose mutation takes the
same input and does nothing.

    python -m benchmarks._http_server DATABASE_URL reserve|nothing

Prints its port once it accepts, and ends when its standard input does.
"""

import asyncio
import logging
import socket
import sys
from typing import Annotated

import strawberry
import uvicorn
import uvloop
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from graphql_api.app import create_app
from graphql_api.fields import field
from graphql_api.permissions import guard
from graphql_api.scalars import SCALARS
from graphql_api.serving import configuration
from graphql_api.tuning import tune
from graphql_api.wishes import ReserveInput
from infra.application import open_application
from infra.settings import Settings


@strawberry.type
class Query:
    """A schema needs one; the name is one that has a permission."""

    wallets: bool = True


@strawberry.type
class Mutation:
    """What does nothing."""

    @field(description="Takes what reserve takes.")
    async def reserve(self, given: Annotated[ReserveInput, strawberry.argument(name="input")]) -> bool:
        return given.idempotency_key != ""


def schema_that_does_nothing() -> GraphQLSchema:
    """One mutation with the product's input type, tuned and guarded as the product's schema is."""
    described = strawberry.Schema(Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS))
    schema: GraphQLSchema = described._schema  # noqa: SLF001  # Strawberry has no public name for it
    tune(schema)
    guard(schema)
    return schema


async def serve(url: str, kind: str) -> None:
    """Serve on a free port until standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with open_application(Settings.from_environment(), url) as application:
            app = create_app(application, None if kind == "reserve" else schema_that_does_nothing())
            server = uvicorn.Server(configuration(app))

            async def end_with_standard_input() -> None:
                print(listener.getsockname()[1], flush=True)
                await asyncio.to_thread(sys.stdin.read)
                server.should_exit = True

            await asyncio.gather(server.serve([listener]), end_with_standard_input())


if __name__ == "__main__":
    # The clients stop at the first answer that is not as expected: there is no need to hear of all the others.
    logging.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2]))
