"""Margins: settlements that charged nothing for what cost something are found without reading the others."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T16:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "settled for nothing"

SETTLED_FOR_NOTHING = """
CREATE INDEX reservation_settled_for_nothing ON reservation (tenant_id, ended_at)
    WHERE state = 'CONSUMED' AND charges IS NULL AND route = 'MANAGED' AND cost_usd IS DISTINCT FROM 0;
"""


async def forwards() -> MigrationManager:
    """Add the index."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(SETTLED_FOR_NOTHING)

    manager.add_raw(create)
    return manager
