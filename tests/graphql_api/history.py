"""A month of usage, small enough to be added up by hand, and ways to ask about it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.graphql_api.client import Client

NOON: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOVEMBER: Final = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
GPT: Final = ("openai", "gpt-4o")
MINI: Final = ("openai", "gpt-4o-mini")
CLAUDE: Final = ("anthropic", "claude-haiku")
# When, on which model, by which role, in which campaign, for which client, in which session, at which cost.
CALLS: Final = (
    ("2026-11-02T10:00:00Z", GPT, "writer", "spring", "umbrella", "s-1", "1"),
    ("2026-11-02T11:00:00Z", MINI, "writer", "spring", None, "s-1", "0.5"),
    ("2026-11-03T10:00:00Z", CLAUDE, "analyst", "spring", None, "s-2", "0.25"),
    ("2026-11-20T23:59:59.999999Z", GPT, "writer", "autumn", "hooli", "s-2", "2"),
    ("2026-11-21T00:00:00Z", GPT, "analyst", None, None, None, "4"),
)
EARLIER: Final = ("2026-10-20T10:00:00Z", GPT, "writer", "spring", "umbrella", "s-0", "8")


def event(number: int, call: Sequence[Any], **more: Any) -> dict[str, Any]:
    """A call as a worker reports it; each has 100 input tokens, 10 of output and takes 5 ms."""
    at, (provider, model), role, campaign, client, session, cost = call
    usage = {"provider": provider, "model": model, "costUsd": cost, "occurredAt": at} | more
    attribution = {"agentRole": role, "campaign": campaign, "client": client, "session": session}
    tags = [] if role is None else [{"key": "team", "value": role}]
    return {
        "source": "worker",
        "eventId": f"e-{number}",
        "kind": "LLM",
        "attribution": attribution | {"tags": tags},
        "usage": {"inputTokens": 100, "outputTokens": 10, "durationMs": 5} | usage,
    }


async def record(client: Client, calls: Iterable[Sequence[Any]] = (*CALLS, EARLIER)) -> None:
    """Record calls; each is new."""
    events = [event(number, call) for number, call in enumerate(calls)]
    recorded = await client.do("recordUsage", events=events)
    assert recorded["accepted"] == len(events), recorded
