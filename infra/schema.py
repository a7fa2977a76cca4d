"""The database's schema: brought up to date under a lock, so that two processes may start at once."""

import contextlib
import io
import os
from typing import Final

import asyncpg
from piccolo.apps.migrations.commands.forwards import ForwardsMigrationManager
from piccolo.apps.migrations.tables import Migration
from piccolo.engine.postgres import PostgresEngine

from infra import piccolo_conf, roles, row_security
from infra.transaction import Connection, transaction

MIGRATION_LOCK: Final = 7_291_004_001


class MigrationError(RuntimeError):
    """The schema could not be brought up to date; the message is Piccolo's."""


async def migrate(url: str) -> None:
    """Run the migrations that this database has not seen."""
    os.environ["PICCOLO_CONF"] = "infra.piccolo_conf"
    # Piccolo keeps the first engine that it sees for its own table.
    piccolo_conf.DB = Migration._meta.db = PostgresEngine(config={"dsn": url})  # noqa: SLF001
    connection = await asyncpg.connect(url)
    printed = io.StringIO()
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
        with contextlib.redirect_stdout(printed):
            result = await ForwardsMigrationManager(app_name="purser").run()
        if not result.success:
            raise MigrationError(result.message or printed.getvalue())
        if await roles.make(connection):
            await _protect(connection)
    finally:
        await connection.close()


async def _protect(connection: Connection) -> None:
    """All or nothing: nobody who reads meanwhile loses what it may see, or sees what it may not."""
    with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
        async with transaction(connection):
            await row_security.establish(connection)
            await roles.grant(connection)
