"""What an event tells strangers: no nano-unit leaves the house."""

from typing import Any

import pytest

from domain.books import EventType
from domain.channels import TEST
from domain.event_data import event_data

SCOPE = {"scope": "CAMPAIGN", "scopeId": "spring", "reason": "budget_exhausted", "period": "2026-11"}
TOP_UP = {"topUp": "top_1", "wallet": "metered", "state": "CREDITED", "failure": None}
PAID = ({"amount": 25 * 10**9, "takenBack": 500_000_000}, {"amount": "25", "takenBack": "0.5"})
CALL = {"provider": "openai", "model": "gpt-9", "operation": None}
CYCLE = {"plan": "pro", "start": "2026-11-01T00:00:00+00:00", "end": "2026-12-01T00:00:00+00:00"}
OFF = {"wallet": "metered", "reason": "card_declined", "declines": 3}
ALERT = {"alert": "alt_1", "kind": "budget", "scope": "AGENT", "scopeId": "writer", "action": None, "message": "m"}

# What stays as it is; what was nano-units, and what it becomes.
EVENTS: dict[EventType, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    EventType.SCOPE_PAUSED: (SCOPE, {"cap": 1_000_000}, {"cap": "0.001"}),
    EventType.SCOPE_RESUMED: (SCOPE, {"cap": None}, {"cap": None}),
    EventType.DEBT_REPAID: ({"wallet": "platform"}, {"available": 0}, {"available": "0"}),
    EventType.USAGE_UNPRICED: (CALL, {}, {}),
    EventType.CYCLE_STARTED: (CYCLE, {}, {}),
    EventType.BALANCE_LOW: (
        {"wallet": "metered"},
        {"available": 9_990_000_000, "threshold": 10**10},
        {"available": "9.99", "threshold": "10"},
    ),
    EventType.BALANCE_EMPTY: (
        {"wallet": "metered"},
        {"available": -1, "threshold": 10**10},
        {"available": "-0.000000001", "threshold": "10"},
    ),
    EventType.TOP_UP_CREDITED: (TOP_UP, *PAID),
    EventType.TOP_UP_FAILED: (TOP_UP, *PAID),
    EventType.TOP_UP_NEEDS_ACTION: (TOP_UP, *PAID),
    EventType.TOP_UP_UNMATCHED: (TOP_UP, *PAID),
    EventType.TOP_UP_TAKEN_BACK: (TOP_UP, *PAID),
    EventType.AUTO_RECHARGE_DISABLED: (OFF, {}, {}),
    EventType.ALERT_RAISED: (ALERT, {"threshold": 12_050}, {"threshold": "120.5"}),
}


@pytest.mark.parametrize("kind", EventType)
def test_amounts_are_decimals_and_all_else_stays(kind: EventType) -> None:
    kept, nano, decimals = EVENTS[kind]
    assert event_data(kind, kept | nano) == kept | decimals


def test_a_suspended_tenant_has_no_cap_and_a_test_is_no_event() -> None:
    suspended = {"scope": "TENANT", "scopeId": None, "reason": "tenant_suspended"}
    assert event_data("scope.paused", suspended) == suspended
    assert event_data(TEST, {"message": "It works."}) == {"message": "It works."}
