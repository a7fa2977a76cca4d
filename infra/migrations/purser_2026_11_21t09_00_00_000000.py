"""Money in: cycles and their allocations, top-ups, auto-recharge, provider keys, publications to the catalog.

What was allocated before there were cycles is carried over, so that no running cycle is granted twice.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-21T09:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "money in"

CYCLES = """
ALTER TABLE tenant
    ADD COLUMN cycle_start timestamptz,
    ADD COLUMN cycle_end timestamptz,
    ADD COLUMN next_plan text,
    ADD COLUMN next_anchor_day smallint CHECK (next_anchor_day BETWEEN 1 AND 31),
    ADD COLUMN next_time_zone text,
    ADD CONSTRAINT tenant_cycle CHECK ((cycle_start IS NULL) = (cycle_end IS NULL) AND cycle_start < cycle_end);
CREATE INDEX tenant_cycle_end ON tenant (cycle_end);

CREATE TABLE allocation (
    tenant_id uuid NOT NULL,
    wallet_key text NOT NULL,
    cycle_start timestamptz NOT NULL,
    amount bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (tenant_id, wallet_key, cycle_start)
);
COMMENT ON TABLE allocation IS 'What the plan gave each wallet in each cycle: once per tenant, wallet and cycle start.';
"""

CARRIED_OVER = """
WITH granted AS (
    SELECT tenant_id, max(created_at) AS last FROM ledger_entry
    WHERE type = 'ALLOCATED' AND reference LIKE 'plan:%' GROUP BY 1
), cycle AS (
    SELECT id, date_trunc('month', last AT TIME ZONE time_zone) AT TIME ZONE time_zone AS cycle_start,
        (date_trunc('month', last AT TIME ZONE time_zone) + interval '1 month') AT TIME ZONE time_zone AS cycle_end
    FROM granted JOIN tenant ON tenant.id = granted.tenant_id
)
UPDATE tenant SET cycle_start = cycle.cycle_start, cycle_end = cycle.cycle_end FROM cycle WHERE cycle.id = tenant.id;

INSERT INTO allocation (tenant_id, wallet_key, cycle_start, amount)
SELECT e.tenant_id, w.key, t.cycle_start, sum(e.amount)
FROM ledger_entry e JOIN wallet w ON w.tenant_id = e.tenant_id AND w.id = e.wallet_id JOIN tenant t ON t.id = e.tenant_id
WHERE e.type = 'ALLOCATED' AND e.reference LIKE 'plan:%'
    AND (w.bucket_type = 'CAPACITY' OR e.created_at >= t.cycle_start)
GROUP BY 1, 2, 3;
"""

PAYMENTS = """
CREATE TABLE top_up (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    wallet_key text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    price bigint NOT NULL CHECK (price > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    bundle text,
    origin text NOT NULL CHECK (origin IN ('CHECKOUT', 'AUTO_RECHARGE')),
    actor text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('PENDING', 'PAID', 'CREDITED', 'FAILED', 'EXPIRED', 'PARTIALLY_REFUNDED', 'REFUNDED', 'DISPUTED')),
    checkout_url text,
    session_id text,
    payment_id text,
    facts jsonb NOT NULL,
    credited bigint NOT NULL CHECK (credited >= 0),
    taken_back bigint NOT NULL CHECK (taken_back BETWEEN 0 AND credited),
    created_at timestamptz NOT NULL,
    credited_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT top_up_credited CHECK ((credited_at IS NULL) = (credited = 0))
) WITH (fillfactor = 70);
CREATE INDEX top_up_payment ON top_up (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX top_up_pending ON top_up (created_at) WHERE state = 'PENDING';

CREATE TABLE payment_customer (
    tenant_id uuid PRIMARY KEY,
    customer_id text NOT NULL,
    card_id text,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE payment_customer IS 'Whom the payment rail knows a tenant as, and the card that it may charge again.';

CREATE TABLE auto_recharge (
    tenant_id uuid NOT NULL,
    wallet_key text NOT NULL,
    enabled boolean NOT NULL,
    threshold bigint NOT NULL CHECK (threshold >= 0),
    amount bigint NOT NULL CHECK (amount >= 0),
    CONSTRAINT auto_recharge_amount CHECK (amount > 0 OR NOT enabled),
    monthly_limit bigint CHECK (monthly_limit > 0),
    in_flight uuid,
    declines integer NOT NULL CHECK (declines >= 0),
    retry_at timestamptz,
    disabled_reason text,
    month text NOT NULL,
    month_amount bigint NOT NULL CHECK (month_amount >= 0),
    PRIMARY KEY (tenant_id, wallet_key)
) WITH (fillfactor = 70);
"""

KEYS_AND_CATALOG = """
CREATE TABLE provider_key (
    tenant_id uuid NOT NULL,
    provider text NOT NULL,
    sealed bytea NOT NULL,
    hint text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, provider)
);
COMMENT ON TABLE provider_key IS 'Tenants'' own keys at providers, sealed: neither the database nor its backups can read them.';

CREATE TABLE publication (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('RATE_CARD', 'PRICE', 'PROVIDER', 'PLAN', 'BUNDLE')),
    tenant_id uuid,
    body jsonb NOT NULL,
    actor text NOT NULL,
    published_at timestamptz NOT NULL
);
COMMENT ON TABLE publication IS 'What was added to the catalog after the data files: rows are never changed, a correction is another row.';
"""


async def forwards() -> MigrationManager:
    """Create the tables and carry over what was allocated."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        for statements in (CYCLES, CARRIED_OVER, PAYMENTS, KEYS_AND_CATALOG):
            await transaction.connection.execute(statements)

    manager.add_raw(create)
    return manager
