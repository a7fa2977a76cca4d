"""The command line: `purser`.

Heavy imports stand inside the commands, so that `--help` and `demo-keys` answer at once. An expected error is a
message that says what to do, and exit code 2.
"""

import asyncio
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from infra.settings import DeploymentMode, Settings, SettingsError

INTRODUCTION: Final = """Keeps the accounts of a product that spends money on every request.

Begin here:
  purser serve --demo      a server with embedded PostgreSQL and two demo tenants
  purser demo-keys         the API keys of the demo tenants, as JSON
  purser verify-ledger     prove that the books hold

Every command works on DATABASE_URL if it is set (PostgreSQL 15 or later), else on an embedded server with its data in
PURSER_DATA_DIR.
"""
Function = TypeVar("Function", bound=Callable[..., None])


def _with_kept_lines(text: str) -> str:
    """Help in which indented lines stay lines: click flows every paragraph that is not marked so."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join([f"\b\n{each}" if "\n  " in each else each for each in paragraphs])


app = typer.Typer(
    help=_with_kept_lines(INTRODUCTION),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def command(name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
    """Register a command; its docstring is its help."""

    def register(function: Function) -> Function:
        text = function.__doc__ or ""
        short = re.split("[.:]", text)[0]
        return app.command(name, help=_with_kept_lines(text), short_help=short, **settings)(function)

    return register


@command()
def serve(
    demo: Annotated[
        bool, typer.Option("--demo", help="Set up the demo tenants acme and globex, and their keys.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
) -> None:
    """Start the server: GraphQL at /graphql, agents at /mcp, files at /usage and /expenses, health at /healthz. Ctrl-C stops
    everything that it started.

    Examples:
      purser serve --demo
      purser serve --demo --port 8080
      DATABASE_URL=postgresql://purser:secret@db:5432/purser purser serve --host 0.0.0.0

    Prints a line that starts with "ready" once it accepts connections.
    """
    import logging

    from graphql_api import serving
    from graphql_api.greeting import Greeting

    settings = _settings(self_hosted=demo)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with serving.bind(host, port) as listener:
        greeting = Greeting(settings, listener, with_demo=demo)
        serving.serve(settings, listener, with_demo=demo, announce=greeting.announce, ready=greeting.ready)


@command("demo-keys")
def demo_keys() -> None:
    """Print the API keys of the demo tenants as JSON: operator, admin, member and service of acme, and
    other_service of globex.

    Example:
      KEY=$(purser demo-keys | python3 -c 'import json, sys; print(json.load(sys.stdin)["service"])')

    They are derived from PURSER_DEMO_SECRET, else from a secret in the data folder, and work with every server that
    was started with --demo on that secret.
    """
    from infra.demo_keys import demo_tokens

    print(json.dumps(demo_tokens(_settings()), indent=2))


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

    with database(_settings()) as url:
        holds = asyncio.run(check(url))
    if not holds:
        raise typer.Exit(1)


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

    settings = _settings()
    with database(settings) as url:
        asyncio.run(expire_all(settings, url, at_most))


@command("create-tenant")
def create_tenant(
    slug: Annotated[str, typer.Option(help="Short name in lower case, such as acme-corp.")],
    name: Annotated[str, typer.Option(help="Name to show.")],
    region: Annotated[str, typer.Option(help="Region of the plan, such as india or middle_east.")],
    plan: Annotated[str, typer.Option(help="Plan of that region, such as starter or professional.")],
    metered: Annotated[bool, typer.Option("--metered", help="Give it a prepaid wallet in US dollars.")] = False,
    time_zone: Annotated[str, typer.Option(help="IANA time zone of its months and days.")] = "UTC",
    anchor_day: Annotated[int, typer.Option(min=1, max=31, help="Day of the month on which its cycles start.")] = 1,
) -> None:
    """Set up a tenant with the wallets of its plan, and credit the running cycle.

    Example:
      purser create-tenant --slug northwind --name Northwind --region india --plan starter --metered
    """
    from graphql_api.administration import set_up_tenant
    from infra.database import database
    from infra.services.tenants import TenantOrder

    settings = _settings()
    order = TenantOrder(slug, name, region, plan, metered, time_zone, anchor_day)
    with database(settings) as url:
        asyncio.run(set_up_tenant(settings, url, order))


@command("create-key")
def create_key(
    role: Annotated[str, typer.Option(help="operator, admin, member (reads) or service (a worker).")],
    name: Annotated[str, typer.Option(help="Who uses it; the ledger names it.")],
    tenant: Annotated[str | None, typer.Option(help="Slug of its tenant; an operator's key has none.")] = None,
) -> None:
    """Make an API key and print it. It is shown this once: only its hash is stored.

    Examples:
      purser create-key --role operator --name anna
      purser create-key --tenant acme --role service --name worker
    """
    from graphql_api.administration import make_key
    from infra.database import database

    settings = _settings()
    with database(settings) as url:
        print(asyncio.run(make_key(settings, url, tenant, role, name)))


@command()
def keys(
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="keys of operators")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the keys as JSON.")] = False,
) -> None:
    """List API keys, newest first: who uses them, when they end, when they were last used. Never the keys themselves.

    Examples:
      purser keys
      purser keys --tenant acme --json
    """
    from graphql_api.key_commands import list_keys
    from infra.database import database

    settings = _settings()
    with database(settings) as url:
        asyncio.run(list_keys(settings, url, tenant, as_json=as_json))


@command("rotate-key")
def rotate_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_..., as `purser keys` shows it.")],
    overlap_seconds: Annotated[
        int, typer.Option(min=0, max=604_800, help="How long the old key works on: 0 to 604800 (seven days).")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print both keys as JSON, the new one with its token.")
    ] = False,
) -> None:
    """Put a new API key in the place of one, and print it: of the same name, role and seat. It is shown this once.

    Example, with a day for all workers to change over:
      purser rotate-key key_0199... --overlap-seconds 86400
    """
    from graphql_api.key_commands import rotate_key as run
    from infra.database import database

    settings = _settings()
    with database(settings) as url:
        asyncio.run(run(settings, url, key, overlap_seconds, as_json=as_json))


@command("revoke-key")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id: key_..., as `purser keys` shows it.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also the last key of a tenant's admins or of operators.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the key as JSON.")] = False,
) -> None:
    """End an API key, an operator's or a tenant's: within two seconds it is refused everywhere.

    Example:
      purser revoke-key key_0199...

    One that has ended stays as it is.
    """
    from graphql_api.key_commands import revoke_key as run
    from infra.database import database

    settings = _settings()
    with database(settings) as url:
        asyncio.run(run(settings, url, key, force=force, as_json=as_json))


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
    settings = _settings()
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
    settings = _settings()
    order = ImportOrder(apply, skip_errors, Charset(charset), DecimalSign(decimal))
    with database(settings) as url:
        clean = asyncio.run(import_file(settings, url, Import(file, tenant, order, as_json)))
    if not clean:
        raise typer.Exit(1)


@command()
def migrate() -> None:
    """Bring the database's schema up to date. `serve` does it by itself."""
    from infra.database import database, prepare

    with database(_settings()) as url:
        asyncio.run(prepare(url))
    print("The schema is up to date.", file=sys.stderr)


@command()
def prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider's models, such as openai.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply/--diff", help="Publish the differences, or only show them.", show_default="diff")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all/--only-changed", help="Also models that our list does not have.")
    ] = False,
    include_seeds: Annotated[
        bool, typer.Option("--include-seeds", help="Also where our figure is not from the package: document 003's.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with code 1 if something is left to publish.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Show how our price list differs from the package genai-prices, and publish what changed.

    Examples:
      purser prices --provider openai
      purser prices --apply
      purser prices --check --json

    Old prices stay: what is reserved already is settled by them. Exit codes: 0; 1 with --check if something is left to
    publish; 2 it could not be done.
    """
    from graphql_api.prices_report import Options, compare_prices
    from infra.database import database

    settings = _settings()
    options = Options(provider, model, apply, everything, include_seeds, yes, as_json)
    with database(settings) as url:
        left = asyncio.run(compare_prices(settings, url, options))
    if left and check:
        raise typer.Exit(1)


@command()
def rerate(
    provider: Annotated[str, typer.Option(help="Usage of this provider, such as openai.")],
    start: Annotated[str, typer.Option("--from", metavar="MOMENT", help="Usage from this day or moment on.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Usage before this day or moment.", show_default="now")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    operation: Annotated[str | None, typer.Option(help="Only this operation.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="every tenant")] = None,
    only_unpriced: Annotated[
        bool, typer.Option("--only-unpriced", help="Leave usage alone that has a price already.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Correct it. Without this, only say what it comes to.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON.")] = False,
) -> None:
    """Correct what happened by the prices published now: the next step after a price was added or corrected.

    Usage without a price gets it. Where a price was corrected, the difference is charged, below zero if need be, or given
    back; budgets count it in the month of the usage. Costs that a provider reported stay. Shows the totals and writes
    nothing unless --apply is given; running it again changes nothing.

    Examples:
      purser rerate --provider openai --model gpt-99 --from 2026-11-01
      purser rerate --provider openai --model gpt-99 --from 2026-11-01 --apply
      purser rerate --provider openai --from 2026-11-01 --to 2026-11-15T12:00:00Z --tenant acme --json

    Days begin at midnight UTC.
    """
    from graphql_api.rerate_report import Order
    from graphql_api.rerate_report import rerate as run
    from infra.database import database

    settings = _settings()
    order = Order(provider, model, operation, start, end, tenant, only_unpriced, apply, as_json)
    with database(settings) as url:
        asyncio.run(run(settings, url, order))


@command("check-margins")
def check_margins(
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="Usage from this day or moment on.", show_default="30 days ago"),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="Usage before this day or moment.", show_default="now")
    ] = None,
    target: Annotated[
        int, typer.Option(min=0, max=99, help="The gross margin, in percent, under which a line is flagged.")
    ] = 50,
    tenant: Annotated[str | None, typer.Option(help="Slug of a tenant.", show_default="every tenant")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Compare what work brought in with what providers charged for it, and prove that every paid call was metered.

    Revenue is what tenants were charged: a credit at its value on the rate card of then, a metered dollar as it is. Cost is
    what providers charge on our keys, what is free on the card included; calls on tenants' own keys cost us nothing.

    Flagged is, by feature, provider and tenant:
      NEGATIVE      it cost more than it brought in
      BELOW_TARGET  less is left than the target, or, of features that are charged by cost
                    alone, than their markup promises

    Metered is a call that was charged, or was recorded under a reservation that was settled and charged or is still open, or
    that found nothing under a rate per result. All others are listed with the reason: GIVEN_UP (its reservation was released
    or expired, or takes capacity), SETTLED_FOR_NOTHING (its reservation charged nothing), UNPRICED, NO_FEATURE, NO_RATE (no
    rate of its feature charges such a call by itself).

    Examples:
      purser check-margins
      purser check-margins --from 2026-11-01 --to 2026-12-01 --target 55
      purser check-margins --tenant acme --json

    Exit codes: 0 nothing is flagged and every paid call was metered; 1 something is flagged or was not metered; 2 it could
    not be checked. Days begin at midnight UTC. Nothing is written: the daily job check_margins also raises alerts.
    """
    from graphql_api.margin_report import Options, check
    from infra.database import database

    settings = _settings()
    options = Options(start, end, target, tenant, as_json)
    with database(settings) as url:
        sound = asyncio.run(check(settings, url, options))
    if not sound:
        raise typer.Exit(1)


@command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
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


@command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    from graphql_api.schema import export_schema

    print(export_schema(), end="")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            raise
        print(f"purser: {error}", file=sys.stderr)
        sys.exit(2)


def _settings(*, self_hosted: bool = False) -> Settings:
    """The settings; who did not say whose deployment it is runs a demo as their own, and all else as a hosted one."""
    settings = Settings.from_environment()
    if settings.deployment_mode is not None:
        return settings
    return replace(settings, deployment_mode=DeploymentMode.SELF_HOSTED if self_hosted else DeploymentMode.HOSTED)


def _expected_errors() -> tuple[type[Exception], ...]:
    """Errors whose messages say what to do."""
    expected: list[type[Exception]] = [SettingsError]
    for module, name in (
        ("infra.catalog.reading", "CatalogError"),
        ("infra.embedded_postgres", "EmbeddedPostgresError"),
        ("infra.schema", "MigrationError"),
        ("infra.database", "DatabaseError"),
        ("graphql_api.serving", "AddressError"),
        ("graphql_api.administration", "AdministrationError"),
    ):
        # What was not imported was not raised.
        if module in sys.modules:
            expected.append(getattr(sys.modules[module], name))
    return tuple(expected)


if __name__ == "__main__":
    main()
