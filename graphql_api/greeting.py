"""What `purser serve` says while it starts: where it is, with which keys, and one request to paste."""

import json
import secrets
import shlex
import socket
from typing import Final

import typer

from graphql_api.calling import program
from infra.application import Application
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.settings import Settings

RESERVE: Final = """mutation ($input: ReserveInput!) { reserve(input: $input) { __typename
  ... on Reservation { id state expiresAt holds { amount wallet { key available } } }
  ... on Refusal { code message } } }"""
ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # only shown
_ANY_KEY: Final = "SELECT EXISTS (SELECT FROM api_key WHERE revoked_at IS NULL)"


class Greeting:
    """Speaks twice: once the application is open, and once connections are accepted."""

    def __init__(self, settings: Settings, listener: socket.socket, *, with_demo: bool) -> None:
        host, port = listener.getsockname()[:2]
        shown = ANY_HOST.get(host, host)
        self._url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        self._settings = settings
        self._with_demo = with_demo

    async def announce(self, application: Application) -> None:
        """The address, the keys that there are, and what to do with them."""
        where = "DATABASE_URL" if self._settings.database_url else f"embedded PostgreSQL in {self._settings.data_dir}"
        lines = [f"Console: {self._url}/", f"Purser at {self._url}/graphql", f"Data: {where}"]
        if not application.separate_roles:
            lines.append(
                "Roles: none, the role of DATABASE_URL may not make them; nothing but this code protects the "
                "ledger and keeps tenants apart"
            )
        lines.append("")
        if self._with_demo:
            lines += self._demo()
        elif not await application.across_tenants.fetchval(_ANY_KEY):
            lines += [
                "There is no API key yet. In another terminal:",
                f"  {program()} create-tenant --slug northwind --name Northwind --region india --plan starter --metered",
                f"  {program()} create-key --tenant northwind --role service --name worker",
                "",
            ]
        typer.echo("\n".join(lines))

    def ready(self) -> None:
        """The line that scripts wait for."""
        typer.echo(f"ready {self._url}")

    def _demo(self) -> list[str]:
        tokens = demo_tokens(self._settings)
        lines = [f"Keys of the demo tenants (again with: {program()} demo-keys)"]
        lines += [f"  {key.label:14} {key.tenant or 'every tenant':13} {tokens[key.label]}" for key in DEMO_KEYS]
        return [*lines, "", "Paste this: it holds 0.1 credits for a minute.", "", self._request(tokens["service"]), ""]

    def _request(self, token: str) -> str:
        """The same key sent twice finds the same reservation; each start shows another."""
        wish = {"idempotencyKey": f"hello-{secrets.token_hex(4)}", "feature": "in_editor_action", "ttlSeconds": 60}
        query = " ".join(RESERVE.split())
        body = json.dumps({"query": query, "variables": {"input": wish}})
        return (
            f"curl -s {shlex.quote(self._url + '/graphql')} \\\n"
            f"  -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n"
            f"  -d {shlex.quote(body)}"
        )
