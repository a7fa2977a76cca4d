"""Statements from the command line: to standard output, while a bar on the terminal shows how far they are."""

import sys
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from graphql_api.administration import AdministrationError, opened_for, tenant_named
from graphql_api.errors import RequestError
from graphql_api.statement_lines import Form
from graphql_api.statements import period, statement_pieces
from infra.queries.statements import open_statement
from infra.queries.tenants import zone_of
from infra.queries.wallets import list_wallets
from infra.settings import Settings


async def export(settings: Settings, url: str, tenant: str, wallet_key: str, month: str | None, form: Form) -> None:
    """Write the statement of a wallet of the tenant of this slug."""
    async with opened_for(settings, url) as application:
        tenant_id = await tenant_named(application, tenant)
        try:
            start, end = period(await zone_of(application, tenant_id), month, None, None)
        except RequestError as error:
            raise AdministrationError(f"{error.message}.") from error
        statement = await open_statement(application, tenant_id, wallet_key, start, end)
        if statement is None:
            known = ", ".join([view.wallet.key for view in await list_wallets(application, tenant_id)])
            raise AdministrationError(f"{tenant} has no wallet {wallet_key!r}: there are {known}.")
        columns = (TextColumn("Writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=statement.closing.sequence - statement.opening.sequence)
            pieces = statement_pieces(application, statement, form, partial(progress.advance, bar))
            async for piece in pieces:
                sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
