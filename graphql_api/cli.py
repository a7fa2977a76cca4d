"""The command line: `purser`. Its commands are in graphql_api/commands.

Heavy imports stand inside the commands, so that `--help` and `demo-keys` answer at once. An expected error is a
message that says what to do, and exit code 2.
"""

import sys

from graphql_api.command_line import app
from graphql_api.commands import catalog, files, ledger, server, tenants
from infra.settings import SettingsError

__all__ = ["app", "main"]

# In the order in which `purser --help` lists them.
for commands in (server, ledger, tenants, files, catalog):
    app.add_typer(commands.command.app)


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
