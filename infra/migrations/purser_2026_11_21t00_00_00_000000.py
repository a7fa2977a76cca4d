"""The first schema: tenants, wallets and their ledger, reservations, budgets, usage, outbox.

Amounts are bigint nano-units. Keys start with the tenant, so that the same schema can be sharded by it.
Balances and counters are narrow rows with room on their page and no index on a changing column, so that
an update stays on the page. Constraints repeat the domain's invariants per row; the audit proves what
no row can see.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-21T00:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "first schema"

TENANTS = """
CREATE TABLE tenant (
    id uuid PRIMARY KEY,
    slug text NOT NULL CONSTRAINT tenant_slug_unique UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    status text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'SUSPENDED', 'CLOSED')),
    time_zone text NOT NULL DEFAULT 'UTC',
    cycle_anchor_day smallint NOT NULL DEFAULT 1 CHECK (cycle_anchor_day BETWEEN 1 AND 31),
    region text NOT NULL,
    plan text NOT NULL,
    unlimited_plan boolean NOT NULL DEFAULT false,
    own_key_providers text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE api_key (
    id uuid PRIMARY KEY,
    tenant_id uuid REFERENCES tenant (id),
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('OPERATOR', 'ADMIN', 'MEMBER', 'SERVICE')),
    hash bytea NOT NULL CONSTRAINT api_key_hash_unique UNIQUE CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    CHECK ((role = 'OPERATOR') = (tenant_id IS NULL))
);
"""

WALLETS = """
CREATE TABLE wallet (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('PLATFORM', 'METERED')),
    unit text NOT NULL CHECK (unit IN ('CREDIT', 'USD')),
    bucket_type text NOT NULL CHECK (bucket_type IN ('CONSUMABLE', 'CAPACITY')),
    granted bigint NOT NULL DEFAULT 0,
    available bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    consumed bigint NOT NULL DEFAULT 0 CHECK (consumed >= 0),
    expired bigint NOT NULL DEFAULT 0 CHECK (expired >= 0),
    sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    head_hash bytea NOT NULL CHECK (length(head_hash) = 32),
    low_balance bigint,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT wallet_key_unique UNIQUE (tenant_id, key),
    CONSTRAINT wallet_compartments CHECK (granted = available + reserved + consumed + expired)
) WITH (fillfactor = 45);

CREATE TABLE lot (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    source text NOT NULL CHECK (source IN ('PLAN', 'TOP_UP', 'ADJUSTMENT')),
    granted bigint NOT NULL,
    available bigint NOT NULL,
    reserved bigint NOT NULL CHECK (reserved >= 0),
    consumed bigint NOT NULL CHECK (consumed >= 0),
    expired bigint NOT NULL CHECK (expired >= 0),
    is_open boolean NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT lot_compartments CHECK (granted = available + reserved + consumed + expired),
    CONSTRAINT lot_open CHECK (is_open = (available <> 0 OR reserved <> 0)),
    CONSTRAINT lot_below_zero CHECK (available >= 0 OR id = wallet_id)
) WITH (fillfactor = 45);
CREATE INDEX lot_open_of_wallet ON lot (tenant_id, wallet_id) WHERE is_open;
CREATE INDEX lot_of_wallet ON lot (tenant_id, wallet_id, granted_at);

CREATE TABLE ledger_entry (
    tenant_id uuid NOT NULL,
    wallet_id uuid NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    type text NOT NULL
        CHECK (type IN ('ALLOCATED', 'TOPPED_UP', 'ADJUSTED', 'RESERVED', 'RELEASED', 'CONSUMED', 'EXPIRED')),
    amount bigint NOT NULL CHECK (amount > 0 OR type = 'ADJUSTED' AND amount < 0),
    granted_after bigint NOT NULL,
    available_after bigint NOT NULL,
    reserved_after bigint NOT NULL CHECK (reserved_after >= 0),
    consumed_after bigint NOT NULL CHECK (consumed_after >= 0),
    expired_after bigint NOT NULL CHECK (expired_after >= 0),
    draws jsonb NOT NULL,
    repayments jsonb,
    reservation_id uuid,
    reference text NOT NULL,
    note text NOT NULL,
    actor text NOT NULL,
    idempotency_key text NOT NULL,
    created_at timestamptz NOT NULL,
    previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_id, wallet_id, sequence),
    CONSTRAINT ledger_entry_compartments
        CHECK (granted_after = available_after + reserved_after + consumed_after + expired_after)
);
"""

RESERVATIONS = """
CREATE TABLE reservation (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('HELD', 'CONSUMED', 'RELEASED', 'EXPIRED')),
    feature text NOT NULL,
    task_feature text,
    task_key text,
    route text NOT NULL CHECK (route IN ('MANAGED', 'BYOK', 'FREE')),
    quantity bigint NOT NULL CHECK (quantity > 0),
    rate_card integer NOT NULL,
    provider text,
    model text,
    operation text,
    attribution jsonb NOT NULL,
    month text NOT NULL,
    holds jsonb NOT NULL,
    held_usd bigint NOT NULL CHECK (held_usd >= 0),
    remaining_usd bigint NOT NULL CHECK (remaining_usd BETWEEN 0 AND held_usd),
    max_cost_usd bigint,
    recorded jsonb,
    charges jsonb,
    cost_usd bigint,
    settled_events jsonb,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT reservation_ended CHECK ((state = 'HELD') = (ended_at IS NULL)),
    CONSTRAINT reservation_nothing_held CHECK (state = 'HELD' OR remaining_usd = 0)
) WITH (fillfactor = 60);
CREATE INDEX reservation_due ON reservation (tenant_id, expires_at) WHERE state = 'HELD';

CREATE TABLE task (
    tenant_id uuid NOT NULL,
    feature text NOT NULL,
    key text NOT NULL,
    reservation_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, feature, key)
);

CREATE TABLE idempotency_key (
    tenant_id uuid NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    result_id uuid,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, operation, key)
);
"""

BUDGETS = """
CREATE TABLE budget (
    tenant_id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('TENANT', 'AGENT', 'CAMPAIGN', 'TAG')),
    scope_id text NOT NULL,
    period text NOT NULL CHECK (period IN ('MONTH', 'TOTAL', 'TASK')),
    cap bigint NOT NULL CHECK (cap >= 0),
    thresholds integer[] NOT NULL,
    PRIMARY KEY (tenant_id, scope, scope_id, period)
);
COMMENT ON TABLE budget IS 'The nil tenant holds the operator''s default caps per agent role.';

CREATE TABLE budget_counter (
    tenant_id uuid NOT NULL,
    scope text NOT NULL CHECK (scope IN ('TENANT', 'AGENT', 'CAMPAIGN', 'TAG')),
    scope_id text NOT NULL,
    period_key text NOT NULL,
    spent bigint NOT NULL CHECK (spent >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    PRIMARY KEY (tenant_id, scope, scope_id, period_key)
) WITH (fillfactor = 45);

CREATE TABLE scope (
    tenant_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('TENANT', 'AGENT', 'CAMPAIGN', 'CLIENT', 'PROJECT', 'ACCOUNT')),
    id text NOT NULL,
    name text,
    client text,
    status text NOT NULL CHECK (status IN ('ACTIVE', 'PAUSED', 'INACTIVE')),
    pause_reason text,
    pause_period_key text,
    pause_cap bigint,
    PRIMARY KEY (tenant_id, kind, id),
    CONSTRAINT scope_pause CHECK ((status = 'ACTIVE') = (pause_reason IS NULL)),
    CONSTRAINT scope_budget_pause CHECK ((pause_period_key IS NULL) = (pause_cap IS NULL))
);
"""

USAGE = """
CREATE TABLE usage_key (
    tenant_id uuid NOT NULL,
    source text NOT NULL,
    event_id text NOT NULL,
    usage_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, source, event_id)
);

CREATE TABLE usage_event (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('LLM', 'TOOL', 'API', 'DATA_QUERY')),
    provider text,
    model text,
    operation text,
    feature text,
    reservation_id uuid,
    project text,
    research text,
    campaign text,
    account text,
    client text,
    agent_role text,
    session text,
    task_run text,
    tags jsonb,
    route text NOT NULL CHECK (route IN ('MANAGED', 'BYOK', 'FREE')),
    calls bigint NOT NULL CHECK (calls >= 0),
    input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    cache_read_tokens bigint NOT NULL CHECK (cache_read_tokens >= 0),
    cache_write_tokens bigint NOT NULL CHECK (cache_write_tokens >= 0),
    reasoning_tokens bigint NOT NULL CHECK (reasoning_tokens >= 0),
    units bigint CHECK (units >= 0),
    results bigint CHECK (results >= 0),
    cost bigint CHECK (cost >= 0),
    price_effective_from timestamptz,
    charges jsonb,
    duration_ms bigint,
    success boolean NOT NULL,
    prompt_hash text,
    response_hash text,
    trace_id text,
    source text,
    event_id text,
    PRIMARY KEY (tenant_id, occurred_at, id)
) PARTITION BY RANGE (occurred_at);
CREATE TABLE usage_event_default PARTITION OF usage_event DEFAULT;
DO $$
DECLARE month date;
BEGIN
    FOR month IN SELECT generate_series('2026-11-01'::date, '2027-12-01'::date, '1 month') LOOP
        EXECUTE format(
            'CREATE TABLE usage_event_%s PARTITION OF usage_event FOR VALUES FROM (%L) TO (%L)',
            to_char(month, 'YYYY_MM'),
            month::text || 'T00:00Z', (month + interval '1 month')::date::text || 'T00:00Z');
    END LOOP;
END $$;

CREATE TABLE outbox (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_unpublished ON outbox (created_at) WHERE published_at IS NULL;

CREATE TABLE refusal (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    operation text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    figures jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
"""


async def forwards() -> MigrationManager:
    """Create the schema."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        for statements in (TENANTS, WALLETS, RESERVATIONS, BUDGETS, USAGE):
            await transaction.connection.execute(statements)

    manager.add_raw(create)
    return manager
