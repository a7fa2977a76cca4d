"""Recharges as they are read: what was ordered counts in the tenant's own month."""

from datetime import UTC, datetime

import pytest

from infra.application import Application
from infra.queries import recharges as query
from tests.infra.builders import Clock, open_tenant

pytestmark = pytest.mark.anyio

RECHARGE = """
INSERT INTO auto_recharge (tenant_id, wallet_key, enabled, threshold, amount, declines, month, month_amount)
VALUES ($1, 'metered', true, 50, 25, 0, '2026-11', 75)"""


async def test_the_orders_of_an_earlier_month_count_no_more(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, time_zone="Asia/Kolkata", metered="5")
    await timed.writers.execute(RECHARGE, caller.tenant_id)
    clock.now = datetime(2026, 11, 30, 18, 29, 59, tzinfo=UTC)
    november, none = await query.get_many(timed, caller.tenant_id, ["metered", "credits"])
    assert november is not None
    assert (november.month_ordered, november.threshold, november.amount) == (75, 50, 25)
    assert none is None
    clock.advance(1)
    (december,) = await query.get_many(timed, caller.tenant_id, ["metered"])
    assert december is not None
    assert december.month_ordered == 0


async def test_a_tenant_sees_its_own_recharges_alone(timed: Application) -> None:
    acme, globex = await open_tenant(timed, metered="5"), await open_tenant(timed, "globex", metered="5")
    await timed.writers.execute(RECHARGE, acme.tenant_id)
    assert await query.get_many(timed, globex.tenant_id, ["metered"]) == [None]
