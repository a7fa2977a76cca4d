"""Usage that a page is to show: recorded over the API, as a worker does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from infra.services.callers import Role
from tests.console.site import Site
from tests.graphql_api.client import Client

GPT: Final = ("openai", "gpt-4o")
MINI: Final = ("openai", "gpt-4o-mini")
CLAUDE: Final = ("anthropic", "claude-haiku")


def last_month() -> datetime:
    """A moment of the month before this one."""
    return datetime.now(UTC).replace(day=1, hour=12) - timedelta(days=10)


def call(
    cost: str | None, model: tuple[str, str] = GPT, at: datetime | None = None, /, **attribution: str
) -> dict[str, Any]:
    """A call of a language model with 1,200 input tokens and 300 of output, now unless `at` says when; without a cost it has
    no price."""
    provider, name = model
    occurred = {} if at is None else {"occurredAt": at.isoformat().replace("+00:00", "Z")}
    usage = {"provider": provider, "model": name, "costUsd": cost, "inputTokens": 1_200, "outputTokens": 300}
    return {"kind": "LLM", "attribution": attribution, "usage": usage | occurred}


async def record(site: Site, slug: str, *calls: dict[str, Any]) -> None:
    """Record calls of a tenant, each a new one."""
    batch = datetime.now(UTC).isoformat()
    events = [{"source": "worker", "eventId": f"{batch} {number}", **one} for number, one in enumerate(calls)]
    async with client(site, slug, Role.SERVICE) as worker:
        recorded = await worker.do("recordUsage", events=events)
    assert recorded["accepted"] == len(events), recorded


async def administer(site: Site, slug: str, mutation: str, **given: Any) -> None:
    """Have the tenant's administrator change something."""
    async with client(site, slug, Role.ADMIN) as admin:
        await admin.do(mutation, idempotencyKey=str(given), **given)


@asynccontextmanager
async def client(site: Site, slug: str, role: Role) -> AsyncIterator[Client]:
    """Whoever has this role in the tenant, over HTTP."""
    async with httpx.AsyncClient(base_url=site.origin, timeout=30) as http:
        yield Client(http, await site.token(role, slug))
