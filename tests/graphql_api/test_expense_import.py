"""The command `import-expenses` as a person runs it."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graphql_api import cli
from graphql_api.administration import AdministrationError
from infra.application import open_application
from infra.settings import Settings
from tests.infra.builders import open_tenant

FILE = """campaign,kind,amount,currency,date
spring,adwords,1250.00,EUR,2026-11-03
spring,adwords,"12,5",EUR,2026-11-03
spring,event,1,\x1b[31mUSD,2026-11-03
"""


def test_a_file_is_judged_then_written(
    monkeypatch: pytest.MonkeyPatch, database_url: str, settings: Settings, tmp_path: Path
) -> None:
    async def prepare() -> None:
        async with open_application(settings, database_url) as application:
            await open_tenant(application)

    asyncio.run(prepare())
    monkeypatch.setenv("DATABASE_URL", database_url)
    file = tmp_path / "expenses.csv"
    file.write_text(FILE)

    def purser(*arguments: str, given: bytes | None = None) -> Result:
        return CliRunner().invoke(cli.app, ["import-expenses", "--tenant", "acme", *arguments], input=given)

    dry = purser(str(file))
    assert dry.exit_code == 1, dry.output
    head, accepted, duplicates, rejected, first, second = dry.stdout.splitlines()
    assert head == f"Dry run, nothing was written: {file} for acme; --apply writes"
    assert [accepted, duplicates, rejected] == ["  accepted    1 (1250 EUR)", "  duplicates  0", "  rejected    2"]
    assert first.startswith("line 3: amount is '12,5': write 1234.56")
    assert second == "line 4: currency must be a currency's code by ISO 4217, such as EUR"
    stopped = purser("--apply", str(file))
    assert (stopped.exit_code, stopped.stdout.splitlines()[0]) == (
        1,
        f"Nothing was written of {file}: correct the rows below, or take the others with --skip-errors",
    )
    done = purser("--apply", "--skip-errors", str(file))
    assert (done.exit_code, done.stdout.splitlines()[0]) == (1, f"Imported {file} for acme")
    quotes = purser("--apply", "--skip-errors", "-", given=f'{FILE}"a"b\n'.encode())
    assert (quotes.exit_code, quotes.stdout.splitlines()[0]) == (
        1,
        "Nothing was written of -: its quotes do not go, so a text could be taken for a row",
    )
    good = "\n".join(FILE.splitlines()[:2]).encode()
    again = purser("--apply", "--json", "-", given=good)
    assert again.exit_code == 0, again.output
    report, verdict = [json.loads(line) for line in again.stdout.splitlines()]
    assert report == {
        "written": True,
        "accepted": 0,
        "duplicates": 1,
        "rejections": 0,
        "blank": 0,
        "totals": [],
    }
    assert (verdict["line"], verdict["verdict"], verdict["id"][:4]) == (2, "duplicate", "exp_")
    broken = purser("--decimal", "comma", "-", given=b"a,b\n")
    assert isinstance(broken.exception, AdministrationError)
    assert "Nothing was written." in str(broken.exception)
    assert purser("--charset", "utf-7", str(file)).exit_code == 2
    assert purser("--decimal", "dot", str(file)).exit_code == 2
