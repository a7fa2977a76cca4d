"""Receipts: what a decision counted in which budgets is kept with it, and what a refused request asked for.

What was decided before has no budget steps; its receipt says so by showing none.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "receipts"

RECEIPTS = """
ALTER TABLE reservation ADD COLUMN steps jsonb;
COMMENT ON COLUMN reservation.steps IS
    'What was counted in budgets: [measure, month, amount, [[before, cap] for each level]] for the hold and the settlement.';
ALTER TABLE usage_event ADD COLUMN steps jsonb;
COMMENT ON COLUMN usage_event.steps IS
    'As those of reservations, of events that were recorded one by one; large batches have theirs in usage_batch.';
-- Events of a consume are known by the reservation itself. Those recorded before it have a source, and are found by this.
CREATE INDEX usage_event_recorded_under ON usage_event (tenant_id, reservation_id)
    WHERE reservation_id IS NOT NULL AND source IS NOT NULL;

CREATE TABLE usage_batch (
    tenant_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    id uuid NOT NULL,
    steps jsonb NOT NULL,
    PRIMARY KEY (tenant_id, recorded_at, id)
);
COMMENT ON TABLE usage_batch IS 'What large batches of usage counted in budgets, by the moment at which their events were recorded.';

ALTER TABLE refusal ADD COLUMN asked jsonb;
COMMENT ON COLUMN refusal.asked IS 'What a refused reserve asked for.';
"""


async def forwards() -> MigrationManager:
    """Add the columns and the table."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(RECEIPTS)

    manager.add_raw(create)
    return manager
