"""The audit log over a real server: every decision of every role, told to those whom it concerns."""

from typing import Any, Final

import pytest

from graphql_api.permissions import ALLOWED
from infra.application import Application
from infra.sending import Sent
from infra.services import channels, identity_providers, usage
from infra.services.callers import Caller
from infra.services.usage import ReportedUsage
from infra.settings import DeploymentMode
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.test_publications import BUNDLE, PLAN, PRICE, PROVIDER, RATE, publish
from tests.graphql_api.test_rerating import rerated
from tests.infra.builders import nothing_moves, reported

pytestmark = pytest.mark.anyio

SECRET: Final = "sk-proj-seven-seals-QyZx"
ADDRESS: Final = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123456ghiJKL789mno"
# What workers do stands on the ledger.
WORK: Final = {"reserve", "consume", "release", "extend", "reserveMany", "releaseMany", "recordUsage"}
LOG: Final = """query ($first: Int, $after: String, $operations: [String!], $actor: String, $from: DateTime, $to: DateTime) {
  auditLog(first: $first, after: $after, operations: $operations, actor: $actor, from: $from, to: $to) {
    edges { cursor node {
      id occurredAt tenantId actor role operation subject idempotencyKey details { name value }
    } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
} }"""


@pytest.fixture
def application(paid_application: Application) -> Application:
    return paid_application


@pytest.fixture
def deployment_mode() -> DeploymentMode:
    """Tenants bring own keys."""
    return DeploymentMode.SELF_HOSTED


async def log(client: Client, **asked: Any) -> list[dict[str, Any]]:
    """Events, newest first."""
    return [edge["node"] for edge in (await client.ask(LOG, **asked))["auditLog"]["edges"]]


LETTING_IN = ("setIdentityProvider", "createApiKey")


async def decide_everything(clients: Clients, application: Application, acme: Caller) -> None:
    """Each mutation that decides something, by an admin or the operator of acme, once."""
    admin, operator = clients.admin, clients.operator

    async def by(client: Client, operation: str, **given: Any) -> Any:
        answer = await client.do(operation, idempotencyKey=f"of {operation}", **given)
        assert "code" not in answer, answer
        return answer

    budget = {"scope": "CAMPAIGN", "scopeId": "spring", "period": "TOTAL"}
    await by(admin, "setBudget", **budget, cap="100")
    await by(admin, "removeBudget", **budget)
    for operation in ("pauseScope", "resumeScope", "deactivateScope"):
        await by(admin, operation, scope="AGENT", scopeId="writer")
    await by(admin, "nameScope", kind="CAMPAIGN", id="spring", name="Spring sale")
    channel = (await by(admin, "addChannel", kind="SLACK", name="ops", target=ADDRESS))["channel"]
    await by(admin, "testChannel", id=channel["id"])
    await by(admin, "removeChannel", id=channel["id"])
    await admin.do("testChannel", idempotencyKey="late", id=channel["id"])  # refused: it is no more
    await admin.do("setProviderKey", provider="openai", key=SECRET)
    await admin.do("removeProviderKey", provider="openai")
    await admin.do("removeProviderKey", provider="openai")  # refused
    await by(admin, "addExpense", campaign="spring", kind="OTHER", amount="5", currency="EUR", incurredOn="2026-11-02")
    entered = (await admin.ask("{ expenses { edges { node { id } } } }"))["expenses"]["edges"][0]["node"]["id"]
    facts = {"campaign": "spring", "kind": "OTHER", "amount": "6", "currency": "EUR", "incurredOn": "2026-11-02"}
    await by(admin, "changeExpense", id=entered, **facts)
    await by(admin, "deleteExpense", id=entered)
    await by(admin, "recordCustomersWon", campaign="spring", count=2, on="2026-11-02")
    limits = {"expiresAt": "2090-01-01T00:00:00Z", "requestsPerMinute": 60}
    made = await by(admin, "createApiKey", name="worker", role="SERVICE", **limits)
    rotated = await by(admin, "rotateApiKey", id=made["apiKey"]["id"], overlapSeconds=60)
    await by(admin, "revokeApiKey", id=rotated["apiKey"]["id"])
    provider = {"issuer": "https://id.example.com", "audience": "acme", "jwksUrl": "https://id.example.com/keys"}
    roles = {"roleClaim": "role", "adminValues": ["boss"], "serviceValues": [], "memberValues": []}
    known = await by(operator, "setIdentityProvider", **provider, **roles)
    await by(operator, "removeIdentityProvider", id=known["id"])
    await by(admin, "startTopUp", walletKey="credits", bundle="credits_50")
    await by(admin, "setAutoRecharge", walletKey="metered", enabled=False, amount="100")
    await by(admin, "changePlan", plan="starter")
    await by(admin, "setCycle", anchorDay=9)
    await by(operator, "adjustWallet", walletKey="credits", amount="2.5", note="goodwill")
    await by(operator, "renameTenant", name="Acme Limited")
    await operator.do("setDefaultBudget", agentRole="writer", period="MONTH", cap="30")
    await publish(clients, "publishRateCard", "card", basedOn=1, markup="7.77", rates=[RATE], tenant="acme")
    await publish(clients, "publishPrice", "price", **PRICE)
    await publish(clients, "publishProvider", "provider", **PROVIDER)
    await publish(clients, "publishPlan", "plan", **PLAN)
    await publish(clients, "publishBundle", "bundle", **BUNDLE)
    call = reported("e", provider="openai", model="gpt-99", occurred_at=application.clock())
    assert (await usage.record_usage(application, acme, [ReportedUsage(call)])).accepted == 1
    await publish(
        clients, "publishPrice", "gpt-99", **{**PRICE, "model": "gpt-99"}, effectiveFrom="2026-01-01T00:00:00Z"
    )
    await rerated(operator, dryRun=True)
    await rerated(operator, dryRun=False)
    order = {"slug": "initech", "name": "Initech", "region": "india", "plan": "starter", "timeZone": "UTC"}
    await by(operator, "createTenant", **order, metered=True)
    await by(operator, "suspendTenant")
    await by(operator, "resumeTenant")
    await by(operator, "closeTenant")


def _details(event: dict[str, Any]) -> dict[str, str | None]:
    return {each["name"]: each["value"] for each in event["details"]}


async def test_every_decision_is_recorded_once_without_a_secret_and_is_told_to_its_tenant_alone(
    clients: Clients, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unsent(*_: object) -> Sent:
        return Sent("nobody was asked")

    async def found(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(channels, "send", unsent)
    monkeypatch.setattr(identity_providers, "reachable", found)
    await decide_everything(clients, application, acme)
    everywhere = Client(clients.operator.http, clients.operator.token)
    whole, own = await log(everywhere, first=100), await log(clients.admin, first=100)
    assert {event["operation"] for event in whole} == {
        name.partition(".")[2] for name in ALLOWED if name.startswith("Mutation.")
    } - WORK, "a mutation that decides something is to be recorded"
    assert whole == sorted(whole, key=lambda event: event["id"], reverse=True)
    # The clients' own keys were made before.
    often = ("createTenant", "publishPrice", "createApiKey")
    told = [event for event in whole if event["operation"] not in often]
    assert len({event["operation"] for event in told}) == len(told), "once each"

    # The tenant's admins see what was decided about it, by whomever, and the operator that names it sees the same.
    tenant_id = (await clients.admin.ask("{ tenant { id } }"))["tenant"]["id"]
    assert own == [event for event in whole if event["tenantId"] == tenant_id]
    assert own == await log(clients.operator, first=100)
    assert {event["operation"] for event in whole} - {event["operation"] for event in own} == {
        "setDefaultBudget",
        "publishPrice",
        "publishProvider",
        "publishPlan",
        "publishBundle",
    }
    assert [event["operation"] for event in await log(clients.stranger, first=100)] == ["createApiKey", "createTenant"]
    for client in (clients.member, clients.service):
        (error,) = (await client.send(LOG))["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}

    # Who lets whom in, and how often: what decides that is told.
    provider, key = (next(_details(event) for event in own if event["operation"] == name) for name in LETTING_IN)
    assert (provider["roleClaim"], provider["adminValues"], provider["memberValues"]) == ("role", "boss", "")
    assert (key["requestsPerMinute"], key["expiresAt"]) == ("60", "2090-01-01T00:00:00+00:00")

    # No secret, and nothing of what a credit is worth.
    kept = [str(row) for row in await application.across_tenants.fetch("SELECT audit_event::text FROM audit_event")]
    for text in [*kept, *map(str, whole)]:
        for secret in (SECRET, "QyZx", "hooks.slack", "abcDEF", "whsec"):
            assert secret not in text
    for text in map(str, own):
        for figure in ("7.77", "creditValue", "markup", "margin"):
            assert figure not in text


async def test_what_lets_people_in_is_told_with_all_that_it_allows(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(identity_providers, "reachable", found)
    end = "2027-03-01T00:00:00Z"
    given = {"name": "fast", "role": "SERVICE", "expiresAt": end, "requestsPerMinute": 9_000}
    made = await clients.operator.do("createApiKey", idempotencyKey="k", **given)
    order = {"id": made["apiKey"]["id"], "overlapSeconds": 60, "expiresAt": end}
    await clients.operator.do("rotateApiKey", idempotencyKey="r", **order)
    provider = {"issuer": "https://id.example.com", "audience": "acme", "jwksUrl": "https://id.example.com/keys"}
    roles = {"roleClaim": "role", "adminValues": ["boss", "owner"], "serviceValues": [], "memberValues": ["staff"]}
    await clients.operator.do("setIdentityProvider", idempotencyKey="p", **provider, **roles)
    mapped, rotated, created = [
        {detail["name"]: detail["value"] for detail in event["details"]} for event in await log(clients.admin, first=3)
    ]
    assert (created["expiresAt"], created["requestsPerMinute"]) == ("2027-03-01T00:00:00+00:00", "9000")
    assert rotated["expiresAt"] == created["expiresAt"]
    assert [mapped[name] for name in ("adminValues", "serviceValues", "memberValues")] == ["boss, owner", "", "staff"]


async def test_an_event_says_who_decided_what_about_what(clients: Clients, application: Application) -> None:
    await clients.operator.do("adjustWallet", idempotencyKey="a", walletKey="credits", amount="-2.5", note="goodwill")
    (event,) = await log(clients.admin, first=1)
    tenant_id = (await clients.admin.ask("{ tenant { id } }"))["tenant"]["id"]
    assert event.pop("id").startswith("aud_")
    assert event.pop("occurredAt")
    assert event.pop("actor").startswith("key:operator of")
    assert event == {
        "tenantId": tenant_id,
        "role": "OPERATOR",
        "operation": "adjustWallet",
        "subject": "wallet:credits",
        "idempotencyKey": "a",
        "details": [{"name": "amount", "value": "-2.5"}, {"name": "note", "value": "goodwill"}],
    }
    async with nothing_moves(application):
        for amount in ("-2.5", "3"):  # the same again, and another request under the same key
            await clients.operator.do(
                "adjustWallet", idempotencyKey="a", walletKey="credits", amount=amount, note="goodwill"
            )


async def test_the_log_comes_in_pages_by_operation_actor_and_span(clients: Clients) -> None:
    for key in ("1", "2", "3"):
        await clients.admin.do("pauseScope", idempotencyKey=key, scope="AGENT", scopeId=key)
    await clients.operator.do("resumeScope", idempotencyKey="4", scope="AGENT", scopeId="1")
    first = (await clients.admin.ask(LOG, first=2))["auditLog"]
    assert [edge["node"]["idempotencyKey"] for edge in first["edges"]] == ["4", "3"]
    page = first["pageInfo"]
    assert (page["hasNextPage"], page["hasPreviousPage"], page["endCursor"]) == (
        True,
        False,
        first["edges"][1]["cursor"],
    )
    rest = (await clients.admin.ask(LOG, first=100, after=page["endCursor"]))["auditLog"]
    assert [edge["node"]["idempotencyKey"] for edge in rest["edges"]][:2] == ["2", "1"]
    assert {edge["node"]["operation"] for edge in rest["edges"][2:]} == {"createApiKey", "createTenant"}
    assert (rest["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasPreviousPage"]) == (False, True)
    resumed, *_, paused = await log(clients.admin, operations=["pauseScope", "resumeScope"])
    assert [event["operation"] for event in await log(clients.admin, actor=resumed["actor"])] == ["resumeScope"]
    assert resumed not in await log(clients.admin, to=resumed["occurredAt"])
    assert await log(clients.admin, **{"from": resumed["occurredAt"]}) == [resumed]
    assert paused in await log(clients.admin, **{"from": paused["occurredAt"]}, to=resumed["occurredAt"])
    # A cursor of another tenant's is a place in time, and shows nothing of it.
    assert await log(clients.stranger, after=resumed["id"], operations=["pauseScope"]) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"after": "x"}, "after must be a cursor of this list"),
        ({"operations": []}, "operations: name 1 to 50, or leave it out for all"),
        ({"actor": "x" * 201}, "actor: names have up to 200 characters"),
        ({"operations": ["x" * 201]}, "operations: names have up to 200 characters"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from must lie before to"),
    ],
)
async def test_what_cannot_be_asked_is_said(clients: Clients, asked: dict[str, Any], message: str) -> None:
    (error,) = (await clients.admin.send(LOG, asked))["errors"]
    assert message in error["message"]
