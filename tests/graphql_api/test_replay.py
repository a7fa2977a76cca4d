"""The command `replay` as a person runs it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from graphql_api.replay import replay

CALLS = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2224670,879,55"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text(CALLS)
    return path


@pytest.fixture
def purser(monkeypatch: pytest.MonkeyPatch, database_url: str) -> typer.Typer:
    monkeypatch.setenv("DATABASE_URL", database_url)
    command = typer.Typer(pretty_exceptions_enable=False)
    command.command()(replay)
    return command


def run(purser: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(purser, arguments)


def test_the_report_says_what_was_admitted_what_it_cost_and_that_the_books_hold(
    purser: typer.Typer, calls: Path
) -> None:
    done = run(purser, str(calls))
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0].startswith("Replayed 3 calls of calls.csv as llm_call of openai/gpt-4o-mini, tenant replay-")
    assert lines[1:7] == [
        "admitted 3",
        "refused 0",
        # (374 + 396 + 879) * 0.15 + (44 + 109 + 55) * 0.60, by the million
        "cost 0.000372150 USD",
        "by hand 0.000372150 USD, summed separately from the admitted calls and the price list",
        "charged 0.000483795 USD",
        "credits 0; the dollars charged are worth 0.00096759 at 0.5 USD a credit",
    ]
    assert lines[-1] == "books verified"


def test_the_report_as_json_has_refusals_by_code_and_amounts_as_texts(purser: typer.Typer, calls: Path) -> None:
    done = run(purser, str(calls), "--json", "--balance", "0.01", "--concurrency", "1", "--limit", "2")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["calls"], report["admitted"], report["refused"]) == (2, 1, {"INSUFFICIENT_FUNDS": 1})
    assert report["costUsd"] == report["costByHandUsd"] == "0.0000825"
    assert report["chargedUsd"] == "0.00010725"
    assert report["creditsCharged"] == "0"
    assert (report["differences"], report["booksVerified"]) == ([], True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt-4o-mini"], "'gpt-4o-mini' is not PROVIDER/MODEL"),
        (["--model", "openai/gpt-0"], "the price list has no price for openai/gpt-0"),
        (["--balance", "1e3"], "'1e3': an amount is a plain decimal"),
        (["--balance=-1"], "must not be negative"),
        (["--speed", "nan"], "'nan' is neither fastest nor recorded nor a factor above 0"),
    ],
)
def test_what_cannot_be_played_says_why(purser: typer.Typer, calls: Path, arguments: list[str], message: str) -> None:
    done = run(purser, str(calls), *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())


def test_a_bad_row_is_named_before_anything_is_played(purser: typer.Typer, calls: Path) -> None:
    calls.write_text(CALLS + "\n2023-11-16 18:15:52,many,1")
    done = run(purser, str(calls))
    assert done.exit_code == 2
    assert done.output.strip() == f"purser: {calls}, line 5: ContextTokens is 'many', not a whole number of tokens"
