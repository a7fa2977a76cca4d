"""Tenants over GraphQL: what everybody sees of their own, what operators do with all of them, and seats."""

import asyncio
from typing import Any

import pytest

from domain.refusals import PlanLimit
from graphql_api.administration import AdministrationError, make_key
from infra.application import Application
from infra.services.api_keys import NewKey, create_key
from infra.services.callers import Caller, Role
from infra.settings import Settings
from tests.graphql_api.client import TENANT, Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import new_key, nothing_moves, revoke_key

pytestmark = pytest.mark.anyio

OWN = f"{{ tenant {{ {TENANT} }} }}"
ALL = """query ($first: Int, $after: String) { tenants(first: $first, after: $after) {
    edges { cursor node { slug } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
NORTHWIND = {"slug": "northwind", "name": "Northwind", "region": "india", "plan": "starter"}


@pytest.fixture
def operator(clients: Clients) -> Client:
    """An operator who names no tenant."""
    return Client(clients.operator.http, clients.operator.token)


def on(operator: Client, tenant: str) -> Client:
    """The same operator, on a tenant."""
    return Client(operator.http, operator.token, tenant)


async def test_everybody_sees_their_own_tenant(clients: Clients) -> None:
    await clients.service.reserve("r", attribution={"agentRole": "blog-writer"})
    seen = (await clients.member.ask(OWN))["tenant"]
    assert seen["id"].startswith("ten_")
    assert seen["cycleStart"].endswith("-01T00:00:00.000000Z")
    assert seen["cycleEnd"] > seen["cycleStart"]
    assert {name: seen[name] for name in ("slug", "status", "region", "timeZone", "anchorDay", "plan", "nextPlan")} == {
        "slug": "acme",
        "status": "ACTIVE",
        "region": "india",
        "timeZone": "UTC",
        "anchorDay": 1,
        "plan": {"key": "professional"},
        "nextPlan": None,
    }
    assert (seen["agentsUsed"], seen["seatsUsed"]) == (1, 2), "an admin and a member; the worker takes no seat"
    assert (await clients.stranger.ask(OWN))["tenant"]["slug"] == "globex"


async def test_an_operator_makes_a_tenant_once(operator: Client, application: Application) -> None:
    wanted = {**NORTHWIND, "metered": True, "timeZone": "Asia/Kolkata", "anchorDay": 31}
    made = await operator.do("createTenant", idempotencyKey="t", **wanted)
    assert made["__typename"] == "Tenant"
    assert (made["slug"], made["timeZone"], made["anchorDay"]) == ("northwind", "Asia/Kolkata", 31)
    async with nothing_moves(application):
        assert await operator.do("createTenant", idempotencyKey="t", **wanted) == made
    there = on(operator, "northwind")
    assert await there.balance() == ("100", "0", "0")
    assert await there.balance("metered") == ("0", "0", "0")
    assert {"__typename": "Tenant", **(await there.ask(OWN))["tenant"]} == made


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"slug": "acme"}, {"code": "INVALID_INPUT", "message": "slug: another tenant has it: choose another"}),
        (
            {"plan": "gold"},
            {"code": "NOT_FOUND", "message": "There is no such plan 'gold' in region india: query plans."},
        ),
        ({"plan": ""}, {"code": "NOT_FOUND", "message": "There is no such plan '' in region india: query plans."}),
        ({"timeZone": "Moon/Base"}, {"code": "INVALID_INPUT"}),
        ({"timeZone": "localtime"}, {"code": "INVALID_INPUT"}),
        ({"anchorDay": 32}, {"code": "INVALID_INPUT"}),
        ({"slug": "Not A Slug"}, {"code": "INVALID_INPUT"}),
        ({"name": ""}, {"code": "INVALID_INPUT"}),
    ],
)
async def test_a_tenant_that_cannot_be_made_is_refused_by_its_field(
    operator: Client, application: Application, change: dict[str, Any], answer: dict[str, str]
) -> None:
    async with nothing_moves(application):
        refused = await operator.do("createTenant", idempotencyKey="t", **{**NORTHWIND, **change})
    assert {name: refused[name] for name in answer} == answer
    if refused["__typename"] == "InvalidInput":
        assert [field["path"] for field in refused["fields"]] == list(change)


async def test_the_same_key_for_another_tenant_is_refused(operator: Client) -> None:
    await operator.do("createTenant", idempotencyKey="t", **NORTHWIND)
    reused = await operator.do("createTenant", idempotencyKey="t", **{**NORTHWIND, "slug": "southwind"})
    assert (reused["__typename"], reused["idempotencyKey"]) == ("IdempotencyKeyReused", "t")


async def test_a_tenant_is_renamed_suspended_resumed_and_closed(operator: Client, clients: Clients) -> None:
    acme = on(operator, "acme")
    assert (await acme.do("renameTenant", idempotencyKey="1", name="Acme & Sons"))["name"] == "Acme & Sons"
    assert (await acme.do("renameTenant", idempotencyKey="2", name=""))["fields"][0]["path"] == "name"

    assert (await acme.do("suspendTenant", idempotencyKey="3"))["status"] == "SUSPENDED"
    refused = await clients.service.reserve("r")
    assert (refused["__typename"], refused["scope"], refused["reason"]) == ("ScopePaused", "TENANT", "tenant_suspended")
    budget = await clients.admin.do("setBudget", idempotencyKey="b", scope="TENANT", period="MONTH", cap="5")
    assert (budget["__typename"], budget["reason"]) == ("ScopePaused", "tenant_suspended")
    for operation in ("pauseScope", "resumeScope", "deactivateScope"):
        scope = await clients.admin.do(operation, idempotencyKey="s", scope="AGENT", scopeId="writer")
        assert (scope["__typename"], scope["reason"]) == ("ScopePaused", "tenant_suspended"), operation

    assert (await acme.do("resumeTenant", idempotencyKey="4"))["status"] == "ACTIVE"
    assert (await clients.service.reserve("r"))["__typename"] == "Reservation"

    assert (await acme.do("closeTenant", idempotencyKey="5"))["status"] == "CLOSED"
    conflict = await acme.do("resumeTenant", idempotencyKey="6")
    assert (conflict["__typename"], conflict["code"], conflict["message"]) == (
        "Conflict",
        "CONFLICT",
        "The tenant is closed for good: create another one.",
    )


async def test_the_books_of_a_closed_tenant_are_still_put_right(operator: Client, clients: Clients) -> None:
    acme = on(operator, "acme")
    await acme.do("closeTenant", idempotencyKey="1")
    back = {"walletKey": "metered", "amount": "-50", "note": "paid out to the customer"}
    adjusted = await acme.do("adjustWallet", idempotencyKey="2", **back)
    assert (adjusted["__typename"], adjusted["available"]) == ("Wallet", "0")
    assert (await acme.do("renameTenant", idempotencyKey="3", name="Acme (left)"))["name"] == "Acme (left)"
    assert (await clients.admin.balance("metered"))[0] == "0"


async def test_operators_read_all_tenants_page_by_page(operator: Client) -> None:
    for slug in ("aaa", "bbb"):
        await operator.do("createTenant", idempotencyKey=slug, **{**NORTHWIND, "slug": slug})
    first = (await operator.ask(ALL, first=3))["tenants"]
    assert [edge["node"]["slug"] for edge in first["edges"]] == ["aaa", "acme", "bbb"]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": "aaa",
        "endCursor": "bbb",
    }
    last = (await operator.ask(ALL, after="bbb"))["tenants"]
    assert [edge["node"]["slug"] for edge in last["edges"]] == ["globex"]
    assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, True)
    empty = (await operator.ask(ALL, after="zzz"))["tenants"]
    assert (empty["edges"], empty["pageInfo"]["startCursor"]) == ([], None)
    for wrong in ({"after": "not a cursor"}, {"first": 0}, {"first": 101}):
        (error,) = (await operator.send(ALL, wrong))["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_what_is_a_tenants_needs_the_header(operator: Client, application: Application) -> None:
    async with nothing_moves(application):
        for query in ("{ wallets { key } }", "{ tenant { slug } }", "{ budgets { id } }"):
            (error,) = (await operator.send(query))["errors"]
            assert error["extensions"] == {"code": "TENANT_REQUIRED"}
            assert "Purser-Tenant" in error["message"]
        error = await operator.refused("adjustWallet", idempotencyKey="a", walletKey="credits", amount="1", note="x")
        assert error["extensions"] == {"code": "TENANT_REQUIRED"}
    assert (await operator.ask("{ providers { slug } }"))["providers"]
    answer = await operator.do("setDefaultBudget", agentRole="writer", period="MONTH", cap="5")
    assert answer["__typename"] == "DefaultBudget"


async def test_people_take_the_plans_seats_and_workers_none(
    clients: Clients, application: Application, acme: Caller
) -> None:
    plan = application.catalog.plan("india", "professional", application.clock())
    assert plan is not None
    keys = [await new_key(application, acme.tenant_id, Role.MEMBER, f"{n}") for n in range(plan.seats - 2)]
    full = await create_key(application, acme.tenant_id, Role.ADMIN, "one more")
    assert full == PlanLimit("seats", plan.seats, plan.seats)
    assert (await clients.member.ask(OWN))["tenant"]["seatsUsed"] == plan.seats
    await new_key(application, acme.tenant_id, Role.SERVICE, "worker")
    await new_key(application, None, Role.OPERATOR, "operator")
    assert await revoke_key(application, keys[0].id)
    await new_key(application, acme.tenant_id, Role.ADMIN, "one more")


async def test_the_command_line_says_how_to_get_a_seat(
    application: Application, settings: Settings, database_url: str, acme: Caller
) -> None:
    for number in range(15):
        await new_key(application, acme.tenant_id, Role.MEMBER, f"{number}")
    with pytest.raises(AdministrationError, match=r"The plan of acme has 15 seats, and 15 are taken: .*larger plan"):
        await make_key(settings, database_url, "acme", "member", "anna")
    assert (await make_key(settings, database_url, "acme", "service", "worker")).startswith("psk_")


async def test_the_last_seat_is_given_once(application: Application, acme: Caller) -> None:
    plan = application.catalog.plan("india", "professional", application.clock())
    assert plan is not None
    attempts = [create_key(application, acme.tenant_id, Role.MEMBER, f"{n}") for n in range(plan.seats + 15)]
    made = await asyncio.gather(*attempts)
    assert sum(isinstance(each, NewKey) for each in made) == plan.seats
