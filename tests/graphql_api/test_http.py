"""What a request must look like on the wire."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest

from graphql_api import limits
from graphql_api.limits import MOST_BYTES
from infra.application import Application
from infra.services import api_keys
from infra.services.api_keys import Keyring
from infra.services.callers import Caller, Role
from tests.graphql_api.conftest import Clients
from tests.infra.builders import new_key, revoke_key, standing_still

pytestmark = pytest.mark.anyio

QUERY = {"query": "{ __typename }"}


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


async def test_health_is_open_to_all(http: httpx.AsyncClient) -> None:
    response = await http.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_a_key_is_needed_and_checked_before_anything_is_read(http: httpx.AsyncClient) -> None:
    for headers in (
        {},
        {"Authorization": "psk_abc"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer psk_" + "x" * 43},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer psk_" + "x" * 43 + "\u00e9"},
    ):
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        json_type = (b"Content-Type", b"application/json")
        response = await http.post("/graphql", content=b"not even JSON", headers=[*encoded, json_type])
        status, code, _ = error_of(response)
        assert (status, code) == (401, "UNAUTHENTICATED"), headers
        assert response.headers["www-authenticate"] == "Bearer"


async def test_only_posts_of_json_are_taken(clients: Clients, http: httpx.AsyncClient) -> None:
    key = {"Authorization": f"Bearer {clients.member.token}"}
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        response = await http.request(method, "/graphql", headers=key)
        assert error_of(response)[:2] == (405, "BAD_USER_INPUT")
        assert response.headers["allow"] == "POST"
    for content_type in ("text/plain", "application/graphql", "multipart/form-data; boundary=x", ""):
        response = await http.post("/graphql", content=b"{}", headers={**key, "Content-Type": content_type})
        assert error_of(response)[0] == 415
    response = await http.post(
        "/graphql", content=orjson.dumps(QUERY), headers={**key, "Content-Type": "Application/JSON; charset=utf-8"}
    )
    assert response.json() == {"data": {"__typename": "Query"}}
    assert response.headers["cache-control"] == "no-store"


async def test_malformed_bodies_are_explained(clients: Clients, http: httpx.AsyncClient) -> None:
    bodies: list[tuple[bytes, str]] = [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b'{"query": "\\ud800"}', "no valid JSON"),
        (b'{"query": "\xff"}', "no valid JSON"),
        (b'{"query": NaN}', "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[]", "one request at a time"),
        (b'[{"query": "{ __typename }"}]', "one request at a time"),
        (b'"query"', "a JSON object"),
        (b"{}", "query must be the text"),
        (b'{"query": 3}', "query must be the text"),
        (b'{"query": "  "}', "query must be the text"),
        (b'{"query": "{ __typename }", "variables": []}', "variables must be"),
        (b'{"query": "{ __typename }", "operationName": 1}', "operationName must be"),
    ]
    headers = {"Authorization": f"Bearer {clients.member.token}", "Content-Type": "application/json"}
    for body, message in bodies:
        response = await http.post("/graphql", content=body, headers=headers)
        status, code, told = error_of(response)
        assert (status, code) == (400, "BAD_USER_INPUT"), body[:80]
        assert message in told, body[:80]


async def test_large_bodies_are_refused_whether_declared_or_not(clients: Clients, http: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {clients.member.token}", "Content-Type": "application/json"}
    declared = await http.post("/graphql", content=b" " * (MOST_BYTES + 1), headers=headers)
    assert error_of(declared)[:2] == (413, "TOO_COMPLEX")

    async def chunks() -> Any:
        for _ in range(5):
            yield b" " * 1_000_000

    streamed = await http.post("/graphql", content=chunks(), headers=headers)
    assert error_of(streamed)[:2] == (413, "TOO_COMPLEX")


async def test_a_body_that_does_not_come_is_waited_for_in_bounds(
    clients: Clients, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_BODY", 0.05)
    host, port = api_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = f"authorization: Bearer {clients.member.token}"
    lines = [
        "POST /graphql HTTP/1.1",
        f"host: {host}",
        key,
        "content-type: application/json",
        "content-length: 9",
        "",
        "{",
    ]
    writer.write("\r\n".join(lines).encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_operator_may_only_name_a_tenant_that_exists(clients: Clients, http: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {clients.operator.token}"}
    for tenant in ("nobody", "ten_" + "0" * 32, "' OR 1=1", "x" * 1000):
        response = await http.post("/graphql", json=QUERY, headers={**headers, "Purser-Tenant": tenant})
        assert error_of(response)[:2] == (400, "TENANT_REQUIRED")


async def test_an_operator_may_name_a_tenant_by_id(clients: Clients, http: httpx.AsyncClient, acme: Caller) -> None:
    headers = {"Authorization": f"Bearer {clients.operator.token}", "Purser-Tenant": f"ten_{acme.tenant_id.hex}"}
    response = await http.post("/graphql", json=QUERY, headers=headers)
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_introspection_is_allowed(clients: Clients) -> None:
    data = await clients.member.ask('{ __schema { queryType { name } } __type(name: "Route") { enumValues { name } } }')
    assert data == {
        "__schema": {"queryType": {"name": "Query"}},
        "__type": {"enumValues": [{"name": "MANAGED"}, {"name": "BYOK"}, {"name": "FREE"}]},
    }


async def test_an_expired_key_stops_at_once_and_a_revoked_one_within_two_seconds(
    application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring(application)
    now = monotonic()
    monkeypatch.setattr(api_keys, "monotonic", lambda: now)
    soon = datetime.now(UTC) + timedelta(hours=1)
    short_lived = (await new_key(application, acme.tenant_id, Role.MEMBER, "short", soon)).token
    key = await new_key(application, acme.tenant_id, Role.MEMBER, "revoked")
    revoked = key.token
    assert await keyring.authenticate(short_lived, None) == Caller(acme.tenant_id, Role.MEMBER, "key:short")
    assert await keyring.authenticate(revoked, None) is not None
    with monkeypatch.context() as patch:
        patch.setattr(api_keys, "datetime", standing_still(soon))
        assert await keyring.authenticate(short_lived, None) is None
    assert await revoke_key(application, key.id)
    assert not await revoke_key(application, key.id)
    assert await keyring.authenticate(revoked, None) is not None, "it is remembered for a moment"
    later = now + api_keys.SECONDS_REMEMBERED
    monkeypatch.setattr(api_keys, "monotonic", lambda: later)
    assert await keyring.authenticate(revoked, None) is None


async def test_keys_are_kept_as_hashes_only(application: Application, acme: Caller) -> None:
    token = (await new_key(application, acme.tenant_id, Role.SERVICE, "worker")).token
    rows = await application.across_tenants.fetch("SELECT t::text FROM api_key t")
    assert rows
    assert all(token not in row[0] and token.removeprefix("psk_") not in row[0] for row in rows)
