"""Subscriptions over GraphQL: a larger plan at once, a smaller one and another cycle from the next cycle on."""

import pytest

from infra.application import Application
from infra.services.callers import Caller
from infra.services.cycles import start_cycle
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio


@pytest.fixture
async def granted(application: Application, globex: Caller) -> Caller:
    """A tenant of the professional plan whose running cycle was granted: 100 credits of its own and 300 of the plan."""
    await start_cycle(application, globex.tenant_id)
    return globex


async def test_a_smaller_plan_comes_with_the_next_cycle_and_can_be_taken_back(
    clients: Clients, granted: Caller
) -> None:
    admin = clients.stranger
    later = await admin.do("changePlan", idempotencyKey="1", plan="starter")
    assert (later["plan"], later["nextPlan"]) == ({"key": "professional"}, {"key": "starter"})
    assert (await admin.balance())[0] == "400"
    back = await admin.do("changePlan", idempotencyKey="2", plan="professional")
    assert (back["plan"], back["nextPlan"]) == ({"key": "professional"}, None)


async def test_a_larger_plan_holds_at_once_and_grants_the_difference_once(
    clients: Clients, application: Application
) -> None:
    operator = type(clients.operator)(clients.operator.http, clients.operator.token)
    wanted = {"slug": "northwind", "name": "Northwind", "region": "india", "plan": "starter"}
    await operator.do("createTenant", idempotencyKey="t", **wanted)
    there = type(operator)(operator.http, operator.token, "northwind")
    assert (await there.balance())[0] == "100"
    larger = await there.do("changePlan", idempotencyKey="1", plan="professional")
    assert larger["plan"] == {"key": "professional"}
    assert (await there.balance())[0] == "300"
    async with nothing_moves(application):
        assert await there.do("changePlan", idempotencyKey="1", plan="professional") == larger


async def test_a_plan_that_is_not_sold_here_is_not_found(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        missing = await clients.admin.do("changePlan", idempotencyKey="1", plan="growth")
    assert missing["message"] == "There is no such plan 'growth' in region india: query plans."


async def test_anchor_and_zone_move_with_the_next_cycle(clients: Clients, granted: Caller) -> None:
    moved = await clients.stranger.do("setCycle", idempotencyKey="1", anchorDay=15, timeZone="Asia/Kolkata")
    assert (moved["anchorDay"], moved["nextAnchorDay"]) == (1, 15)
    assert (moved["timeZone"], moved["nextTimeZone"]) == ("UTC", "Asia/Kolkata")


async def test_a_cycle_that_cannot_be_is_refused_by_its_field(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        both = await clients.admin.do("setCycle", idempotencyKey="1", anchorDay=0, timeZone="Moon/Base")
        neither = await clients.admin.do("setCycle", idempotencyKey="1")
    assert [field["path"] for field in both["fields"]] == ["anchorDay", "timeZone"]
    assert [field["path"] for field in neither["fields"]] == ["anchorDay"]


@pytest.mark.parametrize("name", ["localtime", "posixrules", "posix/UTC", "../UTC", "/etc/localtime", ""])
async def test_a_zone_that_is_another_one_elsewhere_is_refused(
    clients: Clients, application: Application, name: str
) -> None:
    async with nothing_moves(application):
        refused = await clients.admin.do("setCycle", idempotencyKey="1", timeZone=name)
    assert [field["path"] for field in refused["fields"]] == ["timeZone"]


async def test_a_closed_tenant_changes_no_more(clients: Clients) -> None:
    await clients.operator.do("closeTenant", idempotencyKey="c")
    for operation, asked in (("changePlan", {"plan": "starter"}), ("setCycle", {"anchorDay": 5})):
        answer = await clients.admin.do(operation, idempotencyKey="1", **asked)
        assert (answer["__typename"], answer["reason"]) == ("ScopePaused", "tenant_closed")
