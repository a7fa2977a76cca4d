"""Alerts: raised by what is so in the books, once per scope, threshold and day, however many check at once."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from domain.alerts import Alert, AlertKind
from domain.attribution import Attribution
from domain.audit import Finding, FindingKind
from domain.budgets import BudgetKey, BudgetPeriod, ScopeKey, ScopeKind
from domain.refusals import BudgetScope
from domain.wallets import LotSource
from infra.application import Application
from infra.identifiers import new_id
from infra.queries import alerts as query
from infra.services import alerts, budgets, scopes, usage, wallets
from infra.services.callers import Caller
from infra.services.progress import Progress
from infra.services.usage import ReportedUsage
from tests.domain.builders import agent_month, campaign_total, nano
from tests.infra.builders import OPERATOR, Clock, cap, count, nothing_moves, open_tenant, outbox, reported

pytestmark = pytest.mark.anyio

SPRING = Attribution(campaign="spring", agent_role="writer")


async def spend(application: Application, caller: Caller, event_id: str, cost: str, by: Attribution = SPRING) -> None:
    """Provider cost that counts in budgets and is charged to nobody."""
    report = await usage.record_usage(application, caller, [ReportedUsage(reported(event_id, cost), attribution=by)])
    assert report.accepted == 1


async def told(application: Application, caller: Caller, kind: AlertKind = AlertKind.BUDGET) -> list[Alert]:
    """The tenant's alerts of a kind, oldest first."""
    page = await query.page(application, caller.tenant_id, 100, None, [kind])
    return [raised.alert for raised in reversed(page.alerts)]


async def test_a_budget_is_told_once_a_day_with_its_event(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed, metered="1000")
    await cap(timed, acme, campaign_total("spring"), "10")
    await spend(timed, acme, "1", "8.5")
    assert await alerts.check_alerts(timed, clock.now) == Progress(1)
    (alert,) = await told(timed, acme)
    assert alert == Alert(
        AlertKind.BUDGET,
        BudgetScope.CAMPAIGN,
        "spring",
        8_000,
        clock.now.date(),
        "People are told.",
        'Campaign "spring" is at 85 % of its budget: 8.50 of 10.00 USD.',
    )
    ((_, payload),) = [event for event in await outbox(timed, acme) if event[0] == "alert.raised"]
    (raised,) = (await query.page(timed, acme.tenant_id, 1, None)).alerts
    assert payload == {
        "alert": f"alt_{raised.id.hex}",
        "kind": "budget",
        "scope": "CAMPAIGN",
        "scopeId": "spring",
        "threshold": 8_000,
        "action": "People are told.",
        "message": alert.message,
    }
    async with nothing_moves(timed):
        clock.advance(hours(1))
        assert await alerts.check_alerts(timed, clock.now) == Progress(0)
    clock.advance(days=1)
    assert await alerts.check_alerts(timed, clock.now) == Progress(1)
    assert [found.day for found in await told(timed, acme)] == [alert.day, clock.now.date()]


def hours(number: int) -> float:
    return timedelta(hours=number).total_seconds()


async def test_many_checkers_at_once_tell_everything_once(
    application: Application, second_application: Application
) -> None:
    tenants = [await open_tenant(application, f"tenant-{number}", metered="20") for number in range(5)]
    for caller in tenants:
        await cap(application, caller, campaign_total("spring"), "10")
        await cap(application, caller, agent_month("writer"), "10", "c")
        await spend(application, caller, "1", "10")
    now = application.clock()
    checks = [alerts.check_alerts((application, second_application)[number % 2], now) for number in range(12)]
    assert sum([progress.done for progress in await asyncio.gather(*checks)]) == 5 * 3
    assert await count(application, "alert") == await count(application, "outbox", "type = 'alert.raised'") == 15
    for caller in tenants:
        assert {(alert.scope, alert.threshold) for alert in await told(application, caller)} == {
            (BudgetScope.CAMPAIGN, 10_000),
            (BudgetScope.AGENT, 10_000),
        }
        assert [alert.scope_id for alert in await told(application, caller, AlertKind.LOW_BALANCE)] == ["metered"]


async def test_who_passes_both_thresholds_in_a_day_hears_twice_and_who_jumps_hears_of_the_higher(
    timed: Application, clock: Clock
) -> None:
    acme = await open_tenant(timed)
    await cap(timed, acme, campaign_total("spring"), "10")
    await spend(timed, acme, "1", "8")
    await alerts.check_alerts(timed, clock.now)
    clock.advance(1)
    await spend(timed, acme, "2", "2")
    await alerts.check_alerts(timed, clock.now)
    assert [(alert.threshold, alert.action) for alert in await told(timed, acme)] == [
        (8_000, "People are told."),
        (10_000, "The campaign is paused, its queue drained."),
    ]
    globex = await open_tenant(timed, "globex")
    await cap(timed, globex, agent_month("writer"), "10")
    await spend(timed, globex, "1", "11")
    await alerts.check_alerts(timed, clock.now)
    assert [(alert.threshold, alert.action) for alert in await told(timed, globex)] == [
        (10_000, "The agent is paused for the remainder of the month.")
    ]


async def test_budgets_are_told_by_the_operators_default_and_only_in_their_current_month(
    timed: Application, clock: Clock
) -> None:
    acme = await open_tenant(timed)
    await budgets.set_default_budget(timed, OPERATOR, agent_month("writer"), nano("10"))
    await spend(timed, acme, "1", "9")
    await alerts.check_alerts(timed, clock.now)
    ((scope_id, action),) = [(alert.scope_id, alert.action) for alert in await told(timed, acme)]
    assert (scope_id, action) == (
        "writer",
        "People are told, and a budget notice goes into the agent's next prompts.",
    )
    clock.advance(days=32)
    assert (await alerts.check_alerts(timed, clock.now)).done == 0
    clock.advance(days=-32)
    await cap(timed, acme, agent_month("writer"), "100")
    clock.advance(days=1)
    assert (await alerts.check_alerts(timed, clock.now)).done == 0, "the tenant's own cap has room"


async def test_the_tenants_and_a_tags_budget_are_told_and_a_tasks_is_not(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed)
    month = BudgetPeriod.MONTH
    await cap(timed, acme, BudgetKey(BudgetScope.TENANT, "", month), "10", "1")
    await cap(timed, acme, BudgetKey(BudgetScope.TAG, "team=growth", month), "10", "2")
    await cap(timed, acme, BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.TASK), "1", "3")
    await spend(timed, acme, "1", "8", Attribution(agent_role="writer", tags=(("team", "growth"),)))
    await alerts.check_alerts(timed, clock.now)
    assert {alert.message for alert in await told(timed, acme)} == {
        'Tenant "acme" is at 80 % of its monthly budget: 8.00 of 10.00 USD.',
        'Tag "team=growth" is at 80 % of its monthly budget: 8.00 of 10.00 USD.',
    }


async def test_of_a_scope_that_is_out_of_use_nobody_is_told(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed)
    await cap(timed, acme, campaign_total("spring"), "10")
    await spend(timed, acme, "1", "9")
    await scopes.deactivate_scope(timed, acme, "d", ScopeKey(ScopeKind.CAMPAIGN, "spring"), "over")
    assert (await alerts.check_alerts(timed, clock.now)).done == 0


async def test_credits_are_told_by_the_lots_that_are_active(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed)
    await wallets.credit(timed, acme.tenant_id, "credits", nano("10"), LotSource.ADJUSTMENT, "opening")
    await timed.writers.execute(
        "UPDATE lot SET consumed = 80 * granted / 100, available = available - 80 * granted / 100, expires_at = $1",
        clock.now + timedelta(days=30),
    )
    await alerts.check_alerts(timed, clock.now)
    (alert,) = await told(timed, acme, AlertKind.CREDITS)
    assert (alert.scope, alert.scope_id, alert.threshold) == (None, "credits", 8_000)
    assert alert.message.startswith('Wallet "credits" is 80 % used: ')
    clock.advance(days=40)
    assert (await alerts.check_alerts(timed, clock.now)).done == 0, "those have expired"


async def test_a_prepaid_balance_is_told_under_its_threshold_once_it_has_held_something(
    timed: Application, clock: Clock
) -> None:
    acme = await open_tenant(timed, metered="49.99")
    globex = await open_tenant(timed, "globex", metered="50")
    fresh = await open_tenant(timed, "fresh", metered="0")
    await alerts.check_alerts(timed, clock.now)
    (alert,) = await told(timed, acme, AlertKind.LOW_BALANCE)
    assert alert.message == 'Wallet "metered" runs low: 49.99 USD are left, its threshold is 50.00 USD.'
    for caller in (globex, fresh):
        assert await told(timed, caller, AlertKind.LOW_BALANCE) == []


async def test_the_day_is_the_tenants_own(timed: Application, clock: Clock) -> None:
    clock.now = clock.now.replace(hour=18, minute=0)
    kolkata = await open_tenant(timed, "kolkata", time_zone="Asia/Kolkata", metered="1")
    utc = await open_tenant(timed, "utc", metered="1")
    assert (await alerts.check_alerts(timed, clock.now)).done == 2
    clock.advance(hours(1))
    assert (await alerts.check_alerts(timed, clock.now)).done == 1, "midnight has passed in Kolkata"
    assert len(await told(timed, kolkata, AlertKind.LOW_BALANCE)) == 2
    assert len(await told(timed, utc, AlertKind.LOW_BALANCE)) == 1


async def test_what_is_out_of_balance_is_told_once_a_day(timed: Application, clock: Clock) -> None:
    acme = await open_tenant(timed)
    findings = [Finding(FindingKind.WALLET_LOTS, "acme credits", ()), Finding(FindingKind.TASK, "acme task", ())]
    assert await alerts.raise_imbalance(timed, acme.tenant_id, findings)
    assert not await alerts.raise_imbalance(timed, acme.tenant_id, findings)
    clock.advance(days=1)
    assert await alerts.raise_imbalance(timed, acme.tenant_id, findings)
    assert [alert.kind for alert in await told(timed, acme, AlertKind.LEDGER_IMBALANCE)] == [
        AlertKind.LEDGER_IMBALANCE
    ] * 2


async def test_a_check_stops_when_its_time_is_up_and_closed_tenants_are_left_alone(
    timed: Application, clock: Clock
) -> None:
    acme = await open_tenant(timed, metered="1")
    assert await alerts.check_alerts(timed, clock.now, stop_at=clock.now) == Progress(0, complete=False)
    await timed.writers.execute("UPDATE tenant SET status = 'CLOSED' WHERE id = $1", acme.tenant_id)
    assert await alerts.check_alerts(timed, clock.now) == Progress(0)


async def test_an_alert_and_its_event_are_written_together_or_not_at_all(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "_RAISE", alerts._RAISE.replace("SELECT id, pg_notify", "SELECT 1 / 0, pg_notify"))
    alert = Alert(AlertKind.LOW_BALANCE, None, "x", 0, application.clock().date(), None, "m")
    async with nothing_moves(application):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await alerts.raise_alert(application, caller.tenant_id, alert)
    monkeypatch.undo()
    assert await alerts.raise_alert(application, caller.tenant_id, alert)


async def test_alerts_are_read_in_pages_and_by_id_by_their_tenant_alone(application: Application) -> None:
    acme = await open_tenant(application)
    globex = await open_tenant(application, "globex")
    today = application.clock().date()
    for number in range(3):
        kind = AlertKind.LOW_BALANCE if number else AlertKind.CREDITS
        alert = Alert(kind, None, f"{number}", 0, today, None, "m")
        assert await alerts.raise_alert(application, acme.tenant_id, alert)
        await asyncio.sleep(0.002)
    first = await query.page(application, acme.tenant_id, 2, None)
    assert [raised.alert.scope_id for raised in first.alerts] == ["2", "1"]
    assert (first.has_next, first.has_previous) == (True, False)
    rest = await query.page(application, acme.tenant_id, 2, first.alerts[-1].id)
    assert [raised.alert.scope_id for raised in rest.alerts] == ["0"]
    assert (rest.has_next, rest.has_previous) == (False, True)
    of_kind = await query.page(application, acme.tenant_id, 5, None, [AlertKind.CREDITS])
    assert [raised.id for raised in of_kind.alerts] == [rest.alerts[0].id]
    asked = [rest.alerts[0].id, new_id()]
    assert await query.get_many(application, acme.tenant_id, asked) == [rest.alerts[0], None]
    assert await query.get_many(application, globex.tenant_id, asked) == [None, None]
    assert (await query.page(application, globex.tenant_id, 2, None)).alerts == ()
