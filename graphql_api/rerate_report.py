"""The command `rerate`: what corrected prices come to, as people and programs read it, and the correction itself."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.moments import MomentError, read_moment
from domain.money import format_amount
from domain.wallets import METERED_KEY
from graphql_api.administration import opened_for, tenant_named
from infra.application import Application
from infra.services import rerating as service
from infra.services.rerating import RerateReport, Selection, TenantTotals
from infra.settings import Settings

ACTOR: Final = "cli:rerate"


@dataclass(frozen=True, slots=True)
class Order:
    """What the command was told. `tenant` is a slug, None stands for all; without `end` until now."""

    provider: str
    model: str | None
    operation: str | None
    start: str
    end: str | None
    tenant: str | None = None
    only_unpriced: bool = False
    apply: bool = False
    as_json: bool = False


async def rerate(settings: Settings, url: str, order: Order) -> None:
    """Re-rate what is selected, or foresee it, and print what it came to per tenant."""
    for option, name in (("provider", order.provider), ("model", order.model), ("operation", order.operation)):
        if name is not None and not is_identifier(name):
            raise typer.BadParameter(IDENTIFIER_RULE, param_hint=f"--{option}")
    start = moment_given(order.start, "--from")
    async with opened_for(settings, url) as application:
        end = application.clock() if order.end is None else moment_given(order.end, "--to")
        if start >= end:
            raise typer.BadParameter("must lie before --to, which is now if it is not given", param_hint="--from")
        tenant_id = None if order.tenant is None else await tenant_named(application, order.tenant)
        selection = Selection(tenant_id, order.provider, order.model, order.operation, start, end, order.only_unpriced)
        report = await _run(application, selection, order)
    typer.echo(json.dumps(as_document(report, order), indent=2) if order.as_json else as_text(report, order))


async def _run(application: Application, selection: Selection, order: Order) -> RerateReport:
    """Call after call until it is complete, with a bar on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("Re-rating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=await service.count(application, selection) if console.is_terminal else None)
        report = RerateReport(complete=False)
        while not report.complete:
            report = report.plus(
                await service.rerate(application, ACTOR, selection, dry_run=not order.apply, after=report.end)
            )
            progress.update(bar, completed=sum(totals.events for totals in report.tenants))
    return report


def as_text(report: RerateReport, order: Order) -> str:
    """Counts and amounts per tenant."""
    if not report.tenants:
        return "There is no such usage that a price list prices."
    lines = ["Corrected:" if order.apply else "Dry run, nothing was written. It would come to:"]
    for totals in report.tenants:
        lines.append(f"{totals.slug}:")
        lines += [f"  {name:14}{figure}" for name, figure in _lines(totals)]
    if not order.apply and any(totals.rerated.corrected for totals in report.tenants):
        lines.append("The same command with --apply does it.")
    return "\n".join(lines)


def as_document(report: RerateReport, order: Order) -> dict[str, Any]:
    """The report as JSON values; amounts are texts."""
    return {
        "dryRun": not order.apply,
        "tenants": [
            {
                "tenant": totals.slug,
                "events": totals.events,
                "corrected": totals.rerated.corrected,
                "priced": totals.rerated.priced,
                "unpriced": totals.rerated.unpriced,
                "held": totals.rerated.held,
                "unfit": totals.rerated.unfit,
                "costUsd": format_amount(totals.rerated.cost),
                "charges": {key: format_amount(amount) for key, amount in totals.rerated.charges},
            }
            for totals in report.tenants
        ],
    }


def _lines(totals: TenantTotals) -> Iterable[tuple[str, str]]:
    rerated = totals.rerated
    yield "events", f"{totals.events:,}"
    yield "corrected", f"{rerated.corrected:,}, of which {rerated.priced:,} had no price"
    if rerated.unpriced:
        yield "unpriced", f"{rerated.unpriced:,} have no price still: publish it and run this again"
    if rerated.held:
        yield "open", f"{rerated.held:,} belong to work that is not settled yet: run this again later"
    if rerated.unfit:
        yield "too much", f"{rerated.unfit:,} would cost more than the books can hold: look at their price"
    yield "cost", f"{_signed(rerated.cost)} USD"
    for key, amount in rerated.charges:
        yield key, f"{_signed(amount)} {'USD' if key == METERED_KEY else 'credits'}"


def _signed(amount: int) -> str:
    return f"{'+' if amount > 0 else ''}{format_amount(amount)}"


def moment_given(text: str, option: str) -> datetime:
    """A moment, or a day as its first moment in UTC."""
    try:
        return (
            datetime.combine(date.fromisoformat(text), time(), UTC)
            if len(text) == len("2026-11-21")
            else read_moment(text)
        )
    except (MomentError, ValueError) as error:
        raise typer.BadParameter(
            f"{text!r} is neither a day such as 2026-11-21 nor a moment such as 2026-11-21T02:45:00Z", param_hint=option
        ) from error
