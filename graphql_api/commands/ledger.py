"""Commands about the books: verify-ledger, export-statement, verify-statement, expire, replay."""

import asyncio
import json
from typing import Annotated, Final

import typer

from graphql_api.command_line import Commands, chosen_settings

command = Commands()
# For what reads its options by itself.
AS_GIVEN: Final = {"ignore_unknown_options": True, "allow_extra_args": True}


@command("verify-ledger")
def verify_ledger(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Prove that the books hold: every hash recomputed, every balance folded from its entries, every hold found.

    Exit codes: 0 the books hold; 1 they do not, and each imbalance is named; 2 they could not be checked.

    One snapshot is read, so that it may run beside a working server.
    """
    from graphql_api.audit_report import Progress, as_document, as_text
    from infra.audit import audit
    from infra.database import connect_to_books, database

    async def check(url: str) -> bool:
        connection = await connect_to_books(url)
        try:
            with Progress() as progress:
                report = await audit(connection, progress.show)
        finally:
            await connection.close()
        print(json.dumps(as_document(report), indent=2) if as_json else as_text(report))
        return report.hold

    with database(chosen_settings()) as url:
        holds = asyncio.run(check(url))
    if not holds:
        raise typer.Exit(1)


@command("export-statement")
def export_statement(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Slug of the tenant.")],
    wallet: Annotated[str, typer.Argument(metavar="WALLET", help="Key of its wallet, such as credits or metered.")],
    month: Annotated[str | None, typer.Option(help="A month such as 2026-10; without it, the whole ledger.")] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv or jsonl.")] = "csv",
) -> None:
    """Write the ledger of a wallet, or a month of it, to standard output, as GET /statements does.

    Months are those of the tenant's time zone.

    Example:
      purser export-statement acme credits --month 2026-10 > october.csv
      purser verify-statement october.csv
    """
    from graphql_api.statement_export import export
    from graphql_api.statement_lines import Form
    from infra.database import database

    if form not in set(Form):
        raise typer.BadParameter(f"{form!r} is none: there are {', '.join(Form)}", param_hint="--format")
    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(export(settings, url, tenant, wallet, month, Form(form)))


@command("verify-statement", add_help_option=False, context_settings=AS_GIVEN)
def verify_statement(context: typer.Context) -> None:
    """Verify statements: every hash and balance recomputed, and what was changed is named.

    It runs the program that anybody downloads from /statements/verify_statement.py.

    Example:
      purser verify-statement september.csv october.csv
    """
    from graphql_api.verify_statement import main

    raise typer.Exit(main(context.args))


@command()
def expire(
    at_most: Annotated[int, typer.Option(min=1, help="Stop after about so many reservations.")] = 100_000,
) -> None:
    """Book the overdue reservations of all tenants: what they hold goes back. Harmless at any time.

    Example, every minute from cron:
      * * * * * purser expire
    """
    from graphql_api.administration import expire_all
    from infra.database import database

    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(expire_all(settings, url, at_most))


@command(add_help_option=False, context_settings=AS_GIVEN)
def replay(context: typer.Context) -> None:
    """Play recorded LLM calls through reserve and consume, and check what was charged.

    Example:
      purser replay calls.csv --model openai/gpt-4o-mini --concurrency 64
    """
    from graphql_api.replay import replay

    # Its options come with its code, which is too heavy to load for every command.
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command()(replay)
    alone(context.args, prog_name="purser replay")
