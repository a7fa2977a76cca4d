"""Agents at /mcp: the SDK's own client over real HTTP, by the newest protocol version and by those that shake hands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Final

import httpx
import httpx2
import mcp
import orjson
import pytest
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from graphql_api.app import create_app
from graphql_api.context import Context
from graphql_api.execution import Engine
from graphql_api.limits import MOST_BYTES
from graphql_api.mcp_endpoint import McpEndpoint
from graphql_api.toolbox import WALLET_BALANCE
from graphql_api.tools import Call, FailedError, OfferedTool
from infra.application import Application, open_application
from infra.services import api_keys
from infra.services.callers import Caller, Role
from infra.settings import Settings
from tests.graphql_api.client import SCHEMA, Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import NOON, record
from tests.in_process import Listener
from tests.infra.builders import Clock, new_key, nothing_moves, open_tenant, revoke_key

pytestmark = pytest.mark.anyio

NAMES: Final = ["get_wallet_balance", "list_rate_cards", "usage_breakdown", "preview_reservation", "explain_charge"]
OURS: Final = "https://purser.example"
LIST: Final = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
WALLETS: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "get_wallet_balance", "arguments": {"key": "credits"}},
}


@pytest.fixture
async def application(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    """The application at noon of a day in November."""
    async with open_application(settings, database_url, clock=Clock(NOON)) as opened:
        yield opened


@pytest.fixture
async def api_url(application: Application) -> AsyncIterator[str]:
    """A real server that agents can ask."""
    listener = Listener()
    endpoint = partial(McpEndpoint, public_url=f"{OURS}/purser")
    async with listener.serving(create_app(application, SCHEMA, mcp=endpoint)):
        yield listener.origin


@asynccontextmanager
async def agent(client: Client, mode: Any = "auto") -> AsyncIterator[mcp.Client]:
    """The SDK's client with the key of one of ours."""
    headers = {"Authorization": f"Bearer {client.token}"}
    if client.tenant is not None:
        headers["Purser-Tenant"] = client.tenant
    url = str(client.http.base_url.join("/mcp"))
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        mcp.Client(streamable_http_client(url, http_client=http), mode=mode) as connected,
    ):
        yield connected


async def told(connected: mcp.Client, tool: str, **arguments: Any) -> tuple[Any, str]:
    """What a call that must succeed answers, as data and in words. The client checks it against the output schema."""
    result = await connected.call_tool(tool, arguments)
    words, as_json = [content.text for content in result.content if isinstance(content, mcp.types.TextContent)]
    assert not result.is_error, words
    assert orjson.loads(as_json) == result.structured_content
    return result.structured_content, words


async def mistaken(connected: mcp.Client, tool: str, **arguments: Any) -> str:
    """What an agent is told of a call that cannot be answered."""
    result = await connected.call_tool(tool, arguments)
    (content,) = result.content
    assert result.is_error
    assert result.structured_content is None
    assert isinstance(content, mcp.types.TextContent)
    return content.text


def headers_of(client: Client, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {client.token}", "Accept": "application/json", **more}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_every_role_is_offered_the_same_tools_and_sees_its_tenants_wallets(clients: Clients, mode: str) -> None:
    for role in Role:
        async with agent(clients.of(role), mode) as connected:
            assert connected.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
            assert connected.instructions is not None
            assert "Purser-Tenant" in connected.instructions
            tools = (await connected.list_tools()).tools
            assert [tool.name for tool in tools] == NAMES
            for tool in tools:
                assert tool.title
                assert tool.description is not None
                assert tool.output_schema is not None
                assert tool.input_schema["additionalProperties"] is False
                assert all(each["description"] for each in tool.input_schema["properties"].values())
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint
                assert tool.annotations.idempotent_hint
                assert tool.annotations.open_world_hint is False
            data, words = await told(connected, "get_wallet_balance", key="credits")
            assert data == {
                "wallets": [
                    {
                        "key": "credits",
                        "kind": "PLATFORM",
                        "unit": "CREDIT",
                        "available": "300",
                        "reserved": "0",
                        "consumed": "0",
                        "granted": "300",
                        "expired": "0",
                        "debt": "0",
                        "usedPercent": 0.0,
                        "status": "OK",
                        "version": "1",
                        "asOf": "2026-11-21T12:00:00.000000Z",
                    }
                ]
            }
            assert words == "credits: 300 CREDIT available, 0 reserved (OK)."


async def test_wallets_are_told_together_or_by_key_and_only_the_callers(clients: Clients) -> None:
    await clients.service.reserve("r", quantity="2")
    async with agent(clients.member) as connected:
        data, words = await told(connected, "get_wallet_balance")
        assert {wallet["key"] for wallet in data["wallets"]} > {"credits", "metered", "email_sends"}
        assert "credits: 296 CREDIT available, 4 reserved (OK)." in words.splitlines()
        unknown = await mistaken(connected, "get_wallet_balance", key="gold")
        assert unknown.endswith("call this without key for all wallets of the tenant (BAD_USER_INPUT)")
    async with agent(clients.stranger) as connected:
        data, _ = await told(connected, "get_wallet_balance", key="credits")
        assert data["wallets"][0]["available"] == "100"
        assert await mistaken(connected, "get_wallet_balance", key="metered") == unknown, "globex has none"


async def test_the_rate_card_tells_rates_and_nothing_of_what_a_credit_is_worth(clients: Clients) -> None:
    async with agent(clients.operator) as connected:
        data, words = await told(connected, "list_rate_cards")
        assert await told(connected, "list_rate_cards", at=None) == (data, words)
        too_early = await mistaken(connected, "list_rate_cards", at="2001-01-01T00:00:00Z")
    card = data["rateCard"]
    assert card.keys() == {"version", "effectiveFrom", "effectiveTo", "rates"}
    (blog_post,) = [rate for rate in card["rates"] if rate["feature"] == "blog_post"]
    assert blog_post == {
        "feature": "blog_post",
        "name": blog_post["name"],
        "chargeType": "FIXED",
        "walletKey": "credits",
        "credits": "2",
        "floor": None,
        "agents": blog_post["agents"],
        "note": blog_post["note"],
    }
    assert words == f"Rate card {card['version']} holds since {card['effectiveFrom']}: {len(card['rates'])} rates."
    assert too_early == "at: no rate card was in force at that moment (BAD_USER_INPUT)"


async def test_usage_is_that_of_the_running_month_unless_told_otherwise(
    application: Application, clients: Clients
) -> None:
    await record(clients.service)
    async with agent(clients.member) as connected:
        data, words = await told(connected, "usage_breakdown", groupBy=["MODEL"], top=2, comparePrevious=True)
        found = data["usageBreakdown"]
        assert (found["from"], found["to"]) == ("2026-11-01T00:00:00.000000Z", "2026-12-01T00:00:00.000000Z")
        assert [(row["keys"][0]["value"], row["totals"]["costUsd"]) for row in found["rows"]] == [
            ("gpt-4o", "7"),
            ("gpt-4o-mini", "0.5"),
        ]
        assert (found["total"]["costUsd"], found["total"]["calls"], found["previous"]["costUsd"]) == ("7.75", "5", "8")
        assert words == (
            "From 2026-11-01T00:00:00.000000Z to 2026-12-01T00:00:00.000000Z: 7.75 USD of provider cost over 5 calls; "
            "charged 0 credits and 0 USD. First of 2 groups: MODEL gpt-4o, 7 USD."
        )
        narrowed = {"groupBy": [], "agentRole": ["writer"], "tags": [{"key": "team", "value": "writer"}]}
        data, _ = await told(connected, "usage_breakdown", **{"from": "2026-11-03T00:00:00Z"}, **narrowed)
        assert data["usageBreakdown"]["total"]["costUsd"] == "2"
        data, _ = await told(connected, "usage_breakdown")
        assert data["usageBreakdown"]["rows"][0]["keys"] == [{"dimension": "FEATURE", "value": None, "name": None}]
        late = await mistaken(connected, "usage_breakdown", **{"from": "2027-01-01T00:00:00Z"})
        assert late == "filter.from must lie before filter.to (BAD_USER_INPUT)"
    await open_tenant(application, "initech", time_zone="Asia/Kolkata")
    async with agent(Client(clients.operator.http, clients.operator.token, "initech")) as connected:
        found = (await told(connected, "usage_breakdown"))[0]["usageBreakdown"]
        assert (found["from"], found["to"]) == ("2026-10-31T18:30:00.000000Z", "2026-11-30T18:30:00.000000Z")
        assert (found["rows"], found["total"]["costUsd"]) == ([], "0")


async def test_a_preview_says_what_would_be_held_or_which_level_would_refuse_and_holds_nothing(
    application: Application, clients: Clients
) -> None:
    spring = {"scope": "CAMPAIGN", "scopeId": "spring", "period": "TOTAL"}
    await clients.admin.do("setBudget", idempotencyKey="b", cap="0.5", **spring)
    async with agent(clients.service) as connected, nothing_moves(application):
        data, words = await told(connected, "preview_reservation", feature="blog_post", quantity="2")
        assert data["previewReservation"] == {
            "__typename": "ReservationPreview",
            "route": "MANAGED",
            "holds": [{"amount": "4", "wallet": {"key": "credits", "unit": "CREDIT", "available": "300"}}],
            "estimatedCostUsd": "1.2",
            "maxCostUsd": None,
            "promptNotice": None,
            "warnings": [],
        }
        assert words == (
            "It would be admitted (route MANAGED) and hold 4 CREDIT of credits. This was a preview: nothing is held, and "
            "another request may take the room first. To hold it, a worker sends the mutation reserve."
        )
        data, words = await told(
            connected, "preview_reservation", feature="blog_post", attribution={"campaign": "spring"}
        )
        refused = data["previewReservation"]
        assert (refused["__typename"], refused["code"], refused["scope"]) == (
            "BudgetExceeded",
            "BUDGET_EXCEEDED",
            "CAMPAIGN",
        )
        assert (refused["cap"], refused["requestedUsd"], refused["retryable"]) == ("0.5", "0.6", False)
        assert words.startswith("It would be refused (BUDGET_EXCEEDED): ")
        assert words.endswith("This was a preview: nothing was held.")
        data, _ = await told(connected, "preview_reservation", feature="blog_post", quantity="1000")
        assert data["previewReservation"]["shortBy"] == "1700"
        data, _ = await told(connected, "preview_reservation", feature="brain surgery")
        assert data["previewReservation"]["feature"] == "brain surgery"


async def test_what_an_agent_gets_wrong_is_said_so_that_it_can_be_put_right(clients: Clients) -> None:
    async with agent(clients.member) as connected:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({}, "'$feature'"),
            ({"feature": "blog_post", "quantity": 2}, "a plain decimal in a string"),
            ({"feature": "blog_post", "quantity": "1e3"}, "'$quantity'"),
            ({"feature": 7}, "'$feature'"),
            ({"feature": "blog\0post"}, "NUL"),
            (
                {"feature": "blog_post", "price": "1"},
                "the arguments are: feature, quantity, model, estimate, attribution",
            ),
            ({"feature": "blog_post", "model": {"provider": "openai", "temperature": 1}}, "temperature"),
            ({"feature": "blog_post", "estimate": {"inputTokens": 10**30}}, "Integer exceeds 64-bit range"),
        ]
        for arguments, said in wrong:
            message = await mistaken(connected, "preview_reservation", **arguments)
            assert said in message, message
            assert message.endswith("(BAD_USER_INPUT)")
        with pytest.raises(MCPError, match="there is no tool 'reserve'; the tools are: get_wallet_balance, "):
            await connected.call_tool("reserve", {})


async def test_a_call_ends_with_its_time_and_mistakes_of_ours_are_masked(
    application: Application, acme: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    tool = OfferedTool(SCHEMA, WALLET_BALANCE)
    with pytest.raises(FailedError, match=r"took too long .* \(TIMEOUT\)"):
        await Call(Engine(SCHEMA, seconds=0), Context(application, acme)).answer(tool, {})

    def mistaken_text(data: Any) -> str:
        raise AssertionError("a secret of ours")

    broken = OfferedTool(SCHEMA, replace(WALLET_BALANCE, text=mistaken_text))
    with pytest.raises(FailedError, match=r"^Internal error \(INTERNAL, [0-9a-f]{16}\)$"):
        await Call(Engine(SCHEMA), Context(application, acme)).answer(broken, {})
    assert "a secret of ours" in caplog.text


async def test_an_operator_who_names_no_tenant_is_told_to_name_one(clients: Clients) -> None:
    async with agent(Client(clients.operator.http, clients.operator.token)) as connected:
        for tool in ("get_wallet_balance", "usage_breakdown"):
            assert (await mistaken(connected, tool)).endswith("Purser-Tenant (TENANT_REQUIRED)")


async def test_a_charge_is_explained_to_its_tenant_alone(clients: Clients) -> None:
    held = await clients.service.reserve("r")
    await clients.service.do("consume", idempotencyKey="c", reservationId=held["id"], usage=[{"costUsd": "0.1"}])
    async with agent(clients.member) as connected:
        data, words = await told(connected, "explain_charge", id=held["id"])
        receipt = data["receipt"]
        assert (receipt["total"], receipt["unit"]) == ("2", "CREDIT")
        assert sum(int(lot["amount"]) for lot in receipt["lots"]) == 2
        assert receipt["lines"]
        assert words == f"Charged 2 CREDIT of credits. {receipt['rule']}"
        refused = await clients.service.reserve("much", quantity="1000")
        data, words = await told(connected, "explain_charge", id=refused["refusalId"])
        assert data["receipt"]["lots"] == data["receipt"]["charges"] == []
        assert words == f"Nothing was charged. {data['receipt']['rule']}"
        unknown = await mistaken(connected, "explain_charge", id="rsv_" + "0" * 32)
        assert unknown.startswith("there is nothing of this id: ")
    async with agent(clients.stranger) as connected:
        assert await mistaken(connected, "explain_charge", id=held["id"]) == unknown


async def test_a_key_is_needed_and_looked_at_before_anything_else(
    application: Application, acme: Caller, clients: Clients, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await new_key(application, acme.tenant_id, Role.MEMBER, "revoked")
    revoked = Client(http, key.token)
    assert (await http.post("/mcp", json=LIST, headers=headers_of(revoked))).status_code == 200
    assert await revoke_key(application, key.id)
    later = monotonic() + api_keys.SECONDS_REMEMBERED
    monkeypatch.setattr(api_keys, "monotonic", lambda: later)
    for headers in ({}, {"Authorization": "Bearer psk_" + "x" * 43}, headers_of(revoked)):
        response = await http.post("/mcp", content=b"not even JSON", headers=headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert response.json()["error"]["data"] == {"code": "UNAUTHENTICATED"}
    nobody = Client(http, clients.operator.token, "nobody")
    response = await http.post("/mcp", json=LIST, headers=headers_of(nobody, **{"Purser-Tenant": "nobody"}))
    assert (response.status_code, response.json()["error"]["data"]["code"]) == (400, "TENANT_REQUIRED")


async def test_what_is_no_message_of_the_protocol_is_refused(clients: Clients, http: httpx.AsyncClient) -> None:
    key = headers_of(clients.member)
    for method in ("GET", "DELETE", "PUT"):
        response = await http.request(method, "/mcp", headers=key)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
    foreign = await http.post("/mcp", json=LIST, headers=key | {"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["error"]["data"]["code"]) == (403, "FORBIDDEN")
    assert (await http.post("/mcp", json=LIST, headers=key | {"Origin": OURS})).status_code == 200

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1_000_000

    for content in (b" " * (MOST_BYTES + 1), chunks()):
        large = await http.post("/mcp", content=content, headers=key)
        assert (large.status_code, large.json()["error"]["data"]["code"]) == (413, "TOO_COMPLEX")

    for version in ("1999-01-01", "2026-07-29", "nonsense"):
        meta: dict[str, Any] = {
            mcp.types.PROTOCOL_VERSION_META_KEY: version,
            mcp.types.CLIENT_CAPABILITIES_META_KEY: {},
        }
        headers = key | {"MCP-Protocol-Version": version, "Mcp-Method": "tools/list"}
        unsupported = await http.post("/mcp", json=LIST | {"params": {"_meta": meta}}, headers=headers)
        assert unsupported.status_code == 400, version
        assert unsupported.json()["error"]["data"] == {"supported": ["2026-07-28"], "requested": version}
    for content in (b"{", b"[]", orjson.dumps([LIST]), b"[" * 100_000, b'{"jsonrpc": "2.0"}', b'{"a": "\xff"}'):
        for version in ("2025-06-18", "2026-07-28"):
            headers = key | {"MCP-Protocol-Version": version, "Content-Type": "application/json"}
            malformed = await http.post("/mcp", content=content, headers=headers)
            assert malformed.status_code == 400, (version, content[:20])
    answer = await http.post("/mcp", json=WALLETS, headers=key | {"Accept": "text/html"})
    assert answer.status_code == 406


async def test_a_bare_post_without_a_handshake_is_answered_in_json(clients: Clients, http: httpx.AsyncClient) -> None:
    answer = await http.post("/mcp", json=WALLETS, headers=headers_of(clients.member) | {"Accept": "*/*"})
    assert answer.headers["content-type"] == "application/json"
    assert "mcp-session-id" not in answer.headers
    result = answer.json()["result"]
    assert result["structuredContent"]["wallets"][0]["available"] == "300"
    assert result["isError"] is False
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await http.post("/mcp", json=noted, headers=headers_of(clients.member))).status_code == 202


async def test_fifty_calls_at_once_are_answered_each_with_its_own(clients: Clients) -> None:
    features = [f"nothing {number}" for number in range(50)]
    async with agent(clients.member) as connected, agent(clients.service, "legacy") as older:
        asked = [
            told((connected, older)[number % 2], "preview_reservation", feature=feature)
            for number, feature in enumerate(features)
        ]
        answers = [data["previewReservation"] for data, _ in await asyncio.gather(*asked)]
    assert [(answer["__typename"], answer["feature"]) for answer in answers] == [
        ("UnknownFeature", feature) for feature in features
    ]
