"""The command `export-focus`: FOCUS files for operators, of one tenant or of all."""

import sys
from collections.abc import Sequence
from typing import Final

from graphql_api.administration import opened_for, tenant_named
from graphql_api.focus_file import header, write_month
from infra.settings import Settings

_TENANTS: Final = "SELECT id FROM tenant ORDER BY slug"


async def export_focus(settings: Settings, url: str, tenant: str | None, months: Sequence[str]) -> None:
    """Print the months of a tenant (None: of every tenant, one after the other) as one FOCUS file."""
    async with opened_for(settings, url) as application:
        if tenant is None:
            tenant_ids = [tenant_id for (tenant_id,) in await application.across_tenants.fetch(_TENANTS)]
        else:
            tenant_ids = [await tenant_named(application, tenant)]
        file = sys.stdout.buffer
        file.write(header())
        for tenant_id in tenant_ids:
            for month in months:
                await write_month(application, tenant_id, month, file)
        file.flush()
