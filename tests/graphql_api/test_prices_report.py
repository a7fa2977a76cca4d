"""`purser prices`: what differs from genai-prices is shown, and published when that is asked for."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from domain.ids import NIL
from graphql_api.cli import main
from infra.application import Application
from infra.services.callers import Caller, Role
from infra.services.catalog import publish_prices

pytestmark = pytest.mark.anyio

OPERATOR = Caller(NIL, Role.OPERATOR, "key:anna")
OUTDATED = {
    "provider": "openai",
    "model": "gpt-5-nano",
    "input": "9",
    "output": "10",
    "effective_from": "2026-11-01T00:00:00+00:00",
    "note": "genai-prices 0.0.1",
}


class Finished(NamedTuple):
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


Prices = Callable[..., Awaitable[Finished]]


@pytest.fixture
def prices(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Prices:
    """`purser prices`, in this process: each of its own would load everything once more."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PURSER_DATA_DIR", str(tmp_path))

    def run() -> int:
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    async def prices(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["purser", "prices", *arguments])
        returncode = await asyncio.to_thread(run)
        return Finished(returncode, *capsys.readouterr())

    return prices


async def figures(application: Application, model: str) -> tuple[int | None, str]:
    """The price of a model's million input tokens now, in nano-dollars, and where it comes from."""
    now = application.clock()
    provider = "openai" if model.startswith("gpt") else "anthropic"
    price = (await application.current_catalog()).prices.find(provider, model, None, now, now)
    assert price is not None
    return price.input_per_million, price.note


async def test_what_changed_is_shown_and_published_and_our_own_figures_are_kept(
    application: Application, prices: Prices
) -> None:
    await publish_prices(application, OPERATOR, [OUTDATED])
    shown = await prices("--check")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "gpt-5-nano" in shown.stdout
    assert "9 -> 0.05" in shown.stdout
    assert "changed, kept" in shown.stdout
    assert "models that our list does not have: --all lists them" in shown.stdout

    unasked = await prices("--apply")
    assert (unasked.returncode, "say --yes" in unasked.stderr) == (2, True)
    assert (await figures(application, "gpt-5-nano"))[0] == 9 * 10**9

    applied = await prices("--apply", "--yes")
    assert applied.stdout.endswith("Published 1 price of 1 model. Earlier prices stay for what is reserved already.\n")
    assert (await figures(application, "gpt-5-nano"))[0] == 50_000_000
    assert await figures(application, "claude-opus-4-6") == (15 * 10**9, "document 003")

    for arguments, said in (
        (("--provider", "nope"), ("no provider 'nope'", "anthropic")),
        (("--check", "--provider", "OpenAI"), ("no provider 'OpenAI'", "openai")),
        (("--model", "nope-model"), ("no model 'nope-model'", "more")),
        (("--provider", "anthropic", "--model", "gpt-5-nano"), ("no model 'gpt-5-nano' of anthropic", "claude-")),
    ):
        unknown = await prices(*arguments)
        assert (unknown.returncode, unknown.stdout) == (2, "")
        assert all(each in unknown.stderr for each in said), unknown.stderr
    assert (await prices("--provider", "anthropic", "--model", "claude-opus-4-6")).returncode == 0

    left = json.loads((await prices("--json", "--provider", "anthropic")).stdout)
    assert {row["model"] for row in left["differences"]} == {
        "claude-opus-4-6",
        "claude-haiku-4-5",
        "claude-haiku-4-5-20251001",
    }
    assert {row["kept"] for row in left["differences"]} == {True}
    assert (await prices("--check", "--provider", "openai")).returncode == 0

    everything = await prices("--apply", "--yes", "--include-seeds", "--all", "--provider", "anthropic", "--json")
    assert json.loads(everything.stdout)["published"] > 3
    assert (await figures(application, "claude-opus-4-6"))[0] == 5 * 10**9
    silent = await prices("--diff", "--all", "--check", "--provider", "anthropic")
    assert (silent.returncode, silent.stdout) == (0, f"No model costs anything else in {left['package']}.\n")
