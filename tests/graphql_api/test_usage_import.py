"""The command `import-usage` as a person runs it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from domain.attribution import LONGEST_ID
from graphql_api import cli
from graphql_api.administration import AdministrationError
from infra.application import open_application
from infra.settings import Settings
from tests.infra.builders import audit, open_tenant

SPEND = """request_id,call_type,model,spend,prompt_tokens,completion_tokens,startTime,endTime,custom_llm_provider,status
r1,acompletion,gpt-4o-mini,0.00025,1000,100,2026-11-20 10:15:00,2026-11-20 10:15:01,openai,success
r2,acompletion,gpt-4o-mini,much,1000,100,2026-11-20 10:16:00,2026-11-20 10:16:01,openai,success
r3,acompletion,gpt-4o-mini,0,1000,100,2026-11-20 10:17:00,2026-11-20 10:17:01,openai,success
"""
SPAN: dict[str, Any] = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "startTimeUnixNano": "1795169700250000000",
    "attributes": [
        {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
        {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o-mini"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "1000000"}},
    ],
}
Run = Callable[..., Result]


@pytest.fixture
def purser(monkeypatch: pytest.MonkeyPatch, database_url: str, settings: Settings) -> Run:
    """Runs the command for a tenant acme."""

    async def prepare() -> None:
        async with open_application(settings, database_url) as application:
            await open_tenant(application)

    asyncio.run(prepare())
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(form: str, *arguments: str, tenant: str = "acme", given: bytes | None = None) -> Result:
        command = ["import-usage", "--format", form, "--tenant", tenant, *arguments]
        return CliRunner().invoke(cli.app, command, input=given)

    return run


def costs(url: str) -> dict[str, int | None]:
    """What is recorded, by event id."""

    async def read() -> dict[str, int | None]:
        connection = await asyncpg.connect(url)
        try:
            return {row[0]: row[1] for row in await connection.fetch("SELECT event_id, cost FROM usage_event")}
        finally:
            await connection.close()

    return asyncio.run(read())


def test_a_spend_log_is_taken_but_for_the_rows_that_are_named(
    purser: Run, tmp_path: Path, database_url: str, settings: Settings
) -> None:
    file = tmp_path / "spend.csv"
    file.write_text(SPEND)
    done = purser("litellm", str(file))
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines() == [
        f"Imported {file} for acme",
        "  accepted    2",
        "  duplicates  0",
        "  rejected    1",
        # r3 by the list: 1000 * 0.15 + 100 * 0.60, by the million
        "  cost        0.00046 USD, as far as it is known",
        "line 3, event r2: spend must be a number of dollars, and is 'much'",
    ]
    assert costs(database_url) == {"r1": 250_000, "r3": 210_000}
    again = purser("litellm", "--json", str(file))
    assert again.exit_code == 1
    report = json.loads(again.stdout)
    assert report == {
        "file": str(file),
        "tenant": "acme",
        "dryRun": False,
        "skipped": 0,
        "accepted": 0,
        "duplicates": 2,
        "rejections": 1,
        "rejected": [
            {
                "line": 3,
                "eventId": "r2",
                "problems": [{"path": "spend", "message": "must be a number of dollars, and is 'much'"}],
            }
        ],
        "costUsd": "0",
    }

    async def check() -> None:
        async with open_application(settings, database_url) as application:
            await audit(application)

    asyncio.run(check())


def test_spans_come_from_standard_input_and_what_is_no_call_is_counted(purser: Run, database_url: str) -> None:
    other = SPAN | {"spanId": "0000000000000001", "attributes": []}
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, other]}]}]}
    done = purser("otel", "-", given=json.dumps(export).encode())
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "Imported - for acme; skipped 1 rows that are about no call"
    assert costs(database_url) == {f"{SPAN['traceId']}:{SPAN['spanId']}": 150_000_000}


def test_a_dry_run_says_so_and_writes_nothing(purser: Run, tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "events.jsonl"
    line = {"source": "w", "eventId": "1", "kind": "API", "usage": {"provider": "apollo", "costUsd": "0.05"}}
    file.write_text(json.dumps(line) + "\n\n" + json.dumps(line))
    done = purser("lines", "--dry-run", str(file))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"Dry run, nothing was written: {file} for acme",
        "  accepted    1",
        "  duplicates  1",
        "  rejected    0",
        "  cost        0.05 USD, as far as it is known",
    ]
    assert costs(database_url) == {}


def test_what_a_terminal_might_obey_or_cannot_show_is_escaped(purser: Run) -> None:
    row = dict(zip(*[line.split(",") for line in SPEND.splitlines()[:2]], strict=True))
    names = ("\ud800x", "\x1b]0;mine\x07", "a\nb\u202e")
    given = "\n".join(json.dumps(row | {"request_id": name}) for name in names).encode()
    done = purser("litellm", "-", given=given)
    assert done.exit_code == 1, done.output
    rejected = [line.partition(", event ")[2].partition(":")[0] for line in done.stdout.splitlines()[5:]]
    assert rejected == [r"\ud800x", r"\x1b]0;mine\x07", r"a\nb\u202e"]
    as_json = purser("litellm", "-", "--json", given=given)
    assert [each["eventId"] for each in json.loads(as_json.stdout)["rejected"]] == list(names)


def test_of_many_rejected_rows_the_first_are_listed(purser: Run) -> None:
    done = purser("lines", "-", given=b"{\n" * 600)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert (lines[3], len(lines), lines[-1]) == ("  rejected    600", 506, "and 100 more")


@pytest.mark.parametrize(
    ("form", "tenant", "content", "message"),
    [
        ("litellm", "acme", b"a,b\n1,2", "as CSV its header lacks request_id"),
        ("otel", "acme", b"a,b\n1,2", "is no JSON: it must begin with { or ["),
        ("lines", "initech", b"", "There is no tenant 'initech': there are acme."),
        ("lines", "x" * LONGEST_ID, b"", "there are acme."),
    ],
)
def test_what_cannot_be_imported_says_why(purser: Run, form: str, tenant: str, content: bytes, message: str) -> None:
    done = purser(form, "-", tenant=tenant, given=content)
    assert isinstance(done.exception, AdministrationError)
    assert message in str(done.exception)


def test_a_file_that_breaks_off_says_how_much_of_it_was_taken(purser: Run, database_url: str) -> None:
    done = purser("litellm", "-", given=SPEND.encode() + b"\xff\n")
    assert isinstance(done.exception, AdministrationError)
    assert "- is not in UTF-8, at line 5. Of what stands before that 2 events were taken" in str(done.exception)
    assert set(costs(database_url)) == {"r1", "r3"}


def test_a_file_that_cannot_be_opened_says_why(purser: Run, tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none.csv", "No such file or directory")):
        done = purser("litellm", str(path))
        assert isinstance(done.exception, AdministrationError)
        assert str(done.exception) == f"{path} cannot be read: {reason}."


def test_a_format_that_there_is_not_is_refused_with_those_that_there_are(purser: Run) -> None:
    done = purser("langfuse", "-", given=b"")
    assert done.exit_code == 2
    assert "'langfuse' is none: there are litellm, otel, lines" in " ".join(done.output.split())


def test_the_help_shows_how_each_format_is_imported() -> None:
    done = CliRunner().invoke(cli.app, ["import-usage", "--help"])
    for form in ("litellm", "otel", "lines"):
        assert f"purser import-usage --format {form} --tenant acme" in done.stdout
    assert '"usage": {"provider": "openai",' in done.stdout
