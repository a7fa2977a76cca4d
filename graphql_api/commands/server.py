"""Commands about the server itself: serve, demo-keys, migrate, schema."""

import asyncio
import json
import sys
from typing import Annotated

import typer

from graphql_api.command_line import Commands, chosen_settings

command = Commands()


@command()
def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="Set up the demo tenants, with their keys and two months of figures.")
    ] = False,
    traffic: Annotated[
        bool, typer.Option(help="With --demo: a small call of acme every few seconds, so that the figures live.")
    ] = True,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
) -> None:
    """Start the server: the console at /, GraphQL at /graphql, agents at /mcp, files at /usage and /expenses, the tables for
    operators at /admin/, health at /healthz. Ctrl-C stops everything that it started.

    Examples:
      purser serve --demo
      purser serve --demo --no-traffic --port 8080
      DATABASE_URL=postgresql://purser:secret@db:5432/purser purser serve --host 0.0.0.0

    Prints a line that starts with "ready" once it accepts connections.
    """
    import logging

    from graphql_api import serving
    from graphql_api.greeting import Greeting

    settings = chosen_settings(self_hosted=demo)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with serving.bind(host, port) as listener:
        greeting = Greeting(settings, listener, with_demo=demo)
        living = serving.Demo.LIVING if traffic else serving.Demo.STILL
        shown = living if demo else serving.Demo.NONE
        serving.serve(settings, listener, demo=shown, announce=greeting.announce, ready=greeting.ready)


@command("demo-keys")
def demo_keys() -> None:
    """Print the API keys of the demo tenants as JSON: operator, admin, member and service of acme, and
    other_service of globex.

    Example:
      KEY=$(purser demo-keys | python3 -c 'import json, sys; print(json.load(sys.stdin)["service"])')

    They are derived from PURSER_DEMO_SECRET, else from a secret in the data folder, and work with every server that
    was started with --demo on that secret.
    """
    from infra.demo_keys import demo_tokens

    print(json.dumps(demo_tokens(chosen_settings()), indent=2))


@command()
def migrate() -> None:
    """Bring the database's schema up to date. `serve` does it by itself."""
    from infra.database import database, prepare

    with database(chosen_settings()) as url:
        asyncio.run(prepare(url))
    print("The schema is up to date.", file=sys.stderr)


@command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from graphql_api.schema import export_schema

    print(export_schema(), end="")
