"""Signing in to the console at a tenant's identity provider."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T17:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "sign-in at identity providers"

SIGN_IN = """
ALTER TABLE identity_provider
    ADD COLUMN client_id text,
    ADD COLUMN sign_in_scope text;
COMMENT ON COLUMN identity_provider.client_id IS 'A public client of the provider; null: nobody signs in there.';
COMMENT ON COLUMN identity_provider.sign_in_scope IS 'What is asked for besides openid.';
"""


async def forwards() -> MigrationManager:
    """Add the columns."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(SIGN_IN)

    manager.add_raw(create)
    return manager
