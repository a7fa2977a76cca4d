"""One event as JSON: an object with the fields of the schema's UsageEventInput, and nothing else.

The rules are those of GraphQL: amounts and moments are strings, counts are whole numbers, null stands for what is left
out, an unknown field is refused by its name. What a value may be is for the services to say, as for every event; only
what is far too much of a text or of tags is refused here, so that nobody has to keep it until then.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from domain.attribution import LONGEST_ID, MOST_TAGS, NOBODY, Attribution, camel
from domain.moments import read_moment
from domain.money import read_amount
from domain.prices import Tokens
from domain.refusals import FieldProblem
from domain.usage import Usage, UsageKind
from infra.services.usage import ReportedUsage
from infra.services.usage_intake import Unreadable

# Every field at its longest, each character escaped, is shorter.
LONGEST_LINE: Final = 100_000
MOST_PROBLEMS: Final = 10
REQUIRED: Final = ("source", "eventId", "kind", "usage")

_LONGEST_NAME: Final = 80
_TOO_LONG: Final = f"must have at most {LONGEST_ID} characters"

# A field's name in our own types, and how its value is read.
Field = tuple[str, Callable[[object], object]]


class FieldError(ValueError):
    """A field's value has the wrong form; the message says which one it must have."""


def read_line(line: bytes) -> ReportedUsage | Unreadable:
    """The event of a line, or what is wrong with the line."""
    if len(line) > LONGEST_LINE:
        return Unreadable("", (FieldProblem("line", f"must have at most {LONGEST_LINE} bytes"),))
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        problem = FieldProblem("line", f"is no valid JSON: {error.msg} at character {error.pos + 1}")
        return Unreadable("", (problem,))
    return read_event(value)


def read_event(value: object) -> ReportedUsage | Unreadable:
    """The event that a JSON value stands for, or what is wrong with it."""
    if not isinstance(value, dict):
        return Unreadable(
            "", (FieldProblem("line", 'must be a JSON object: {"source": "...", "eventId": "...", ...}'),)
        )
    problems: list[FieldProblem] = []
    event = _fields(value, "", _EVENT, problems)
    facts = _fields(event.get("usage", {}), "usage", _USAGE, problems)
    given = event.get("attribution")
    whom = {} if given is None else _fields(given, "attribution", _ATTRIBUTION, problems)
    if "tags" in whom:
        whom["tags"] = _tags(whom["tags"], problems)
    problems.extend([FieldProblem(name, "is required") for name in REQUIRED if value.get(name) is None])
    if problems:
        event_id = value.get("eventId")
        return Unreadable(event_id if isinstance(event_id, str) else "", tuple(problems[:MOST_PROBLEMS]))
    tokens = {name: facts.pop(name) for name in _TOKENS if name in facts}
    if tokens:
        facts["tokens"] = Tokens(**tokens)
    facts["source"], facts["event_id"], facts["kind"] = event["source"], event["event_id"], event["kind"]
    attribution = Attribution(**whom) if whom else NOBODY
    return ReportedUsage(Usage(**facts), event.get("feature"), event.get("reservation_id"), attribution)


def _fields(given: object, path: str, readers: Mapping[str, Field], problems: list[FieldProblem]) -> dict[str, Any]:
    """The fields of an object that are not null, under our own names, each by its reader."""
    if not isinstance(given, dict):
        problems.append(FieldProblem(path, "must be a JSON object"))
        return {}
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = readers.get(name)
        if field is None:
            problems.append(FieldProblem(_below(path, name[:_LONGEST_NAME]), "there is no such field"))
        elif value is not None:
            try:
                found[field[0]] = field[1](value)
            except ValueError as error:
                problems.append(FieldProblem(_below(path, name), str(error)))
        if len(problems) >= MOST_PROBLEMS:
            break
    return found


def _tags(given: list[object], problems: list[FieldProblem]) -> tuple[tuple[str, str], ...]:
    """Labels in the order in which they are kept."""
    if len(given) > MOST_TAGS:
        problems.append(FieldProblem("attribution.tags", f"at most {MOST_TAGS} tags"))
        return ()
    tags: list[tuple[str, str]] = []
    for tag in given:
        if isinstance(tag, dict) and len(tag) == 2:
            key, value = tag.get("key"), tag.get("value")
            if isinstance(key, str) and isinstance(value, str):
                if max(len(key), len(value)) > LONGEST_ID:
                    problems.append(FieldProblem("attribution.tags", _TOO_LONG))
                    break
                tags.append((key, value))
                continue
        problems.append(FieldProblem("attribution.tags", 'each is {"key": "...", "value": "..."}'))
        break
    return tuple(sorted(tags))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FieldError("must be a string")
    if len(value) > LONGEST_ID:
        raise FieldError(_TOO_LONG)
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldError("must be a whole number, such as 12 (a JSON number without a fraction)")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise FieldError("must be true or false")
    return value


def _kind(value: object) -> UsageKind:
    if not isinstance(value, str) or value not in UsageKind.__members__:
        raise FieldError(f"must be one of {', '.join(UsageKind)}")
    return UsageKind(value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise FieldError("must be a list")
    return value


def _anything(value: object) -> object:
    return value


_TOKENS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
_EVENT: Final[dict[str, Field]] = {
    "source": ("source", _text),
    "eventId": ("event_id", _text),
    "kind": ("kind", _kind),
    "feature": ("feature", _text),
    "reservationId": ("reservation_id", _text),
    "attribution": ("attribution", _anything),
    "usage": ("usage", _anything),
}
_ATTRIBUTION: Final[dict[str, Field]] = {
    camel(name): (name, _list if name == "tags" else _text) for name in Attribution._fields
}
_USAGE: Final[dict[str, Field]] = {
    "source": ("source", _text),
    "eventId": ("event_id", _text),
    "ownKey": ("own_key", _flag),
    "kind": ("kind", _kind),
    "provider": ("provider", _text),
    "model": ("model", _text),
    "operation": ("operation", _text),
    "calls": ("calls", _count),
    **{f"{camel(name)}Tokens": (name, _count) for name in _TOKENS},
    "units": ("units", read_amount),
    "results": ("results", _count),
    "costUsd": ("cost", read_amount),
    "durationMs": ("duration_ms", _count),
    "success": ("success", _flag),
    "promptHash": ("prompt_hash", _text),
    "responseHash": ("response_hash", _text),
    "traceId": ("trace_id", _text),
    "occurredAt": ("occurred_at", read_moment),
}
