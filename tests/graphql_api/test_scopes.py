"""Scopes over GraphQL: taken out of use, and activated again only where plan and balance allow it."""

import pytest

from infra.application import Application
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
