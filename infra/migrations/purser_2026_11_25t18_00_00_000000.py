"""Signing in to the console at a tenant's identity provider."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T18:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "what is stopped is found at once"

STOPPED = """
CREATE INDEX scope_stopped ON scope (tenant_id) WHERE status <> 'ACTIVE';
COMMENT ON INDEX scope_stopped IS 'Every page of the console asks what is stopped; a tenant may have thousands of campaigns.';
"""


async def forwards() -> MigrationManager:
    """Add the index."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(STOPPED)

    manager.add_raw(create)
    return manager
