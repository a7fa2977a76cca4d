"""`purser export-statement` and `purser verify-statement`, as processes of their own."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from infra.application import Application
from tests.infra.builders import open_tenant, reserved
from tests.servers import purser

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_an_operator_exports_a_statement_and_has_it_verified(
    application: Application, database_url: str, tmp_path: Path
) -> None:
    caller = await open_tenant(application, credits="30")
    await reserved(application, caller, "run")

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(purser, tmp_path, *arguments, DATABASE_URL=database_url)

    file = tmp_path / "all.csv"
    exported = await run("export-statement", "acme", "credits")
    assert (exported.returncode, exported.stderr) == (0, "")
    file.write_text(exported.stdout)
    verified = await run("verify-statement", str(file))
    assert verified.returncode == 0
    assert "Read 2 entries." in verified.stdout
    file.write_text(exported.stdout.replace("RESERVED", "RELEASED"))
    verified = await run("verify-statement", str(file))
    assert verified.returncode == 1
    assert "entry 2 was altered" in verified.stdout
    month = await run("export-statement", "acme", "credits", "--month", "2026-01", "--format", "jsonl")
    assert len(month.stdout.splitlines()) == 2
    for arguments, message in (
        (("acme", "nothing"), "acme has no wallet 'nothing': there are "),
        (("acme", "credits", "--month", "1"), "month: write it as 2026-11"),
        (("nobody", "credits"), "There is no tenant 'nobody'"),
        (("acme", "credits", "--format", "xls"), "'xls' is none"),
    ):
        refused = await run("export-statement", *arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert message in refused.stderr
