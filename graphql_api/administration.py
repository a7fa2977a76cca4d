"""What an operator does from the command line: tenants, keys, overdue reservations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.refusals import PlanLimit
from graphql_api.calling import program
from infra.application import Application, open_application
from infra.database import prepare
from infra.demo_keys import DEMO_KEYS
from infra.services import api_keys, cycles, tenants
from infra.services.callers import Role
from infra.services.subscriptions import zone_of
from infra.services.tenants import SLUG, TenantOrder
from infra.settings import Settings

SHOWN: Final = 20
# As the audit log names who made a tenant here.
CREATE_TENANT: Final = "cli:create-tenant"

_SLUGS: Final = "SELECT slug FROM tenant ORDER BY slug LIMIT $1"
_TENANT: Final = "SELECT id FROM tenant WHERE slug = $1"
_DUE: Final = """
SELECT tenant_id, count(*) FROM reservation WHERE state = 'HELD' AND expires_at <= $1 GROUP BY tenant_id ORDER BY 1"""


class AdministrationError(RuntimeError):
    """What was asked for cannot be done as asked; the message says what would do."""


async def set_up_tenant(settings: Settings, url: str, order: TenantOrder) -> None:
    """Make a tenant with the wallets of its plan and credit the running cycle."""
    slug = order.slug
    if SLUG.fullmatch(slug) is None:
        raise AdministrationError(f"{slug!r} is no slug: take a to z, 0 to 9 and dashes, such as acme-corp.")
    if not is_identifier(order.name):
        raise AdministrationError(f"The name {IDENTIFIER_RULE}: give another with --name.")
    if zone_of(order.time_zone) is None:
        raise AdministrationError(f"There is no time zone {order.time_zone!r}: take one such as Asia/Kolkata.")
    async with opened_for(settings, url) as application:
        plan = application.catalog.plan(order.region, order.plan, application.clock())
        if plan is None or plan.withdrawn:
            sold = application.catalog.plans.all_at(application.clock())
            known = ", ".join(f"{each.region}/{each.key}" for each in sold if not each.withdrawn)
            raise AdministrationError(f"There is no plan {order.region}/{order.plan}: there are {known}.")
        if await application.across_tenants.fetchval(_TENANT, slug) is not None:
            raise AdministrationError(f"There is a tenant {slug!r} already: nothing was changed.")
        tenant_id = await tenants.set_up(application, order, plan, CREATE_TENANT)
        await cycles.start_cycle(application, tenant_id)
    typer.echo(
        f"Tenant {slug} is set up. Next: {program()} create-key --tenant {slug} --role service --name worker", err=True
    )


async def make_key(settings: Settings, url: str, tenant: str | None, role: str, name: str) -> str:
    """Make an API key; answers the key itself, which cannot be had again."""
    roles = ", ".join(known.lower() for known in Role)
    if role.upper() not in Role.__members__:
        raise AdministrationError(f"There is no role {role!r}: there are {roles}.")
    wanted = Role[role.upper()]
    if (tenant is None) != (wanted is Role.OPERATOR):
        raise AdministrationError("An operator's key has no tenant, every other one has: give or leave out --tenant.")
    if name in {key.name for key in DEMO_KEYS}:
        raise AdministrationError(f"{name} is the name of a demo key: choose another.")
    if not 1 <= len(name) <= 100 or not name.isprintable() or name != name.strip():
        raise AdministrationError("A key's name has 1 to 100 printable characters, without blanks at the ends.")
    async with opened_for(settings, url) as application:
        tenant_id = None if tenant is None else await tenant_named(application, tenant)
        made = await api_keys.create_key(application, tenant_id, wanted, name)
    if isinstance(made, PlanLimit):
        raise AdministrationError(
            f"The plan of {tenant} has {made.limit} seats, and {made.used} are taken: let keys of admins and members end "
            "first, or choose a larger plan. Keys of workers (service) take no seat."
        )
    return made.token


async def expire_all(settings: Settings, url: str, at_most: int) -> None:
    """Book what is overdue, tenant after tenant, in chunks."""
    booked = 0
    async with opened_for(settings, url) as application:
        due = await application.across_tenants.fetch(_DUE, application.clock())
        total = sum(count for _, count in due)
        columns = (TextColumn("Expiring"), BarColumn(), MofNCompleteColumn())
        # Shown on a terminal only.
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not _on_terminal()) as progress:
            bar = progress.add_task("", total=min(total, at_most))
            for tenant_id, _ in due:
                while booked < at_most and (some := await application.group_commit.expire(tenant_id)) > 0:
                    booked += some
                    progress.update(bar, completed=booked)
    left = f"; about {total - booked} are left for the next run" if booked < total else ""
    typer.echo(f"Booked {booked} overdue reservations of {len(due)} tenants{left}.")


@asynccontextmanager
async def opened_for(settings: Settings, url: str) -> AsyncIterator[Application]:
    """The application for one command, its database brought up to date."""
    await prepare(url)
    async with open_application(settings, url) as application:
        yield application


async def tenant_named(application: Application, slug: str) -> UUID:
    """The tenant of a slug; where there is none, the error names some."""
    found: UUID | None = await application.across_tenants.fetchval(_TENANT, slug) if SLUG.fullmatch(slug) else None
    if found is None:
        slugs = [row[0] for row in await application.across_tenants.fetch(_SLUGS, SHOWN)]
        known = f"there are {', '.join(slugs)}" if slugs else f"make one with `{program()} create-tenant`"
        raise AdministrationError(f"There is no tenant {slug!r}: {known}.")
    return found


def _on_terminal() -> bool:
    return Console(stderr=True).is_terminal
