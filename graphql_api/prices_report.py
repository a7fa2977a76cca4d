"""`purser prices`: how our price list differs from the package genai-prices, as people and programs read it, and what an
operator publishes of that."""

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from domain.ids import NIL
from domain.money import format_amount
from domain.prices import PriceList
from graphql_api.calling import program
from infra.application import open_application
from infra.catalog.genai import CLASSES, Tier, release
from infra.catalog.price_differences import Difference, DifferenceKind, comparable_models, find_differences
from infra.database import prepare
from infra.services.callers import Caller, Role
from infra.services.catalog import publish_prices
from infra.settings import Settings

OPERATOR: Final = Caller(NIL, Role.OPERATOR, "cli:prices")
NOT_ON_TERMINAL: Final = 200
SHOWN: Final = 20


class Options(NamedTuple):
    """What the command was told."""

    provider: str | None
    model: str | None
    apply: bool
    everything: bool
    include_seeds: bool
    yes: bool
    as_json: bool


async def compare_prices(settings: Settings, url: str, options: Options) -> bool:
    """Print the differences and, where that is asked for, publish them. Answers whether any is left to publish. A
    provider or a model that cannot be compared is refused."""
    await prepare(url)
    async with open_application(settings, url) as application:
        now = application.clock()
        catalog = await application.current_catalog()
        _check_names(catalog.prices, now, options)
        differences = find_differences(catalog.prices, now, options.provider, options.model)
        wanted = [each for each in differences if _is_wanted(each, options)]
        if not options.as_json:
            _print_text(differences, options)
        rows = [row for each in wanted for row in each.rows]
        publishing = options.apply and bool(rows) and (options.yes or _confirmed(wanted, rows))
        if publishing:
            await publish_prices(application, OPERATOR, rows)
        if options.as_json:
            _print_json(differences, options, len(rows) if publishing else 0)
        elif publishing:
            prices = _counted(len(rows), "price")
            typer.echo(f"Published {prices} of {_models(wanted)}. Earlier prices stay for what is reserved already.")
            typer.echo(f"Next, for what happened already: {program()} rerate --help", err=True)
        return bool(rows) and not publishing


def _check_names(prices: PriceList, now: datetime, options: Options) -> None:
    known = comparable_models(prices, now)
    if options.provider is not None and options.provider not in known:
        which = f"no provider {options.provider!r} is in both our list and {release()}"
        raise typer.BadParameter(f"{which}: there is {_first(known)}")
    models = known.values() if options.provider is None else [known[options.provider]]
    if options.model is not None and not any(options.model in names for names in models):
        of = "" if options.provider is None else f" of {options.provider}"
        which = f"no model {options.model!r}{of} is in our list or in {release()}"
        raise typer.BadParameter(f"{which}: there is {_first(set().union(*models))}")


def _first(names: Iterable[str]) -> str:
    """The first of these names, and how many there are besides."""
    ordered = sorted(names)
    more = len(ordered) - SHOWN
    return ", ".join(ordered[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _is_wanted(difference: Difference, options: Options) -> bool:
    """Whether --apply publishes it."""
    match difference.kind:
        case DifferenceKind.CHANGED:
            return options.include_seeds or not difference.kept
        case DifferenceKind.NEW:
            return options.everything
        case DifferenceKind.GONE:
            return False


def _confirmed(wanted: list[Difference], rows: list[dict[str, Any]]) -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: say --yes")
    return typer.confirm(f"Publish {_counted(len(rows), 'price')} of {_models(wanted)}?", err=True)


def _models(differences: list[Difference]) -> str:
    return _counted(len({(each.provider, each.model) for each in differences}), "model")


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _print_text(differences: list[Difference], options: Options) -> None:
    shown = [each for each in differences if options.everything or each.kind is not DifferenceKind.NEW]
    if shown:
        console = Console()
        # A file or a pipe is as wide as it must be.
        (console if console.is_terminal else Console(width=NOT_ON_TERMINAL)).print(_table(shown, options))
    kept = any(each.kept and each.kind is DifferenceKind.CHANGED for each in shown)
    if kept and not options.include_seeds:
        typer.echo(
            "kept: figures of our own, of document 003 or published by hand; --include-seeds takes the package's."
        )
    if any(each.kind is DifferenceKind.GONE for each in shown):
        typer.echo(f"gone: {release()} has it no more; it keeps its price, else its calls would be refused.")
    unlisted = _models([each for each in differences if each.kind is DifferenceKind.NEW])
    if not options.everything and not unlisted.startswith("0 "):
        typer.echo(f"{release()} has {unlisted} that our list does not have: --all lists them.")
    if not shown:
        which = "No model" if options.everything else "No model that we have"
        typer.echo(f"{which} costs anything else in {release()}.")


def _table(differences: Iterable[Difference], options: Options) -> Table:
    table = Table(title=f"Our price list and {release()}: dollars per 1,000,000 tokens")
    for name in ("", "provider", "model", "from", "context above"):
        table.add_column(name, overflow="fold")
    for name in CLASSES:
        table.add_column(name.replace("_", " "), justify="right")
    for each in differences:
        kept = each.kept and each.kind is DifferenceKind.CHANGED and not options.include_seeds
        names = (f"{each.kind}, kept" if kept else each.kind.value, each.provider, each.model)
        start = each.start.strftime("%Y-%m-%d %H:%M")
        for number, (above, figures) in enumerate(_beside(each)):
            context = "" if above is None else f"{above:,}"
            table.add_row(*(names if number == 0 else ("", "", "")), start if number == 0 else "", context, *figures)
    return table


def _beside(difference: Difference) -> list[tuple[int | None, list[str]]]:
    """Each tier of either side with its figures: what is, and what it becomes if that is something else."""
    ours = {tier.context_above: tier for tier in difference.ours}
    theirs = {tier.context_above: tier for tier in difference.theirs}
    tiers = sorted(ours.keys() | theirs.keys(), key=lambda above: -1 if above is None else above)
    return [(above, [_step(ours.get(above), theirs.get(above), name) for name in CLASSES]) for above in tiers]


def _step(ours: Tier | None, theirs: Tier | None, name: str) -> str:
    before, after = (_figure(tier, name) for tier in (ours, theirs))
    if before == after or theirs is None:
        return before
    return after if ours is None else f"{before or '-'} -> {after or '-'}"


def _figure(tier: Tier | None, name: str) -> str:
    nano = None if tier is None else getattr(tier, name)
    return "" if nano is None else format_amount(nano)


def _print_json(differences: list[Difference], options: Options, published: int) -> None:
    document = {
        "package": release(),
        "published": published,
        "differences": [
            {
                "kind": each.kind.value,
                "provider": each.provider,
                "model": each.model,
                "from": each.start.isoformat(),
                "kept": not _is_wanted(each, options),
                "ours": [_document(tier) for tier in each.ours],
                "theirs": [_document(tier) for tier in each.theirs],
            }
            for each in differences
            if options.everything or each.kind is not DifferenceKind.NEW
        ],
    }
    typer.echo(json.dumps(document, indent=2))


def _document(tier: Tier) -> dict[str, Any]:
    return {"contextAbove": tier.context_above} | {name: _figure(tier, name) or None for name in CLASSES}
