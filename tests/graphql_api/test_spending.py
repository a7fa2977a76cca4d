"""A month against its cap, with its end foreseen; and all tenants by what they spent."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.application import Application, open_application
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import NOON, record
from tests.infra.builders import Clock, open_tenant

pytestmark = pytest.mark.anyio

SPENDING = "query ($month: String) { spendAgainstCap(month: $month) { month spent held cap usedPercent projectedUsd } }"
TENANTS = """
query ($first: Int, $after: String) {
  tenantSpending(first: $first, after: $after) {
    edges { cursor node { tenant { slug status plan { key } } month spent held cap usedPercent } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
async def application(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def spending(asker: Client, month: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (await asker.ask(SPENDING, month=month))["spendAgainstCap"]
    return found


async def test_a_month_stands_against_its_cap_and_its_end_is_foreseen(clients: Clients) -> None:
    assert await spending(clients.member) == {
        "month": "2026-11",
        "spent": "0",
        "held": "0",
        "cap": None,
        "usedPercent": None,
        "projectedUsd": "0",
    }
    await record(clients.service)
    await clients.admin.do("setBudget", idempotencyKey="b", scope="TENANT", period="MONTH", cap="31")
    await clients.service.reserve("r", "llm_call", estimate={"costUsd": "3"})
    assert await spending(clients.member) == {
        "month": "2026-11",
        "spent": "7.75",
        "held": "3",
        "cap": "31",
        "usedPercent": 25.0,
        "projectedUsd": "11.341463414",  # 7.75 x 30 / 20.5
    }


async def test_a_month_that_is_over_is_not_foreseen(clients: Clients) -> None:
    await record(clients.service)
    october = await spending(clients.member, "2026-10")
    assert (october["spent"], october["projectedUsd"]) == ("8", None)
    assert (await spending(clients.member, "2026-12"))["projectedUsd"] is None
    for month in ("2026-13", "november", ""):
        (error,) = (await clients.member.send(SPENDING, {"month": month}))["errors"]
        assert (error["message"], error["extensions"]["code"]) == ("month: write it as 2026-11", "BAD_USER_INPUT")


async def test_a_month_begins_and_ends_in_the_tenants_time_zone(clients: Clients, application: Application) -> None:
    await open_tenant(application, "initech", time_zone="Pacific/Kiritimati")
    query = "query ($month: String) { spendAgainstCap(month: $month) { from to } }"
    theirs = Client(clients.operator.http, clients.operator.token, "initech")
    assert (await theirs.ask(query))["spendAgainstCap"] == {
        "from": "2026-10-31T10:00:00.000000Z",
        "to": "2026-11-30T10:00:00.000000Z",
    }
    assert (await clients.member.ask(query, month="2026-12"))["spendAgainstCap"] == {
        "from": "2026-12-01T00:00:00.000000Z",
        "to": "2027-01-01T00:00:00.000000Z",
    }


async def test_a_month_is_its_tenants_alone(clients: Clients) -> None:
    await record(clients.service)
    assert (await spending(clients.stranger))["spent"] == "0"


async def test_tenants_are_listed_by_what_they_spent_each_in_its_own_month(
    clients: Clients, application: Application, clock: Clock
) -> None:
    await record(clients.service)
    await clients.admin.do("setBudget", idempotencyKey="b", scope="TENANT", period="MONTH", cap="10")
    await record(clients.stranger, [("2026-11-03T10:00:00Z", ("openai", "gpt-4o"), None, None, None, None, "9")])
    await open_tenant(application, "initech", time_zone="Pacific/Kiritimati")
    clock.now = datetime(2026, 11, 30, 11, tzinfo=UTC)  # the first of December in Kiritimati
    anywhere = Client(clients.operator.http, clients.operator.token)
    found = (await anywhere.ask(TENANTS))["tenantSpending"]
    assert [edge["node"] for edge in found["edges"]] == [
        {
            "tenant": {"slug": "globex", "status": "ACTIVE", "plan": {"key": "professional"}},
            "month": "2026-11",
            "spent": "9",
            "held": "0",
            "cap": None,
            "usedPercent": None,
        },
        {
            "tenant": {"slug": "acme", "status": "ACTIVE", "plan": {"key": "professional"}},
            "month": "2026-11",
            "spent": "7.75",
            "held": "0",
            "cap": "10",
            "usedPercent": 77.5,
        },
        {
            "tenant": {"slug": "initech", "status": "ACTIVE", "plan": {"key": "professional"}},
            "month": "2026-12",
            "spent": "0",
            "held": "0",
            "cap": None,
            "usedPercent": None,
        },
    ]
    seen: list[str] = []
    after = None
    for number in range(3):
        page = (await anywhere.ask(TENANTS, first=1, after=after))["tenantSpending"]
        assert (page["pageInfo"]["hasPreviousPage"], page["pageInfo"]["hasNextPage"]) == (number > 0, number < 2)
        after = page["pageInfo"]["endCursor"]
        seen += [edge["node"]["tenant"]["slug"] for edge in page["edges"]]
    assert seen == ["globex", "acme", "initech"]
    assert (await anywhere.ask(TENANTS, after="9999999999999999999_z"))["tenantSpending"]["edges"] != []
    for after in ("", "x", "1_", "1_Acme", "-1_acme"):
        (error,) = (await anywhere.send(TENANTS, {"after": after}))["errors"]
        assert error["message"] == "after must be a cursor of this list"


async def test_a_zone_that_the_database_takes_for_a_fixed_offset_keeps_its_summer_time(
    clients: Clients, application: Application, clock: Clock
) -> None:
    await open_tenant(application, "initech", time_zone="CET")
    anywhere = Client(clients.operator.http, clients.operator.token)
    clock.now = datetime(2027, 6, 30, 22, tzinfo=UTC)
    edges = (await anywhere.ask(TENANTS))["tenantSpending"]["edges"]
    months = {edge["node"]["tenant"]["slug"]: edge["node"]["month"] for edge in edges}
    assert months == {"acme": "2027-06", "globex": "2027-06", "initech": "2027-07"}


async def test_operators_find_tenants_by_a_part_of_their_name(clients: Clients, application: Application) -> None:
    search = """query ($search: String, $first: Int, $after: String) {
      tenantSpending(search: $search, first: $first, after: $after) {
        edges { node { tenant { slug name } } } pageInfo { hasNextPage endCursor } } }"""
    await open_tenant(application, "initech")
    anywhere = Client(clients.operator.http, clients.operator.token)
    renamed = {"idempotencyKey": "n", "name": "Überall 100%"}
    await Client(clients.operator.http, clients.operator.token, "initech").do("renameTenant", **renamed)

    async def found(text: str | None) -> list[str]:
        edges = (await anywhere.ask(search, search=text))["tenantSpending"]["edges"]
        return [edge["node"]["tenant"]["slug"] for edge in edges]

    assert await found(None) == await found("") == ["acme", "globex", "initech"]
    assert await found("INITE") == await found("Überall") == await found("0%") == ["initech"]
    assert await found("_") == await found("%%") == []
    page = (await anywhere.ask(search, search="e", first=1))["tenantSpending"]
    assert page["pageInfo"]["hasNextPage"] is True
    rest = (await anywhere.ask(search, search="e", after=page["pageInfo"]["endCursor"]))["tenantSpending"]
    slugs = [edge["node"]["tenant"]["slug"] for edge in [*page["edges"], *rest["edges"]]]
    assert slugs == await found("e")
    for wrong in ("x" * 101, "a\nb"):
        (error,) = (await anywhere.send(search, {"search": wrong}))["errors"]
        assert error["message"] == "search must be at most 100 printable characters"
