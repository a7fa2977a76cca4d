"""Roles in the database: what is in the ledger cannot be altered or deleted, whoever errs.

The owner migrates. The ledger's role belongs to the connections that write: it adds entries and usage, and moves balances,
holds and counters. The application's role reads the rows of one tenant (`infra.row_security`), the overseer's those of all.
None of them may update or delete ledger entries, usage, idempotency keys or the audit log. Each connection takes its role
at its start, and keeps it when it goes back to its pool.
"""

from typing import Final

import asyncpg

from infra.transaction import Connection

APPLICATION: Final = "purser_application"
LEDGER: Final = "purser_ledger"
OVERSEER: Final = "purser_overseer"

_CREATE: Final = f"""
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{APPLICATION}', '{LEDGER}', '{OVERSEER}'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database of the same server was faster
            END;
        END IF;
        -- Since 16 who makes a role may grant it, and is no member that can take it yet.
        IF NOT pg_has_role(wanted, 'USAGE')
            OR current_setting('server_version_num')::int >= 160000 AND NOT pg_has_role(wanted, 'SET')
        THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END $$"""
_GRANT: Final = f"""
GRANT USAGE ON SCHEMA public TO {APPLICATION}, {LEDGER}, {OVERSEER};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {LEDGER}, {OVERSEER};
GRANT INSERT, UPDATE ON api_key, identity_provider TO {LEDGER};
GRANT INSERT, UPDATE, DELETE ON provider_key TO {LEDGER};
GRANT INSERT, UPDATE ON payment_customer, top_up, auto_recharge, allocation TO {LEDGER};
GRANT INSERT ON ledger_entry, usage_event, usage_amendment, usage_key, usage_batch, idempotency_key, refusal, publication,
    alert, audit_event
    TO {LEDGER};
GRANT INSERT, DELETE ON usage_mark, usage_hour, usage_day, usage_day_alone TO {LEDGER};
GRANT INSERT, UPDATE ON channel, delivery TO {LEDGER};
GRANT DELETE ON refusal TO {LEDGER};
GRANT INSERT, UPDATE, DELETE ON job_run TO {LEDGER};
GRANT INSERT, UPDATE ON expense TO {LEDGER};
GRANT INSERT ON expense_version, customers_won TO {LEDGER};
GRANT INSERT, UPDATE ON tenant, wallet, lot, reservation, budget_counter, scope, outbox TO {LEDGER};
GRANT INSERT, UPDATE, DELETE ON task, budget TO {LEDGER}"""


async def make(connection: Connection) -> bool:
    """Make the roles; False where the owner may not. It works without them."""
    try:
        await connection.execute(_CREATE)
    except asyncpg.InsufficientPrivilegeError:
        return False
    return True


async def grant(connection: Connection) -> None:
    """Grant them what they may do, but for what the application's role may read."""
    await connection.execute(_GRANT)


async def usable(url: str) -> bool:
    """Whether connections can take the roles; else everything runs as the owner."""
    connection = await asyncpg.connect(url)  # nobody else borrows it: here a role may be set
    try:
        for role in (APPLICATION, LEDGER, OVERSEER):
            await connection.execute(f"SET ROLE {role}")
            if not await connection.fetchval("SELECT has_table_privilege('ledger_entry', 'SELECT')"):
                return False
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError):
        return False
    finally:
        await connection.close()
    return True
