"""Usage over a websocket: the newest calls and the month, as the queries have them."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

import asyncpg
import pytest

from domain.ids import NIL
from infra import feed
from infra.application import Application
from infra.queries import recent_usage
from infra.queries.recent_usage import RecentUsage
from infra.services import catalog
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.services.rerating import Selection, rerate
from infra.services.usage import ReportedUsage, record_usage
from infra.usage_feed import Recorded
from tests.graphql_api.conftest import Clients
from tests.graphql_api.websockets_client import Watcher, watching
from tests.infra.builders import reported

pytestmark = pytest.mark.anyio

PARTS: Final = "edges { cursor node { id costUsd provider } } pageInfo { hasNextPage hasPreviousPage endCursor }"
SPENT: Final = "month spent held cap usedPercent"
WATCH: Final = f"""
subscription ($first: Int) {{ usageRecorded(first: $first) {{ asOf calls {{ {PARTS} }} spending {{ {SPENT} }} }} }}"""
ASK: Final = f"""
query ($filter: UsageFilter!, $first: Int) {{
  calls: usageEvents(filter: $filter, first: $first) {{ {PARTS} }} spending: spendAgainstCap {{ {SPENT} }}
}}"""
OPERATOR: Final = Caller(NIL, Role.OPERATOR, "key:anna")
EVER: Final = {"from": "2020-01-01T00:00:00Z", "to": "2029-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hints wake the feed."""
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 3_600.0)


async def record(application: Application, caller: Caller, *names: str, cost: str = "0.5") -> None:
    """Calls that happened now."""
    report = await record_usage(application, caller, [ReportedUsage(reported(name, cost)) for name in names])
    assert report.accepted == len(names), report


async def present(watcher: Watcher, first: int | None = None, identifier: str = "1") -> Any:
    """Subscribe; what is told first."""
    await watcher.send("subscribe", identifier, {"query": WATCH, "variables": {"first": first}})
    return await recorded(watcher, identifier)


async def recorded(watcher: Watcher, identifier: str = "1") -> Any:
    """What is told next, without its moment."""
    return without_moment(await watcher.told(identifier))


def without_moment(data: Any) -> Any:
    told = data["usageRecorded"]
    assert told.pop("asOf")
    return told


async def asked(clients: Clients, first: int = 20) -> Any:
    return await clients.member.ask(ASK, filter=EVER, first=first)


async def test_the_present_comes_first_and_then_the_newest_however_much_is_recorded(
    watcher: Watcher, clients: Clients, application: Application, acme: Caller
) -> None:
    await record(application, acme, "before")
    assert await present(watcher) == await asked(clients)
    await record(application, acme, "one")
    told = await recorded(watcher)
    assert [edge["node"]["costUsd"] for edge in told["calls"]["edges"]] == ["0.5", "0.5"]
    assert told["spending"]["spent"] == "1"
    assert told == await asked(clients)
    assert (await present(watcher, 2, "2"))["calls"]["pageInfo"]["hasNextPage"] is False
    await record(application, acme, *[f"batch {number}" for number in range(150)])
    last = {"1": await asked(clients), "2": await asked(clients, 2)}
    told = {}
    while told != last:
        message = await watcher.receive()
        told[message["id"]] = without_moment(message["payload"]["data"])
        assert len(told["2"]["calls"]["edges"] if "2" in told else ()) <= 2


async def test_usage_that_is_priced_anew_is_told(watcher: Watcher, clients: Clients, application: Application) -> None:
    usage = [{"provider": "openai", "model": "gpt-99", "inputTokens": 1_000_000}]
    event = {"source": "worker", "eventId": "1", "kind": "LLM", "usage": usage[0]}
    await clients.service.do("recordUsage", events=[event])
    told = await present(watcher)
    assert [edge["node"]["costUsd"] for edge in told["calls"]["edges"]] == [None]
    price = {"provider": "openai", "model": "gpt-99", "input": "3", "effective_from": "2026-05-01T00:00:00Z"}
    assert isinstance(await catalog.publish_price(application, OPERATOR, "p", price), Published)
    now = application.clock()
    selection = Selection(None, "openai", None, None, now - timedelta(days=1), now + timedelta(hours=1))
    assert (await rerate(application, "key:anna", selection, dry_run=False)).tenants[0].rerated.priced == 1
    told = await recorded(watcher)
    assert [edge["node"]["costUsd"] for edge in told["calls"]["edges"]] == ["3"]
    assert told["spending"]["spent"] == "3"


@pytest.mark.parametrize(
    "cut", [ConnectionError("it was cut"), asyncpg.InternalClientError("cut while it was spoken to")]
)
async def test_what_is_not_new_is_not_told_and_a_read_that_fails_is_made_up_for(
    watcher: Watcher, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch, cut: Exception
) -> None:
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 0.01)
    await present(watcher)
    read, reads = recent_usage.read, []

    async def sometimes(*arguments: Any) -> RecentUsage:
        reads.append(arguments)
        if len(reads) % 2:
            raise cut
        return await read(*arguments)

    monkeypatch.setattr(recent_usage, "read", sometimes)
    async with asyncio.timeout(30):
        while len(reads) < 4:  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.01)
    await record(application, acme, "one")
    assert len((await recorded(watcher))["calls"]["edges"]) == 1, "nothing came before"


async def test_many_watchers_share_a_reading_and_strangers_see_nothing(
    api_url: str, clients: Clients, application: Application, acme: Caller, globex: Caller
) -> None:
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(api_url)) for _ in range(10)]
        with patch.object(Recorded, "seconds_between", 0.0):  # who comes next need not wait
            for watcher in watchers:
                await watcher.initialise(clients.member.token)
                await present(watcher)
        stranger = await stack.enter_async_context(watching(api_url))
        await stranger.initialise(clients.stranger.token)
        assert (await present(stranger))["calls"]["edges"] == []
        with patch.object(recent_usage, "read", side_effect=recent_usage.read) as read:
            await record(application, acme, "ours")
            for watcher in watchers:
                assert (await recorded(watcher))["spending"]["spent"] == "0.5"
            await record(application, globex, "theirs", cost="2")
            assert (await recorded(stranger))["spending"]["spent"] == "2", "and nothing of ours before"
        assert read.call_count == 2


async def test_a_page_has_its_bounds(watcher: Watcher) -> None:
    for first in (0, 101):
        await watcher.send("subscribe", "1", {"query": WATCH, "variables": {"first": first}})
        assert await watcher.refused() == ("BAD_USER_INPUT", "first must be 1 to 100")
