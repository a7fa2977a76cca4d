"""The command `check-margins`: margins and metering as people and programs read them, and a bar while it runs."""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from domain import ids
from domain.margins import MarginDimension, MarginFlag, Sums
from domain.money import format_amount
from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.rerate_report import moment_given
from infra.application import Application
from infra.queries.margin_reports import MarginReport
from infra.queries.margin_reports import check as check_period
from infra.queries.margins import Line, OnOurKeys, Period
from infra.queries.metering import UnmeteredCall
from infra.queries.usage_breakdowns import TooManyRowsError
from infra.services.margins import usual_period
from infra.settings import Settings

NOT_ON_TERMINAL: Final = 160
SHOWN: Final = 20


class Options(NamedTuple):
    """What the command was told. `tenant` is a slug, None stands for all; `target` is a whole percent."""

    start: str | None
    end: str | None
    target: int
    tenant: str | None
    as_json: bool


async def check(settings: Settings, url: str, options: Options) -> bool:
    """Check a period and print the report; whether nothing is flagged and every paid call was metered."""
    async with opened_for(settings, url) as application:
        report = await _run(application, await _period(application, options), options.target * 100)
    if options.as_json:
        typer.echo(json.dumps(as_document(report), indent=2))
    else:
        _print(report)
    return report.sound


async def _period(application: Application, options: Options) -> Period:
    now = application.clock()
    end = now if options.end is None else moment_given(options.end, "--to")
    start = usual_period(end).start if options.start is None else moment_given(options.start, "--from")
    if start >= end:
        raise typer.BadParameter("must lie before --to, which is now if it is not given", param_hint="--from")
    return Period(start, end, None if options.tenant is None else await tenant_named(application, options.tenant))


async def _run(application: Application, period: Period, target: int) -> MarginReport:
    """With a bar on a terminal: a step is a tenant."""
    console = Console(stderr=True)
    columns = (TextColumn("Checking tenants"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)

        def show(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        try:
            return await check_period(application, period, target, show)
        except TooManyRowsError as error:
            raise AdministrationError(f"It is too much for one report: {error}.") from error


def _print(report: MarginReport) -> None:
    console = Console()
    # A file or a pipe is as wide as it must be.
    console = console if console.is_terminal else Console(width=NOT_ON_TERMINAL)
    period = report.period
    typer.echo(f"{period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC, target {report.target // 100} %")
    for dimension, lines in report.lines.items():
        if lines:
            console.print(_table(dimension, lines, report.total))
    if not report.total.events and not report.total.revenue:
        typer.echo("There is no usage.")
    console.print(_proof(report))
    if report.unmetered:
        console.print(_calls(report.unmetered[:SHOWN]))
        if (more := report.metering.unmetered.events - SHOWN) > 0:
            typer.echo(f"and {more:,} more: --json has the first hundred, the query `unmetered` all of them")
    typer.echo(_verdict(report))


def _verdict(report: MarginReport) -> str:
    if report.sound:
        return "Nothing is flagged, and every paid call was metered."
    flagged, calls = len(report.flagged), report.metering.unmetered.events
    found = [
        f"{flagged} {'line is' if flagged == 1 else 'lines are'} flagged" if flagged else "",
        f"{calls:,} paid {'call was' if calls == 1 else 'calls were'} not metered" if calls else "",
    ]
    return f"{', and '.join(filter(None, found))}."


def _table(dimension: MarginDimension, lines: Iterable[Line], total: Sums) -> Table:
    name = dimension.value.lower()
    table = Table(title=f"By {name}, in dollars", title_justify="left")
    table.add_column(name, overflow="fold")
    for column in ("revenue", "of credits", "metered", "cost", "margin", "%", "should be"):
        table.add_column(column, justify="right")
    table.add_column("")
    found = list(lines)
    for line in [line for line in found if line.sums.flag is not None] + [
        line for line in found if line.sums.flag is None
    ][:SHOWN]:
        flag = line.sums.flag
        style = "red" if flag is MarginFlag.NEGATIVE else "yellow" if flag is MarginFlag.BELOW_TARGET else None
        table.add_row(line.keys[0].value or f"(no {name})", *_figures(line.sums), flag or "", style=style)
    table.add_section()
    table.add_row("all", *_figures(total), total.flag or "")
    return table


def _figures(sums: Sums) -> tuple[str, ...]:
    amounts = (sums.revenue, sums.credit_revenue, sums.metered_revenue, sums.cost, sums.margin)
    return (*[format_amount(amount) for amount in amounts], _percent(sums.percent), _percent(sums.least_percent))


def _proof(report: MarginReport) -> Table:
    table = Table(title="Calls on our keys", title_justify="left")
    table.add_column("")
    for column in ("events", "calls", "cost", "cost unknown"):
        table.add_column(column, justify="right")
    found = report.metering
    for name, sums in (("all", found.all), ("metered", found.metered), ("not metered", found.unmetered)):
        table.add_row(name, *_counts(sums))
    table.add_section()
    table.add_row("free on the card", *_counts(found.free))
    return table


def _counts(sums: OnOurKeys) -> tuple[str, ...]:
    return (f"{sums.events:,}", f"{sums.calls:,}", format_amount(sums.cost), f"{sums.unpriced:,}")


def _calls(calls: Iterable[UnmeteredCall]) -> Table:
    table = Table(title="Not metered", title_justify="left")
    for column in ("event", "tenant", "occurred", "called", "feature", "why"):
        table.add_column(column, overflow="fold")
    table.add_column("cost", justify="right")
    for call in calls:
        called = " ".join(filter(None, (call.provider, call.model, call.operation)))
        cost = "unknown" if call.cost is None else format_amount(call.cost)
        event = ids.public("usage_event", call.place.id)
        at = f"{call.place.occurred_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(event, call.tenant, at, called, call.feature or "", call.reason.value, cost)
    return table


def _percent(hundredths: int | None) -> str:
    if hundredths is None:
        return ""
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"


def as_document(report: MarginReport) -> dict[str, Any]:
    """The report as JSON values; amounts and percents are texts."""
    found = report.metering
    return {
        "from": report.period.start.isoformat(),
        "to": report.period.end.isoformat(),
        "targetPercent": _percent(report.target),
        "sound": report.sound,
        "total": _sums_document(report.total),
        "by": {
            dimension.value: [
                {"value": line.keys[0].value, "name": line.keys[0].name} | _sums_document(line.sums) for line in lines
            ]
            for dimension, lines in report.lines.items()
        },
        "metering": {
            name: _counts_document(sums)
            for name, sums in (
                ("total", found.all),
                ("metered", found.metered),
                ("unmetered", found.unmetered),
                ("free", found.free),
            )
        },
        "unmetered": [_call_document(call) for call in report.unmetered],
    }


def _sums_document(sums: Sums) -> dict[str, Any]:
    return {
        "revenueUsd": format_amount(sums.revenue),
        "creditsCharged": format_amount(sums.credits),
        "creditRevenueUsd": format_amount(sums.credit_revenue),
        "meteredRevenueUsd": format_amount(sums.metered_revenue),
        "costUsd": format_amount(sums.cost),
        "marginUsd": format_amount(sums.margin),
        "marginPercent": _percent(sums.percent) or None,
        "leastRevenueUsd": format_amount(sums.least),
        "leastPercent": _percent(sums.least_percent) or None,
        "events": sums.events,
        "unpriced": sums.unpriced,
        "flag": None if sums.flag is None else sums.flag.value,
    }


def _counts_document(sums: OnOurKeys) -> dict[str, Any]:
    return {
        "events": sums.events,
        "calls": sums.calls,
        "costUsd": format_amount(sums.cost),
        "unpriced": sums.unpriced,
    }


def _call_document(call: UnmeteredCall) -> dict[str, Any]:
    reservation = call.reservation_id
    return {
        "id": ids.public("usage_event", call.place.id),
        "tenant": call.tenant,
        "reason": call.reason.value,
        "occurredAt": call.place.occurred_at.isoformat(),
        "provider": call.provider,
        "model": call.model,
        "operation": call.operation,
        "feature": call.feature,
        "calls": call.calls,
        "costUsd": None if call.cost is None else format_amount(call.cost),
        "reservationId": None if reservation is None else ids.public("reservation", reservation),
        "agentRole": call.agent_role,
        "campaign": call.campaign,
    }
