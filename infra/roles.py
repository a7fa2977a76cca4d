"""Roles in the database: what is in the ledger cannot be altered or deleted, whoever errs.

The owner migrates. The ledger's role belongs to the group commit's connections: it adds entries and usage, and moves
balances, holds and counters. The application's role reads. Neither may update or delete ledger entries, usage or
idempotency keys. Each connection takes its role at its start, and keeps it when it goes back to its pool.
"""

from typing import Final

import asyncpg

from infra.transaction import Connection

APPLICATION: Final = "purser_application"
LEDGER: Final = "purser_ledger"

_CREATE: Final = f"""
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{APPLICATION}', '{LEDGER}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of the same server was faster
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') OR current_setting('server_version_num')::int >= 160000 THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END $$"""
_GRANT: Final = f"""
GRANT USAGE ON SCHEMA public TO {APPLICATION}, {LEDGER};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {APPLICATION}, {LEDGER};
GRANT INSERT, UPDATE ON api_key TO {APPLICATION};
GRANT INSERT, UPDATE, DELETE ON provider_key TO {LEDGER};
GRANT INSERT, UPDATE ON payment_customer, top_up, auto_recharge, allocation TO {LEDGER};
GRANT INSERT ON ledger_entry, usage_event, usage_amendment, usage_key, idempotency_key, refusal, publication, alert
    TO {LEDGER};
GRANT INSERT, DELETE ON usage_mark, usage_hour, usage_day, usage_day_alone TO {LEDGER};
GRANT INSERT, UPDATE ON channel, delivery TO {LEDGER};
GRANT INSERT, UPDATE, DELETE ON job_run TO {LEDGER};
GRANT INSERT, UPDATE ON expense TO {LEDGER};
GRANT INSERT ON expense_version, customers_won TO {LEDGER};
GRANT INSERT, UPDATE ON tenant, wallet, lot, reservation, budget_counter, scope, outbox TO {LEDGER};
GRANT INSERT, UPDATE, DELETE ON task, budget TO {LEDGER}"""


async def establish(connection: Connection) -> None:
    """Make the roles and grant them what they may do. An owner that may not make roles works without them."""
    try:
        await connection.execute(_CREATE)
        await connection.execute(_GRANT)
    except asyncpg.InsufficientPrivilegeError:
        return


async def usable(url: str) -> bool:
    """Whether connections can take the roles; else everything runs as the owner."""
    for role in (APPLICATION, LEDGER):
        try:
            connection = await asyncpg.connect(url, server_settings={"role": role})
        except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
            return False
        try:
            if not await connection.fetchval("SELECT has_table_privilege('ledger_entry', 'SELECT')"):
                return False
        finally:
            await connection.close()
    return True
