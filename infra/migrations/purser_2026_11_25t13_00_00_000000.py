"""Identity: keys that are recognised, replaced and known to be used, and tenants' own identity providers."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T13:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "identity"

API_KEYS = """
ALTER TABLE api_key
    ADD COLUMN hint text,
    ADD COLUMN created_by text,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0),
    ADD COLUMN replaced_by uuid;
COMMENT ON COLUMN api_key.hint IS 'The beginning of the key, by which its owner knows it; null for the oldest keys.';
COMMENT ON COLUMN api_key.last_used_at IS 'Noted at most once a minute, after the request.';
COMMENT ON COLUMN api_key.requests_per_minute IS 'Null: the limit of the installation.';
COMMENT ON COLUMN api_key.replaced_by IS 'The key that took its place; both work until it expires, on one seat.';
CREATE INDEX api_key_of_tenant ON api_key (tenant_id, id);
"""

# As api_key's hash, its unique index is for all tenants: a token must lead to one. On a sharded PostgreSQL both are
# reference tables.
IDENTITY_PROVIDERS = """
CREATE TABLE identity_provider (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    issuer text NOT NULL,
    audience text NOT NULL,
    jwks_url text NOT NULL,
    role_claim text NOT NULL,
    admin_values text[] NOT NULL,
    service_values text[] NOT NULL,
    member_values text[] NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX identity_provider_unique ON identity_provider (issuer, audience) WHERE removed_at IS NULL;
COMMENT ON TABLE identity_provider IS 'Whose tokens are taken for people of a tenant, and what their roles stand for.';
"""


async def forwards() -> MigrationManager:
    """Add to keys, create the table of identity providers."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        for statements in (API_KEYS, IDENTITY_PROVIDERS):
            await transaction.connection.execute(statements)

    manager.add_raw(create)
    return manager
