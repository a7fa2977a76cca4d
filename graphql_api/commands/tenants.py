"""Commands about tenants and keys: create-tenant, create-key, keys, rotate-key, revoke-key."""

import asyncio
from typing import Annotated

import typer

from graphql_api.command_line import Commands, chosen_settings

command = Commands()


@command("create-tenant")
def create_tenant(
    slug: Annotated[str, typer.Option(help="Short name in lower case, such as acme-corp.")],
    name: Annotated[str, typer.Option(help="Name to show.")],
    region: Annotated[str, typer.Option(help="Region of the plan, such as india or middle_east.")],
    plan: Annotated[str, typer.Option(help="Plan of that region, such as starter or professional.")],
    metered: Annotated[bool, typer.Option("--metered", help="Give it a prepaid wallet in US dollars.")] = False,
    time_zone: Annotated[str, typer.Option(help="IANA time zone of its months and days.")] = "UTC",
    anchor_day: Annotated[int, typer.Option(min=1, max=31, help="Day of the month on which its cycles start.")] = 1,
) -> None:
    """Set up a tenant with the wallets of its plan, and credit the running cycle.

    Example:
      purser create-tenant --slug northwind --name Northwind --region india --plan starter --metered
    """
    from graphql_api.administration import set_up_tenant
    from infra.database import database
    from infra.services.tenants import TenantOrder

    settings = chosen_settings()
    order = TenantOrder(slug, name, region, plan, metered, time_zone, anchor_day)
    with database(settings) as url:
        asyncio.run(set_up_tenant(settings, url, order))


@command("create-key")
def create_key(
    role: Annotated[str, typer.Option(help="operator, admin, member (reads) or service (a worker).")],
    name: Annotated[str, typer.Option(help="Who uses it; the ledger names it.")],
    tenant: Annotated[str | None, typer.Option(help="Slug of its tenant; an operator's key has none.")] = None,
) -> None:
    """Make an API key and print it. It is shown this once: only its hash is stored.

    Examples:
      purser create-key --role operator --name anna
      purser create-key --tenant acme --role service --name worker
    """
    from graphql_api.administration import make_key
    from infra.database import database

    settings = chosen_settings()
    with database(settings) as url:
        print(asyncio.run(make_key(settings, url, tenant, role, name)))


@command()
def keys(
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="keys of operators")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON.")] = False,
) -> None:
    """List API keys, newest first: who uses them, when they end, when they were last used. Never the keys themselves.

    Examples:
      purser keys
      purser keys --tenant acme --json
    """
    from graphql_api.key_commands import list_keys
    from infra.database import database

    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(list_keys(settings, url, tenant, as_json=as_json))


@command("rotate-key")
def rotate_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_..., as `purser keys` shows it.")],
    overlap_seconds: Annotated[
        int, typer.Option(min=0, max=604_800, help="How long the old key works on: 0 to 604800 (seven days).")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print both keys as JSON, the new one with its token.")
    ] = False,
) -> None:
    """Put a new API key in the place of one, and print it: of the same name, role and seat. It is shown this once.

    Example, with a day for all workers to change over:
      purser rotate-key key_0199... --overlap-seconds 86400
    """
    from graphql_api.key_commands import rotate_key as run
    from infra.database import database

    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(run(settings, url, key, overlap_seconds, as_json=as_json))


@command("revoke-key")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_..., as `purser keys` shows it.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also the last key of a tenant's admins or of operators.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the key as JSON.")] = False,
) -> None:
    """End an API key, an operator's or a tenant's: within two seconds it is refused everywhere.

    Example:
      purser revoke-key key_0199...

    One that has ended stays as it is.
    """
    from graphql_api.key_commands import revoke_key as run
    from infra.database import database

    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(run(settings, url, key, force=force, as_json=as_json))
