"""Breakdowns over GraphQL: exact figures by every dimension, filters, names, the period before, and what cannot be asked."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.application import Application, open_application
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import CALLS, GPT, NOON, NOVEMBER, event, record
from tests.infra.builders import Clock

pytestmark = pytest.mark.anyio

TOTALS = "costUsd calls inputTokens outputTokens events creditsCharged usdCharged failures unpriced durationMs"
BREAKDOWN = f"""
query ($filter: UsageFilter!, $by: [UsageDimension!]!, $top: Int, $compare: Boolean) {{
  usageBreakdown(filter: $filter, groupBy: $by, top: $top, comparePrevious: $compare) {{
    rows {{ keys {{ dimension value name }} totals {{ {TOTALS} }} previous {{ costUsd }} }}
    total {{ {TOTALS} }} previous {{ costUsd events }} previousFrom previousTo asOf
  }}
}}"""

SPAN = """
query ($filter: UsageFilter!) {
  usageBreakdown(filter: $filter, groupBy: [], comparePrevious: true) { from to total { costUsd } previousFrom }
}"""


@pytest.fixture
async def application(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=Clock(NOON)) as opened:
        yield opened


async def breakdown(
    asker: Client, /, *by: str, top: int | None = None, compare: bool | None = None, **wanted: Any
) -> dict[str, Any]:
    data = await asker.ask(BREAKDOWN, filter=NOVEMBER | wanted, by=by, top=top, compare=compare)
    found: dict[str, Any] = data["usageBreakdown"]
    return found


async def costs(asker: Client, /, *by: str, top: int | None = None, **wanted: Any) -> list[tuple[Any, ...]]:
    """The rows in their order: the values of their keys, and the cost."""
    rows = (await breakdown(asker, *by, top=top, **wanted))["rows"]
    return [(*[key["value"] for key in row["keys"]], row["totals"]["costUsd"]) for row in rows]


async def test_every_total_is_exact(clients: Clients) -> None:
    await record(clients.service)
    found = await breakdown(clients.member, "PROVIDER")
    assert found["total"] == {
        "costUsd": "7.75",
        "calls": "5",
        "inputTokens": "500",
        "outputTokens": "50",
        "events": "5",
        "creditsCharged": "0",
        "usdCharged": "0",
        "failures": "0",
        "unpriced": "0",
        "durationMs": "25",
    }
    assert found["rows"][1]["totals"] == found["total"] | {
        "costUsd": "0.25",
        "calls": "1",
        "inputTokens": "100",
        "outputTokens": "10",
        "events": "1",
        "durationMs": "5",
    }
    assert found["asOf"] == "2026-11-21T12:00:00.000000Z"
    assert (found["previous"], found["previousFrom"], found["previousTo"]) == (None, None, None)


async def test_the_most_expensive_come_first_by_every_dimension(clients: Clients) -> None:
    await record(clients.service)
    ask = clients.member
    assert await costs(ask, "MODEL") == [("gpt-4o", "7"), ("gpt-4o-mini", "0.5"), ("claude-haiku", "0.25")]
    assert await costs(ask, "PROVIDER", "AGENT_ROLE") == [
        ("openai", "analyst", "4"),
        ("openai", "writer", "3.5"),
        ("anthropic", "analyst", "0.25"),
    ]
    assert await costs(ask, "CAMPAIGN") == [(None, "4"), ("autumn", "2"), ("spring", "1.75")]
    assert await costs(ask, "SESSION") == [(None, "4"), ("s-2", "2.25"), ("s-1", "1.5")]
    assert await costs(ask, "TAG", top=1) == [("team=analyst", "4.25")]
    assert await costs(ask, "KIND", "ROUTE") == [("LLM", "MANAGED", "7.75")]
    assert await costs(ask) == [("7.75",)]
    assert await costs(ask, "DAY", "MODEL", top=1) == [
        ("2026-11-02", "gpt-4o", "1"),
        ("2026-11-20", "gpt-4o", "2"),
        ("2026-11-21", "gpt-4o", "4"),
    ]
    assert await costs(ask, "WEEK") == [("2026-11-02", "1.75"), ("2026-11-16", "6")]


async def test_a_campaign_knows_its_client_and_names_stand_beside_ids(clients: Clients) -> None:
    await record(clients.service)
    await clients.admin.do("nameScope", idempotencyKey="1", kind="CLIENT", id="umbrella", name="Umbrella Inc.")
    await clients.admin.do("nameScope", idempotencyKey="2", kind="CAMPAIGN", id="spring", name="Spring sale")
    assert await costs(clients.member, "CLIENT") == [(None, "4"), ("hooli", "2"), ("umbrella", "1.75")]
    found = await breakdown(clients.member, "CAMPAIGN", "CLIENT", client=["umbrella"])
    assert [row["keys"] for row in found["rows"]] == [
        [
            {"dimension": "CAMPAIGN", "value": "spring", "name": "Spring sale"},
            {"dimension": "CLIENT", "value": "umbrella", "name": "Umbrella Inc."},
        ]
    ]


async def test_every_filter_narrows(clients: Clients) -> None:
    await record(clients.service)

    async def total(**wanted: Any) -> str:
        cost: str = (await breakdown(clients.member, **wanted))["total"]["costUsd"]
        return cost

    assert await total(model=["gpt-4o-mini", "claude-haiku"]) == "0.75"
    assert await total(provider=["anthropic"]) == "0.25"
    assert await total(agentRole=["writer"], campaign=["spring"]) == "1.5"
    assert await total(client=["umbrella"]) == "1.75"
    assert await total(session=["s-2"]) == "2.25"
    assert await total(tags=[{"key": "team", "value": "writer"}]) == "3.5"
    assert await total(kind=["TOOL", "API"]) == "0"
    assert await total(route=["MANAGED"]) == "7.75"
    assert await total(feature=["blog_post"]) == "0"
    assert await total(**{"from": "2026-11-21T00:00:00Z"}) == "4"
    assert await total(to="2026-11-21T00:00:00Z") == "3.75"


async def test_the_month_before_stands_beside_this_one(clients: Clients) -> None:
    await record(clients.service)
    found = await breakdown(clients.member, "MODEL", compare=True)
    assert found["previous"] == {"costUsd": "8", "events": "1"}
    assert (found["previousFrom"], found["previousTo"]) == (
        "2026-10-01T00:00:00.000000Z",
        "2026-11-01T00:00:00.000000Z",
    )
    assert [row["previous"] for row in found["rows"]] == [{"costUsd": "8"}, {"costUsd": "0"}, {"costUsd": "0"}]
    both: dict[str, Any] = {"from": "2026-10-01T00:00:00Z"}
    providers = await breakdown(clients.member, "PROVIDER", "MONTH", **both)
    assert [
        (row["keys"][1]["value"], row["keys"][0]["value"], row["totals"]["costUsd"]) for row in providers["rows"]
    ] == [
        ("2026-10", "openai", "8"),
        ("2026-11", "openai", "7.5"),
        ("2026-11", "anthropic", "0.25"),
    ]


async def test_a_span_is_also_a_month_or_days_of_the_tenants_zone(clients: Clients, application: Application) -> None:
    await application.writers.execute("UPDATE tenant SET time_zone = 'Asia/Kolkata' WHERE slug = 'acme'")
    await record(clients.service, (*CALLS, ("2026-10-31T18:30:00Z", GPT, "writer", "spring", None, None, "16")))

    async def span(**wanted: str) -> tuple[str, str, str, str]:
        found = (await clients.member.ask(SPAN, filter=wanted))["usageBreakdown"]
        return found["from"], found["to"], found["total"]["costUsd"], found["previousFrom"]

    november = ("2026-10-31T18:30:00.000000Z", "2026-11-30T18:30:00.000000Z", "23.75", "2026-09-30T18:30:00.000000Z")
    assert await span(month="2026-11") == november
    assert await span() == november
    assert await span(firstDay="2026-11-01", lastDay="2026-11-30") == november
    assert (await span(month="2026-10"))[2] == "0"
    assert (await span(firstDay="2026-11-21", lastDay="2026-11-21"))[:3] == (
        "2026-11-20T18:30:00.000000Z",
        "2026-11-21T18:30:00.000000Z",
        "6",
    )
    log = await clients.member.ask(
        "query ($filter: UsageFilter!) { usageEvents(filter: $filter) { edges { node { costUsd } } } }",
        filter={"firstDay": "2026-11-01", "lastDay": "2026-11-02"},
    )
    assert [edge["node"]["costUsd"] for edge in log["usageEvents"]["edges"]] == ["0.5", "1", "16"]


async def test_what_is_charged_and_what_has_no_price_are_counted(clients: Clients) -> None:
    charged = event(1, CALLS[0], success=False) | {"feature": "llm_call"}
    unknown = event(2, CALLS[0], provider="nobody", model="no-such", costUsd=None)
    assert (await clients.service.do("recordUsage", events=[charged, unknown]))["accepted"] == 2
    total = (await breakdown(clients.member))["total"]
    assert (total["costUsd"], total["usdCharged"], total["creditsCharged"]) == ("1", "1.3", "0")
    assert (total["events"], total["failures"], total["unpriced"]) == ("2", "1", "1")


async def test_usage_is_its_tenants_alone(clients: Clients) -> None:
    await record(clients.service)
    found = await breakdown(clients.stranger, "CAMPAIGN", campaign=["spring"])
    assert (found["rows"], found["total"]["events"]) == ([], "0")
    assert (await breakdown(clients.operator))["total"]["events"] == "5"
    elsewhere = type(clients.operator)(clients.operator.http, clients.operator.token, "globex")
    assert (await breakdown(elsewhere))["total"]["events"] == "0"


REFUSED: tuple[tuple[list[str], int, dict[str, Any], str], ...] = (
    ([], 0, {}, "top must be 1 to 1000"),
    ([], 1001, {}, "top must be 1 to 1000"),
    (["DAY", "MODEL", "DAY"], 1, {}, "groupBy: DAY stands there more than once: name it once"),
    (
        ["DAY", "MODEL", "KIND", "ROUTE", "TAG", "SESSION"],
        1,
        {},
        "groupBy: at most 5 dimensions, these are 6",
    ),
    ([], 1, {"to": NOVEMBER["from"]}, "filter.from must lie before filter.to"),
    ([], 1, {"from": "1999-12-31T23:59:59Z"}, "filter.from must not lie before the year 2000"),
    ([], 1, {"to": "9999-01-01T00:00:00Z"}, "filter.to must not lie after the year 9997"),
    (
        [],
        1,
        {"to": "2036-11-02T00:00:00Z"},
        "filter.to may lie at most ten years after filter.from: ask for a shorter span",
    ),
    ([], 1, {"model": []}, "filter.model names nothing: leave it out, or name what to look for"),
    ([], 1, {"session": ["s"] * 101}, "filter.session: at most 100 values, these are 101"),
    (
        [],
        1,
        {"agentRole": ["writer", ""]},
        "filter.agentRole: each value must be 1 to 200 characters without control characters or blanks at the ends",
    ),
    (
        [],
        1,
        {"tags": [{"key": "a", "value": " "}]},
        "filter.tags: each value must be 1 to 200 characters without control characters or blanks at the ends",
    ),
    (
        [],
        1,
        {"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
        "filter.tags: a tag has one value, so name each key once",
    ),
)


async def test_what_cannot_be_asked_is_named(clients: Clients) -> None:
    for by, top, wanted, message in REFUSED:
        answer = await clients.member.send(BREAKDOWN, {"filter": NOVEMBER | wanted, "by": by, "top": top})
        (error,) = answer["errors"]
        assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})


WHEN = "filter: say when by from and to, by month, or by firstDay and lastDay: leave the others out"
SPANS_REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    (NOVEMBER | {"month": "2026-11"}, WHEN),
    ({"month": "2026-11", "firstDay": "2026-11-01", "lastDay": "2026-11-30"}, WHEN),
    ({"to": NOVEMBER["to"], "lastDay": "2026-11-30"}, WHEN),
    ({"from": NOVEMBER["from"]}, "filter.from and filter.to belong together: name both"),
    ({"lastDay": "2026-11-30"}, "filter.firstDay and filter.lastDay belong together: name both"),
    ({"firstDay": "2026-11-02", "lastDay": "2026-11-01"}, "filter.firstDay must not lie after filter.lastDay"),
    (
        {"firstDay": "1999-12-31", "lastDay": "2026-11-01"},
        "filter.firstDay and filter.lastDay lie in the years 2000 to 9997",
    ),
    (
        {"firstDay": "2026-11-01", "lastDay": "9998-01-01"},
        "filter.firstDay and filter.lastDay lie in the years 2000 to 9997",
    ),
    ({"month": "2026-13"}, "filter.month: write it as 2026-11"),
)


async def test_a_span_is_said_in_one_way(clients: Clients) -> None:
    for wanted, message in SPANS_REFUSED:
        (error,) = (await clients.member.send(SPAN, {"filter": wanted}))["errors"]
        assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})


async def test_a_series_of_too_many_rows_says_what_to_ask_for(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.queries.usage_breakdowns.MOST_ROWS", 2)
    await record(clients.service)
    answer = await clients.member.send(BREAKDOWN, {"filter": NOVEMBER, "by": ["DAY", "MODEL"]})
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"].startswith("groupBy: ")
