"""GET /costs/focus.csv: a month's or a year's costs for whoever may see them, whole or broken off."""

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import httpx
import pytest

from graphql_api import downloads, focus_file
from graphql_api import focus_downloads as face
from infra.application import Application
from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import GPT, NOVEMBER, record
from tests.servers import purser

pytestmark = pytest.mark.anyio

PATH = "/costs/focus.csv"
OPEN_SNAPSHOTS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"""
TOTAL = "query ($month: UsageFilter!) { usageBreakdown(filter: $month, groupBy: []) { total { costUsd } } }"


def headers_of(client: Client) -> dict[str, str]:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    return {"Authorization": f"Bearer {client.token}"} | named


async def get(client: Client, query: str = "?month=2026-11", **headers: str) -> httpx.Response:
    return await client.http.get(f"{PATH}{query}", headers=headers_of(client) | headers)


def costs_of(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [row["BilledCost"] for row in csv.DictReader(io.StringIO(response.text, newline=""))]


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"], error["message"]


async def test_who_may_see_the_costs_gets_them_as_a_file(clients: Clients) -> None:
    await record(clients.service)
    for client in (clients.operator, clients.admin, clients.member, clients.service):
        assert sorted(costs_of(await get(client))) == ["0.25", "0.5", "1.0", "2.0", "4.0"]
    response = await get(clients.member)
    assert (await clients.member.ask(TOTAL, month=NOVEMBER))["usageBreakdown"]["total"] == {"costUsd": "7.75"}
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="focus-2026-11.csv"'
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == str(len(response.content)), "so that a part is not taken for the whole"
    assert costs_of(await get(clients.stranger)) == []
    assert costs_of(await get(clients.member, "?month=2026-12")) == []
    year = await get(clients.member, "?year=2026")
    assert costs_of(year)[0] == "8.0", "months come in their order, and October is the first with a call"
    assert len(costs_of(year)) == 6
    assert year.headers["content-disposition"] == 'attachment; filename="focus-2026.csv"'
    assert year.text.count("BilledCost") == 1
    # A page of ours has a cookie, and browsers say with POST alone where it comes from.
    page = {"Cookie": f"purser_session={clients.member.token}", "Origin": str(clients.member.http.base_url).rstrip("/")}
    posted = await clients.member.http.post(f"{PATH}?month=2026-11", headers=page)
    assert len(costs_of(posted)) == 5


async def test_what_is_asked_wrongly_is_said(
    clients: Clients, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = await clients.member.http.get(f"{PATH}?month=2026-11")
    assert error_of(nobody)[:2] == (401, "UNAUTHENTICATED")
    cookie = {"Cookie": f"purser_session={clients.member.token}", "Sec-Fetch-Site": "cross-site"}
    assert (await clients.member.http.get(f"{PATH}?month=2026-11", headers=cookie)).status_code == 401
    assert (
        await clients.member.http.put(f"{PATH}?month=2026-11", headers=headers_of(clients.member))
    ).status_code == 405
    everybody = await get(Client(clients.operator.http, clients.operator.token))
    assert error_of(everybody)[:2] == (400, "TENANT_REQUIRED")
    one = "name either one month, such as month=2026-11, or one year, such as year=2026"
    for query, message in (
        ("", one),
        ("?month=2026-11&year=2026", one),
        ("?month=2026-11&month=2026-10", one),
        ("?month=2026-13", "a month is such as 2026-11, from 2000 on: '2026-13' is none"),
        ("?year=26", "a year is such as 2026, from 2000 on: '26' is none"),
        ("?year=2026-01", "a year is such as 2026, from 2000 on: '2026-01' is none"),
        ("?months=1", "there is no parameter 'months': there are month and year"),
    ):
        assert error_of(await get(clients.member, query)) == (400, "BAD_USER_INPUT", message)

    async def failing(*_: object) -> None:
        raise RuntimeError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(face, "write_month", failing)
        assert error_of(await get(clients.member)) == (500, "INTERNAL", "Internal error")
    monkeypatch.setattr(downloads, "MOST_OF_A_TENANT", 0)
    response = await get(clients.member)
    assert (error_of(response)[:2], response.headers["retry-after"]) == ((503, "OVERLOADED"), "1")


async def test_no_spreadsheet_takes_what_customers_named_for_a_formula(clients: Clients) -> None:
    named = '=HYPERLINK("http://x")'
    await record(clients.service, [("2026-11-02T10:00:00Z", GPT, None, named, None, None, "1")])
    (row,) = csv.DictReader(io.StringIO((await get(clients.member)).text, newline=""))
    assert [value for value in row.values() if value.startswith("=")] == []
    assert [value for value in row.values() if value.startswith("'=")] != []
    assert row["BilledCost"] == "1.0"


async def test_a_file_that_cannot_be_finished_is_broken_off_and_its_place_is_free(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(clients.service)
    write = focus_file.write_month

    async def failing_later(application: Application, tenant_id: Any, month: str, file: Any) -> None:
        if month == "2026-11":
            raise ConnectionError
        await write(application, tenant_id, month, file)

    monkeypatch.setattr(downloads, "MOST_OF_A_TENANT", 1)
    with monkeypatch.context() as patch:
        patch.setattr(face, "write_month", failing_later)
        with pytest.raises(httpx.RemoteProtocolError):
            await get(clients.member, "?year=2026")
    assert len(costs_of(await get(clients.member, "?year=2026"))) == 6


async def test_who_takes_nothing_is_let_go_and_holds_no_connection_of_the_database_meanwhile(
    clients: Clients, application: Application, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(clients.service)
    files: list[Any] = []
    make = downloads.spooled

    def spool() -> Any:
        files.append(make())
        files[-1].write(b"x" * 8_000_000)  # More than connections hold.
        return files[-1]

    monkeypatch.setattr(face, "spooled", spool)
    monkeypatch.setattr(downloads, "MOST_OF_A_TENANT", 1)
    monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", 0.3)
    host, port = api_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1_000)
    head = f"GET {PATH}?month=2026-11 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {clients.member.token}\r\n\r\n"
    writer.write(head.encode())
    while not files:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)
    monkeypatch.setattr(face, "spooled", make)
    assert len(costs_of(await get(clients.stranger))) == 0, "others have places of their own"
    assert await application.across_tenants.fetchval(OPEN_SNAPSHOTS) == 0
    while not files[0].closed:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.01)
    assert len(costs_of(await get(clients.member))) == 5
    writer.close()


@pytest.mark.slow
async def test_operators_export_one_tenant_or_all_from_the_command_line(
    clients: Clients, database_url: str, tmp_path: Path
) -> None:
    await record(clients.service)
    await record(clients.stranger, [("2026-11-02T10:00:00Z", GPT, None, None, None, None, "9")])

    async def run(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(purser, tmp_path, "export-focus", *arguments, DATABASE_URL=database_url)
        return done.returncode, done.stdout, done.stderr

    code, file, _ = await run("acme", "--month", "2026-11")
    downloaded = await get(clients.member)
    assert (code, file.splitlines()) == (0, downloaded.text.splitlines())
    code, file, _ = await run("--all", "--year", "2026")
    rows = list(csv.DictReader(io.StringIO(file)))
    assert {row["BillingAccountName"] for row in rows if row["BilledCost"] == "9.0"} == {"globex"}
    assert len(rows) == 7
    for arguments, said in (
        (("--month", "2026-11"), "name either one tenant or --all"),
        (("acme", "--all", "--month", "2026-11"), "name either one tenant or --all"),
        (("acme",), "name either one month"),
        (("acme", "--month", "2026-1"), "a month is such as 2026-11"),
        (("nobody", "--month", "2026-11"), "There is no tenant 'nobody': there are acme, globex."),
    ):
        code, file, problem = await run(*arguments)
        assert (code, file) == (2, "")
        assert said in problem
