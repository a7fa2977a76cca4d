"""Demo tenants: what the README, the scripts and the console show, with balances, keys and a past.

Seeding is harmless at every start: tenants and keys are made once, each credit is booked once per reference, and what
happened since the last start is booked up to now (`infra.demo.history`). A start in a new month finds that month's
allocation granted. What is refused, because somebody has suspended a tenant or changed what it may do, is left out.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from domain.api_keys import hint
from domain.budgets import BudgetKey
from domain.wallets import METERED_KEY, LotSource
from infra.application import Application
from infra.demo import campaigns, history
from infra.demo.past import PastClock, at_another_time
from infra.demo.people import BUDGETS, DEMO_TENANTS, NAMES, OWN_KEY, PAUSED_BY_HAND, DemoTenant
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.identifiers import new_id
from infra.services import budgets, cycles, provider_keys, scopes, tenants, wallets
from infra.services.callers import Caller, Role
from infra.services.tenants import TenantOrder
from infra.transaction import transaction

_WRITE_KEY: Final = """
INSERT INTO api_key (id, tenant_id, name, role, hash, created_at, hint, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'demo')
ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL WHERE api_key.revoked_at IS NOT NULL"""
_REVOKE_OTHERS: Final = """
UPDATE api_key SET revoked_at = $3 WHERE name = ANY($1::text[]) AND hash <> ALL($2::bytea[]) AND revoked_at IS NULL"""
_KNOWN: Final = "SELECT slug, id FROM tenant WHERE slug = ANY($1::text[])"


async def seed(application: Application) -> None:
    """Make the demo tenants, book what happened to them up to now, and store the hashes of their keys."""
    now = application.clock()
    clock = PastClock(datetime.combine(history.beginning(now), time(), UTC))
    async with at_another_time(application, clock) as past:
        work = await history.missing(past, now)
        known = dict(map(tuple, await past.across_tenants.fetch(_KNOWN, [tenant.slug for tenant in DEMO_TENANTS])))
        # Until something is booked, a start that was interrupted may have left a tenant half made.
        kept = {} if work.first else known
        tenant_ids = {tenant.slug: kept.get(tenant.slug) or await _make(past, tenant) for tenant in DEMO_TENANTS}
        admin = Caller(tenant_ids["acme"], Role.ADMIN, "key:demo-admin")
        if work.first:
            await _arrange(past, admin)
        await history.play(past, clock, tenant_ids, work.items)
        if work.first:
            await history.raise_alerts(past, clock, now)
        # Its clock goes on, and nothing is to lie ahead.
        clock.now = now - timedelta(seconds=1)
        await asyncio.gather(
            *[cycles.start_cycle(past, tenant_id) for tenant_id in tenant_ids.values()],
            campaigns.enter_spring(past, admin),
            _stop(past, admin, tenant_ids),
        )
        await _store_keys(past, tenant_ids)


async def _make(past: Application, tenant: DemoTenant) -> UUID:
    plan = past.catalog.plan(tenant.region, tenant.plan, past.clock())
    assert plan is not None, f"the catalog has no plan {tenant.plan} in {tenant.region}"
    order = TenantOrder(tenant.slug, tenant.name, plan.region, plan.key, tenant.metered is not None)
    tenant_id = await tenants.set_up(past, order, plan)
    await cycles.start_cycle(past, tenant_id)
    if tenant.metered is not None:
        await wallets.credit(past, tenant_id, METERED_KEY, tenant.metered, LotSource.TOP_UP, "demo:opening")
    return tenant_id


async def _arrange(past: Application, admin: Caller) -> None:
    """What Acme's admin did on the first day: names, budgets, a key of their own."""
    await asyncio.gather(
        *[scopes.name_scope(past, admin, f"demo:name:{key.kind}:{key.id}", key, *said) for key, *said in NAMES],
        *[budgets.set_budget(past, admin, _key_of(budget.key), budget) for budget in BUDGETS],
    )
    if past.settings.own_keys_allowed:
        await provider_keys.set_provider_key(past, admin, *OWN_KEY)


def _key_of(budget: BudgetKey) -> str:
    return f"demo:budget:{budget.scope}:{budget.scope_id}:{budget.period}"


async def _stop(past: Application, admin: Caller, tenant_ids: dict[str, UUID]) -> None:
    """What people have stopped: an agent's work, and a tenant. Once: whoever resumes them finds them so at the next start."""
    role, reason = PAUSED_BY_HAND
    await scopes.pause_scope(past, admin, "demo:pause", role, reason)
    for tenant in DEMO_TENANTS:
        if tenant.suspended:
            operator = Caller(tenant_ids[tenant.slug], Role.OPERATOR, "key:demo-operator")
            await tenants.suspend_tenant(past, operator, "demo:suspend")


async def _store_keys(application: Application, tenant_ids: dict[str, UUID]) -> None:
    """Keys of an earlier secret end here: they carry the same names."""
    now = application.clock()
    tokens = demo_tokens(application.settings)
    hashes = {label: sha256(token.encode()).digest() for label, token in tokens.items()}
    async with application.writers.acquire() as connection, transaction(connection):
        for key in DEMO_KEYS:
            tenant_id = None if key.tenant is None else tenant_ids[key.tenant]
            shown = hint(tokens[key.label])
            await connection.execute(
                _WRITE_KEY, new_id(now), tenant_id, key.name, key.role, hashes[key.label], now, shown
            )
        await connection.execute(_REVOKE_OTHERS, [key.name for key in DEMO_KEYS], list(hashes.values()), now)
