"""Row-level security: the second wall between tenants, behind the WHERE of every statement.

The application's role sees the rows of the tenant that its connection was borrowed for (`infra.tenant_readers`), and none
where it was borrowed for nobody. The overseer and the ledger see all. Every table with a `tenant_id` is walled, whoever
adds it; of what has none, the application's role reads nothing. The owner is not bound, so one DATABASE_URL whose role may
not make roles works as before, behind the first wall alone.

PostgreSQL allows no COPY into a table whose policies bind the writer. The tables that the group commit fills by COPY belong
to the ledger's role therefore, without the right to update or delete what it was not granted.
"""

from typing import Final

from domain.ids import NIL
from infra.roles import APPLICATION, LEDGER, OVERSEER
from infra.transaction import Connection

SETTING: Final = "purser.tenant"
# Null where nothing is set, and so equal to nobody; reckoned once for each scan.
TENANT: Final = f"nullif(current_setting('{SETTING}', true), '')::uuid"
FILLED_BY_COPY: Final = (
    "ledger_entry",
    "reservation",
    "idempotency_key",
    "usage_key",
    "usage_event",
    "usage_amendment",
    "usage_mark",
)

# What the application's role sees, where that is not the rows whose tenant_id is its tenant's.
_VISIBLE: Final = {
    "tenant": f"id = {TENANT}",
    # The operator's default caps belong to nobody and hold for all.
    "budget": f"tenant_id IN ({TENANT}, '{NIL}')",
    # Each process keeps the whole catalog in memory, read in the order of publication with whatever connection is at hand,
    # and hands out what is a tenant's own by `Catalog.for_tenant`.
    "publication": "true",
}
# What the application's role was once granted and no wall stands before.
_OPEN: Final = f"""
SELECT DISTINCT c.oid::regclass::text FROM pg_class c CROSS JOIN aclexplode(c.relacl) granted
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relrowsecurity
    AND granted.grantee = '{APPLICATION}'::regrole"""
_UNWALLED: Final = """
SELECT c.oid::regclass::text, c.relispartition FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND NOT c.relrowsecurity
    AND (c.relname = 'tenant' OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    ))
ORDER BY 1"""
_OWNED: Final = "SELECT relname FROM pg_class WHERE relowner = $1::regrole AND relname = ANY($2)"


async def establish(connection: Connection) -> None:
    """Wall what is not walled yet, in the caller's transaction: where rows are hidden, the policies that show them are
    there as well. The roles must be there."""
    await _give_to_ledger(connection)
    for (table,) in await connection.fetch(_OPEN):
        await connection.execute(f"REVOKE ALL ON {table} FROM {APPLICATION}")
    for table, is_partition in await connection.fetch(_UNWALLED):
        await connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        if is_partition:
            continue  # read through its table, whose policies count then: by itself, it shows nothing
        visible = _VISIBLE.get(table, f"tenant_id = {TENANT}")
        await connection.execute(f"""
GRANT SELECT ON {table} TO {APPLICATION};
CREATE POLICY one_tenant ON {table} FOR SELECT TO {APPLICATION} USING ({visible});
CREATE POLICY every_tenant ON {table} TO {LEDGER}, {OVERSEER} USING (true) WITH CHECK (true)""")


async def _give_to_ledger(connection: Connection) -> None:
    owned = {name for (name,) in await connection.fetch(_OWNED, LEDGER, FILLED_BY_COPY)}
    for table in FILLED_BY_COPY:
        if table not in owned:
            await connection.execute(f"""
GRANT CREATE ON SCHEMA public TO {LEDGER};
ALTER TABLE {table} OWNER TO {LEDGER};
REVOKE CREATE ON SCHEMA public FROM {LEDGER};
REVOKE ALL ON {table} FROM {LEDGER};
GRANT ALL ON {table} TO CURRENT_USER""")
