"""GET /statements: a wallet's ledger as a file, and the program that verifies it, as they are served."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.graphql_api.client import Client
from tests.graphql_api.conftest import Clients

pytestmark = pytest.mark.anyio


async def get(client: Client, path: str, **headers: str) -> httpx.Response:
    named = {} if client.tenant is None else {"Purser-Tenant": client.tenant}
    return await client.http.get(path, headers={"Authorization": f"Bearer {client.token}"} | named | headers)


async def test_a_tenant_proves_its_balance_with_one_program_and_nothing_of_ours(
    clients: Clients, tmp_path: Path
) -> None:
    held = await clients.service.reserve("hëld", "blog_post")
    await clients.service.do("consume", idempotencyKey="c", reservationId=held["id"], quantity="3")
    program = (await clients.member.http.get("/statements/verify_statement.py")).content
    (tmp_path / "verify_statement.py").write_bytes(program)
    for form in ("csv", "jsonl"):
        answer = await get(clients.member, f"/statements/credits.{form}")
        assert answer.status_code == 200, answer.text
        print(answer.headers)
        print(answer.text)
        (tmp_path / f"credits.{form}").write_bytes(answer.content)
        r = subprocess.run(
            [sys.executable, "-I", "verify_statement.py", f"credits.{form}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        print(r.stdout, r.stderr, r.returncode)
        assert r.returncode == 0
