"""Which alerts are due, what they say, and what was done."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from domain.alerts import Alert, AlertKind, BudgetState, Payload, WalletState, day_of, due, imbalance, of_event
from domain.books import EventType
from domain.budgets import BudgetKey, BudgetPeriod
from domain.refusals import BudgetScope
from tests.domain.builders import nano

DAY = date(2026, 11, 21)
CAMPAIGN = BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL)
AGENT = BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH)
TENANT = BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH)
TAG = BudgetKey(BudgetScope.TAG, "team=growth", BudgetPeriod.TOTAL)
TOP_UP: Payload = {
    "topUp": "top_1",
    "wallet": "metered",
    "amount": nano("25"),
    "state": "FAILED",
    "failure": "declined",
}


def budget(
    key: BudgetKey,
    spent: str,
    cap: str = "10",
    *,
    name: str | None = None,
    paused: bool = False,
    thresholds: tuple[int, ...] = (8_000, 10_000),
) -> BudgetState:
    return BudgetState(key, name, nano(cap), thresholds, nano(spent), paused)


def only(alerts: tuple[Alert, ...]) -> Alert:
    (alert,) = alerts
    return alert


def test_a_budget_is_told_with_its_level_threshold_figures_and_what_was_done() -> None:
    assert due([budget(CAMPAIGN, "8.5", name="Spring")], [], DAY) == (
        Alert(
            AlertKind.BUDGET,
            BudgetScope.CAMPAIGN,
            "spring",
            8_000,
            DAY,
            "People are told.",
            'Campaign "Spring" is at 85 % of its budget: 8.50 of 10.00 USD.',
        ),
    )


@pytest.mark.parametrize(
    ("state", "threshold", "action", "message"),
    [
        (
            budget(AGENT, "8"),
            8_000,
            "People are told, and a budget notice goes into the agent's next prompts.",
            'Agent role "writer" is at 80 % of its monthly budget: 8.00 of 10.00 USD.',
        ),
        (
            budget(TENANT, "9.999999999", name="Acme"),
            8_000,
            "People are told.",
            'Tenant "Acme" is at 99 % of its monthly budget: 9.999999999 of 10.00 USD.',
        ),
        (
            budget(CAMPAIGN, "10", paused=True),
            10_000,
            "The campaign is paused, its queue drained.",
            'Campaign "spring" is at 100 % of its budget: 10.00 of 10.00 USD.',
        ),
        (
            budget(AGENT, "12.5", paused=True),
            10_000,
            "The agent is paused for the remainder of the month.",
            'Agent role "writer" is at 125 % of its monthly budget: 12.50 of 10.00 USD.',
        ),
        (
            budget(TENANT, "10", name="Acme", paused=True),
            10_000,
            "All agents are paused, their queues drained.",
            'Tenant "Acme" is at 100 % of its monthly budget: 10.00 of 10.00 USD.',
        ),
        (
            budget(TAG, "10"),
            10_000,
            "New work under it is refused.",
            'Tag "team=growth" is at 100 % of its budget: 10.00 of 10.00 USD.',
        ),
        (
            budget(AGENT, "5", thresholds=(5_000, 9_000)),
            5_000,
            "People are told.",
            'Agent role "writer" is at 50 % of its monthly budget: 5.00 of 10.00 USD.',
        ),
        (
            budget(CAMPAIGN, "0.01", "0"),
            10_000,
            "New work under it is refused.",
            'Campaign "spring" is at 100 % of its budget: 0.01 of 0.00 USD.',
        ),
    ],
)
def test_the_action_is_what_is_so(state: BudgetState, threshold: int, action: str, message: str) -> None:
    alert = only(due([state], [], DAY))
    assert (alert.threshold, alert.action, alert.message) == (threshold, action, message)


@pytest.mark.parametrize("state", [budget(CAMPAIGN, "7.999999999"), budget(CAMPAIGN, "10", thresholds=())])
def test_below_the_first_threshold_nobody_is_told(state: BudgetState) -> None:
    assert due([state], [], DAY) == ()


def test_budgets_that_share_scope_and_threshold_are_told_as_one() -> None:
    month = BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.MONTH)
    alerts = due([budget(month, "9"), budget(CAMPAIGN, "8.5"), budget(CAMPAIGN, "10")], [], DAY)
    assert [(alert.threshold, alert.message) for alert in alerts] == [
        (8_000, 'Campaign "spring" is at 90 % of its monthly budget: 9.00 of 10.00 USD.'),
        (10_000, 'Campaign "spring" is at 100 % of its budget: 10.00 of 10.00 USD.'),
    ]


@pytest.mark.parametrize(
    ("state", "threshold", "action", "message"),
    [
        (
            WalletState("credits", nano("240"), nano("300"), nano("60")),
            8_000,
            "People are told.",
            'Wallet "credits" is 80 % used: 240 of 300.',
        ),
        (
            WalletState("credits", nano("300.5"), nano("300"), nano("-0.5")),
            10_000,
            "Work that it pays for is refused until there is more.",
            'Wallet "credits" is 100 % used: 300.5 of 300.',
        ),
    ],
)
def test_credits_are_told_at_80_and_100_percent(state: WalletState, threshold: int, action: str, message: str) -> None:
    assert due([], [state], DAY) == (Alert(AlertKind.CREDITS, None, "credits", threshold, DAY, action, message),)


@pytest.mark.parametrize(
    "state",
    [
        WalletState("credits", nano("239"), nano("300"), nano("61")),
        WalletState("credits", 0, 0, 0),
        WalletState("metered", nano("950"), nano("1000"), nano("50"), nano("50")),
    ],
)
def test_a_wallet_with_enough_is_not_told(state: WalletState) -> None:
    assert due([], [state], DAY) == ()


@pytest.mark.parametrize(
    ("recharges", "action"), [(False, "People are told."), (True, "It recharges itself by the kept card.")]
)
def test_a_low_balance_is_told_with_its_threshold(recharges: bool, action: str) -> None:
    state = WalletState("metered", 0, nano("60"), nano("12.34"), nano("50"), recharges)
    message = 'Wallet "metered" runs low: 12.34 USD are left, its threshold is 50.00 USD.'
    assert due([], [state], DAY) == (Alert(AlertKind.LOW_BALANCE, None, "metered", 0, DAY, action, message),)


@pytest.mark.parametrize(
    ("event_type", "payload", "kind", "about", "message"),
    [
        (
            EventType.TOP_UP_FAILED,
            TOP_UP,
            AlertKind.TOP_UP_FAILED,
            "top_1",
            'A top-up of 25 for wallet "metered" failed: declined.',
        ),
        (
            EventType.TOP_UP_FAILED,
            {**TOP_UP, "failure": None},
            AlertKind.TOP_UP_FAILED,
            "top_1",
            'A top-up of 25 for wallet "metered" failed: no reason was given.',
        ),
        (
            EventType.TOP_UP_NEEDS_ACTION,
            TOP_UP,
            AlertKind.TOP_UP_NEEDS_ACTION,
            "top_1",
            'A top-up of 25 for wallet "metered" must be confirmed by the card\'s owner.',
        ),
        (
            EventType.TOP_UP_UNMATCHED,
            TOP_UP,
            AlertKind.TOP_UP_UNMATCHED,
            "top_1",
            'A top-up of 25 for wallet "metered" was paid, but not as it was ordered.',
        ),
        (
            EventType.AUTO_RECHARGE_DISABLED,
            {"wallet": "metered", "reason": "card_declined", "declines": 3},
            AlertKind.AUTO_RECHARGE_DISABLED,
            "metered",
            'Auto-recharge of wallet "metered" was switched off: card_declined.',
        ),
        (
            EventType.BALANCE_EMPTY,
            {"wallet": "metered", "available": nano("-0.5"), "threshold": nano("50")},
            AlertKind.BALANCE_EMPTY,
            "metered",
            'Wallet "metered" is empty: -0.50 USD are left.',
        ),
        (
            EventType.USAGE_UNPRICED,
            {"provider": "openai", "model": "gpt-9", "operation": None},
            AlertKind.UNPRICED_MODEL,
            "openai gpt-9",
            "There is no price for openai gpt-9: what it cost is not known.",
        ),
    ],
)
def test_some_events_call_for_an_alert(
    event_type: EventType, payload: Payload, kind: AlertKind, about: str, message: str
) -> None:
    alert = of_event(event_type, payload, DAY)
    assert alert is not None
    assert (alert.kind, alert.scope, alert.scope_id, alert.threshold, alert.day) == (kind, None, about, 0, DAY)
    assert alert.message == message
    assert alert.action


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        (EventType.TOP_UP_FAILED, {**TOP_UP, "state": "EXPIRED"}),
        (EventType.TOP_UP_CREDITED, TOP_UP),
        (EventType.ALERT_RAISED, {}),
        ("something.new", {}),
    ],
)
def test_of_other_events_nobody_is_told(event_type: str, payload: Payload) -> None:
    assert of_event(event_type, payload, DAY) is None


def test_an_imbalance_says_where() -> None:
    assert imbalance(["acme credits"], DAY).message == "The audit found books that do not agree: acme credits."
    several = imbalance(["acme credits", "acme metered", "acme tasks"], DAY)
    assert several.message == "The audit found books that do not agree: acme credits and 2 more."
    assert (several.kind, several.scope, several.scope_id) == (AlertKind.LEDGER_IMBALANCE, None, "")


def test_the_day_is_the_tenants() -> None:
    moment = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
    assert day_of(moment, ZoneInfo("UTC")) == date(2026, 11, 21)
    assert day_of(moment, ZoneInfo("Asia/Kolkata")) == date(2026, 11, 22)
