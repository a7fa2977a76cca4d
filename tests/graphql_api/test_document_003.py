"""Document 003's cost dashboard: the README's query of each row answers with the exact figures."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from infra.application import Application, open_application
from infra.settings import Settings
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import NOON, NOVEMBER, record
from tests.infra.builders import Clock

pytestmark = pytest.mark.anyio

README: Final = Path(__file__).parents[2] / "README.md"
ROW: Final = re.compile(r"^\| ([^|]+) \| `([^`|]+)` \|$", re.MULTILINE)


@pytest.fixture
async def application(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=Clock(NOON)) as opened:
        yield opened


def dashboard() -> dict[str, str]:
    """The queries of the README's table, by row."""
    section = README.read_text().partition("\n| dashboard | query |\n")[2].partition("\n\n")[0]
    return dict(ROW.findall(section))


async def test_every_row_of_the_dashboard_is_one_query(clients: Clients) -> None:
    await record(clients.service)
    for scope, of, cap in (("TENANT", None, "31"), ("AGENT", "writer", "4"), ("CAMPAIGN", "autumn", "100")):
        given = {"idempotencyKey": scope, "scope": scope, "scopeId": of, "period": "MONTH", "cap": cap}
        assert (await clients.admin.do("setBudget", **given))["__typename"] == "Budget"
    rows = dashboard()
    shown: list[Any] = []
    for query in rows.values():
        text = f"query ($month: UsageFilter!) {{ {query} }}" if "$month" in query else f"{{ {query} }}"
        (answer,) = (await clients.member.ask(text, month=NOVEMBER)).values()
        shown.append(answer)
    assert list(rows) == [
        "Total spend this month",
        "Spend vs. monthly cap",
        "Spend by agent",
        "Agent budget utilisation",
        "Spend by client",
        "Daily spend trend",
        "Model split",
        "Budget alerts (campaigns and agents at 80 % and above)",
        "LLM call log",
    ]
    total, bar, donut, utilisation, by_client, by_day, split, alerts, log = shown
    assert total == {"spent": "7.75"}
    assert bar == {"spent": "7.75", "held": "0", "cap": "31", "usedPercent": 25.0, "projectedUsd": "11.341463414"}
    assert {role["role"]: role["spent"] for role in donut} == {"analyst": "4.25", "writer": "3.5"}
    assert [(role["role"], role["cap"], role["usedPercent"], role["status"]) for role in utilisation] == [
        ("analyst", None, None, "ACTIVE"),
        ("writer", "4", 87.5, "WARNING"),
    ]
    assert costs(by_client) == [(None, "4"), ("hooli", "2"), ("umbrella", "1.75")]
    assert costs(by_day) == [("2026-11-02", "1.5"), ("2026-11-03", "0.25"), ("2026-11-20", "2"), ("2026-11-21", "4")]
    assert sorted(costs(split)) == [
        ("2026-11-02", "gpt-4o", "1"),
        ("2026-11-02", "gpt-4o-mini", "0.5"),
        ("2026-11-03", "claude-haiku", "0.25"),
        ("2026-11-20", "gpt-4o", "2"),
        ("2026-11-21", "gpt-4o", "4"),
    ]
    assert [(budget["scope"], budget["scopeId"], budget["usedPercent"]) for budget in alerts] == [
        ("AGENT", "writer", 87.5)
    ]
    assert [edge["node"]["costUsd"] for edge in log["edges"]] == ["4", "2", "0.25", "0.5", "1"]
    assert log["pageInfo"]["hasNextPage"] is False


def costs(breakdown: Any) -> list[tuple[Any, ...]]:
    return [(*[key["value"] for key in row["keys"]], row["totals"]["costUsd"]) for row in breakdown["rows"]]
