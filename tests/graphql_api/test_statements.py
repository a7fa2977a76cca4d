"""GET /statements: a wallet's ledger as a file, and the program that verifies it, as they are served."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import pytest

from domain.ledger import Entry
from domain.statements import Statement
from graphql_api import downloads, verify_statement
from graphql_api import statements as face
from graphql_api.statement_lines import Form
from graphql_api.statements import period, statement_pieces
from infra.application import Application, open_application
from infra.queries import statements as query
from infra.queries.statements import open_statement
from infra.services.callers import Caller
from infra.settings import Settings
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.test_statement_of_a_year import grow
from tests.infra.builders import Clock, open_tenant, reserved

pytestmark = pytest.mark.anyio


async def get(client: Client, path: str, **headers: str) -> httpx.Response:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    given = {"Authorization": f"Bearer {client.token}"} | named | headers
    return await client.http.get(path, headers={name: value for name, value in given.items() if value})


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


def faults_of(*files: str, heads: dict[int, str] | None = None) -> list[tuple[str, int]]:
    """What the verifier says of files."""
    opened = [io.StringIO(file.removeprefix("\ufeff"), newline="") for file in files]
    verification, broken = verify_statement.verify(opened, heads or {})
    assert not broken, broken
    return [(fault.kind, fault.sequence) for fault in verification.faults]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "verify_statement.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


async def test_a_tenant_proves_its_balance_with_one_program_and_nothing_of_ours(
    clients: Clients, tmp_path: Path
) -> None:
    held = await clients.service.reserve("=hëld", "blog_post")
    note = '"zurück",\n\'=1+1\r\n€'
    await clients.operator.do("adjustWallet", walletKey="credits", idempotencyKey="b", amount="-297.5", note=note)
    await clients.service.do("consume", idempotencyKey="c", reservationId=held["id"], quantity="3")
    await clients.operator.do("adjustWallet", walletKey="credits", idempotencyKey="g", amount="2", note="=1+1")
    wallet = (await clients.member.ask('{ wallet(key: "credits") { version headHash } }'))["wallet"]
    head = f"{wallet['version']}:{wallet['headHash']}"
    program = await clients.member.http.get("/statements/verify_statement.py")
    (tmp_path / "verify_statement.py").write_bytes(program.content)
    for form, media_type in (("csv", "text/csv; charset=utf-8"), ("jsonl", "application/x-ndjson")):
        answer = await get(clients.member, f"/statements/credits.{form}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-disposition"] == f'attachment; filename="statement-credits.{form}"'
        (tmp_path / f"all.{form}").write_bytes(answer.content)
    holds = await asyncio.to_thread(run, tmp_path, "all.csv", "--head", head)
    assert (holds.returncode, holds.stderr) == (0, "")
    assert f"Its head is {head}" in holds.stdout
    assert b",'=1+1," in (tmp_path / "all.csv").read_bytes(), "no spreadsheet takes a note for a formula"
    forged = (tmp_path / "all.jsonl").read_text().replace('"amount":"2"', '"amount":"3"', 1)
    (tmp_path / "all.jsonl").write_text(forged)
    altered = await asyncio.to_thread(run, tmp_path, "--json", "all.jsonl", "--head", head)
    told = json.loads(altered.stdout)
    assert (altered.returncode, told["holds"]) == (1, False)
    assert [(fault["kind"], fault["sequence"]) for fault in told["faults"]] == [("altered", 2)]
    nothing = await asyncio.to_thread(run, tmp_path, "verify_statement.py")
    assert nothing.returncode == 2
    assert "this is no statement" in nothing.stdout


async def test_who_may_read_a_statement_and_what_is_refused(clients: Clients, http: httpx.AsyncClient) -> None:
    assert error_of(await http.get("/statements/credits.csv"))[:2] == (401, "UNAUTHENTICATED")
    assert error_of(await get(Client(http, clients.operator.token), "/statements/credits.csv"))[1] == "TENANT_REQUIRED"
    for client in (clients.operator, clients.admin, clients.member, clients.service):
        assert faults_of((await get(client, "/statements/credits.csv")).text) == []
    own, foreign = [(await get(each, "/statements/credits.jsonl")).text for each in (clients.member, clients.stranger)]
    assert json.loads(own.splitlines()[0])["tenant"] != json.loads(foreign.splitlines()[0])["tenant"]
    assert error_of(await get(clients.stranger, "/statements/metered.csv"))[0] == 404
    for wallet_key in ("a%00b", "%ff", "%ED%A0%80", "x" * 5_000):
        assert error_of(await get(clients.member, f"/statements/{wallet_key}.csv"))[0] == 404
    assert error_of(await get(clients.member, "/statements/credits.xlsx"))[0] == 404
    for parameters, named in (
        ("month=2026-13", "month"),
        ("month=2026-11&firstDay=2026-11-01", "month"),
        ("month=2026-11&month=2026-12", "month"),
        ("firstDay=2026-11-01", "lastDay"),
        ("firstDay=2026-11-02&lastDay=2026-11-01", "firstDay"),
        ("firstDay=20261101&lastDay=2026-11-01", "firstDay"),
        ("firstDay=2026-11-01&lastDay=9999-12-31", "lastDay"),
        ("firstDay=1999-12-31&lastDay=2026-11-01", "firstDay"),
        ("from=2026-11-01", "from"),
    ):
        status, code, message = error_of(await get(clients.member, f"/statements/credits.csv?{parameters}"))
        assert (status, code) == (400, "BAD_USER_INPUT")
        assert named in message
    head = await http.head("/statements/credits.csv", headers={"Authorization": f"Bearer {clients.member.token}"})
    assert (head.status_code, head.content) == (200, b"")
    put = await http.put("/statements/credits.csv", headers={"Authorization": f"Bearer {clients.member.token}"})
    assert put.status_code == 405


async def test_a_page_of_ours_will_do_and_another_will_not(clients: Clients) -> None:
    ours = str(clients.member.http.base_url).rstrip("/")

    async def answered(client: Client, method: str = "POST", **headers: str) -> int:
        given = {"Cookie": f"purser_session={client.token}", "Origin": ours, **headers}
        return (await client.http.request(method, "/statements/credits.csv", headers=given)).status_code

    assert await answered(clients.member) == 200
    assert await answered(clients.member, Origin="https://elsewhere.example") == 401
    assert await answered(clients.member, "GET", Origin="", **{"Sec-Fetch-Site": "same-origin"}) == 401
    for site in ("cross-site", "same-site", "none"):
        assert await answered(clients.member, **{"Sec-Fetch-Site": site}) == 401
    assert await answered(clients.operator) == 400
    assert await answered(clients.operator, **{"Purser-Tenant": "acme"}) == 200
    assert await answered(clients.operator, **{"Purser-Tenant": "nobody"}) == 400


async def text_of(application: Application, statement: Statement | None) -> str:
    assert statement is not None
    return b"".join([piece async for piece in statement_pieces(application, statement, Form.JSON_LINES)]).decode()


async def test_months_of_the_tenants_time_zone_follow_each_other_without_a_gap(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "ENTRIES_AT_A_TIME", 2)
    clock = Clock(datetime(2026, 10, 31, 18, 29, 59, tzinfo=UTC))
    async with open_application(settings, database_url, clock=clock) as application:
        caller = await open_tenant(application, time_zone="Asia/Kolkata", credits="30")
        clock.advance(1)
        await reserved(application, caller, "the first of November")
        clock.advance(-2)
        await reserved(application, caller, "by another machine's clock it is October")
        clock.advance(2)
        for number in range(2):
            await reserved(application, caller, f"November {number}")
        clock.advance(days=70)

        async def statement(month: str) -> str:
            start, end = period(ZoneInfo("Asia/Kolkata"), month, None, None)
            return await text_of(
                application, await open_statement(application, caller.tenant_id, "credits", start, end)
            )

        october, november = await statement("2026-10"), await statement("2026-11")
        assert [json.loads(line)["sequence"] for line in october.splitlines()] == ["0", "1", "1"]
        assert [json.loads(line)["sequence"] for line in november.splitlines()] == ["1", "2", "3", "4", "5", "5"]
        empty = await statement("2026-09"), await statement("2027-01")
        assert [len(each.splitlines()) for each in empty] == [2, 2]
        assert faults_of(empty[0], october, november, empty[1]) == []
        assert faults_of(october, empty[1]) == [("joint", 2)]
        assert await open_statement(application, caller.tenant_id, "no wallet", None, None) is None


@pytest.mark.own_database
async def test_a_ledger_that_was_tampered_with_gives_a_statement_that_says_where(
    application: Application, database_url: str
) -> None:
    caller = await open_tenant(application, credits="30")
    for number in range(4):
        await reserved(application, caller, f"run {number}")

    async def faults() -> list[tuple[str, int]]:
        statement = await open_statement(application, caller.tenant_id, "credits", None, None)
        return faults_of(await text_of(application, statement))

    assert await faults() == []
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute("UPDATE ledger_entry SET idempotency_key = 'another' WHERE sequence = 2")
        assert await faults() == [("altered", 2)]
        await owner.execute("DELETE FROM ledger_entry WHERE sequence = 4")
        assert await faults() == [("altered", 2), ("removed", 4)]
        await owner.execute("DELETE FROM ledger_entry WHERE sequence = 5")
        assert await faults() == [("altered", 2), ("removed", 4)]
    finally:
        await owner.close()


async def test_a_statement_that_breaks_off_does_not_look_whole(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "ENTRIES_AT_A_TIME", 1)
    monkeypatch.setattr(face, "_PIECE", 1)
    for number in range(3):
        await clients.service.reserve(f"run {number}", "blog_post")

    async def until_the_database_is_gone(application: Application, statement: Statement) -> AsyncIterator[list[Entry]]:
        async for entries in query.entries_of(application, statement):
            yield entries
            application.readers._pool.terminate()

    monkeypatch.setattr(face, "entries_of", until_the_database_is_gone)
    arrived = bytearray()
    headers = {"Authorization": f"Bearer {clients.member.token}", "Accept-Encoding": "identity"}

    async def take() -> None:
        async with clients.member.http.stream("GET", "/statements/credits.jsonl", headers=headers) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_bytes():
                arrived.extend(piece)

    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        await take()
    assert ("cut off", 2) in faults_of(arrived.decode())


async def test_a_statement_that_takes_too_long_ends_without_its_end(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_: object) -> AsyncIterator[list[Entry]]:
        while True:
            await asyncio.sleep(0)
            yield []

    monkeypatch.setattr(face, "_PIECE", 1)
    monkeypatch.setattr(face, "entries_of", endless)
    monkeypatch.setattr(downloads, "SECONDS_IN_ALL", 0.2)
    monkeypatch.setattr(downloads, "MOST_OF_A_TENANT", 1)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        await get(clients.member, "/statements/credits.csv")


@pytest.mark.slow
async def test_who_takes_nothing_is_let_go_and_gives_its_place_back(
    clients: Clients, application: Application, acme: Caller, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grow(application, acme, 40_000)
    monkeypatch.setattr(downloads, "MOST_OF_A_TENANT", 1)
    monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", 3.0)
    url = httpx.URL(api_url)

    async def deaf() -> asyncio.StreamWriter:
        """Asks for a statement, and reads none of it."""
        reader, writer = await asyncio.open_connection(url.host, url.port, limit=1)
        head = f"GET /statements/credits.csv HTTP/1.1\r\nHost: purser\r\nAuthorization: Bearer {clients.member.token}\r\n\r\n"
        writer.write(head.encode())
        await reader.readexactly(1)
        return writer

    async def freed(path: str = "/statements/credits.csv?month=2026-01") -> None:
        async with asyncio.timeout(30):
            while (await get(clients.admin, path)).status_code == 503:  # noqa: ASYNC110  # another connection's end
                await asyncio.sleep(0.1)

    first = await deaf()
    status, code, message = error_of(await get(clients.admin, "/statements/credits.csv"))
    assert (status, code) == (503, "OVERLOADED")
    assert message == "Too many files are being downloaded at this moment. Ask for this one again later."
    assert (await get(clients.stranger, "/statements/credits.csv")).status_code == 200, "each tenant has its share"
    await freed()
    second = await deaf()
    monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", 600.0)
    second.transport.abort()
    await freed()
    first.close()
