"""The command `replay`: recorded LLM calls through reserve and consume, a bar that shows progress, and a report."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
import uvloop

from infra.database import database
from infra.recorded_calls import RecordedCallsError, count_calls
from infra.replay import Recording, UnpricedModelError
from infra.settings import Settings

INTERRUPTED: Final = 130


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV with the columns TIMESTAMP, ContextTokens, GeneratedTokens.",
        ),
    ],
    model: Annotated[str, typer.Option(help="PROVIDER/MODEL to price the calls by.")] = "openai/gpt-4o-mini",
    balance: Annotated[str, typer.Option(metavar="USD", help="What the tenant starts with.")] = "1000000",
    max_output_tokens: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000_000,
            help="Output tokens to reserve for each call, as a caller limits an answer whose length it cannot know. "
            "An answer that was longer is settled all the same, above its hold.",
        ),
    ] = 1024,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Calls in flight at a time.")] = 64,
    speed: Annotated[
        str, typer.Option(help="'fastest', 'recorded', or a factor of the recorded pace such as 10.")
    ] = "fastest",
    limit: Annotated[int | None, typer.Option(min=1, help="Play the first so many calls only.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Write the report as JSON.")] = False,
) -> None:
    """Play recorded LLM calls through reserve and consume of `llm_call`, now, for a new tenant with a metered wallet.

    The report compares what Purser charged by with a sum made independently from the admitted calls and the price
    list, and verifies the books; the exit code is 1 where anything differs. Ctrl-C ends with what was done so far.
    """
    recording = Recording(file, _model(model), _balance(balance), max_output_tokens, concurrency, _speed(speed), limit)
    try:
        calls = count_calls(file, limit)
        with database(Settings.from_environment()) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report, books = runner.run(_replay(url, recording, calls))
    except (RecordedCallsError, UnpricedModelError) as error:
        typer.echo(f"Error: {error}.", err=True)
        raise typer.Exit(2) from error
    if json:
        sys.stdout.write(orjson.dumps(_as_json(recording, report, books), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write("\n".join(_as_lines(recording, report, books)) + "\n")
    if report.differences or not books.hold:
        raise typer.Exit(1)
    if report.stopped:
        raise typer.Exit(INTERRUPTED)
