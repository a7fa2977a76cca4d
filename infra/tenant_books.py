"""Books of a batch, the rarer part: what only plans, payments, newcomers and an empty wallet look at."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from domain.attribution import Attribution
from domain.books import Operation
from domain.budgets import Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.catalog import Catalog
from domain.controls import NameScope, PauseScope, ResumeScope
from domain.cycles import Allocation
from domain.decisions import Command
from domain.postings import Post
from domain.recharges import Recharge, SetAutoRecharge
from domain.recordings import Record
from domain.reservations import Reserve
from domain.subscriptions import ChangePlan
from domain.tenants import TenantStatus
from domain.topups import SettleTopUp
from infra.batch import Batch
from infra.top_up_rows import RECHARGE_COLUMNS, TOP_UP_COLUMNS, recharge_of, top_up_of
from infra.transaction import Connection

ALLOCATIONS: Final = """
SELECT DISTINCT ON (wallet_key) wallet_key, cycle_start, amount FROM allocation
WHERE tenant_id = $1 ORDER BY wallet_key, cycle_start DESC"""
TOP_UPS: Final = f"""
SELECT {TOP_UP_COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS asked (tenant_id, id) JOIN top_up USING (tenant_id, id)"""
RECHARGES: Final = f"""
SELECT {RECHARGE_COLUMNS}
FROM unnest($1::uuid[], $2::text[]) AS asked (tenant_id, wallet_key) JOIN auto_recharge USING (tenant_id, wallet_key)"""
AGENTS: Final = "SELECT id FROM scope WHERE tenant_id = $1 AND kind = 'AGENT' AND status <> 'INACTIVE'"
CAMPAIGNS: Final = """
SELECT id, name, status, pause_reason, pause_period_key, pause_cap FROM scope
WHERE tenant_id = $1 AND kind = 'CAMPAIGN' AND status <> 'INACTIVE' ORDER BY id"""


async def read_payments(connection: Connection, batch: Batch, commands: Iterable[Command]) -> list[tuple[UUID, str]]:
    """Read the orders and recharges that these commands are about, and that earlier keys made; answers the wallets
    (tenant, key) that go with them."""
    orders: list[tuple[UUID, UUID]] = []
    recharging: dict[tuple[UUID, str], None] = {}
    for command in commands:
        tenant_id = command.request.tenant_id
        if isinstance(command, SettleTopUp):
            orders.append((tenant_id, command.top_up_id))
        elif isinstance(command, SetAutoRecharge | Recharge):
            recharging[tenant_id, command.wallet_key] = None
    for tenant_id, books in batch.tenants.items():
        made = [used.result_id for (asked, _), used in books.used_keys.items() if asked is Operation.START_TOP_UP]
        orders.extend((tenant_id, identifier) for identifier in made if identifier is not None)
    rows = await connection.fetch(TOP_UPS, *zip(*orders, strict=True)) if orders else ()
    for tenant_id, top_up in map(top_up_of, rows):
        batch.tenants[tenant_id].top_ups[top_up.id] = top_up
        batch.tenants[tenant_id].told_cards[top_up.id] = top_up.facts.card
        recharging.setdefault((tenant_id, top_up.wallet_key), None)
    if recharging:
        tenant_ids, keys = zip(*recharging, strict=True)
        for row in await connection.fetch(RECHARGES, tenant_ids, keys):
            tenant_id, recharge = recharge_of(row)
            batch.tenants[tenant_id].recharges[recharge.wallet_key] = recharge
    return list(recharging)


async def read_allocations(connection: Connection, batch: Batch, tenant_id: UUID) -> None:
    """Read what the plan gave each wallet last."""
    allocations = batch.tenants[tenant_id].allocations
    for row in await connection.fetch(ALLOCATIONS, tenant_id):
        allocations.setdefault(row[0], Allocation(*row))


async def read_agents(connection: Connection, batch: Batch, commands: Iterable[Command]) -> list[UUID]:
    """Read the agent roles of tenants whose commands bring an agent role or a campaign that nobody has seen, or activate
    one again; answers those tenants."""
    tenants: dict[UUID, None] = {}
    for command in commands:
        tenant_id = command.request.tenant_id
        if isinstance(command, Reserve):
            brings = _brings_newcomer(batch, tenant_id, command.wish.attribution)
        elif isinstance(command, Record):
            brings = any(_brings_newcomer(batch, tenant_id, event.attribution) for event in command.events)
        elif isinstance(command, Post):
            brings = any(_brings_newcomer(batch, tenant_id, tally.attribution) for tally in command.tallies)
        else:
            brings = isinstance(command, PauseScope | ResumeScope | NameScope)
        if brings:
            tenants[tenant_id] = None
    for tenant_id in tenants:
        batch.tenants[tenant_id].agents = {row[0] for row in await connection.fetch(AGENTS, tenant_id)}
    return list(tenants)


def _brings_newcomer(batch: Batch, tenant_id: UUID, attribution: Attribution) -> bool:
    scopes = batch.tenants[tenant_id].scopes
    role, campaign = attribution.agent_role, attribution.campaign
    return (role is not None and ScopeKey(ScopeKind.AGENT, role) not in scopes) or (
        campaign is not None and ScopeKey(ScopeKind.CAMPAIGN, campaign) not in scopes
    )


async def read_campaigns(connection: Connection, batch: Batch, tenant_id: UUID) -> Sequence[Scope]:
    """A tenant's campaigns that are in use, as this batch has them."""
    scopes = batch.tenants[tenant_id].scopes
    for identifier, name, status, *pause in await connection.fetch(CAMPAIGNS, tenant_id):
        key = ScopeKey(ScopeKind.CAMPAIGN, identifier)
        scopes.setdefault(key, Scope(key, name, ScopeStatus(status), *pause))
    return [scope for key, scope in scopes.items() if key.kind is ScopeKind.CAMPAIGN]


def plans_changed(batch: Batch, catalog: Catalog, commands: Iterable[Command]) -> dict[UUID, list[str]]:
    """The plans that tenants ask for and may have."""
    asked: dict[UUID, list[str]] = {}
    for command in commands:
        if isinstance(command, ChangePlan):
            tenant = batch.tenants[command.request.tenant_id].tenant
            plan = catalog.plan(tenant.region, command.plan, batch.now)
            if tenant.status is TenantStatus.ACTIVE and plan is not None and not plan.withdrawn:
                asked.setdefault(tenant.id, []).append(command.plan)
    return asked
