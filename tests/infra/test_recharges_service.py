"""Wallets that top themselves up by a kept card, over HTTP with Stripe's stand-in, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from domain.payments import NOTHING_KNOWN, AutoRecharge, PaymentFacts, TopUp, TopUpState
from domain.recharges import RechargeState
from domain.refusals import InvalidInput
from infra.housekeeping import housekeeping
from infra.payments import PaymentsUnavailableError
from infra.services import recharges, settlements, topups
from infra.services.callers import Caller, Refused
from infra.settings import Settings
from infra.stripe_gateway import StripeGateway
from infra.stripe_stand_in.errors import StripeRefusal
from tests.domain.builders import nano, spent
from tests.infra.builders import Clock, audit, balance, count, open_tenant, outbox, reserved
from tests.infra.payments import Shop, open_shop

DECLINED_LATER = "4000000000000341"
NEEDS_OWNER = "4000002760003184"


@pytest.fixture
async def shop(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Shop]:
    async with open_shop(settings, database_url, clock) as opened:
        yield opened
        await audit(opened.application)


@pytest.fixture
async def caller(shop: Shop) -> Caller:
    return await open_tenant(shop.application, metered="0")


async def switched_on(shop: Shop, caller: Caller, card: str = "4242424242424242", **figures: str) -> AutoRecharge:
    """60 dollars on the wallet, a kept card, and a recharge of 100 dollars below 50."""
    top_up = await shop.order(caller, "first", amount=nano("60"))
    shop.pay(top_up, card)
    await shop.deliver()
    return await switch(shop, caller, "on", **{"threshold": "50", "amount": "100", **figures})


async def switch(shop: Shop, caller: Caller, key: str, **figures: str) -> AutoRecharge:
    given: dict[str, Any] = {name: nano(figure) for name, figure in figures.items()}
    answer = await recharges.set_auto_recharge(shop.application, caller, key, "metered", enabled=True, **given)
    assert isinstance(answer, RechargeState), answer
    return answer.recharge


async def spend(shop: Shop, caller: Caller, cost: str, key: str = "spend") -> None:
    """Provider cost of so many dollars; the charge is 1.3 times that."""
    held = await reserved(shop.application, caller, key, feature="llm_call", cost=cost)
    await settlements.consume(shop.application, caller, key, held.id, None, [spent(cost)])


async def due(shop: Shop) -> int:
    """What the safety net does now."""
    return (await recharges.recharge_due(shop.application, shop.clock.now)).done


async def setting(shop: Shop, caller: Caller) -> AutoRecharge:
    row = await shop.application.across_tenants.fetchrow(
        "SELECT wallet_key, enabled, threshold, amount, monthly_limit, in_flight, declines, retry_at, disabled_reason,"
        " month, month_amount FROM auto_recharge WHERE tenant_id = $1",
        caller.tenant_id,
    )
    assert row is not None
    return AutoRecharge(*row)


async def newest(shop: Shop, caller: Caller) -> TopUp:
    identifier = await shop.application.across_tenants.fetchval(
        "SELECT id FROM top_up WHERE tenant_id = $1 AND origin = 'AUTO_RECHARGE' ORDER BY created_at DESC LIMIT 1",
        caller.tenant_id,
    )
    found = await topups.settle(shop.application, caller.tenant_id, identifier, NOTHING_KNOWN)
    assert found is not None
    return found


async def available(shop: Shop, caller: Caller) -> str:
    return (await balance(shop.application, caller, "metered"))[0]


async def told(shop: Shop, caller: Caller) -> list[str]:
    return [kind for kind, _ in await outbox(shop.application, caller)]


async def test_the_commit_that_crosses_the_threshold_recharges(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller)
    async with housekeeping(shop.application):
        await spend(shop, caller, "10")
    assert await available(shop, caller) == "147"
    assert len(shop.stripe.captured) == 2
    assert (await setting(shop, caller)).in_flight is None
    events = await told(shop, caller)
    assert (events.count("wallet.low"), events.count("top_up.credited")) == (1, 2)


async def test_above_the_threshold_nothing_is_ordered(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller)
    assert await due(shop) == 0
    await spend(shop, caller, "1")
    assert await due(shop) == 0
    assert len(shop.stripe.captured) == 1


async def test_however_many_fire_at_once_one_order_is_made(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller)
    await spend(shop, caller, "10")
    application = shop.application
    await asyncio.gather(
        *[recharges.recharge(application, caller.tenant_id) for _ in range(10)],
        *[recharges.recharge_due(application, shop.clock.now) for _ in range(5)],
    )
    assert await available(shop, caller) == "147"
    assert len(shop.stripe.captured) == 2
    await shop.deliver()
    assert await available(shop, caller) == "147"


@pytest.mark.parametrize("swallowed", [2, 4])
async def test_a_retry_after_a_lost_answer_makes_no_second_charge(shop: Shop, caller: Caller, swallowed: int) -> None:
    await switched_on(shop, caller)
    await spend(shop, caller, "10")
    shop.stripe.swallow_answers = swallowed
    for _ in range(swallowed // 2):
        with pytest.raises(PaymentsUnavailableError):
            await recharges.recharge(shop.application, caller.tenant_id)
        shop.advance(600)
        if shop.stripe.swallow_answers:
            assert (await topups.reconcile(shop.application, shop.clock.now)).done == 0
            break
    assert await due(shop) == 0, "one is in flight"
    shop.advance(days=3)
    await topups.reconcile(shop.application, shop.clock.now)
    assert await available(shop, caller) == "147"
    assert len(shop.stripe.captured) == 2
    assert len([intent for intent in shop.stripe.intents.values() if intent["status"] == "succeeded"]) == 2


async def test_a_process_that_dies_between_the_charge_and_our_commit_loses_nothing(
    shop: Shop, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switched_on(shop, caller)
    await spend(shop, caller, "10")
    settle = topups.settle

    async def die(application: Any, tenant_id: Any, top_up_id: Any, facts: Any, url: str | None = None) -> Any:
        if facts.outcome:
            raise SystemError("killed")
        return await settle(application, tenant_id, top_up_id, facts, url)

    monkeypatch.setattr(topups, "settle", die)
    with pytest.raises(SystemError):
        await recharges.recharge(shop.application, caller.tenant_id)
    monkeypatch.undo()
    assert len(shop.stripe.captured) == 2
    assert await available(shop, caller) == "47"
    shop.advance(600)
    await topups.reconcile(shop.application, shop.clock.now)
    await shop.deliver()
    assert await available(shop, caller) == "147"
    assert len(shop.stripe.captured) == 2


async def test_declines_move_the_next_attempt_away_and_at_last_switch_it_off(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller, DECLINED_LATER)
    await spend(shop, caller, "10")
    assert await due(shop) == 1
    first = await setting(shop, caller)
    assert (first.declines, first.retry_at) == (1, shop.clock.now + timedelta(hours=1))
    assert await due(shop) == 0
    shop.advance(3600)
    assert await due(shop) == 1
    assert (await setting(shop, caller)).retry_at == shop.clock.now + timedelta(hours=6)
    shop.advance(6 * 3600)
    assert await due(shop) == 1
    off = await setting(shop, caller)
    assert (off.enabled, off.disabled_reason, off.month_amount) == (False, "generic_decline", 0)
    shop.advance(days=5)
    assert await due(shop) == 0
    assert len(shop.stripe.captured) == 1
    await shop.deliver()
    events = await told(shop, caller)
    assert (events.count("top_up.failed"), events.count("auto_recharge.disabled")) == (3, 1)
    await switch(shop, caller, "again", threshold="50", amount="100")
    assert (await setting(shop, caller)).declines == 0
    assert await due(shop) == 1


async def test_a_card_whose_owner_must_confirm_leads_to_a_page_for_the_same_order(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller, NEEDS_OWNER)
    await spend(shop, caller, "10")
    assert await due(shop) == 1
    waiting = await newest(shop, caller)
    assert (waiting.state, waiting.checkout_url is not None) == (TopUpState.PENDING, True)
    assert "top_up.needs_action" in await told(shop, caller)
    await shop.deliver()
    shop.advance(600)
    await topups.reconcile(shop.application, shop.clock.now)
    assert (await newest(shop, caller)).state is TopUpState.PENDING, "the page is open"
    assert await due(shop) == 0
    with pytest.raises(Exception, match="card"):
        shop.pay(waiting, "4000000000000002")
    await shop.deliver()
    assert (await newest(shop, caller)).state is TopUpState.PENDING, "another card may be tried"
    shop.pay(waiting)
    await shop.deliver()
    assert (await newest(shop, caller)).state is TopUpState.CREDITED
    assert await available(shop, caller) == "147"
    assert len(shop.stripe.captured) == 2
    assert (await setting(shop, caller)).in_flight is None


async def test_a_page_that_is_left_counts_as_a_decline(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller, NEEDS_OWNER)
    await spend(shop, caller, "10")
    await due(shop)
    shop.advance(days=2)
    await topups.reconcile(shop.application, shop.clock.now)
    assert (await newest(shop, caller)).state is TopUpState.EXPIRED
    after = await setting(shop, caller)
    assert (after.in_flight, after.declines) == (None, 1)


async def test_the_months_limit_holds_until_the_next_month(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller, amount="10", monthly_limit="15")
    await spend(shop, caller, "20")
    assert await due(shop) == 1
    assert await due(shop) == 0
    assert await available(shop, caller) == "44"
    shop.advance(days=15)
    assert await due(shop) == 1
    assert await available(shop, caller) == "54"


async def test_it_cannot_be_switched_on_without_a_card_or_with_figures_that_do_not_fit(
    shop: Shop, caller: Caller
) -> None:
    async def problem(key: str, wallet_key: str = "metered", **figures: str) -> str:
        given: dict[str, Any] = {name: nano(figure) for name, figure in figures.items()}
        answer = await recharges.set_auto_recharge(shop.application, caller, key, wallet_key, enabled=True, **given)
        assert isinstance(answer, Refused)
        assert isinstance(answer.refusal, InvalidInput)
        return answer.refusal.fields[0].path

    assert await problem("a", amount="100") == "enabled"
    await shop.paid(caller, amount=nano("10"))
    assert await problem("b") == "amount"
    assert await problem("c", amount="0.5") == "amount"
    assert await problem("d", amount="100", monthly_limit="50") == "monthlyLimit"
    assert await problem("e", amount="100", threshold="-1") == "threshold"
    assert await problem("f", "credits", amount="100") == "walletKey"
    assert await count(shop.application, "auto_recharge") == 0


async def test_switched_on_while_it_is_low_it_fires_at_once(shop: Shop, caller: Caller) -> None:
    await shop.paid(caller, amount=nano("10"))
    async with housekeeping(shop.application):
        await switch(shop, caller, "on", threshold="50", amount="100")
    assert await available(shop, caller) == "110"


async def test_a_card_that_the_rail_no_longer_has_counts_as_a_decline(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller)
    await spend(shop, caller, "10")
    execute = shop.application.writers.execute
    await execute("UPDATE payment_customer SET card_id = 'pm_gone'")
    assert await due(shop) == 1
    after = await setting(shop, caller)
    assert (after.in_flight, after.declines) == (None, 1)
    assert (await newest(shop, caller)).facts.failure == "refused"


async def test_a_rail_that_is_down_leaves_it_to_the_next_round(shop: Shop, caller: Caller) -> None:
    await switched_on(shop, caller)
    shop.stripe.is_unavailable = True
    async with housekeeping(shop.application):
        await spend(shop, caller, "10")
    assert await available(shop, caller) == "47"
    shop.stripe.is_unavailable = False
    shop.advance(600)
    await topups.reconcile(shop.application, shop.clock.now)
    assert await available(shop, caller) == "147"


@pytest.mark.parametrize("reason", ["refunded", "disputed"])
async def test_money_that_goes_back_to_the_payer_is_not_charged_again(shop: Shop, caller: Caller, reason: str) -> None:
    await switched_on(shop, caller)
    (payment,) = shop.stripe.intents
    async with housekeeping(shop.application):
        if reason == "refunded":
            shop.stripe.refund(payment, 4_000)
        else:
            shop.stripe.dispute(payment)
        await shop.deliver()
    assert await due(shop) == 0
    assert len(shop.stripe.captured) == 1
    after = await setting(shop, caller)
    assert (after.enabled, after.disabled_reason) == (False, reason)
    assert "auto_recharge.disabled" in await told(shop, caller)


async def test_late_word_of_an_old_order_does_not_bring_its_card_back(shop: Shop, caller: Caller) -> None:
    old = await shop.order(caller, "old", amount=nano("60"))
    shop.pay(old, DECLINED_LATER)
    await shop.deliver()
    await shop.paid(caller, "new", amount=nano("10"))
    kept = "SELECT card_id FROM payment_customer"
    card = await shop.application.across_tenants.fetchval(kept)
    shop.stripe.refund(str((await shop.look(caller, old)).facts.payment_id), 100)
    await shop.deliver()
    assert await shop.application.across_tenants.fetchval(kept) == card


@pytest.mark.parametrize("lost", [0, 2])
async def test_a_recharge_that_was_interrupted_is_given_up_where_it_is_no_longer_wanted(
    shop: Shop, caller: Caller, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    await switched_on(shop, caller)
    await spend(shop, caller, "10")
    if lost:
        # The payment is made, and our question whether it was taken is not answered.
        monkeypatch.setattr(shop.stripe, "confirm", Mock(side_effect=unavailable()))
    else:
        shop.stripe.is_unavailable = True
    with pytest.raises(PaymentsUnavailableError):
        await recharges.recharge(shop.application, caller.tenant_id)
    shop.stripe.is_unavailable = False
    monkeypatch.undo()
    await recharges.set_auto_recharge(shop.application, caller, "off", "metered", enabled=False)
    shop.advance(5 * 3600)
    await topups.reconcile(shop.application, shop.clock.now)
    given_up = await newest(shop, caller)
    assert (given_up.state, given_up.facts.failure) == (TopUpState.EXPIRED, "withdrawn")
    after = await setting(shop, caller)
    assert (after.in_flight, after.declines, after.month_amount) == (None, 0, 0)
    assert len(shop.stripe.captured) == 1


async def test_an_order_that_gets_no_answer_stands_in_nobodys_way(
    shop: Shop, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = await shop.order(caller, "stuck", amount=nano("25"))
    paid = await shop.order(caller, "paid", amount=nano("30"))
    shop.pay(paid)
    shop.advance(600)
    facts_of = StripeGateway.facts_of

    async def unanswered(gateway: StripeGateway, session_id: str | None, payment_id: str | None) -> PaymentFacts:
        if session_id == stuck.facts.session_id:
            raise PaymentsUnavailableError("no answer")
        return await facts_of(gateway, session_id, payment_id)

    monkeypatch.setattr(StripeGateway, "facts_of", unanswered)
    assert (await topups.reconcile(shop.application, shop.clock.now)).done == 1
    assert (await shop.look(caller, paid)).state is TopUpState.CREDITED
    assert (await shop.look(caller, stuck)).state is TopUpState.PENDING


def unavailable() -> StripeRefusal:
    """What the rail answers while it is down."""
    return StripeRefusal(503, "api_error", "down", was_executed=False)
