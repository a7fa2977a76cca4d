"""Scopes over GraphQL: named; taken out of use, and activated again only where plan and balance allow it."""

from typing import Any, Final

import pytest

from infra.application import Application
from infra.queries import scopes
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import nothing_moves

pytestmark = pytest.mark.anyio


async def test_an_agent_role_out_of_use_counts_no_more_and_is_refused(clients: Clients) -> None:
    attribution = {"agentRole": "writer"}
    await clients.service.reserve("1", attribution=attribution)
    agent = {"scope": "AGENT", "scopeId": "writer"}
    gone = await clients.admin.do("deactivateScope", idempotencyKey="d", **agent)
    assert (gone["status"], gone["pauseReason"]) == ("INACTIVE", "deactivated")
    assert (await clients.admin.ask("{ tenant { agentsUsed } }"))["tenant"] == {"agentsUsed": 0}
    refused = await clients.service.reserve("2", attribution=attribution)
    assert (refused["__typename"], refused["scopeId"], refused["reason"]) == ("ScopePaused", "writer", "deactivated")
    assert (await clients.admin.do("resumeScope", idempotencyKey="r", **agent))["status"] == "ACTIVE"


@pytest.mark.parametrize("scope", ["TENANT", "TAG", "TASK"])
async def test_only_agent_roles_and_campaigns_are_taken_out_of_use(
    clients: Clients, application: Application, scope: str
) -> None:
    async with nothing_moves(application):
        answer = await clients.admin.do("deactivateScope", idempotencyKey="d", scope=scope, scopeId=None)
    assert answer["fields"] == [{"path": "scope", "message": "AGENT or CAMPAIGN can be deactivated"}]


async def test_what_was_never_seen_cannot_be_taken_out_of_use(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        answer = await clients.admin.do("deactivateScope", idempotencyKey="d", scope="CAMPAIGN", scopeId="winter")
    assert answer["__typename"] == "NotFound"


async def test_an_agent_role_beyond_the_plan_is_not_activated_again(clients: Clients) -> None:
    plan = (await clients.admin.ask("{ tenant { plan { agents } } }"))["tenant"]["plan"]
    for number in range(plan["agents"]):
        attribution = {"agentRole": f"role-{number}"}
        await clients.service.reserve(f"{number}", "in_editor_action", attribution=attribution)
    first = {"scope": "AGENT", "scopeId": "role-0"}
    await clients.admin.do("deactivateScope", idempotencyKey="d", **first)
    await clients.service.reserve("new", "in_editor_action", attribution={"agentRole": "newcomer"})
    answer = await clients.admin.do("resumeScope", idempotencyKey="r", **first)
    assert (answer["__typename"], answer["limit"], answer["used"]) == ("PlanLimit", plan["agents"], plan["agents"])


async def test_a_campaign_is_not_activated_while_the_prepaid_wallet_is_empty(clients: Clients) -> None:
    campaign = {"scope": "CAMPAIGN", "scopeId": "spring"}
    await clients.service.reserve("1", attribution={"campaign": "spring"})
    await clients.admin.do("deactivateScope", idempotencyKey="d", reason="winter", **campaign)
    await clients.operator.do("adjustWallet", idempotencyKey="a", walletKey="metered", amount="-50", note="spent")
    answer = await clients.admin.do("resumeScope", idempotencyKey="r", **campaign)
    assert (answer["__typename"], answer["walletKey"], answer["available"]) == ("InsufficientFunds", "metered", "0")
    await clients.operator.do("adjustWallet", idempotencyKey="b", walletKey="metered", amount="50", note="paid")
    assert (await clients.admin.do("resumeScope", idempotencyKey="r", **campaign))["status"] == "ACTIVE"


async def test_a_name_is_given_once_and_shown_where_the_id_is(clients: Clients, application: Application) -> None:
    await clients.service.reserve("1", attribution={"campaign": "spring", "client": "umbrella"})
    given = {"idempotencyKey": "n", "kind": "CAMPAIGN", "id": "spring", "name": "Spring sale"}
    named = {"__typename": "ScopeName", "kind": "CAMPAIGN", "id": "spring", "name": "Spring sale", "client": "umbrella"}
    assert await clients.admin.do("nameScope", **given) == named
    async with nothing_moves(application):
        assert await clients.admin.do("nameScope", **given) == named
        reused = await clients.admin.do("nameScope", **given | {"name": "Summer sale"})
    assert reused["__typename"] == "IdempotencyKeyReused"
    moved = await clients.admin.do("nameScope", idempotencyKey="m", kind="CAMPAIGN", id="spring", client="hooli")
    assert moved == named | {"name": None, "client": "hooli"}
    await clients.admin.do("nameScope", **given | {"idempotencyKey": "o"})
    paused = await clients.admin.do("pauseScope", idempotencyKey="p", scope="CAMPAIGN", scopeId="spring")
    assert paused["status"] == "PAUSED"
    await clients.admin.do("resumeScope", idempotencyKey="q", scope="CAMPAIGN", scopeId="spring")
    query = "query ($id: ID!) { node(id: $id) { ... on Scope { name status } } budgets { scope scopeId name } }"
    shown = await clients.admin.ask(query, id=paused["id"])
    assert shown["node"] == {"name": "Spring sale", "status": "ACTIVE"}
    assert {"scope": "CAMPAIGN", "scopeId": "spring", "name": "Spring sale"} in shown["budgets"]
    theirs = await clients.stranger.do("nameScope", **given | {"idempotencyKey": "r", "name": None})
    assert (theirs["name"], theirs["client"]) == (None, None), "another tenant's spring is another campaign"
    assert (await clients.admin.ask(query, id=paused["id"]))["node"]["name"] == "Spring sale"


async def test_names_in_one_batch_follow_each_other(clients: Clients) -> None:
    """Commands that arrive together see what the ones before them did."""
    text = "... on ScopeName { name client }"
    given = 'kind: CAMPAIGN, id: "spring"'
    answer = await clients.admin.ask(f"""mutation {{
        a: nameScope(input: {{idempotencyKey: "a", {given}, name: "One", client: "umbrella"}}) {{ {text} }}
        b: nameScope(input: {{idempotencyKey: "b", {given}, name: "Two"}}) {{ {text} }}
        c: pauseScope(input: {{idempotencyKey: "c", scope: CAMPAIGN, scopeId: "spring"}}) {{ ... on Scope {{ name }} }}
    }}""")
    assert answer["b"] == {"name": "Two", "client": "umbrella"}
    assert answer["c"] == {"name": "Two"}


async def test_a_name_is_refused_with_the_field_that_is_wrong(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        answer = await clients.admin.do(
            "nameScope", idempotencyKey="n", kind="AGENT", id="writer", name="", client="umbrella"
        )
    assert [problem["path"] for problem in answer["fields"]] == ["name", "client"]
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    suspended = await clients.admin.do("nameScope", idempotencyKey="n", kind="AGENT", id="writer", name="Writer")
    assert (suspended["__typename"], suspended["reason"]) == ("ScopePaused", "tenant_suspended")


async def test_a_name_brings_an_agent_role_within_the_plan_alone(clients: Clients) -> None:
    plan = (await clients.admin.ask("{ tenant { plan { agents } } }"))["tenant"]["plan"]
    for number in range(plan["agents"]):
        await clients.admin.do(
            "nameScope", idempotencyKey=f"{number}", kind="AGENT", id=f"role-{number}", name="A role"
        )
    answer = await clients.admin.do("nameScope", idempotencyKey="n", kind="AGENT", id="newcomer", name="One more")
    assert (answer["__typename"], answer["limit"]) == ("PlanLimit", plan["agents"])
    assert (await clients.admin.ask("{ tenant { agentsUsed } }"))["tenant"] == {"agentsUsed": plan["agents"]}


PAUSES: Final = "{ pauses { scope scopeId name status pauseReason } }"
STANDING: Final = """query ($campaign: String!) { campaignCosts(campaign: $campaign) {
    name client { kind id name } status pauseReason budgets { period cap spent usedPercent paused } } }"""


async def paused(asker: Client) -> list[tuple[str, str | None, str]]:
    """What is stopped: scope, id and reason."""
    return [(each["scope"], each["scopeId"], each["pauseReason"]) for each in (await asker.ask(PAUSES))["pauses"]]


async def test_what_is_stopped_is_told_with_its_reason_until_it_may_work_again(clients: Clients) -> None:
    assert await paused(clients.member) == []
    await clients.admin.do("pauseScope", idempotencyKey="a", scope="CAMPAIGN", scopeId="spring", reason="typos")
    await clients.admin.do("nameScope", idempotencyKey="n", kind="CAMPAIGN", id="spring", name="Spring sale")
    await clients.admin.do("pauseScope", idempotencyKey="b", scope="AGENT", scopeId="writer")
    await clients.admin.do("pauseScope", idempotencyKey="c", scope="TENANT")
    assert await paused(clients.member) == [
        ("TENANT", None, "manual_pause"),
        ("AGENT", "writer", "manual_pause"),
        ("CAMPAIGN", "spring", "typos"),
    ]
    first = "{ pauses(first: 1) { scope } }"
    assert (await clients.member.ask(first))["pauses"] == [{"scope": "TENANT"}]
    assert await paused(clients.stranger) == [], "another tenant works on"
    await clients.admin.do("resumeScope", idempotencyKey="d", scope="TENANT")
    await clients.admin.do("deactivateScope", idempotencyKey="e", scope="AGENT", scopeId="writer")
    assert (await clients.member.ask(PAUSES))["pauses"] == [
        {
            "scope": "CAMPAIGN",
            "scopeId": "spring",
            "name": "Spring sale",
            "status": "PAUSED",
            "pauseReason": "typos",
        }
    ], "who took an agent role out of use knows of it"


async def test_what_is_stopped_is_read_by_pieces_and_told_in_order(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scopes, "_PIECE", 2)
    for scope, scope_id in [("CAMPAIGN", f"c{number}") for number in range(5)] + [("AGENT", "a1"), ("AGENT", "b2")]:
        await clients.admin.do("pauseScope", idempotencyKey=scope_id, scope=scope, scopeId=scope_id)
    stopped = [scope_id for _, scope_id, _ in await paused(clients.member)]
    assert stopped == ["a1", "b2", "c0", "c1", "c2", "c3", "c4"]
    first = "{ pauses(first: 3) { scopeId } }"
    assert [scope["scopeId"] for scope in (await clients.member.ask(first))["pauses"]] == stopped[:3]


async def test_a_suspended_tenant_is_stopped_whatever_else_stops_it(clients: Clients) -> None:
    await clients.admin.do("pauseScope", idempotencyKey="a", scope="TENANT")
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    assert await paused(clients.member) == [("TENANT", None, "tenant_suspended")]
    await clients.operator.do("closeTenant", idempotencyKey="c")
    assert await paused(clients.member) == [("TENANT", None, "tenant_closed")]


async def test_a_budgets_pause_is_told_while_its_cap_is_in_force(clients: Clients) -> None:
    cap = {"scope": "CAMPAIGN", "scopeId": "spring", "period": "TOTAL"}
    await clients.admin.do("setBudget", idempotencyKey="a", cap="1", **cap)
    usage = {"provider": "openai", "model": "gpt-4o", "costUsd": "1"}
    event = {"source": "w", "eventId": "1", "kind": "LLM", "usage": usage, "attribution": {"campaign": "spring"}}
    await clients.service.do("recordUsage", events=[event])
    assert await paused(clients.member) == [("CAMPAIGN", "spring", "budget_exceeded")]
    await clients.admin.do("setBudget", idempotencyKey="b", cap="2", **cap)
    assert await paused(clients.member) == []


async def test_campaigns_that_an_empty_prepaid_wallet_stopped_are_told(clients: Clients) -> None:
    await clients.service.reserve("1", attribution={"campaign": "spring"})
    await clients.operator.do("adjustWallet", idempotencyKey="a", walletKey="metered", amount="-50", note="spent")
    assert (await clients.member.ask(PAUSES))["pauses"] == [
        {
            "scope": "CAMPAIGN",
            "scopeId": "spring",
            "name": None,
            "status": "INACTIVE",
            "pauseReason": "metered_empty",
        }
    ]


async def test_a_campaign_stands_with_its_client_its_status_and_its_budgets(clients: Clients) -> None:
    nothing: dict[str, Any] = {"name": None, "client": None, "status": "ACTIVE", "pauseReason": None, "budgets": []}
    assert (await clients.member.ask(STANDING, campaign="spring"))["campaignCosts"] == nothing
    await clients.service.reserve("1", "llm_call", attribution={"campaign": "spring", "client": "umbrella"})
    await clients.admin.do("nameScope", idempotencyKey="n", kind="CLIENT", id="umbrella", name="Umbrella")
    await clients.admin.do("pauseScope", idempotencyKey="p", scope="CAMPAIGN", scopeId="spring", reason="typos")
    await clients.admin.do("setBudget", idempotencyKey="b", scope="CAMPAIGN", scopeId="spring", period="MONTH", cap="9")
    stands = (await clients.member.ask(STANDING, campaign="spring"))["campaignCosts"]
    assert (stands["status"], stands["pauseReason"]) == ("PAUSED", "typos")
    assert stands["client"] == {"kind": "CLIENT", "id": "umbrella", "name": "Umbrella"}
    assert stands["budgets"] == [
        {"period": "TOTAL", "cap": None, "spent": "0", "usedPercent": None, "paused": True},
        {"period": "MONTH", "cap": "9", "spent": "0", "usedPercent": 0.0, "paused": True},
    ]
    assert (await clients.stranger.ask(STANDING, campaign="spring"))["campaignCosts"] == nothing


async def test_ones_own_things_are_listed_page_by_page(clients: Clients) -> None:
    names = """query ($kind: NamedKind!, $after: String) { scopeNames(kind: $kind, first: 2, after: $after) {
        edges { node { kind id name client } } pageInfo { hasNextPage endCursor } } }"""
    for number in range(3):
        await clients.admin.do(
            "nameScope", idempotencyKey=f"{number}", kind="CAMPAIGN", id=f"c{number}", name="Sale", client="umbrella"
        )
    page = (await clients.member.ask(names, kind="CAMPAIGN"))["scopeNames"]
    assert [edge["node"] for edge in page["edges"]] == [
        {"kind": "CAMPAIGN", "id": f"c{number}", "name": "Sale", "client": "umbrella"} for number in range(2)
    ]
    assert page["pageInfo"] == {"hasNextPage": True, "endCursor": "c1"}
    rest = (await clients.member.ask(names, kind="CAMPAIGN", after="c1"))["scopeNames"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == ["c2"]
    clients_of_ours = (await clients.member.ask(names, kind="CLIENT"))["scopeNames"]["edges"]
    assert [edge["node"]["id"] for edge in clients_of_ours] == ["umbrella"]
    assert (await clients.stranger.ask(names, kind="CAMPAIGN"))["scopeNames"]["edges"] == []
    (error,) = (await clients.member.send(names, {"kind": "CAMPAIGN", "after": ""}))["errors"]
    assert error["message"] == "after must be a cursor of this list"
