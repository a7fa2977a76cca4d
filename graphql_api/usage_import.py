"""The command `import-usage`: usage that others have kept, from a file, and what became of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.imported_files import Bar, opened
from graphql_api.usage_report import as_document, as_text
from infra.file_errors import UnreadableFileError
from infra.importers.reading import Format, read_events
from infra.services.callers import Caller, Role
from infra.services.usage_intake import IntakeReport, UsageIntake
from infra.settings import Settings

ACTOR: Final = "cli:import-usage"

_ROWS_PER_STEP: Final = 200


@dataclass(frozen=True, slots=True)
class Import:
    """What the command was told. The file `-` is standard input."""

    file: Path
    form: Format
    tenant: str
    dry_run: bool = False
    as_json: bool = False


async def import_usage(settings: Settings, url: str, order: Import) -> bool:
    """Record what a file holds, print what became of it, and answer whether every row was taken."""
    skipped = 0
    async with opened_for(settings, url) as application:
        tenant_id = await tenant_named(application, order.tenant)
        intake = UsageIntake(application, Caller(tenant_id, Role.SERVICE, ACTOR), dry_run=order.dry_run)
        with opened(order.file) as file, Bar(file) as bar:
            try:
                for number, (line, read) in enumerate(read_events(file, order.form), 1):
                    if read is None:
                        skipped += 1
                    else:
                        await intake.take(line, read)
                    if number % _ROWS_PER_STEP == 0:
                        bar.show(number)
            except UnreadableFileError as error:
                await intake.flush()
                raise AdministrationError(
                    f"{order.file} {error}. Of what stands before that {intake.report.accepted} events were taken; "
                    "importing it again is harmless."
                ) from error
            await intake.flush()
    typer.echo((_as_json if order.as_json else _as_text)(order, intake.report, skipped))
    return intake.report.rejections == 0


def _as_text(order: Import, report: IntakeReport, skipped: int) -> str:
    done = "Dry run, nothing was written:" if order.dry_run else "Imported"
    others = f"; skipped {skipped:,} rows that are about no call" if skipped else ""
    return f"{done} {order.file} for {order.tenant}{others}\n{as_text(report)}"


def _as_json(order: Import, report: IntakeReport, skipped: int) -> str:
    named = {"file": str(order.file), "tenant": order.tenant, "dryRun": order.dry_run, "skipped": skipped}
    return json.dumps(named | as_document(report), indent=2)
