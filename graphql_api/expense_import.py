"""The command `import-expenses`: a CSV file of expenses, and what becomes of each of its rows."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson
import typer

from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.expense_verdicts import as_document, as_text, report_document, report_text
from graphql_api.imported_files import Bar, opened
from infra.file_errors import UnreadableFileError
from infra.services.callers import Caller, Refused, Role
from infra.services.expense_imports import ImportOrder, ImportReport, Outcome, Verdict, import_expenses
from infra.settings import Settings

ACTOR: Final = "cli:import-expenses"
MOST_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class Import:
    """What the command was told. The file `-` is standard input."""

    file: Path
    tenant: str
    order: ImportOrder
    as_json: bool = False


async def import_file(settings: Settings, url: str, asked: Import) -> bool:
    """Judge a file and, if that is asked, book it; print what became of it, and answer whether no row was rejected."""
    shown: list[str] = []

    with tempfile.TemporaryFile() as verdicts:

        def take(verdict: Verdict, written: bool) -> None:
            if asked.as_json:
                line = orjson.dumps(as_document(verdict, written=written), option=orjson.OPT_APPEND_NEWLINE)
                verdicts.write(line)
            elif verdict.outcome is Outcome.REJECTED and len(shown) < MOST_SHOWN:
                shown.append(as_text(verdict))

        report = await _judged(settings, url, asked, take)
        if asked.as_json:
            typer.echo(orjson.dumps(report_document(report)))
            verdicts.seek(0)
            shutil.copyfileobj(verdicts, typer.get_binary_stream("stdout"))
        else:
            typer.echo(_as_text(asked, report, shown))
    return report.rejected == 0


async def _judged(settings: Settings, url: str, asked: Import, take: Callable[[Verdict, bool], None]) -> ImportReport:
    async with opened_for(settings, url) as application:
        tenant_id = await tenant_named(application, asked.tenant)
        caller = Caller(tenant_id, Role.OPERATOR, ACTOR)
        with _repeatable(asked.file) as file, Bar(file) as bar:
            try:
                report = await import_expenses(application, caller, file, asked.order, take, bar.show)
            except UnreadableFileError as error:
                raise AdministrationError(f"{asked.file} {error}. Nothing was written.") from error
    if isinstance(report, Refused):
        raise AdministrationError(f"{report.refusal.message} Nothing was written.")
    return report


@contextmanager
def _repeatable(path: Path) -> Iterator[IO[bytes]]:
    """A file whose beginning can be read again: of what comes from a pipe, a copy."""
    with opened(path) as file:
        if file.seekable():
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy


def _as_text(asked: Import, report: ImportReport, shown: list[str]) -> str:
    if report.written:
        done = f"Imported {asked.file} for {asked.tenant}"
    elif asked.order.skip_errors and asked.order.apply:
        done = f"Nothing was written of {asked.file}: its quotes do not go, so a text could be taken for a row"
    elif asked.order.apply:
        done = f"Nothing was written of {asked.file}: correct the rows below, or take the others with --skip-errors"
    else:
        done = f"Dry run, nothing was written: {asked.file} for {asked.tenant}; --apply writes"
    more = report.rejected - len(shown)
    rest = [f"and {more:,} more: --json shows all"] if more else []
    return "\n".join([done, report_text(report), *shown, *rest])
