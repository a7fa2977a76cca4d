"""A tenant's account at a glance, for operators."""

from collections.abc import AsyncIterator

import pytest

from infra.application import Application, open_application
from infra.settings import Settings
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import CALLS, NOON, event, record
from tests.infra.builders import Clock

pytestmark = pytest.mark.anyio

ROWS = "keys { value } totals { costUsd calls }"
USAGE = f"""
{{ tenantUsage {{
  tenant {{ slug }} wallets {{ key available }} recentEntries {{ type amount wallet }}
  models {{ from to total {{ costUsd events }} byModel {{ {ROWS} }} byAgentRole {{ {ROWS} }} }}
}} }}"""


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
async def application(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def test_an_operator_sees_wallets_ledger_and_thirty_days_of_models(clients: Clients) -> None:
    before_them = ("2026-10-22T23:59:59Z", *CALLS[0][1:])
    first_of_them = ("2026-10-23T00:00:00Z", *CALLS[0][1:-1], "16")
    await record(clients.service, [*CALLS, before_them, first_of_them])
    tool = event(99, CALLS[0], provider="apify", model=None) | {"kind": "TOOL"}
    assert (await clients.service.do("recordUsage", events=[tool]))["accepted"] == 1
    usage = (await clients.operator.ask(USAGE))["tenantUsage"]
    assert usage["tenant"] == {"slug": "acme"}
    assert {wallet["key"]: wallet["available"] for wallet in usage["wallets"]}["credits"] == "300"
    models = usage["models"]
    assert (models["from"], models["to"]) == ("2026-10-23T00:00:00.000000Z", "2026-11-22T00:00:00.000000Z")
    assert models["total"] == {"costUsd": "23.75", "events": "6"}
    assert [[key["value"] for key in row["keys"]] for row in models["byModel"]] == [
        ["openai", "gpt-4o"],
        ["openai", "gpt-4o-mini"],
        ["anthropic", "claude-haiku"],
    ]
    assert [row["totals"] for row in models["byModel"]] == [
        {"costUsd": "23", "calls": "4"},
        {"costUsd": "0.5", "calls": "1"},
        {"costUsd": "0.25", "calls": "1"},
    ]
    assert [(row["keys"][0]["value"], row["totals"]["costUsd"]) for row in models["byAgentRole"]] == [
        ("writer", "19.5"),
        ("analyst", "4.25"),
    ]


async def test_the_newest_ledger_entries_stand_together_whatever_their_wallet(clients: Clients, clock: Clock) -> None:
    for number in range(12):
        clock.advance(1)
        await clients.service.reserve(f"{number}", "in_editor_action")
        held = await clients.service.reserve(f"m{number}", "llm_call")
        assert held["__typename"] == "Reservation"
    usage = (await clients.operator.ask(USAGE))["tenantUsage"]
    entries = usage["recentEntries"]
    assert len(entries) == 20
    assert {entry["type"] for entry in entries} == {"RESERVED"}
    assert len({entry["wallet"] for entry in entries}) == 2
    other = type(clients.operator)(clients.operator.http, clients.operator.token, "globex")
    theirs = (await other.ask(USAGE))["tenantUsage"]
    assert theirs["tenant"] == {"slug": "globex"}
    assert [(entry["type"], entry["amount"]) for entry in theirs["recentEntries"]] == [("TOPPED_UP", "100")]
    assert theirs["models"]["total"] == {"costUsd": "0", "events": "0"}
