"""Agent roles and what they spent, month by month."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.application import Application, open_application
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import NOON, record
from tests.infra.builders import Clock

pytestmark = pytest.mark.anyio

AGENTS = """
query ($month: String, $first: Int) {
  agentBudgets(month: $month, first: $first) { role name month spent held cap usedPercent status pauseReason }
}"""


@pytest.fixture
async def application(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=Clock(NOON)) as opened:
        yield opened


async def agents(asker: Client, **asked: Any) -> list[tuple[Any, ...]]:
    found = (await asker.ask(AGENTS, **asked))["agentBudgets"]
    names = ("role", "spent", "cap", "usedPercent", "status", "pauseReason")
    return [tuple([role[name] for name in names]) for role in found]


async def capped(clients: Clients, role: str, cap: str) -> None:
    given = {"scope": "AGENT", "scopeId": role, "period": "MONTH", "cap": cap}
    answer = await clients.admin.do("setBudget", idempotencyKey=f"{role} {cap}", **given)
    assert answer["__typename"] == "Budget"


async def test_every_role_is_there_capped_or_not_in_this_month_and_before(clients: Clients) -> None:
    await record(clients.service)
    assert await agents(clients.member) == [
        ("analyst", "4.25", None, None, "ACTIVE", None),
        ("writer", "3.5", None, None, "ACTIVE", None),
    ]
    await clients.operator.do("setDefaultBudget", agentRole="writer", period="MONTH", cap="4")
    await capped(clients, "analyst", "5")
    await capped(clients, "newcomer", "1")
    assert await agents(clients.member) == [
        ("analyst", "4.25", "5", 85.0, "WARNING", None),
        ("writer", "3.5", "4", 87.5, "WARNING", None),
        ("newcomer", "0", "1", 0.0, "ACTIVE", None),
    ]
    assert await agents(clients.member, month="2026-10", first=2) == [
        ("writer", "8", "4", 200.0, "WARNING", None),
        ("analyst", "0", "5", 0.0, "ACTIVE", None),
    ]


async def test_a_role_that_is_stopped_says_why(clients: Clients) -> None:
    await record(clients.service)
    await capped(clients, "analyst", "4")
    refused = await clients.service.reserve(
        "r", "llm_call", estimate={"costUsd": "1"}, attribution={"agentRole": "analyst"}
    )
    assert refused["__typename"] == "BudgetExceeded"
    await clients.admin.do("deactivateScope", idempotencyKey="d", scope="AGENT", scopeId="writer")
    await clients.admin.do("nameScope", idempotencyKey="n", kind="AGENT", id="writer", name="The writer")
    assert await agents(clients.member) == [
        ("analyst", "4.25", "4", 106.25, "PAUSED", "monthly_budget_exceeded"),
        ("writer", "3.5", None, None, "INACTIVE", "deactivated"),
    ]
    await capped(clients, "analyst", "400")
    assert (await agents(clients.member))[0] == ("analyst", "4.25", "400", 1.06, "ACTIVE", None)
    named = (await clients.member.ask(AGENTS))["agentBudgets"][1]
    assert (named["name"], named["month"], named["held"]) == ("The writer", "2026-11", "0")


async def test_roles_are_their_tenants_alone_and_lists_are_bounded(clients: Clients) -> None:
    await record(clients.service)
    assert await agents(clients.stranger) == []
    for asked, message in (
        ({"first": 0}, "first must be 1 to 1000"),
        ({"first": 1001}, "first must be 1 to 1000"),
        ({"month": "2026"}, "month: write it as 2026-11"),
    ):
        (error,) = (await clients.member.send(AGENTS, asked))["errors"]
        assert (error["message"], error["extensions"]["code"]) == (message, "BAD_USER_INPUT")
