"""`kill -9` of the server between Stripe's answer and our commit: the money is credited, and taken once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from infra.services import recharges, settlements, topups
from infra.settings import Settings
from tests.domain.builders import nano, spent
from tests.infra.builders import Clock, audit, balance, open_tenant, reserved
from tests.infra.payments import open_shop
from tests.infra.stand_in import API_KEY, WEBHOOK_SECRET
from tests.servers import Server, data_folder, eventually, started


async def test_a_server_killed_after_the_charge_and_before_our_commit_loses_nothing(
    settings: Settings, database_url: str
) -> None:
    clock = Clock(datetime.now(UTC))
    async with open_shop(settings, database_url, clock) as shop:
        application, stripe = shop.application, shop.stripe
        caller = await open_tenant(application, metered="0")
        await shop.paid(caller, amount=nano("60"))
        await recharges.set_auto_recharge(application, caller, "on", "metered", enabled=True, amount=nano("100"))
        held = await reserved(application, caller, "s", feature="llm_call", cost="10")
        await settlements.consume(application, caller, "s", held.id, None, [spent("10")])
        assert await balance(application, caller, "metered") == ("47", "0", "13")
        victim: list[Server] = []
        confirm = stripe.confirm

        def confirm_and_kill(*asked: Any, **how: Any) -> Any:
            charged = confirm(*asked, **how)
            victim[0].process.kill()
            return charged

        stripe.confirm = confirm_and_kill  # type: ignore[method-assign]
        variables = {
            "DATABASE_URL": database_url,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": shop.rail.url,
        }
        # Its first round of housekeeping finds the wallet below its threshold.
        with data_folder() as folder, started(folder, **variables) as server:
            victim.append(server)
            await asyncio.to_thread(eventually, lambda: server.process.poll() is not None)
        assert len(stripe.captured) == 2
        assert await balance(application, caller, "metered") == ("47", "0", "13")
        shop.advance(600)
        await topups.reconcile(application, clock.now)
        assert await balance(application, caller, "metered") == ("147", "0", "13")
        assert set(await shop.deliver()) == {200}
        assert (await recharges.recharge_due(application, clock.now)).done == 0
        assert await balance(application, caller, "metered") == ("147", "0", "13")
        assert len(stripe.captured) == 2
        await audit(application)
