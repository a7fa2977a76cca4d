"""Alerts over GraphQL: every role reads its tenant's, newest first."""

import asyncio
from datetime import date
from typing import Any

import httpx
import pytest

from domain.alerts import Alert, AlertKind
from domain.refusals import BudgetScope
from infra.application import Application
from infra.services.alerts import raise_alert
from infra.services.callers import Caller
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio

DAY = date(2026, 11, 21)
ALL = """query ($first: Int, $after: String, $kinds: [String!]) { alerts(first: $first, after: $after, kinds: $kinds) {
    edges { cursor node { id kind action scope scopeId name threshold message raisedAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on Alert { kind message } } }"


@pytest.fixture
async def raised(application: Application, acme: Caller) -> list[Alert]:
    """Three alerts, oldest first."""
    alerts = [
        Alert(AlertKind.BUDGET, BudgetScope.CAMPAIGN, "spring", 8_050, DAY, "People are told.", "Spring is at 81 %."),
        Alert(AlertKind.BUDGET, BudgetScope.TENANT, "", 10_000, DAY, "All agents are paused.", "Acme is at 100 %."),
        Alert(AlertKind.LOW_BALANCE, None, "metered", 0, DAY, None, "It runs low."),
    ]
    for alert in alerts:
        assert await raise_alert(application, acme.tenant_id, alert)
        await asyncio.sleep(0.002)
    return alerts


async def test_every_role_reads_the_tenants_alerts_newest_first(clients: Clients, raised: list[Alert]) -> None:
    await clients.admin.do("nameScope", idempotencyKey="name", kind="CAMPAIGN", id="spring", name="Spring sale")
    edges: list[dict[str, Any]] = []
    for client in (clients.operator, clients.admin, clients.member, clients.service):
        edges = (await client.ask(ALL))["alerts"]["edges"]
        assert [edge["node"]["message"] for edge in edges] == [alert.message for alert in reversed(raised)]
    low, tenant, campaign = [edge["node"] for edge in edges]
    assert all(node.pop("raisedAt").endswith("Z") for node in (low, tenant, campaign))
    assert {**campaign, "id": None} == {
        "id": None,
        "kind": "budget",
        "action": "People are told.",
        "scope": "CAMPAIGN",
        "scopeId": "spring",
        "name": "Spring sale",
        "threshold": 80.5,
        "message": "Spring is at 81 %.",
    }
    assert (tenant["scope"], tenant["scopeId"], tenant["name"], tenant["threshold"]) == ("TENANT", None, None, 100)
    assert (low["scope"], low["scopeId"], low["threshold"], low["action"]) == (None, "metered", None, None)
    assert (await clients.stranger.ask(ALL))["alerts"]["edges"] == []


async def test_alerts_come_in_pages_and_by_kind(clients: Clients, raised: list[Alert]) -> None:
    first = (await clients.member.ask(ALL, first=2))["alerts"]
    ids = [edge["node"]["id"] for edge in first["edges"]]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": ids[0],
        "endCursor": ids[1],
    }
    rest = (await clients.member.ask(ALL, after=ids[1]))["alerts"]
    assert [edge["node"]["message"] for edge in rest["edges"]] == [raised[0].message]
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    low = (await clients.member.ask(ALL, kinds=["low_balance"]))["alerts"]["edges"]
    assert [edge["node"]["id"] for edge in low] == ids[:1]


@pytest.mark.parametrize("asked", [{"after": "x"}, {"first": 0}, {"first": 101}, {"kinds": ["x"]}, {"kinds": []}])
async def test_what_cannot_be_asked_is_said(clients: Clients, asked: dict[str, object]) -> None:
    (error,) = (await clients.member.send(ALL, asked))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert "negative_margin" not in error["message"]


async def test_an_alert_is_found_by_its_id_by_its_tenant_alone(clients: Clients, raised: list[Alert]) -> None:
    identifier = (await clients.admin.ask(ALL))["alerts"]["edges"][0]["node"]["id"]
    assert identifier.startswith("alt_")
    found = {"id": identifier, "kind": "low_balance", "message": raised[-1].message}
    assert (await clients.service.ask(NODE, id=identifier))["node"] == found
    assert (await clients.stranger.ask(NODE, id=identifier))["node"] is None


async def test_every_kind_that_is_listed_can_be_asked_for(clients: Clients, http: httpx.AsyncClient) -> None:
    asked = "query ($kinds: [String!]) { alerts(kinds: $kinds) { edges { cursor } } }"
    of_none = Client(http, clients.operator.token)
    for asker, known in ((clients.member, "low_balance"), (of_none, "negative_margin")):
        kinds = (await asker.ask("{ alertKinds }"))["alertKinds"]
        assert known in kinds
        assert (await asker.ask(asked, kinds=kinds))["alerts"] == {"edges": []}
