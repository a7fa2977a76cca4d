"""What a back-test plays again: how reservations went on between their beginning and their end."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T19:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "what a back-test plays again"

KEPT = """
ALTER TABLE reservation ADD COLUMN course jsonb;
COMMENT ON COLUMN reservation.course IS
    'Its extensions, the quantity really made, when it was booked as expired; null: none of them, or from before they were kept.';
CREATE INDEX usage_event_recorded ON usage_event USING brin (recorded_at);
COMMENT ON INDEX usage_event_recorded IS
    'A back-test looks for what was recorded in a month, whenever it happened; rows come in about that order.';
"""


async def forwards() -> MigrationManager:
    """Add the column and the index."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(KEPT)

    manager.add_raw(create)
    return manager
