"""Who decided: the audit log. (Row-level security needs the roles, and is established with them: `infra.row_security`.)"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T14:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "audit log"

AUDIT_LOG = """
CREATE TABLE audit_event (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    actor text NOT NULL,
    role text,
    operation text NOT NULL,
    subject text NOT NULL,
    details json NOT NULL,
    idempotency_key text,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_event_newest ON audit_event (id);
COMMENT ON COLUMN audit_event.details IS 'json, not jsonb: for people, in the order in which they were told.';
COMMENT ON TABLE audit_event IS
    'What people decided, in the commit of the decision: rows are only ever added. The nil tenant: what concerns all.';
"""


async def forwards() -> MigrationManager:
    """Create the table."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(AUDIT_LOG)

    manager.add_raw(create)
    return manager
