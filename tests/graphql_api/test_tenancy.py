"""A foreign tenant's id answers exactly like one that does not exist, in every query and mutation."""

from typing import Any

import pytest
from graphql import GraphQLObjectType

from infra.application import Application
from infra.services import alerts
from tests.graphql_api.client import SCHEMA, mutation
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio

NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"


@pytest.fixture
def application(paid_application: Application) -> Application:
    return paid_application


async def ids_of_acme(clients: Clients, application: Application) -> dict[str, str]:
    """An id of each kind, all of them acme's."""
    reservation = await clients.service.reserve("r", "llm_call", attribution={"campaign": "spring"})
    consumed = await clients.service.do(
        "consume", idempotencyKey="c", reservationId=reservation["id"], usage=[{"costUsd": "0.1"}]
    )
    budget = await clients.admin.do(
        "setBudget", idempotencyKey="b", scope="CAMPAIGN", scopeId="spring", period="TOTAL", cap="0.1"
    )
    scope = await clients.admin.do("pauseScope", idempotencyKey="p", scope="AGENT", scopeId="writer")
    top_up = await clients.admin.do("startTopUp", idempotencyKey="t", walletKey="credits", bundle="credits_50")
    await alerts.check_alerts(application, application.clock())
    expense = await clients.admin.do(
        "addExpense",
        idempotencyKey="e",
        campaign="spring",
        kind="AGENCY",
        amount="100",
        currency="EUR",
        incurredOn="2026-11-03",
    )
    query = '{ alerts { edges { node { id } } } tenant { id } wallet(key: "metered") { id lots { id } entries { edges { node { id } } } } }'
    data = await clients.admin.ask(query)
    wallet = data["wallet"]
    return {
        "Tenant": data["tenant"]["id"],
        "Alert": data["alerts"]["edges"][0]["node"]["id"],
        "TopUp": top_up["id"],
        "Expense": expense["id"],
        "Reservation": reservation["id"],
        "UsageEvent": consumed["usageEvents"][0]["id"],
        "Budget": budget["id"],
        "Scope": scope["id"],
        "Wallet": wallet["id"],
        "Lot": wallet["lots"][0]["id"],
        "LedgerEntry": wallet["entries"]["edges"][0]["node"]["id"],
    }


async def test_every_node_is_found_by_its_tenant_alone(clients: Clients, application: Application) -> None:
    ids = await ids_of_acme(clients, application)
    nodes = {
        name
        for name, named in SCHEMA.type_map.items()
        if isinstance(named, GraphQLObjectType) and "Node" in {interface.name for interface in named.interfaces}
    }
    assert nodes == ids.keys() | {"RateCard", "Provider"}, "catalog rows belong to no tenant"
    for name, public_id in ids.items():
        assert await clients.admin.ask(NODE, id=public_id) == {"node": {"__typename": name, "id": public_id}}
        assert await clients.stranger.ask(NODE, id=public_id) == {"node": None}, name


async def test_ids_that_are_none_find_nothing(clients: Clients) -> None:
    for public_id in (
        "",
        "x",
        "rsv_",
        "rsv_" + "0" * 32,
        "rsv_" + "f" * 32,
        "use_" + "f" * 32,
        "wal_" + "g" * 32,
        "led_" + "0" * 32 + "_1",
        "led_" + "0" * 32 + "_0",
        "led_" + "0" * 32 + "_" + "9" * 30,
        "led_x_y",
        "bud_",
        "bud_!!!",
        "bud_WzFd",
        "bud_" + "A" * 3000,
        "scp_WyJYIiwieSJd",
        "rcd_99",
        "rcd_" + "9" * 40,
        "rcd_²",
        "prv_nobody",
        "ten_" + "0" * 32,
        "ten_x",
        "top_" + "f" * 32,
        "top_",
        "exp_" + "f" * 32,
        "exp_",
        "🧾",
    ):
        assert await clients.admin.ask(NODE, id=public_id) == {"node": None}, public_id


async def test_queries_about_a_foreign_reservation_answer_null(clients: Clients) -> None:
    reservation = (await clients.service.reserve("r"))["id"]
    query = "query ($id: ID!) { reservation(id: $id) { id } checkTask(reservationId: $id) }"
    assert await clients.service.ask(query, id=reservation) == {
        "reservation": {"id": reservation},
        "checkTask": "CONTINUE",
    }
    for public_id in (reservation, "rsv_" + "0" * 32, "nonsense"):
        assert await clients.stranger.ask(query, id=public_id) == {"reservation": None, "checkTask": None}


async def test_a_foreign_top_up_answers_as_none(clients: Clients, application: Application) -> None:
    top_up = (await ids_of_acme(clients, application))["TopUp"]
    query = "query ($id: ID!) { topUp(id: $id) { id } }"
    assert await clients.member.ask(query, id=top_up) == {"topUp": {"id": top_up}}
    for public_id in (top_up, "top_" + "0" * 32, "nonsense"):
        assert await clients.stranger.ask(query, id=public_id) == {"topUp": None}
    listed = "query ($after: String) { topUps(after: $after) { edges { node { id } } } }"
    assert await clients.stranger.ask(listed, after=None) == {"topUps": {"edges": []}}
    assert await clients.stranger.ask(listed, after="top_" + "f" * 32) == {"topUps": {"edges": []}}


async def test_what_is_decided_about_one_tenant_stays_in_it(clients: Clients, application: Application) -> None:
    """The same keys and names in another tenant are its own, whatever acme has done with them."""
    await ids_of_acme(clients, application)
    stranger = clients.stranger
    query = "{ tenant { slug name plan { key } nextPlan { key } anchorDay status seatsUsed agentsUsed } }"
    before = await stranger.ask(query)
    await clients.admin.do("changePlan", idempotencyKey="k", plan="starter")
    await clients.admin.do("setCycle", idempotencyKey="k", anchorDay=9)
    await clients.operator.do("renameTenant", idempotencyKey="k", name="Another")
    await clients.operator.do("suspendTenant", idempotencyKey="k")
    assert await stranger.ask(query) == before
    own = await stranger.do("startTopUp", idempotencyKey="t", walletKey="credits", bundle="credits_50")
    assert own["__typename"] == "TopUp", "neither acme's order nor its suspension"
    recharge = await stranger.do("setAutoRecharge", idempotencyKey="k", walletKey="metered", enabled=False, amount="5")
    scope = await stranger.do("deactivateScope", idempotencyKey="k", scope="AGENT", scopeId="writer")
    assert (recharge["code"], scope["code"]) == ("NOT_FOUND", "NOT_FOUND")
    after = await clients.operator.ask("{ topUps { edges { node { id } } } tenant { name status } }")
    assert after["tenant"] == {"name": "Another", "status": "SUSPENDED"}
    assert own["id"] not in str(after["topUps"])


async def test_only_operators_see_that_there_are_other_tenants(clients: Clients) -> None:
    for client in (clients.admin, clients.member, clients.service):
        (error,) = (await client.send("{ tenants { edges { node { slug } } } }"))["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
    for operation in ("renameTenant", "suspendTenant", "resumeTenant", "closeTenant"):
        elsewhere = type(clients.admin)(clients.admin.http, clients.admin.token, "globex")
        given = {"idempotencyKey": "k"} | ({"name": "x"} if operation == "renameTenant" else {})
        error = await elsewhere.refused(operation, **given)
        assert error["extensions"] == {"code": "FORBIDDEN"}


async def test_mutations_on_a_foreign_reservation_answer_as_on_none(clients: Clients, application: Application) -> None:
    reservation = (await clients.service.reserve("r", "llm_call"))["id"]
    usage = [{"costUsd": "0.1"}]
    event = {"source": "w", "eventId": "1", "kind": "LLM", "usage": {"costUsd": "0.1"}}

    async def answers(public_id: str) -> list[Any]:
        stranger, key = clients.stranger, f"k{public_id}"[:200]
        found = [
            await stranger.do("consume", idempotencyKey=key, reservationId=public_id, usage=usage),
            await stranger.do("release", idempotencyKey=key, reservationId=public_id),
            await stranger.do("extend", idempotencyKey=key, reservationId=public_id, ttlSeconds=60),
            *(
                await stranger.ask(
                    mutation("releaseMany"), inputs=[{"idempotencyKey": key + "m", "reservationId": public_id}]
                )
            )["releaseMany"],
        ]
        recorded = await stranger.do("recordUsage", events=[{**event, "reservationId": public_id}])
        return [{**answer, "refusalId": None} for answer in found] + [recorded]

    async with nothing_moves(application):
        foreign = await answers(reservation)
        assert foreign == await answers("rsv_" + "0" * 32) == await answers("nonsense")
    assert [answer["__typename"] for answer in foreign[:4]] == ["NotFound"] * 4
    assert foreign[4]["rejected"][0]["problems"] == [
        {"path": "reservationId", "message": "there is no such reservation"}
    ]


async def test_names_are_the_tenants_own(clients: Clients, application: Application) -> None:
    await ids_of_acme(clients, application)
    theirs = await clients.stranger.ask("""{ wallets { key available } metered: wallet(key: "metered") { id }
        budgets { scope scopeId } }""")
    assert theirs["metered"] is None
    assert theirs["budgets"] == []
    assert {wallet["key"]: wallet["available"] for wallet in theirs["wallets"]}["credits"] == "100"
    removed = await clients.stranger.do(
        "removeBudget", idempotencyKey="b", scope="CAMPAIGN", scopeId="spring", period="TOTAL"
    )
    resumed = await clients.stranger.do("resumeScope", idempotencyKey="p", scope="AGENT", scopeId="writer")
    assert (removed["code"], resumed["code"]) == ("NOT_FOUND", "NOT_FOUND")


async def test_a_key_of_a_tenant_stays_in_it_whatever_the_header_says(clients: Clients) -> None:
    mine = clients.stranger
    elsewhere = type(mine)(mine.http, mine.token, "acme")
    assert (await elsewhere.balance())[0] == "100"


async def test_an_operator_acts_on_the_tenant_that_it_names(clients: Clients) -> None:
    operator = clients.operator
    assert await operator.balance() == ("300", "0", "0")
    other = type(operator)(operator.http, operator.token, "globex")
    assert await other.balance() == ("100", "0", "0")


async def test_the_same_key_in_two_tenants_is_two_requests(clients: Clients) -> None:
    mine = await clients.service.reserve("r", "in_editor_action")
    theirs = await clients.stranger.reserve("r", "in_editor_action")
    assert mine["id"] != theirs["id"]
