"""Commands that take files in, and the one that gives one out: import-usage, import-expenses, export-focus."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from graphql_api.command_line import Commands, chosen_settings

command = Commands()


@command("import-usage")
def import_usage(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file; - for standard input.")],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="litellm, otel or lines: see above.")],
    tenant: Annotated[str, typer.Option(help="Slug of the tenant whose usage it is.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of it, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Record usage that was kept elsewhere. Every event counts once, so importing a file again is harmless.

    Formats:
      litellm  rows of LiteLLM's table LiteLLM_SpendLogs, as CSV with a header or as JSON
      otel     OpenTelemetry spans by the gen_ai conventions: OTLP as JSON, or spans as JSON
      lines    JSON lines, each an event as POST /usage and recordUsage take them

    JSON may be one document or a document a line. Files by the line may be of any size.

    Examples:
      psql "$LITELLM_DATABASE_URL" -c 'COPY "LiteLLM_SpendLogs" TO STDOUT CSV HEADER' > spend.csv
      purser import-usage --format litellm --tenant acme --dry-run spend.csv
      purser import-usage --format litellm --tenant acme spend.csv
      purser import-usage --format otel --tenant acme spans.jsonl
      gunzip -c events.jsonl.gz | purser import-usage --format lines --tenant acme --json -

    One line of the format lines:
      {"source": "worker", "eventId": "42", "kind": "LLM", "usage": {"provider": "openai",
       "model": "gpt-4o-mini", "inputTokens": 900, "outputTokens": 80,
       "occurredAt": "2026-11-21T02:45:00Z"}}

    Input tokens that a cache served, and output tokens of reasoning, are counted on their own: LiteLLM and
    OpenTelemetry include them, so they are taken out. Costs are LiteLLM's where it knows one, else the price list's.

    Exit codes: 0 every row was taken, or skipped because it is about no call; 1 some were rejected, and are named with
    the reason; 2 it could not be done.
    """
    from graphql_api.usage_import import Import, import_usage
    from infra.database import database
    from infra.importers.reading import Format

    if form not in set(Format):
        raise typer.BadParameter(f"{form!r} is none: there are {', '.join(Format)}", param_hint="--format")
    settings = chosen_settings()
    with database(settings) as url:
        complete = asyncio.run(import_usage(settings, url, Import(file, Format(form), tenant, dry_run, as_json)))
    if not complete:
        raise typer.Exit(1)


@command("import-expenses")
def import_expenses(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The CSV file; - for standard input.")],
    tenant: Annotated[str, typer.Option(help="Slug of the tenant whose expenses they are.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Write them. Without this, only say what would become of each row.")
    ] = False,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Write the good rows although others are rejected.")
    ] = False,
    charset: Annotated[str, typer.Option(help="utf-8, or cp1252 of older Windows.")] = "utf-8",
    decimal: Annotated[str, typer.Option(help="Decimal sign of the whole file: point or comma.")] = "point",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report and every row's verdict as JSON lines.")
    ] = False,
) -> None:
    """Enter expenses from a CSV file. Writes nothing unless --apply is given, and nothing while a row is rejected.

    The first line names the columns, separated by commas, semicolons or tabs:
      campaign, kind, currency and incurredOn (or date); amount, or for labor hours and hourlyRate;
      description and reference (or id) as one likes

    Examples:
      purser import-expenses --tenant acme expenses.csv
      purser import-expenses --tenant acme --apply expenses.csv
      purser import-expenses --tenant acme --apply --skip-errors --charset cp1252 --decimal comma ausgaben.csv

    A file of two rows:
      campaign,kind,amount,hours,hourlyRate,currency,incurredOn,description,reference
      spring,adwords,1250.00,,,EUR,2026-11-03,"October, search",inv-77
      spring,labor,,7.5,60,EUR,2026-11-04,Landing page,

    Importing a file again books nothing again: a row is known by its reference, and without one by what it says (the
    same said twice in one file is two expenses). Figures are plain: 1234.56, or with --decimal comma 1234,56. Kinds: adwords, meta_ads, linkedin_ads, other_ads, agency, labor,
    software, content, event, other.

    Exit codes: 0 no row was rejected; 1 some were, and are named with the remedy; 2 it could not be done.
    """
    from graphql_api.expense_import import Import, import_file
    from infra.database import database
    from infra.expense_cells import DecimalSign
    from infra.expense_files import Charset
    from infra.services.expense_imports import ImportOrder

    if charset not in set(Charset):
        raise typer.BadParameter(f"{charset!r} is none: there are {', '.join(Charset)}", param_hint="--charset")
    if decimal not in set(DecimalSign):
        raise typer.BadParameter(f"{decimal!r} is none: there are {', '.join(DecimalSign)}", param_hint="--decimal")
    settings = chosen_settings()
    order = ImportOrder(apply, skip_errors, Charset(charset), DecimalSign(decimal))
    with database(settings) as url:
        clean = asyncio.run(import_file(settings, url, Import(file, tenant, order, as_json)))
    if not clean:
        raise typer.Exit(1)


@command("export-focus")
def export_focus(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", help="Slug of the tenant.")] = None,
    month: Annotated[str | None, typer.Option(help="A month of the tenant's time zone, such as 2026-11.")] = None,
    year: Annotated[str | None, typer.Option(help="All months of a year, such as 2026.")] = None,
    every_tenant: Annotated[
        bool, typer.Option("--all", help="Every tenant: BillingAccountId and BillingAccountName tell them apart.")
    ] = False,
) -> None:
    """Print costs as CSV in the columns of FOCUS 1.2, which FinOps tools read.

    Examples:
      purser export-focus acme --month 2026-11 > focus.csv
      purser export-focus --all --year 2026 > focus.csv

    BilledCost is what the providers' calls cost. What was charged for them stands in rows of its own, whose
    PricingCurrency is Credits or Prepaid USD.
    """
    from graphql_api.errors import RequestError
    from graphql_api.focus_export import export_focus
    from graphql_api.focus_file import months_of
    from infra.database import database

    if (tenant is None) != every_tenant:
        raise typer.BadParameter("name either one tenant or --all", param_hint="TENANT")
    try:
        months = months_of([(name, value) for name, value in (("month", month), ("year", year)) if value is not None])
    except RequestError as error:
        raise typer.BadParameter(error.message, param_hint="--month, --year") from error
    settings = chosen_settings()
    with database(settings) as url:
        asyncio.run(export_focus(settings, url, tenant, months))
