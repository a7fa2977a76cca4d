"""Events on the bus: rows of the outbox as Amazon EventBridge takes them.

`DetailType` is the event's type, so that rules can choose by it; the detail carries the event's id, by which consumers drop
what comes twice. boto3 blocks, so it runs in a thread.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, Protocol
from uuid import UUID

import orjson

from domain import ids
from infra.settings import Settings, SettingsError

SOURCE: Final = "purser"
MOST_ENTRIES: Final = 10
MOST_BYTES: Final = 256 * 1024
# What EventBridge counts for the time of an entry, and room for what it may add to its reckoning.
BYTES_BESIDE: Final = 14 + 50

_log: Final = logging.getLogger(__name__)


class EventsUnavailableError(RuntimeError):
    """The bus did not answer, or refused the whole call; what was sent may have arrived."""


@dataclass(frozen=True, slots=True)
class Message:
    """A row of the outbox. `data` is what it tells, as JSON; amounts in it are decimals."""

    tenant_id: UUID
    id: UUID
    type: str
    data: bytes
    at: datetime


class EventBus(Protocol):
    """Takes messages."""

    async def put(self, messages: Sequence[Message]) -> list[bool]:
        """Which of them it has taken, in their order; at most MOST_ENTRIES and MOST_BYTES at once (`chunks`). Raises
        EventsUnavailableError."""


class EventBridge:
    """A bus of Amazon EventBridge, by its name or ARN, in the region and by the credentials of the environment."""

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._client: Any = None

    async def put(self, messages: Sequence[Message]) -> list[bool]:
        entries = [self._entry(message) for message in messages]
        return await asyncio.to_thread(self._put, entries)

    def _put(self, entries: list[dict[str, Any]]) -> list[bool]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._opened().put_events(Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise EventsUnavailableError(f"EventBridge did not take events for {self._bus}: {error}") from error
        results = answer["Entries"]
        assert len(results) == len(entries), "an answer for each entry"
        for code in sorted({result["ErrorCode"] for result in results if result.get("ErrorCode")}):
            _log.warning("EventBridge left some events: %s", code)
        return ["EventId" in result for result in results]

    def _opened(self) -> Any:
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 3})
            self._client = boto3.session.Session().client("events", config=config)
        return self._client

    def _entry(self, message: Message) -> dict[str, Any]:
        return {
            "Time": message.at,
            "Source": SOURCE,
            "DetailType": message.type,
            "Detail": detail(message).decode(),
            "EventBusName": self._bus,
        }


@cache
def event_bus(settings: Settings) -> EventBus:
    """The bus of the settings; one per process, because a client is slow to make. Raises SettingsError where none is named."""
    if settings.event_bus is None:
        raise SettingsError("PURSER_EVENT_BUS must name the EventBridge bus that events go to, by its name or its ARN.")
    return EventBridge(settings.event_bus)


def detail(message: Message) -> bytes:
    """What consumers read. A payload that no call can hold is left out, marked `oversize`: its id tells which it was."""
    about = {
        "id": ids.public("event", message.id),
        "tenant": ids.public("tenant", message.tenant_id),
        "type": message.type,
        "at": message.at,
    }
    whole = orjson.dumps({**about, "data": orjson.Fragment(message.data)})
    if len(whole) + _beside(message) <= MOST_BYTES:
        return whole
    _log.warning("the payload of event %s is too large for the bus and is left out", message.id)
    return orjson.dumps({**about, "data": None, "oversize": True})


def chunks(messages: Sequence[Message]) -> list[list[Message]]:
    """The messages in their order, as many at once as one call may carry."""
    found: list[list[Message]] = []
    size = 0
    for message in messages:
        own = len(detail(message)) + _beside(message)
        if not found or len(found[-1]) == MOST_ENTRIES or size + own > MOST_BYTES:
            found.append([])
            size = 0
        found[-1].append(message)
        size += own
    return found


def _beside(message: Message) -> int:
    return len(SOURCE) + len(message.type) + BYTES_BESIDE
