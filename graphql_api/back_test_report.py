"""The command `back-test`: a month as it was beside what it would have been, for people and programs."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain.back_tests import Assumptions, BackTest
from domain.margins import Sums
from domain.money import format_amount
from domain.outcomes import Level, Outcome, Refused, Stop
from domain.refusals import InvalidInput, RefusalCode
from domain.wallets import Unit, unit_of
from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.back_test_options import Options, in_options
from infra.application import Application
from infra.queries.back_tests import back_test
from infra.settings import Settings

NOT_ON_TERMINAL: Final = 140
_NOTHING: Final = ""
_SAID: Final = {
    RefusalCode.BUDGET_EXCEEDED: "over its budget",
    RefusalCode.SCOPE_PAUSED: "paused or inactive",
    RefusalCode.INSUFFICIENT_FUNDS: "too little in the wallet",
    RefusalCode.PLAN_LIMIT: "the plan's agent roles",
    RefusalCode.UNKNOWN_FEATURE: "no such feature on the card",
    RefusalCode.UNPRICED_MODEL: "no price for the model",
    RefusalCode.RESERVATION_ENDED: "extended after its end",
}

Row = tuple[str, str, str]


async def play(settings: Settings, url: str, options: Options, assumed: Assumptions) -> bool:
    """Play the month and print what came of it; whether it came out, as it was, as the books say. `assumed` are the options,
    read."""
    async with opened_for(settings, url) as application:
        found = await _run(application, options, assumed)
    if options.as_json:
        typer.echo(json.dumps(as_document(found), indent=2))
    else:
        _print(found, options)
    return not found.differences


async def _run(application: Application, options: Options, assumed: Assumptions) -> BackTest:
    """With a bar on a terminal, which tells how many facts were played: how many there are shows at the end only."""
    tenant_id = await tenant_named(application, options.tenant)
    console = Console(stderr=True)
    columns = (TextColumn("Playing"), BarColumn(), TextColumn("{task.completed:,} facts"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def show(played: int) -> None:
            progress.update(bar, completed=played)

        found = await back_test(application, tenant_id, options.month, assumed, watch=show)
    if isinstance(found, BackTest):
        return found
    message = in_options(found.fields) if isinstance(found, InvalidInput) else found.message
    raise AdministrationError(message)


def _print(found: BackTest, options: Options) -> None:
    console = Console()
    # A file or a pipe is as wide as it must be.
    console = console if console.is_terminal else Console(width=NOT_ON_TERMINAL)
    typer.echo(
        f"{options.tenant} from {found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC, {found.facts:,} facts played"
    )
    console.print(as_table(found, options))
    if not options.assumes:
        typer.echo("Nothing is assumed: say what with --cap, --plan, --rate-card, --markup, --credit-value or --rate.")
    if found.as_assumed.guessed:
        typer.echo(
            f"{found.as_assumed.guessed:,} of what is admitted as assumed was really refused: it is taken to cost what was "
            "estimated for it."
        )
    if found.differences:
        typer.echo(
            "The month played as it was is NOT what the books say, so the figures as assumed may be off as well:"
        )
        for difference in found.differences:
            typer.echo(f"  {difference}")
    else:
        typer.echo("The month played as it was is exactly what the books say.")


def as_table(found: BackTest, options: Options) -> Table:
    """Both outcomes side by side; what is not the same stands out."""
    table = Table(title_justify="left")
    table.add_column("", overflow="fold")
    table.add_column("as it was", justify="right")
    table.add_column("as assumed" if options.assumes else "the same again", justify="right")
    was, assumed = found.as_it_was, found.as_assumed
    for rows in (
        _work(was, assumed),
        _refusals(was, assumed),
        _wallets(was, assumed),
        _margins(was.margin, assumed.margin),
    ):
        for row in rows:
            table.add_row(*row, style=None if row[1] == row[2] else "bold")
        table.add_section()
    for row in _stops(was.stops, assumed.stops):
        table.add_row(*row, style=None if row[1] == row[2] else "bold")
    return table


def _work(was: Outcome, assumed: Outcome) -> Iterator[Row]:
    yield "admitted", f"{was.admitted:,}", f"{assumed.admitted:,}"
    yield "refused", f"{was.refusals:,}", f"{assumed.refusals:,}"
    yield "cost in dollars", format_amount(was.cost), format_amount(assumed.cost)


def _refusals(was: Outcome, assumed: Outcome) -> Iterator[Row]:
    """How many requests each level refused, what that work cost, and when the first was."""
    before, after = ({refused.level: refused for refused in outcome.refused} for outcome in (was, assumed))
    for level in sorted({*before, *after}, key=_name):
        yield f"refused: {_name(level)}", _refused(before.get(level)), _refused(after.get(level))


def _name(level: Level) -> str:
    about = " ".join(filter(None, (level.scope and level.scope.lower(), level.scope_id, level.wallet_key)))
    said = _SAID.get(level.code) or level.code.lower().replace("_", " ")
    return f"{about}, {said}" if about else said


def _refused(refused: Refused | None) -> str:
    if refused is None:
        return _NOTHING
    return f"{refused.requests:,} of {format_amount(refused.cost)} USD from {refused.first:%d %H:%M}"


def _wallets(was: Outcome, assumed: Outcome) -> Iterator[Row]:
    yield from _amounts("charged", was.charges, assumed.charges)
    yield from _amounts("left", was.balances, assumed.balances)


def _amounts(what: str, was: Iterable[tuple[str, int]], assumed: Iterable[tuple[str, int]]) -> Iterator[Row]:
    before, after = dict(was), dict(assumed)
    for key in sorted({*before, *after}):
        unit = " in dollars" if unit_of(key) is Unit.USD else ""
        yield f"{what}: {key}{unit}", format_amount(before.get(key, 0)), format_amount(after.get(key, 0))


def _margins(was: Sums, assumed: Sums) -> Iterator[Row]:
    yield "revenue in dollars", format_amount(was.revenue), format_amount(assumed.revenue)
    yield "cost on our keys", format_amount(was.cost), format_amount(assumed.cost)
    yield "margin in dollars", format_amount(was.margin), format_amount(assumed.margin)
    yield "margin in percent", _percent(was.percent) or "none", _percent(assumed.percent) or "none"
    if was.unpriced or assumed.unpriced:
        yield "calls of unknown cost", f"{was.unpriced:,}", f"{assumed.unpriced:,}"


def _stops(was: Iterable[Stop], assumed: Iterable[Stop]) -> Iterator[Row]:
    before, after = ({(stop.scope, stop.scope_id): stop for stop in stops} for stops in (was, assumed))
    for scope, scope_id in {**before, **after}:
        name = f"stopped: {scope.lower()} {scope_id or ''}".rstrip()
        yield name, _stopped(before.get((scope, scope_id))), _stopped(after.get((scope, scope_id)))


def _stopped(stop: Stop | None) -> str:
    return _NOTHING if stop is None else f"{stop.reason}, {stop.at:%d %H:%M}"


def _percent(hundredths: int | None) -> str | None:
    if hundredths is None:
        return None
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"


def as_document(found: BackTest) -> dict[str, Any]:
    """The same as JSON values; amounts and percents are texts, and the names are those of the query."""
    return {
        "month": found.month,
        "from": found.start.isoformat(),
        "to": found.end.isoformat(),
        "facts": found.facts,
        "asItWas": _outcome(found.as_it_was),
        "asAssumed": _outcome(found.as_assumed),
        "differences": list(found.differences),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    margin = outcome.margin
    return {
        "admitted": outcome.admitted,
        "assumedToRun": outcome.guessed,
        "refused": outcome.refusals,
        "refusals": [_refusal(refused) for refused in outcome.refused],
        "costUsd": format_amount(outcome.cost),
        "charges": {key: format_amount(amount) for key, amount in outcome.charges},
        "balances": {key: format_amount(amount) for key, amount in outcome.balances},
        "stops": [
            {"scope": stop.scope.value, "scopeId": stop.scope_id, "reason": stop.reason, "at": stop.at.isoformat()}
            for stop in outcome.stops
        ],
        "margin": {
            "revenueUsd": format_amount(margin.revenue),
            "creditsCharged": format_amount(margin.credits),
            "creditRevenueUsd": format_amount(margin.credit_revenue),
            "meteredRevenueUsd": format_amount(margin.metered_revenue),
            "costUsd": format_amount(margin.cost),
            "marginUsd": format_amount(margin.margin),
            "marginPercent": _percent(margin.percent),
            "unpriced": margin.unpriced,
        },
    }


def _refusal(refused: Refused) -> dict[str, Any]:
    level = refused.level
    return {
        "code": level.code.value,
        "scope": None if level.scope is None else level.scope.value,
        "scopeId": level.scope_id or None,
        "walletKey": level.wallet_key,
        "requests": refused.requests,
        "costUsd": format_amount(refused.cost),
        "firstAt": refused.first.isoformat(),
        "lastAt": refused.last.isoformat(),
    }
