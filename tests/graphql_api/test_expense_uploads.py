"""POST /expenses: a file in, the report and a verdict for each row out."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from graphql_api import downloads
from graphql_api import expense_uploads as face
from infra.application import Application
from infra.services.callers import Caller
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.infra.builders import count, nothing_moves

pytestmark = pytest.mark.anyio

CSV = {"Content-Type": "text/csv; charset=utf-8"}
FILE = (
    b"campaign;kind;amount;currency;incurredOn;description\n"
    b"spring;adwords;12.50;EUR;2026-11-03;=1+1\n"
    b'spring;adwords;"1.234,56";EUR;2026-11-03;\n'
    b"\n"
    b'spring;adwords;3;EUR;2026-11-03;"two\nlines"\n'
)
GOOD = FILE.replace(b'"1.234,56"', b"1234.56")


async def post(client: Client, content: Any, query: str = "", **headers: str) -> httpx.Response:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    key = {"Authorization": f"Bearer {client.token}"}
    return await client.http.post(f"/expenses{query}", content=content, headers=CSV | key | named | headers)


def told(response: httpx.Response) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    assert response.headers["content-type"].startswith("application/x-ndjson")
    report, *verdicts = [orjson.loads(line) for line in response.content.splitlines()]
    return report, verdicts


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


async def test_nothing_is_written_unless_it_is_asked_for(clients: Clients, application: Application) -> None:
    async with nothing_moves(application):
        response = await post(clients.admin, FILE)
        assert response.status_code == 200
        report, verdicts = told(response)
        assert report == {
            "written": False,
            "accepted": 2,
            "duplicates": 0,
            "rejections": 1,
            "blank": 1,
            "totals": [{"amount": "15.5", "currency": "EUR"}],
        }
        (problem,) = verdicts[1].pop("problems")
        assert problem["column"] == "amount"
        assert problem["message"].startswith("is '1.234,56': write 1234.56")
        assert verdicts == [
            {"line": 2, "verdict": "accepted"},
            {"line": 3, "verdict": "rejected"},
            {"line": 4, "verdict": "blank"},
            {"line": 5, "lastLine": 6, "verdict": "accepted"},
        ]
        stopped = await post(clients.admin, FILE, "?dryRun=false")
        assert (stopped.status_code, told(stopped)[0]) == (422, report)


async def test_what_is_asked_for_is_written_once(clients: Clients, application: Application) -> None:
    report, verdicts = told(await post(clients.operator, GOOD, "?dryRun=false"))
    assert (report["written"], report["accepted"]) == (True, 3)
    query = "{ expenses { edges { node { id description actor } } } }"
    found = [edge["node"] for edge in (await clients.member.ask(query))["expenses"]["edges"]]
    assert {each["id"] for each in found} == {each["id"] for each in verdicts if "id" in each}
    assert {each["description"] for each in found} == {"=1+1", None, "two\nlines"}
    again, repeated = told(await post(clients.admin, GOOD, "?dryRun=false"))
    assert (again["written"], again["accepted"], again["duplicates"]) == (True, 0, 3)
    assert [each.get("id") for each in repeated] == [each.get("id") for each in verdicts]
    skipped, _ = told(await post(clients.admin, FILE + b"x;event;1;EUR;2026-11-03;\n", "?dryRun=false&onError=skip"))
    assert (skipped["written"], skipped["accepted"], skipped["rejections"]) == (True, 1, 1)
    assert await count(application, "expense") == 4


async def test_bad_requests_are_refused_by_name(clients: Clients, application: Application, globex: Caller) -> None:
    async with nothing_moves(application):
        for query, said in (
            ("?dryRun=1", "dryRun is true or false"),
            ("?dryRun=true&dryRun=true", "dryRun is true or false"),
            ("?onError=go", "onError is stop or skip"),
            ("?charset=latin-9", "charset is utf-8 or cp1252"),
            ("?decimal=.", "decimal is point or comma"),
            ("?apply=true", "there is no parameter 'apply'"),
        ):
            status, code, message = error_of(await post(clients.admin, GOOD, query))
            assert (status, code) == (400, "BAD_USER_INPUT")
            assert said in message
        assert error_of(await post(clients.member, GOOD))[:2] == (403, "FORBIDDEN")
        assert error_of(await post(clients.service, GOOD))[:2] == (403, "FORBIDDEN")
        assert error_of(await post(Client(clients.admin.http, "psk_no"), GOOD))[:2] == (401, "UNAUTHENTICATED")
        assert error_of(await post(clients.admin, GOOD, **{"Content-Type": "text/plain"}))[0] == 415
        assert error_of(await post(clients.admin, GOOD, **{"Content-Encoding": "gzip"}))[0] == 415
        status, _, message = error_of(await post(clients.admin, b"PK\x03\x04"))
        assert (status, message) == (400, "the file is a spreadsheet or an archive: export it as CSV")
        status, _, message = error_of(await post(clients.admin, "a;ü\n".encode("cp1252")))
        assert (status, "charset=cp1252" in message) == (400, True)
    assert told(await post(clients.stranger, GOOD, "?dryRun=false"))[0]["accepted"] == 3
    assert await count(application, "expense", f"tenant_id = '{globex.tenant_id}'") == 3
    await clients.operator.do("suspendTenant", idempotencyKey="s")
    assert error_of(await post(clients.admin, GOOD))[::2] == (
        409,
        "The tenant is paused: tenant_suspended; ask the operator.",
    )


async def test_files_that_are_too_large_or_too_many_are_not_kept(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "MOST_BYTES", 1_000)
    async with nothing_moves(application):
        assert error_of(await post(clients.admin, b"x" * 1_001))[:2] == (413, "TOO_COMPLEX")

        async def pieces() -> Any:
            for _ in range(11):
                yield b"x" * 100

        assert error_of(await post(clients.admin, pieces()))[:2] == (413, "TOO_COMPLEX")
        monkeypatch.setattr(face, "MOST_OF_A_TENANT", 0)
        response = await post(clients.admin, GOOD)
        assert (error_of(response)[:2], response.headers["retry-after"]) == ((503, "OVERLOADED"), "1")


async def test_a_file_larger_than_what_is_held_in_memory_goes_through(clients: Clients) -> None:
    row = b"spring;adwords;12.50;EUR;2026-11-03;" + b"x" * 900 + b"\n"
    report, verdicts = told(await post(clients.admin, GOOD + row * 300))
    assert (report["accepted"], len(verdicts)) == (303, 304)


@pytest.mark.parametrize("seconds", [30, 0.05], ids=["leaves", "takes nothing"])
async def test_a_sender_has_a_place_until_the_answer_is_taken_or_nobody_takes_it(
    clients: Clients, api_url: str, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    spooled: list[Any] = []
    make = downloads.spooled  # files without a name are seen nowhere else

    def spool() -> Any:
        spooled.append(make())
        return spooled[-1]

    async def until(done: Callable[[], bool]) -> None:
        while not done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)

    monkeypatch.setattr(face, "spooled", spool)
    monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", seconds)
    monkeypatch.setattr(face, "MOST_OF_A_TENANT", 1)
    body = FILE + b"?;?;?;?;?;?\n" * 20_000  # The answer is larger than what connections hold.
    head = f"POST /expenses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {clients.admin.token}\r\nContent-Type: text/csv\r\n"
    host, port = api_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1_000)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await until(lambda: len(spooled) == 2 and any(file.closed for file in spooled))
    if seconds == 30:
        assert [file.closed for file in spooled] == [False, True], "the verdicts wait, the file is gone"
        assert error_of(await post(clients.admin, GOOD))[1] == "OVERLOADED"
        assert (await post(clients.stranger, GOOD)).status_code == 200, "others have places of their own"
        writer.close()
    await until(lambda: all(file.closed for file in spooled))
    assert (await post(clients.admin, GOOD)).status_code == 200
    writer.close()


async def test_an_error_of_ours_is_masked(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(face, "import_expenses", failing)
    response = await post(clients.admin, GOOD)
    assert error_of(response) == (500, "INTERNAL", "Internal error")
