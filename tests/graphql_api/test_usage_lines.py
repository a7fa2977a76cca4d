"""POST /usage: lines in, counts out, whatever becomes of the lines between."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import orjson
import pytest
from graphql import GraphQLInputObjectType

from graphql_api import usage_lines as face
from graphql_api.usage_lines import MOST_BYTES
from infra import usage_lines
from infra.application import Application
from infra.group_commit import Overloaded
from infra.services import usage_intake
from infra.services.callers import Caller, Role
from infra.services.usage import record_usage
from tests.graphql_api.client import SCHEMA, Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import audit, count, nothing_moves

pytestmark = pytest.mark.anyio

NDJSON = {"Content-Type": "application/x-ndjson"}


def event(event_id: str, **facts: Any) -> dict[str, Any]:
    return {"source": "worker", "eventId": event_id, "kind": "LLM", "usage": {"costUsd": "0.001", **facts}}


def body(*events: dict[str, Any]) -> bytes:
    return b"".join([orjson.dumps(each) + b"\n" for each in events])


async def post(client: Client, content: Any, path: str = "/usage", **headers: str) -> httpx.Response:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    key = {"Authorization": f"Bearer {client.token}"}
    return await client.http.post(path, content=content, headers=NDJSON | key | named | headers)


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


def counts(response: httpx.Response) -> tuple[int, int, int, str]:
    told = response.json()
    return told["accepted"], told["duplicates"], told["rejections"], told["costUsd"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("UsageEventInput", usage_lines._EVENT),
        ("UsageInput", usage_lines._USAGE),
        ("AttributionInput", usage_lines._ATTRIBUTION),
    ],
)
async def test_a_line_has_the_fields_that_graphql_takes(name: str, fields: dict[str, object]) -> None:
    graphql_type = SCHEMA.type_map[name]
    assert isinstance(graphql_type, GraphQLInputObjectType)
    assert set(fields) == set(graphql_type.fields)


async def test_lines_are_recorded_once_and_told_apart(clients: Clients, application: Application) -> None:
    content = body(event("a"), event("b"), event("a", costUsd=0.5))
    content += b'\n  \r\n{broken\n{"source": "worker", "eventId": "c", "kind": "LLM", "cost": "1", "usage": {}}\r\n'
    content += orjson.dumps(event("d", model=" "))
    response = await post(clients.service, content)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert counts(response) == (2, 0, 4, "0.002")
    told = [
        (each["line"], each["eventId"], problem["path"], problem["message"])
        for each in response.json()["rejected"]
        for problem in each["problems"]
    ]
    amount = "an amount is a plain decimal in a string: send '0.25', not 0.25"
    name = "must be 1 to 200 characters without control characters or blanks at the ends"
    assert told[0] == (3, "a", "usage.costUsd", amount)
    assert told[1][:3] == (6, "", "line")
    assert told[1][3].startswith("is no valid JSON: ")
    assert told[2:] == [(7, "c", "cost", "there is no such field"), (8, "d", "usage.model", name)]
    again = await post(clients.service, content)
    assert counts(again) == (0, 2, 4, "0")
    assert await count(application, "usage_event") == 2
    await audit(application)


async def test_a_line_is_the_same_event_as_the_one_of_record_usage(clients: Clients) -> None:
    full = event(
        "a",
        provider="openai",
        model="gpt-4o-mini",
        inputTokens=100,
        cacheReadTokens=900,
        occurredAt="2026-11-20T08:00:00+05:30",
    ) | {"attribution": {"campaign": "c", "tags": [{"key": "k", "value": "v"}]}}
    assert counts(await post(clients.service, body(full))) == (1, 0, 0, "0.001")
    recorded = await clients.service.do("recordUsage", events=[full])
    assert (recorded["accepted"], recorded["duplicates"]) == (0, 1)


async def test_a_dry_run_writes_nothing(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        response = await post(clients.service, body(event("a"), event("a")), "/usage?dryRun=true")
        assert counts(response) == (1, 1, 0, "0.001")
    assert counts(await post(clients.service, body(event("a")), "/usage?dryRun=false")) == (1, 0, 0, "0.001")


@pytest.mark.parametrize("query", ["dryRun=1", "dryRun=", "dryRun=true&dryRun=true", "dryrun=true", "dryRun=true&x=1"])
async def test_other_parameters_are_refused_by_name(clients: Clients, application: Application, query: str) -> None:
    async with nothing_moves(application):
        status, code, message = error_of(await post(clients.service, body(event("a")), f"/usage?{query}"))
    assert (status, code) == (400, "BAD_USER_INPUT")
    assert "dryRun" in message


async def test_thousands_of_lines_stream_through_in_batches(clients: Clients, application: Application) -> None:
    async def lines() -> AsyncIterator[bytes]:
        """Cut anywhere, also in the middle of a line."""
        content = body(*[event(f"e{number}") for number in range(2_500)])
        for start in range(0, len(content), 9_999):
            yield content[start : start + 9_999]

    assert counts(await post(clients.service, lines())) == (2_500, 0, 0, "2.5")
    assert await count(application, "usage_event") == 2_500


async def test_others_have_their_turn_while_lines_are_read(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, turns, most = 0, 0, 0

    def counted(line: bytes) -> Any:
        nonlocal read, most
        read += 1
        most = max(most, read)
        return usage_lines.read_line(line)

    async def neighbour() -> None:
        nonlocal read, turns
        while True:
            read = 0
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(face, "read_line", counted)
    beside = asyncio.create_task(neighbour())
    response = await post(clients.service, body(*[event(f"e{number}") for number in range(900)]))
    beside.cancel()
    assert counts(response)[0] == 900
    assert most <= 2 * face.LINES_AT_ONCE
    assert turns >= 900 // face.LINES_AT_ONCE


async def test_what_was_committed_stays_when_the_connection_breaks(
    clients: Clients, application: Application, api_url: str
) -> None:
    content = body(*[event(f"e{number}") for number in range(1_500)])
    place = urlsplit(api_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST /usage HTTP/1.1\r\nHost: purser\r\nAuthorization: Bearer {clients.service.token}\r\n"
    head += f"Content-Type: application/x-ndjson\r\nContent-Length: {len(content) + 1}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()
    async with asyncio.timeout(20):
        while await count(application, "usage_event") < 1_000:  # noqa: ASYNC110  # another connection's commit
            await asyncio.sleep(0.005)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.close()
    del reader
    assert counts(await post(clients.service, content)) == (500, 1_000, 0, "0.5")
    assert await count(application, "usage_event") == 1_500
    await audit(application)


async def test_a_key_with_the_right_role_and_a_tenant_is_needed(clients: Clients, http: httpx.AsyncClient) -> None:
    nobody = await http.post("/usage", content=b"not even JSON", headers=NDJSON)
    assert error_of(nobody)[:2] == (401, "UNAUTHENTICATED")
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert error_of(await post(Client(http, "psk_" + "x" * 43), b""))[:2] == (401, "UNAUTHENTICATED")
    status, code, message = error_of(await post(clients.member, body(event("a"))))
    assert (status, code) == (403, "FORBIDDEN")
    assert message == "POST /usage needs a key of role ADMIN or OPERATOR or SERVICE; this one's is MEMBER"
    assert error_of(await post(Client(http, clients.operator.token), b""))[:2] == (400, "TENANT_REQUIRED")
    assert error_of(await post(Client(http, clients.operator.token, "nobody"), b""))[:2] == (400, "TENANT_REQUIRED")
    for role in (Role.OPERATOR, Role.ADMIN, Role.SERVICE):
        assert counts(await post(clients.of(role), body(event(role)))) == (1, 0, 0, "0.001")


async def test_usage_is_the_tenants_own(clients: Clients, application: Application, globex: Caller) -> None:
    for client in (clients.service, clients.stranger):
        assert counts(await post(client, body(event("a"))))[0] == 1
    assert await count(application, "usage_event", f"tenant_id = '{globex.tenant_id}'") == 1


async def test_only_lines_of_json_are_taken_and_as_they_are(clients: Clients, http: httpx.AsyncClient) -> None:
    for content_type in ("application/json", "text/plain", ""):
        told = error_of(await post(clients.service, body(event("a")), **{"Content-Type": content_type}))
        assert told[:2] == (415, "BAD_USER_INPUT")
        assert "application/x-ndjson" in told[2]
    gzip = await post(clients.service, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert error_of(gzip)[0] == 415
    taken = await post(clients.service, body(event("a")), **{"Content-Type": "Application/JSONL; charset=utf-8"})
    assert counts(taken)[0] == 1
    assert counts(await post(clients.service, b"")) == (0, 0, 0, "0")
    other = await http.get("/usage")
    assert (other.status_code, other.headers["allow"]) == (405, "POST")


async def test_bodies_beyond_the_limits_are_refused_and_what_was_taken_is_told(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = await post(clients.service, b" " * (MOST_BYTES + 1))
    assert error_of(declared)[:2] == (413, "TOO_COMPLEX")
    monkeypatch.setattr(face, "MOST_LINES", 1_200)
    lines = await post(clients.service, body(*[event(f"e{number}") for number in range(1_300)]))
    assert error_of(lines)[:2] == (413, "TOO_COMPLEX")
    assert counts(lines) == (1_000, 0, 0, "1")
    monkeypatch.setattr(face, "MOST_BYTES", 50_000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 10_000

    assert error_of(await post(clients.service, chunks()))[:2] == (413, "TOO_COMPLEX")


async def test_a_line_that_never_ends_is_one_rejected_line(clients: Clients) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 50_000
        yield b"\n" + body(event("a"))

    response = await post(clients.service, chunks())
    assert counts(response) == (1, 0, 1, "0.001")
    (rejected,) = response.json()["rejected"]
    assert (rejected["line"], rejected["problems"][0]["message"]) == (1, "must have at most 100000 bytes")


@dataclass(slots=True)
class Sender:
    """Somebody who has sent the beginning of a body, and sends nothing more until `go`."""

    content: bytes
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.content
        await self.go.wait()


async def waits_for(application: Application, events: int) -> None:
    async with asyncio.timeout(20):
        while await count(application, "usage_event") < events:  # noqa: ASYNC110  # another connection's commit
            await asyncio.sleep(0.005)


async def test_lines_that_wait_are_recorded_once_they_are_large(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "MOST_WAITING", 1_000)
    sender = Sender(body(*[event(f"e{number}") for number in range(30)]))
    sending = asyncio.create_task(post(clients.service, sender.chunks()))
    await waits_for(application, 12)
    sender.go.set()
    assert counts(await sending) == (30, 0, 0, "0.03")


async def test_who_says_nothing_for_long_is_let_go_and_told_what_was_taken(
    clients: Clients, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr(face, "MOST_WAITING", 0)
    place = urlsplit(api_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST /usage HTTP/1.1\r\nHost: purser\r\nAuthorization: Bearer {clients.service.token}\r\n"
    head += "Content-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n"
    writer.write(head.encode() + body(event("a")) + b"{")
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    status, _, content = answer.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    told = orjson.loads(content)
    assert told["errors"][0]["extensions"] == {"code": "TIMEOUT"}
    assert told["accepted"] == 1


async def test_only_so_many_are_listened_to_at_once_and_of_one_tenant_fewer(
    clients: Clients, application: Application, globex: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "MOST_WAITING", 0)
    monkeypatch.setattr(face, "MOST_OF_A_TENANT", 1)
    monkeypatch.setattr(face, "MOST_AT_ONCE", 2)
    first, second = Sender(body(event("a"))), Sender(body(event("b")))
    of_acme = asyncio.create_task(post(clients.service, first.chunks()))
    await waits_for(application, 1)
    async with nothing_moves(application):
        refused = await post(clients.service, body(event("c")))
    assert error_of(refused)[:2] == (503, "OVERLOADED")
    assert refused.headers["retry-after"] == "1"
    of_globex = asyncio.create_task(post(clients.stranger, second.chunks()))
    await waits_for(application, 2)
    monkeypatch.setattr(face, "MOST_OF_A_TENANT", 2)
    assert error_of(await post(clients.service, body(event("c"))))[:2] == (503, "OVERLOADED")
    first.go.set()
    second.go.set()
    assert [counts(each)[0] for each in await asyncio.gather(of_acme, of_globex)] == [1, 1]
    assert counts(await post(clients.service, body(event("c"))))[0] == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Overloaded(), 503, "OVERLOADED"), (asyncpg.PostgresError("secret"), 500, "INTERNAL")],
)
async def test_where_a_batch_fails_those_before_it_are_told(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    batches = 0

    async def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 2:
            raise error
        return await record_usage(*arguments, **options)

    monkeypatch.setattr(usage_intake, "record_usage", failing)
    content = body(*[event(f"e{number}") for number in range(1_100)])
    response = await post(clients.service, content)
    assert error_of(response)[:2] == (status, code)
    assert "secret" not in response.text
    assert counts(response) == (1_000, 0, 0, "1")
    assert response.headers.get("retry-after") == ("1" if status == 503 else None)
    assert counts(await post(clients.service, content)) == (100, 1_000, 0, "0.1")
