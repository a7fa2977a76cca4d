"""Channels: where a tenant is told of alerts and events, and when what did not arrive is sent again.

Slack and e-mail bring alerts to people. A webhook brings every event, or those of the types that it names, to programs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from domain import urls
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.books import EventType
from domain.refusals import FieldProblem


class ChannelKind(StrEnum):
    """What a channel is."""

    SLACK = "SLACK"
    EMAIL = "EMAIL"
    WEBHOOK = "WEBHOOK"


class DeliveryState(StrEnum):
    """Where one event's way to one channel stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Notice:
    """What people read."""

    title: str
    body: str


MOST_CHANNELS: Final = 20
MOST_TESTS_AN_HOUR: Final = 20
LONGEST_TARGET: Final = 2_000
# A message that is no event: somebody tries a channel.
TEST: Final = "channel.test"
# From the end of one attempt to the next; after the last one it is given up (the schedule of Standard Webhooks).
BACK_OFF: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)

# Of an incoming webhook: the only Slack URLs that take what is sent here.
_SLACK: Final = re.compile(r"https://hooks\.slack\.com/services/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]+", re.ASCII)
# One plain address: nothing that a mail header could take for a second one.
_EMAIL: Final = re.compile(
    r"(?!.{65,}@)[A-Za-z0-9!#$%&*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}",
    re.ASCII,
)
_RULES: Final = {
    ChannelKind.SLACK: "must be the URL of an incoming webhook: https://hooks.slack.com/services/T.../B.../...",
    ChannelKind.EMAIL: "must be one e-mail address, such as alerts@example.com",
    ChannelKind.WEBHOOK: "must be a URL such as https://example.com/purser, without user, password and "
    "fragment, its port 1 to 65535",
}
_TYPES: Final = tuple(kind.value for kind in EventType)


def problems(
    kind: ChannelKind, name: str, target: str, event_types: Sequence[str], *, local_allowed: bool
) -> tuple[FieldProblem, ...]:
    """What is wrong with a channel. `local_allowed`: webhooks may also be plain http."""
    found: list[FieldProblem] = []
    if not is_identifier(name):
        found.append(FieldProblem("name", IDENTIFIER_RULE))
    if len(target) > LONGEST_TARGET or _form(kind, local_allowed=local_allowed).fullmatch(target) is None:
        found.append(FieldProblem("target", _RULES[kind]))
    if event_types and kind is not ChannelKind.WEBHOOK:
        found.append(FieldProblem("eventTypes", "only a webhook takes other events than alerts: leave it out"))
    elif not set(event_types) <= set(_TYPES) or len(set(event_types)) < len(event_types):
        found.append(FieldProblem("eventTypes", f"each once, and of these: {', '.join(_TYPES)}"))
    return tuple(found)


def hint(kind: ChannelKind, target: str) -> str:
    """So much of a target that its owner knows it again, and nobody else can use it."""
    if kind is ChannelKind.EMAIL:
        name, _, host = target.partition("@")
        return f"{name[0]}...@{host}"
    host = re.split(r"[/?]", target.partition("://")[2], maxsplit=1)[0]
    return f"{host} ...{target[-4:]}" if kind is ChannelKind.SLACK else host


def wants(kind: ChannelKind, event_types: Sequence[str], event_type: str) -> bool:
    """Whether an event goes to a channel; no types: all of them."""
    if kind is not ChannelKind.WEBHOOK:
        return event_type == EventType.ALERT_RAISED
    return not event_types or event_type in event_types


def next_attempt(attempts: int, now: datetime) -> datetime | None:
    """When what did not arrive after so many attempts is sent again; None: it is given up."""
    assert attempts > 0
    return now + BACK_OFF[attempts - 1] if attempts <= len(BACK_OFF) else None


def notice(event_type: str, data: Mapping[str, Any]) -> Notice:
    """An alert, or the message of a test, for people."""
    if event_type == TEST:
        return Notice("Purser: test", str(data["message"]))
    action = data["action"]
    return Notice(f"Purser: {data['kind']}".replace("_", " "), data["message"] + (f"\n{action}" if action else ""))


def _form(kind: ChannelKind, *, local_allowed: bool) -> re.Pattern[str]:
    match kind:
        case ChannelKind.SLACK:
            return _SLACK
        case ChannelKind.EMAIL:
            return _EMAIL
        case ChannelKind.WEBHOOK:
            return urls.form(local_allowed=local_allowed)
        case _ as never:
            assert_never(never)
