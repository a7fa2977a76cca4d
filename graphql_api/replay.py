"""The command `replay`: recorded LLM calls through reserve and consume, a bar that shows progress, and a report."""

import asyncio
import math
import signal
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Self

import orjson
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from domain.holds import ModelName
from domain.money import AmountError, parse_amount
from graphql_api.audit_report import Progress as AuditProgress
from graphql_api.replay_report import Outcome, as_document, as_text
from infra.application import open_application
from infra.audit import audit
from infra.database import connect_to_books, database, prepare
from infra.recorded_calls import RecordedCallsError, count_calls
from infra.replay import Recording, Tally, UnpricedModelError, play
from infra.settings import Settings

INTERRUPTED: Final = 130


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV with columns TIMESTAMP, ContextTokens, GeneratedTokens.",
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="PROVIDER/MODEL", help="What to price the calls as.")
    ] = "openai/gpt-4o-mini",
    balance: Annotated[
        str, typer.Option(metavar="USD", help="What the tenant's metered wallet starts with.")
    ] = "1000000",
    max_output_tokens: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            min=0,
            max=1_000_000,
            help="Output tokens that each call reserves. How long an answer gets is not known before the call, so a "
            "worker reserves the limit that it sends along with it; a longer answer is charged in full all the same.",
        ),
    ] = 1024,
    concurrency: Annotated[int, typer.Option(metavar="COUNT", min=1, max=4096, help="Calls in flight at a time.")] = 64,
    speed: Annotated[
        str, typer.Option(metavar="PACE", help="fastest; recorded, which keeps the recorded pace; or a factor of that.")
    ] = "fastest",
    limit: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Play only so many calls from the beginning.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Play recorded LLM calls, at present time, through reserve and consume of the feature llm_call, for a new tenant
    of their own, and check what was charged.

    Each call reserves its recorded input tokens and the limit of its answer, then settles what was recorded. The
    report says what Purser made of it and what a separate sum over the admitted calls and the price list comes to.

    \b
    Examples:
      purser replay calls.csv
      purser replay calls.csv --model anthropic/claude-sonnet-4-5 --balance 20
      purser replay calls.csv --speed recorded --concurrency 256

    \b
    Exit codes: 0 all figures agree and the books hold; 1 they do not, and each
    difference is named; 2 it could not be played; 130 it was interrupted, and
    the report is about what was done until then.
    """  # noqa: D301  # \b keeps the lines of a paragraph as they are
    recording = Recording(file, _model(model), _balance(balance), max_output_tokens, concurrency, _speed(speed), limit)
    try:
        calls = count_calls(file, limit)
        with database(Settings.from_environment()) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(_replay(url, recording, calls))
    except (RecordedCallsError, UnpricedModelError) as error:
        typer.echo(f"purser: {error}", err=True)
        raise typer.Exit(2) from error
    if json:
        typer.echo(orjson.dumps(as_document(outcome), option=orjson.OPT_INDENT_2))
    else:
        typer.echo(as_text(outcome))
    if not outcome.agrees:
        raise typer.Exit(1)
    if outcome.report.stopped:
        raise typer.Exit(INTERRUPTED)


async def _replay(url: str, recording: Recording, calls: int) -> Outcome:
    await prepare(url)
    async with open_application(Settings.from_environment(), url) as application:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        # The first Ctrl-C ends the replay and still reports; a second one ends it all.
        loop.add_signal_handler(signal.SIGINT, _stop_once, loop, stop)
        with _Bar(calls) as bar:
            report = await play(application, recording, stop, bar.show)
        loop.remove_signal_handler(signal.SIGINT)
        now = application.clock()
        card = application.catalog.rate_cards.at(now, now)
    connection = await connect_to_books(url)
    try:
        with AuditProgress() as progress:
            books = await audit(connection, progress.show)
    finally:
        await connection.close()
    assert card is not None, "without rates nothing was admitted"
    return Outcome(recording, report, card.credit_value, books)


def _stop_once(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.remove_signal_handler(signal.SIGINT)
    stop.set()


class _Bar:
    """Progress on a terminal; elsewhere nothing."""

    def __init__(self, calls: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("Replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[refused]} refused"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("calls", total=calls, refused=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, tally: Tally) -> None:
        """How far it is."""
        self._progress.update(self._task, completed=tally.calls, refused=tally.refused.total())


def _model(text: str) -> ModelName:
    provider, slash, model = text.partition("/")
    if not provider or not slash or not model:
        raise typer.BadParameter(f"{text!r} is not PROVIDER/MODEL, such as openai/gpt-4o-mini", param_hint="--model")
    return ModelName(provider, model)


def _balance(text: str) -> int:
    try:
        balance = parse_amount(text)
    except AmountError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--balance") from error
    if balance < 0:
        raise typer.BadParameter("must not be negative", param_hint="--balance")
    return balance


def _speed(text: str) -> float | None:
    if text == "fastest":
        return None
    try:
        factor = 1.0 if text == "recorded" else float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise typer.BadParameter(f"{text!r} is neither fastest nor recorded nor a factor above 0", param_hint="--speed")
    return factor
