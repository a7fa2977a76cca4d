"""Reads show what is true now, whatever has been booked by now."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.attribution import Attribution
from domain.budgets import BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.money import NANO
from domain.refusals import BudgetScope
from domain.reservations import Granted
from domain.usage import Usage
from domain.wallets import BalanceStatus, LotSource
from infra.application import Application, open_application
from infra.queries import budgets, ledger_entries, lots, scopes, usage_events, wallets
from infra.queries.budgets import BudgetView
from infra.queries.wallets import WalletView
from infra.services import reservations, settlements
from infra.services.budgets import set_budget, set_default_budget
from infra.services.callers import Caller, Refused
from infra.services.settlements import consume
from infra.services.wallets import adjust_wallet, credit
from infra.settings import Settings
from tests.domain.builders import capped, nano
from tests.infra.builders import OPERATOR, Clock, cap, open_tenant, reserved, wish

pytestmark = pytest.mark.anyio

CAMPAIGN = BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.MONTH)
TENANT = BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH)


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 21, tzinfo=UTC))


@pytest.fixture
async def timed(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    """The application under a clock that the test sets."""
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def wallet(application: Application, caller: Caller, key: str = "credits") -> WalletView:
    (view,) = await wallets.get_many_by_key(application, caller.tenant_id, [key])
    assert view is not None
    return view


async def test_what_has_expired_counts_no_more_although_nobody_booked_it(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="10")
    await adjust_wallet(timed, caller, "a", "credits", nano("5"), "until the end of the cycle")
    await reserved(timed, caller, "r", feature="in_editor_action")
    before = await wallet(timed, caller)
    assert (before.wallet.available, before.wallet.expired) == (nano("14.9"), 0)
    clock.advance(days=30)
    after = await wallet(timed, caller)
    assert (after.wallet.available, after.wallet.expired) == (nano("9.9"), nano("5"))
    assert after.as_of == clock.now
    active = await lots.of_wallet(timed, after.wallet, active_only=True)
    assert [lot.source for lot in active] == [LotSource.TOP_UP]
    every = {lot.source: lot for lot in await lots.of_wallet(timed, after.wallet, active_only=False)}
    assert (every[LotSource.ADJUSTMENT].available, every[LotSource.ADJUSTMENT].expired) == (0, nano("5"))
    assert every[LotSource.ADJUSTMENT].granted == nano("5")


async def test_an_expired_lot_that_still_holds_something_is_active(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="0")
    await adjust_wallet(timed, caller, "a", "credits", nano("5"), "until the end of the cycle")
    await reserved(timed, caller, "r", ttl=7 * 24 * 3600)
    clock.advance(days=10)
    view = await wallet(timed, caller)
    (lot,) = await lots.of_wallet(timed, view.wallet, active_only=True)
    assert (lot.reserved, lot.available, lot.expired) == (nano("2"), 0, nano("3"))


async def test_used_percent_counts_active_lots_used_up_or_not(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="4")
    for number in range(2):
        held = await reserved(timed, caller, f"r{number}")
        assert not isinstance(await consume(timed, caller, f"c{number}", held.id, None, ()), Refused)
    used_up = await wallet(timed, caller)
    assert (used_up.used_percent, used_up.status) == (10_000, BalanceStatus.EXHAUSTED)
    await credit(timed, caller.tenant_id, "credits", nano("1"), LotSource.TOP_UP, "more")
    assert ((await wallet(timed, caller)).used_percent, (await wallet(timed, caller)).status) == (
        8_000,
        BalanceStatus.WARNING,
    )
    await credit(timed, caller.tenant_id, "credits", nano("5"), LotSource.TOP_UP, "still more")
    assert ((await wallet(timed, caller)).used_percent, (await wallet(timed, caller)).status) == (
        4_000,
        BalanceStatus.OK,
    )


async def test_capacity_is_used_by_what_is_taken_and_metered_warns_when_low(timed: Application) -> None:
    caller = await open_tenant(timed, lead_storage="4", metered="49")
    await reserved(timed, caller, "r", feature="store_lead", task="lead-1")
    assert (await wallet(timed, caller, "lead_storage")).used_percent == 2_500
    metered = await wallet(timed, caller, "metered")
    assert (metered.used_percent, metered.status) == (0, BalanceStatus.WARNING)


async def view_of(application: Application, caller: Caller, key: BudgetKey) -> BudgetView:
    (view,) = await budgets.get_many(application, caller.tenant_id, [key])
    assert view is not None
    return view


async def test_a_new_month_shows_capped_budgets_at_zero_and_others_as_they_were(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, credits="100")
    await cap(timed, caller, CAMPAIGN, "1")
    await reserved(timed, caller, "r", attribution=Attribution(campaign="spring"))
    november = await view_of(timed, caller, CAMPAIGN)
    assert (november.counter.key.period_key, november.counter.held) == ("2026-11", nano("0.6"))
    clock.advance(days=15)
    december = await view_of(timed, caller, CAMPAIGN)
    assert (december.counter.key.period_key, december.counter.held) == ("2026-12", 0)
    uncapped = await view_of(timed, caller, TENANT)
    assert (uncapped.counter.key.period_key, uncapped.budget, uncapped.used_percent) == ("2026-11", None, None)


async def test_a_pause_is_shown_while_it_counts(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100", metered="100")
    await cap(timed, caller, CAMPAIGN, "1")
    spring = Attribution(campaign="spring")
    held = await reserved(timed, caller, "r", attribution=spring)
    await settle(timed, caller, held.id, "0.9")
    refused = await reservations.reserve(timed, caller, "r2", wish(attribution=spring))
    assert isinstance(refused, Refused)
    paused = await view_of(timed, caller, CAMPAIGN)
    assert (paused.pause_reason, paused.used_percent) == ("budget_exceeded", 9_000)
    (scope,) = await scopes.get_many(timed, caller.tenant_id, [ScopeKey(ScopeKind.CAMPAIGN, "spring")])
    assert scope is not None
    assert scope.pause_reason == "budget_exceeded"
    clock.advance(days=15)
    assert (await view_of(timed, caller, CAMPAIGN)).pause_reason is None
    assert isinstance(await reservations.reserve(timed, caller, "r2", wish(attribution=spring)), Granted)


async def settle(application: Application, caller: Caller, reservation_id: UUID, cost: str) -> None:
    answer = await settlements.consume(
        application, caller, f"settle {reservation_id}", reservation_id, None, [Usage(cost=nano(cost))]
    )
    assert not isinstance(answer, Refused)


async def test_budgets_are_listed_by_use_with_defaults_of_the_operator(timed: Application) -> None:
    caller = await open_tenant(timed, credits="100", metered="100")
    writer = BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH)
    await set_default_budget(timed, OPERATOR, writer, nano("10"))
    await cap(timed, caller, CAMPAIGN, "1")
    answer = await set_budget(timed, caller, "zero", capped(BudgetKey(BudgetScope.TAG, "a=b", BudgetPeriod.TOTAL), "0"))
    assert not isinstance(answer, Refused)
    held = await reserved(
        timed, caller, "r", cost="0.5", attribution=Attribution(campaign="spring", agent_role="writer")
    )
    await settle(timed, caller, held.id, "0.5")
    listed = await budgets.list_budgets(timed, caller.tenant_id, None, 100)
    shown = [(view.key.scope, view.key.period, view.used_percent) for view in listed]
    assert shown == [
        (BudgetScope.TAG, BudgetPeriod.TOTAL, 10_000),
        (BudgetScope.CAMPAIGN, BudgetPeriod.MONTH, 5_000),
        (BudgetScope.AGENT, BudgetPeriod.MONTH, 500),
        (BudgetScope.CAMPAIGN, BudgetPeriod.TOTAL, None),
        (BudgetScope.TENANT, BudgetPeriod.MONTH, None),
    ]
    high = await budgets.list_budgets(timed, caller.tenant_id, 5_000, 100)
    assert [view.key.scope for view in high] == [BudgetScope.TAG, BudgetScope.CAMPAIGN]
    assert len(await budgets.list_budgets(timed, caller.tenant_id, None, 2)) == 2


async def test_events_are_found_in_their_partitions_by_id(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100")
    held = await reserved(timed, caller, "r", feature="llm_call", cost="1", attribution=Attribution(tags=(("a", "b"),)))
    calls = [Usage(cost=NANO, occurred_at=datetime(year, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)) for year in (2001, 2026)]
    answer = await settlements.consume(timed, caller, "c", held.id, None, calls)
    assert not isinstance(answer, Refused)
    ids = [event.id for event in answer.events]
    nobodys = UUID(int=2**128 - 1)
    found = await usage_events.get_many(timed, caller.tenant_id, [ids[1], nobodys, ids[0]])
    assert [event and event.id for event in found] == [ids[1], None, ids[0]]
    assert found[2] is not None
    assert found[2].attribution.tags == (("a", "b"),)
    assert found[2].charges == answer.events[0].charges


async def test_an_entry_is_found_by_its_number_and_read_as_it_was_written(timed: Application) -> None:
    caller = await open_tenant(timed, credits="10")
    view = await wallet(timed, caller)
    other = UUID(int=9)
    found = await ledger_entries.get_many(
        timed, caller.tenant_id, [(view.wallet.id, 1), (view.wallet.id, 2), (other, 1), (view.wallet.id, 1)]
    )
    assert [entry and entry.sequence for entry in found] == [1, None, None, 1]
    assert found[0] is not None
    assert found[0].hash == view.wallet.head_hash
