"""Tenants as they are read: a cycle that has begun counts, whether a command has granted it yet or not."""

from zoneinfo import ZoneInfo

import pytest

from infra.application import Application
from infra.identifiers import new_id
from infra.queries import tenants as query
from infra.services import cycles, subscriptions
from infra.services.callers import Caller
from tests.infra.builders import Clock, nothing_moves, open_tenant

pytestmark = pytest.mark.anyio


@pytest.fixture
async def acme(timed: Application) -> Caller:
    """A tenant in its first cycle, with a smaller plan, another anchor and another zone to come."""
    caller = await open_tenant(timed)
    await cycles.start_cycle(timed, caller.tenant_id)
    await subscriptions.change_plan(timed, caller, "p", "starter")
    await subscriptions.set_cycle(timed, caller, "c", 15, "Asia/Kolkata")
    return caller


async def test_what_is_to_come_stands_beside_what_holds(timed: Application, acme: Caller) -> None:
    view = await query.get(timed, acme.tenant_id)
    assert view is not None
    tenant = view.tenant
    assert (tenant.plan, tenant.cycle_anchor_day, tenant.zone) == ("professional", 1, ZoneInfo("UTC"))
    assert (tenant.next_plan, tenant.next_anchor_day, tenant.next_zone) == ("starter", 15, ZoneInfo("Asia/Kolkata"))


async def test_a_cycle_that_nobody_has_granted_yet_reads_as_if_it_were(
    timed: Application, clock: Clock, acme: Caller
) -> None:
    clock.advance(days=20)
    async with nothing_moves(timed):
        read = await query.get(timed, acme.tenant_id)
    assert read is not None
    assert (read.tenant.plan, read.tenant.cycle_anchor_day, read.tenant.next_plan) == ("starter", 15, None)
    await cycles.start_cycle(timed, acme.tenant_id)
    granted = await query.get(timed, acme.tenant_id)
    assert granted is not None
    assert granted.tenant.cycle == read.tenant.cycle
    assert granted.tenant == read.tenant


async def test_a_tenant_before_its_first_cycle_is_in_one_all_the_same(timed: Application) -> None:
    caller = await open_tenant(timed)
    view = await query.get(timed, caller.tenant_id)
    assert view is not None
    assert view.tenant.cycle is not None
    assert view.tenant.cycle.start <= timed.clock() < view.tenant.cycle.end


async def test_there_is_no_tenant_of_an_id_that_nobody_has(timed: Application) -> None:
    assert await query.get(timed, new_id()) is None
