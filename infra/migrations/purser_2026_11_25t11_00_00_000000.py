"""Margins: what proves that every paid call was metered is found without reading the usage that was.

Both indexes are small where all is well: they hold what nobody was charged for.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T11:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "margins"

UNMETERED = """
CREATE INDEX usage_event_uncharged ON usage_event (tenant_id, occurred_at, id)
    WHERE route = 'MANAGED' AND NOT under_reservation AND credits_charged = 0 AND usd_charged = 0
        AND (cost > 0 OR cost IS NULL);
CREATE INDEX reservation_given_up ON reservation (tenant_id, ended_at) WHERE state IN ('RELEASED', 'EXPIRED');
"""


async def forwards() -> MigrationManager:
    """Add the indexes."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(UNMETERED)

    manager.add_raw(create)
    return manager
