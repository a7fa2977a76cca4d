"""Event data: what an event tells strangers. Inside, amounts are nano-units; outside, decimals in strings, as in the API."""

from collections.abc import Mapping
from typing import Any, Final

from domain.books import EventType
from domain.money import NANO, format_amount

_TOP_UP: Final = ("amount", "takenBack")
_BALANCE: Final = ("available", "threshold")
_SCOPE: Final = ("cap",)
_AMOUNTS: Final[dict[str, tuple[str, ...]]] = {
    EventType.SCOPE_PAUSED: _SCOPE,
    EventType.SCOPE_RESUMED: _SCOPE,
    EventType.DEBT_REPAID: _BALANCE,
    EventType.BALANCE_LOW: _BALANCE,
    EventType.BALANCE_EMPTY: _BALANCE,
    EventType.TOP_UP_CREDITED: _TOP_UP,
    EventType.TOP_UP_FAILED: _TOP_UP,
    EventType.TOP_UP_NEEDS_ACTION: _TOP_UP,
    EventType.TOP_UP_UNMATCHED: _TOP_UP,
    EventType.TOP_UP_TAKEN_BACK: _TOP_UP,
}
# Hundredths of a percent.
_PERCENTS: Final[dict[str, tuple[str, ...]]] = {EventType.ALERT_RAISED: ("threshold",)}


def event_data(event_type: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """An event's payload for those outside: amounts and percents become decimals such as "0.25"; counts, texts and what is
    not there stay as they are, and so does what is no event, as the message of a test."""
    told = dict(payload)
    for names, unit in ((_AMOUNTS.get(event_type, ()), 1), (_PERCENTS.get(event_type, ()), NANO // 100)):
        for name in names:
            if told.get(name) is not None:
                told[name] = format_amount(told[name] * unit)
    return told
