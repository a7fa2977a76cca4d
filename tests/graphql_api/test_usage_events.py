"""The call log over GraphQL: pages, every filter, corrections, and the sums of a session."""

from typing import Any

import pytest

from domain import ids
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import CALLS, NOON, NOVEMBER, event, record

pytestmark = pytest.mark.anyio

EVENTS = """
query ($filter: UsageFilter!, $first: Int, $after: String) {
  usageEvents(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id model agentRole campaign client session costUsd occurredAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
SESSION = """
query ($session: String!) {
  sessionTotals(session: $session) {
    session firstEventAt lastEventAt totals { events calls inputTokens costUsd usdCharged unpriced }
  }
}"""
AMEND = """
INSERT INTO usage_amendment (tenant_id, id, occurred_at, recorded_at, event_id, session, route, cost, counted, unpriced,
    price_effective_from, charges, credits_charged, usd_charged)
VALUES ($1, $2, $3, $4, $5, 's-1', 'MANAGED', $6, $6, $7, $8, $9, 0, $10)"""


async def page(asker: Client, /, first: int | None = None, after: str | None = None, **wanted: Any) -> dict[str, Any]:
    data = await asker.ask(EVENTS, filter=NOVEMBER | wanted, first=first, after=after)
    found: dict[str, Any] = data["usageEvents"]
    return found


async def logged(asker: Client, /, **wanted: Any) -> list[str]:
    """The costs of the events that a filter lets through, in their order: each event has another one."""
    return [edge["node"]["costUsd"] for edge in (await page(asker, **wanted))["edges"]]


async def test_pages_go_from_the_newest_to_the_oldest_and_lose_nothing(clients: Clients) -> None:
    same_moment = [(*CALLS[0][:-1], cost) for cost in ("11", "12", "13")]
    await record(clients.service, [*CALLS, *same_moment])
    seen: list[dict[str, Any]] = []
    after = None
    for number in range(4):
        found = await page(clients.member, 2, after)
        info = found["pageInfo"]
        assert (info["hasPreviousPage"], info["hasNextPage"]) == (number > 0, number < 3)
        assert info["startCursor"] == found["edges"][0]["cursor"]
        after = info["endCursor"]
        seen += [edge["node"] for edge in found["edges"]]
    moments = [node["occurredAt"] for node in seen]
    assert moments == sorted(moments, reverse=True)
    assert sorted(node["costUsd"] for node in seen) == ["0.25", "0.5", "1", "11", "12", "13", "2", "4"]
    assert await page(clients.member, 2, after) == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": True, "startCursor": None, "endCursor": None},
    }


async def test_every_filter_narrows_the_log(clients: Clients) -> None:
    await record(clients.service)
    log = clients.member
    assert await logged(log) == ["4", "2", "0.25", "0.5", "1"]
    assert await logged(log, agentRole=["writer"]) == ["2", "0.5", "1"]
    assert await logged(log, campaign=["spring", "autumn"], model=["gpt-4o"]) == ["2", "1"]
    assert await logged(log, provider=["anthropic"]) == ["0.25"]
    assert await logged(log, session=["s-1"]) == ["0.5", "1"]
    assert await logged(log, tags=[{"key": "team", "value": "analyst"}]) == ["4", "0.25"]
    assert await logged(log, kind=["LLM"], route=["MANAGED"]) == ["4", "2", "0.25", "0.5", "1"]
    assert await logged(log, feature=["blog_post"], operation=["chat"], project=["p"]) == []
    assert await logged(log, research=["r"], account=["a"], taskRun=["t"]) == []
    assert await logged(log, **{"from": "2026-11-21T00:00:00Z"}) == ["4"]
    assert await logged(log, to="2026-11-02T11:00:00Z") == ["1"]


async def test_a_campaign_knows_its_client_in_the_log_too(clients: Clients) -> None:
    """As in breakdowns: spring is umbrella's, so usage of spring that names no client is umbrella's."""
    await record(clients.service)
    assert await logged(clients.member, client=["umbrella"]) == ["0.25", "0.5", "1"]
    await clients.admin.do("nameScope", idempotencyKey="n", kind="CAMPAIGN", id="spring", client="hooli")
    assert await logged(clients.member, client=["umbrella"]) == ["1"]
    assert await logged(clients.member, client=["hooli"]) == ["2", "0.25", "0.5"]


async def test_the_log_is_its_tenants_alone(clients: Clients) -> None:
    await record(clients.service)
    cursor = (await page(clients.member, 1))["pageInfo"]["endCursor"]
    for after in (None, cursor):
        assert (await page(clients.stranger, 5, after))["edges"] == []
    assert await clients.stranger.ask(SESSION, session="s-1") == {"sessionTotals": None}


async def test_what_is_no_cursor_is_refused(clients: Clients) -> None:
    nobody = "_use_" + "0" * 32
    for after in ("", "x", "1_use_x", "1_wal_" + "0" * 32, "9" * 18 + nobody, "²" + nobody):
        answer = await clients.member.send(EVENTS, {"filter": NOVEMBER, "after": after})
        assert answer["errors"][0]["message"] == "after must be a cursor of this list"
        assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_an_event_that_was_corrected_shows_its_present_price(
    clients: Clients, application: Application, acme: Caller
) -> None:
    dear = event(1, CALLS[0]) | {"feature": "llm_call"}
    unknown = event(2, CALLS[1], provider="nobody", costUsd=None)
    await clients.service.do("recordUsage", events=[dear, unknown])
    query = """query ($filter: UsageFilter!) { usageEvents(filter: $filter) { edges { node {
        id costUsd unpriced priceEffectiveFrom charges { amount wallet { key } } } } } }"""
    newer, older = [edge["node"] for edge in (await clients.member.ask(query, filter=NOVEMBER))["usageEvents"]["edges"]]
    assert (newer["costUsd"], newer["unpriced"]) == (None, True)
    assert older["charges"] == [{"amount": "1.3", "wallet": {"key": "metered"}}]
    corrected = ids.parse("usage_event", older["id"])
    priced = ids.parse("usage_event", newer["id"])
    first, second = NOON.replace(day=5), NOON.replace(day=6)
    for target, at, cost, unpriced, charge in (
        (corrected, first, -300_000_000, 0, -390_000_000),
        (corrected, second, 100_000_000, 0, 130_000_000),
        (priced, first, 70_000_000, -1, 0),
    ):
        charges = f'[["metered", {charge}, 9]]' if charge else None
        place = (acme.tenant_id, new_id(at), NOON.replace(day=2), at, target)
        await application.writers.execute(AMEND, *place, cost, unpriced, at, charges, charge)
    newer, older = [edge["node"] for edge in (await clients.member.ask(query, filter=NOVEMBER))["usageEvents"]["edges"]]
    assert (newer["costUsd"], newer["unpriced"], newer["charges"]) == ("0.07", False, [])
    assert older["costUsd"] == "0.8"
    assert older["charges"] == [{"amount": "1.04", "wallet": {"key": "metered"}}]
    assert older["priceEffectiveFrom"] == "2026-11-06T12:00:00.000000Z"
    node = "query ($id: ID!) { node(id: $id) { ... on UsageEvent { costUsd charges { amount } } } }"
    assert await clients.member.ask(node, id=older["id"]) == {
        "node": {"costUsd": "0.8", "charges": [{"amount": "1.04"}]}
    }
    totals = (await clients.member.ask(SESSION, session="s-1"))["sessionTotals"]["totals"]
    assert (totals["costUsd"], totals["usdCharged"], totals["unpriced"], totals["events"]) == ("0.87", "1.04", "0", "2")


async def test_a_session_is_summed_up_over_all_time(clients: Clients) -> None:
    await record(clients.service)
    assert await clients.member.ask(SESSION, session="s-1") == {
        "sessionTotals": {
            "session": "s-1",
            "firstEventAt": "2026-11-02T10:00:00.000000Z",
            "lastEventAt": "2026-11-02T11:00:00.000000Z",
            "totals": {
                "events": "2",
                "calls": "2",
                "inputTokens": "200",
                "costUsd": "1.5",
                "usdCharged": "0",
                "unpriced": "0",
            },
        }
    }
    assert await clients.member.ask(SESSION, session="s-9") == {"sessionTotals": None}
    answer = await clients.member.send(SESSION, {"session": ""})
    assert answer["errors"][0]["message"].startswith("session must be 1 to 200 characters")
