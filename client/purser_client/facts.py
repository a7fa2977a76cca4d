"""Facts: what a worker says of its work and of the calls that it made, and how that is written for the server.

Names and types are checked here, where the worker's mistake is: a settlement that the server cannot read would help nobody.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, TypedDict
from uuid import uuid4

Amount = Decimal | int | str
Wire = dict[str, Any]
SOURCE: Final = "purser-client"


class Attribution(TypedDict, total=False):
    """For whom and for what: ids of your own."""

    project: str
    research: str
    campaign: str
    account: str
    client: str
    agent_role: str
    session: str
    task_run: str
    tags: Mapping[str, str]


class Usage(TypedDict, total=False):
    """One call that was made.

    Token classes are disjoint: input excludes cached, output excludes reasoning. `cost_usd`: what the provider says that it
    charged, else the price list is asked. `source` and `event_id` name the call for ever, so that it counts once however
    often it is recorded: give the provider's request id if there is one.
    """

    kind: str
    provider: str
    model: str
    operation: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    units: Amount
    results: int
    cost_usd: Amount
    duration_ms: int
    success: bool
    own_key: bool
    prompt_hash: str
    response_hash: str
    trace_id: str
    source: str
    event_id: str
    occurred_at: datetime


_COUNTS: Final = frozenset(
    [
        "calls",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "results",
        "duration_ms",
    ]
)
_AMOUNTS: Final = frozenset(("units", "cost_usd"))
_FLAGS: Final = frozenset(("success", "own_key"))
_KINDS: Final = ("LLM", "TOOL", "API", "DATA_QUERY")
_HASHES: Final = frozenset(("prompt_hash", "response_hash"))
_LONGEST: Final = 200
_MOST_COUNT: Final = 10**9
_MOST_AMOUNT: Final = 10**9
_MOST_COST_USD: Final = 10**6
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_SHA_256: Final = re.compile(r"[0-9a-f]{64}")
_PLAIN: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
_NANO: Final = Decimal("0.000000001")


def event(facts: Mapping[str, Any], now: datetime) -> Wire:
    """A call as `recordUsage` takes it. Raises TypeError or ValueError for a fact that there is not, or that cannot be: here
    the worker's mistake can be found, at its settlement it could not."""
    _check_names(facts, Usage)
    usage = {camel(name): _fact(name, value, now) for name, value in facts.items() if value is not None}
    named = {"source": usage.pop("source", SOURCE), "eventId": usage.pop("eventId", uuid4().hex)}
    return {**named, "kind": usage.pop("kind", "LLM"), "usage": {"occurredAt": now.isoformat(), **usage}}


def call(recorded: Wire) -> Wire:
    """The same call as `consume` takes it."""
    return {**recorded["usage"], **{name: recorded[name] for name in ("source", "eventId", "kind")}}


def attribution(given: Mapping[str, Any]) -> Wire:
    """An attribution as the server takes it. Raises TypeError or ValueError as `event` does."""
    _check_names(given, Attribution)
    tags = [
        {"key": text("tags", key), "value": text("tags", value)} for key, value in (given.get("tags") or {}).items()
    ]
    wire: Wire = {
        camel(name): text(name, value) for name, value in given.items() if value is not None and name != "tags"
    }
    return {**wire, "tags": tags} if tags else wire


def amount(name: str, value: Amount, *, rounded_up: bool = False, most: int = _MOST_AMOUNT) -> str:
    """A plain decimal of at most nine digits after the point. Floats are refused: they are not what they look like.
    `rounded_up`: a Decimal with more digits is rounded up to nine, as Purser rounds what a call costs."""
    if isinstance(value, bool | float) or not isinstance(value, Decimal | int | str):
        raise TypeError(f"{name}: give a Decimal, a whole number or text such as '0.25', not {type(value).__name__}")
    if isinstance(value, Decimal) and value.is_finite() and rounded_up and value <= most:
        value = value.quantize(_NANO, ROUND_CEILING)
    plain = format(value, "f") if isinstance(value, Decimal) else str(value)
    if _PLAIN.fullmatch(plain) is None or Decimal(plain) > most:
        raise ValueError(
            f"{name}: must be a plain decimal from 0 to {most}, with at most nine digits after the point, not {plain[:40]!r}"
        )
    return plain


def camel(name: str) -> str:
    """A field's name as the server writes it."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def snake(name: str) -> str:
    """A field's name as Python writes it."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _check_names(given: Mapping[str, Any], known: type) -> None:
    unknown = given.keys() - known.__annotations__.keys()
    if unknown:
        names = ", ".join(sorted(known.__annotations__))
        raise TypeError(f"there is no {', '.join(sorted(unknown))}: {known.__name__.lower()} has {names}")


def _fact(name: str, value: Any, now: datetime) -> Any:
    if name in _AMOUNTS:
        return amount(name, value, rounded_up=True, most=_MOST_COST_USD if name == "cost_usd" else _MOST_AMOUNT)
    if name == "occurred_at":
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise TypeError("occurred_at: give a datetime with a time zone")
        if value < _EARLIEST:
            raise ValueError("occurred_at: must not lie before the year 2000")
        return min(value, now).isoformat()
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise TypeError(f"{name}: give True or False, not {type(value).__name__}")
        return value
    if name in _COUNTS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: give a whole number, not {type(value).__name__}")
        if not 0 <= value <= _MOST_COUNT:
            raise ValueError(f"{name}: must be 0 to {_MOST_COUNT}")
        return value
    if name == "kind" and value not in _KINDS:
        raise ValueError(f"kind: must be one of {', '.join(_KINDS)}")
    if name in _HASHES and _SHA_256.fullmatch(str(value)) is None:
        raise ValueError(f"{name}: must be a SHA-256 in lower-case hexadecimal")
    return text(name, value)


def text(name: str, value: Any) -> str:
    """An id or a name, as it is. Raises TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: give text, not {type(value).__name__}")
    if not (0 < len(value) <= _LONGEST and value.isprintable() and value == value.strip()):
        raise ValueError(f"{name}: must be 1 to {_LONGEST} characters without control characters or blanks at the ends")
    return value
