"""Tenant usage: what an operator looks at first when a tenant asks about its account."""

from datetime import datetime

import strawberry

from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.ledger_entries import LedgerEntry
from graphql_api.tenants import Tenant, tenant_by_id
from graphql_api.usage_breakdowns import UsageBreakdownRow, UsageTotals
from graphql_api.wallets import Wallet
from infra.queries import tenant_usage as query
from infra.queries import wallets as wallets_query


@strawberry.type(description="Calls of language models in the last 30 days of the tenant's time zone, today included.")
class ModelUsage:
    """Calls of language models in the last 30 days."""

    start: datetime = strawberry.field(name="from", description="The start of the first day.")
    end: datetime = strawberry.field(name="to", description="The end of today.")
    total: UsageTotals = strawberry.field(description="All of them.")
    by_model: list[UsageBreakdownRow] = strawberry.field(
        description="By provider and model: the 100 most expensive, those first."
    )
    by_agent_role: list[UsageBreakdownRow] = strawberry.field(
        description="By agent role: the 100 most expensive, those first."
    )


@strawberry.type(description="A tenant's account at a glance.")
class TenantUsage:
    """A tenant's account at a glance."""

    @field(description="The tenant.")
    async def tenant(self, info: Info) -> Tenant:
        return await tenant_by_id(info, info.context.caller.tenant_id)

    @field(description="Its wallets, with what is left in each.")
    async def wallets(self, info: Info) -> list[Wallet]:
        context = info.context
        found = await wallets_query.list_wallets(context.application, context.caller.tenant_id)
        return [Wallet.of(view) for view in found]

    @field(description="The 20 newest ledger entries over all its wallets, newest first.")
    async def recent_entries(self, info: Info) -> list[LedgerEntry]:
        context = info.context
        found = await query.recent_entries(context.application, context.caller.tenant_id)
        return [LedgerEntry.of(entry) for entry in found]

    @field(description="Its calls of language models in the last 30 days.")
    async def models(self, info: Info) -> ModelUsage:
        context = info.context
        found = await query.model_usage(context.application, context.caller.tenant_id)
        return ModelUsage(
            start=found.start,
            end=found.end,
            total=UsageTotals.of(found.total),
            by_model=[UsageBreakdownRow.of(row) for row in found.by_model],
            by_agent_role=[UsageBreakdownRow.of(row) for row in found.by_agent_role],
        )


@strawberry.type
class TenantUsageQueries:
    """What operators ask about one tenant."""

    @field(
        description="Operators: the account of the tenant that the header Purser-Tenant names: wallets, the newest ledger "
        "entries, and 30 days of language models."
    )
    async def tenant_usage(self, info: Info) -> TenantUsage:  # noqa: ARG002  # its parts ask
        return TenantUsage()
