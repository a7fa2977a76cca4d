"""What was allocated before there were cycles: the running cycle counts as granted, and the next one follows it."""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final

import asyncpg

from domain.wallets import LotSource
from infra.application import Application
from infra.services import cycles, tenants, wallets
from infra.services.callers import Caller, Role
from infra.services.tenants import TenantOrder
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance

MIGRATION: Final[Any] = import_module("infra.migrations.purser_2026_11_21t09_00_00_000000")
# November in Calcutta, as the allocations of then had it.
START: Final = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
END: Final = datetime(2026, 11, 30, 18, 30, tzinfo=UTC)


async def allocated(application: Application) -> Caller:
    """A tenant as it was left by the schema before."""
    plan = application.catalog.plan("india", "starter", application.clock())
    assert plan is not None
    order = TenantOrder("acme", "Acme", "india", "starter", metered=False, time_zone="Asia/Kolkata")
    tenant_id = await tenants.set_up(application, order, plan)
    for key, amount in plan.allocations:
        lasting = key in ("lead_storage", "email_accounts")
        reference = "plan:starter" if lasting else f"plan:starter:{START.isoformat()}"
        await wallets.credit(application, tenant_id, key, amount, LotSource.PLAN, reference, None if lasting else END)
    return Caller(tenant_id, Role.ADMIN, "key:test")


async def test_a_running_cycle_is_not_granted_again_and_the_next_one_is(
    timed: Application, clock: Clock, database_url: str
) -> None:
    caller = await allocated(timed)
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(MIGRATION.CARRIED_OVER)
    finally:
        await owner.close()
    assert (await cycles.start_due(timed, clock.now)).done == 0
    tenant = await cycles.start_cycle(timed, caller.tenant_id)
    assert tenant.cycle == (START, END)
    assert (await balance(timed, caller, "credits"))[0] == "100"
    await audit(timed)
    clock.now = END
    assert (await cycles.start_due(timed, clock.now)).done == 1
    assert (await balance(timed, caller, "credits"))[0] == "100"
    assert (await balance(timed, caller, "lead_storage"))[0] == "25000", "a ceiling is no monthly grant"
    rows = await timed.across_tenants.fetch(
        "SELECT cycle_start, amount FROM allocation WHERE wallet_key = 'credits' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [(START, nano("100")), (END, nano("100"))]
    await audit(timed)
