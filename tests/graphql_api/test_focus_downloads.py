"""GET /costs/focus.csv: a month's costs in the columns of FOCUS, to the cent what a breakdown of the month says."""

import csv
import io

import httpx
import pytest

from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients
from tests.graphql_api.history import record

pytestmark = pytest.mark.anyio


async def get(client: Client, query: str = "?month=2026-11", **headers: str) -> httpx.Response:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    key = {"Authorization": f"Bearer {client.token}"}
    return await client.http.get(f"/costs/focus.csv{query}", headers=key | named | headers)


def rows_of(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


async def test_a_month_comes_as_a_file(clients: Clients) -> None:
    await record(clients.service)
    assert [row["BilledCost"] for row in rows_of(await get(clients.member))] == ["1.0", "0.5", "0.25", "2.0", "4.0"]
