"""Where it went: usage rolled up by hour and day, what is charged or corrected beside events, alerts and their channels,
runs of jobs.

Every row of usage marks its quarter of an hour: a read takes rollups where nothing is marked and raw rows where something
is (docs/decisions/0009). What was there before is marked as a whole, at the epoch.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-21T14:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "where it went"

USAGE = """
ALTER TABLE usage_event
    ADD COLUMN credits_charged bigint NOT NULL DEFAULT 0 CHECK (credits_charged >= 0),
    ADD COLUMN usd_charged bigint NOT NULL DEFAULT 0 CHECK (usd_charged >= 0),
    ADD COLUMN counted bigint CHECK (counted >= 0),
    ADD COLUMN under_reservation boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN usage_event.counted IS 'What budgets counted for an event whose cost was unknown; null: its cost.';
COMMENT ON COLUMN usage_event.under_reservation IS
    'Recorded while its reservation was open, or by its consume: that one''s prices, month and charges are the event''s.';
CREATE INDEX usage_event_session ON usage_event (tenant_id, session, occurred_at) WHERE session IS NOT NULL;
CREATE INDEX usage_event_unpriced ON usage_event (tenant_id, occurred_at) WHERE cost IS NULL;

CREATE TABLE usage_amendment (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid,
    reservation_id uuid,
    kind text CHECK (kind IN ('LLM', 'TOOL', 'API', 'DATA_QUERY')),
    provider text,
    model text,
    operation text,
    feature text,
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
    cost bigint NOT NULL,
    counted bigint NOT NULL,
    unpriced integer NOT NULL CHECK (unpriced BETWEEN -1 AND 1),
    price_effective_from timestamptz,
    charges jsonb,
    credits_charged bigint NOT NULL,
    usd_charged bigint NOT NULL,
    PRIMARY KEY (tenant_id, occurred_at, id)
);
COMMENT ON TABLE usage_amendment IS
    'Charges that no event carries (a settlement without calls) and corrections of events (re-rating): added up with usage_event.';
CREATE INDEX usage_amendment_event ON usage_amendment (tenant_id, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX usage_amendment_session ON usage_amendment (tenant_id, session) WHERE session IS NOT NULL;

-- Rows come and go: what is gone must not be passed over by every read.
CREATE TABLE usage_mark (
    tenant_id uuid NOT NULL,
    quarter timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX usage_mark_quarter ON usage_mark (tenant_id, quarter);
COMMENT ON TABLE usage_mark IS 'Quarters of an hour whose usage is not (or not wholly) in the rollups; the epoch (1970): none of it is.';
"""

MEASURES = """
    events bigint NOT NULL,
    calls numeric NOT NULL,
    failures bigint NOT NULL,
    unpriced bigint NOT NULL,
    input_tokens numeric NOT NULL,
    output_tokens numeric NOT NULL,
    cache_read_tokens numeric NOT NULL,
    cache_write_tokens numeric NOT NULL,
    reasoning_tokens numeric NOT NULL,
    duration_ms numeric NOT NULL,
    cost numeric NOT NULL,
    credits_charged numeric NOT NULL,
    usd_charged numeric NOT NULL
"""

ROLLUPS = f"""
CREATE TABLE usage_hour (
    tenant_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    kind text, route text, provider text, model text, operation text, feature text,
    agent_role text, campaign text, client text, project text,
    {MEASURES}
);
CREATE INDEX usage_hour_of_tenant ON usage_hour (tenant_id, hour);

CREATE TABLE usage_day (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    kind text, route text, provider text, model text, operation text, feature text,
    agent_role text, campaign text, client text, project text,
    {MEASURES}
);
CREATE INDEX usage_day_of_tenant ON usage_day (tenant_id, day);

CREATE TABLE usage_day_alone (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('ACCOUNT', 'RESEARCH', 'TAG')),
    value text,
    kind text, route text, provider text, model text, operation text, feature text,
    {MEASURES}
);
CREATE INDEX usage_day_alone_of_tenant ON usage_day_alone (tenant_id, dimension, day);
COMMENT ON TABLE usage_day_alone IS 'Dimensions of so many values that they are rolled up on their own; a tag is key=value, null is none.';
"""

CARRIED_OVER = """
UPDATE usage_event u SET under_reservation = true FROM reservation r
WHERE r.tenant_id = u.tenant_id AND r.id = u.reservation_id AND (r.ended_at IS NULL OR u.recorded_at <= r.ended_at);

UPDATE usage_event u SET
    credits_charged = (SELECT coalesce(sum((c->>1)::bigint) FILTER (WHERE c->>0 <> 'metered'), 0)
                       FROM jsonb_array_elements(u.charges) c),
    usd_charged = (SELECT coalesce(sum((c->>1)::bigint) FILTER (WHERE c->>0 = 'metered'), 0)
                   FROM jsonb_array_elements(u.charges) c)
WHERE charges IS NOT NULL;

WITH charged AS (
    SELECT r.tenant_id, r.id, c->>0 AS wallet_key, (c->>1)::bigint AS amount
    FROM reservation r, jsonb_array_elements(r.charges) c WHERE r.state = 'CONSUMED'
), carried AS (
    SELECT u.tenant_id, u.reservation_id AS id, c->>0 AS wallet_key, sum((c->>1)::bigint) AS amount
    FROM usage_event u JOIN reservation r ON r.tenant_id = u.tenant_id AND r.id = u.reservation_id
        AND r.settled_events @> to_jsonb(replace(u.id::text, '-', ''))
    CROSS JOIN jsonb_array_elements(u.charges) c GROUP BY 1, 2, 3
), rest AS (
    SELECT tenant_id, id, wallet_key, charged.amount - coalesce(carried.amount, 0) AS amount
    FROM charged LEFT JOIN carried USING (tenant_id, id, wallet_key)
)
INSERT INTO usage_amendment (tenant_id, id, occurred_at, recorded_at, reservation_id, provider, model, operation,
    feature, project, research, campaign, account, client, agent_role, session, task_run, tags, route,
    cost, counted, unpriced, charges, credits_charged, usd_charged)
SELECT r.tenant_id, r.id, r.ended_at, r.ended_at, r.id, r.provider, r.model, r.operation, r.feature,
    r.attribution->>'project', r.attribution->>'research', r.attribution->>'campaign', r.attribution->>'account',
    r.attribution->>'client', r.attribution->>'agent_role', r.attribution->>'session', r.attribution->>'task_run',
    (SELECT jsonb_object_agg(t->>0, t->>1) FROM jsonb_array_elements(r.attribution->'tags') t), r.route, 0, 0, 0, jsonb_agg(jsonb_build_array(rest.wallet_key, rest.amount, 0)),
    coalesce(sum(rest.amount) FILTER (WHERE rest.wallet_key <> 'metered'), 0),
    coalesce(sum(rest.amount) FILTER (WHERE rest.wallet_key = 'metered'), 0)
FROM rest JOIN reservation r USING (tenant_id, id) WHERE rest.amount > 0
GROUP BY r.tenant_id, r.id;

-- What budgets counted for events without a price was not kept with them: the first such event of a tenant stands for all.
WITH spent AS (
    SELECT tenant_id, sum(spent) AS amount FROM budget_counter WHERE scope = 'TENANT' GROUP BY 1
), known AS (
    SELECT tenant_id, sum(cost) AS amount FROM usage_event GROUP BY 1
), first AS (
    SELECT DISTINCT ON (tenant_id) tenant_id, occurred_at, id FROM usage_event WHERE cost IS NULL ORDER BY 1, 2, 3
)
UPDATE usage_event u SET counted = spent.amount - coalesce(known.amount, 0)
FROM first JOIN spent USING (tenant_id) LEFT JOIN known USING (tenant_id)
WHERE u.tenant_id = first.tenant_id AND u.occurred_at = first.occurred_at AND u.id = first.id
    AND spent.amount > coalesce(known.amount, 0);

INSERT INTO usage_mark (tenant_id, quarter) SELECT id, 'epoch' FROM tenant;
"""

ALERTS = """
CREATE TABLE alert (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    scope text CHECK (scope IN ('TENANT', 'AGENT', 'CAMPAIGN', 'TASK', 'TAG')),
    scope_id text NOT NULL,
    threshold integer NOT NULL,
    day date NOT NULL,
    action text,
    message text NOT NULL,
    raised_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT alert_once UNIQUE NULLS NOT DISTINCT (tenant_id, kind, scope, scope_id, threshold, day)
);
COMMENT ON COLUMN alert.threshold IS 'Hundredths of a percent; 0 where the kind has none.';
COMMENT ON COLUMN alert.scope_id IS 'What it is about: a scope''s id, a wallet''s key, a top-up, a model; empty for the tenant.';

CREATE TABLE channel (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('SLACK', 'EMAIL', 'WEBHOOK')),
    name text NOT NULL,
    event_types text[] NOT NULL,
    sealed bytea NOT NULL,
    hint text NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE channel IS 'Where a tenant is told of alerts and events; addresses and signing secrets are sealed.';
CREATE INDEX channel_in_use ON channel (tenant_id) WHERE removed_at IS NULL;

CREATE TABLE delivery (
    tenant_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    event_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
    attempts integer NOT NULL CHECK (attempts >= 0),
    next_attempt_at timestamptz,
    ended_at timestamptz,
    last_error text,
    PRIMARY KEY (tenant_id, channel_id, event_id),
    CONSTRAINT delivery_pending CHECK ((state = 'PENDING') = (next_attempt_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX delivery_due ON delivery (next_attempt_at) WHERE state = 'PENDING';

CREATE INDEX scope_paused_by_budget ON scope (tenant_id, kind, id) WHERE pause_period_key IS NOT NULL;
CREATE INDEX lot_due ON lot (expires_at) WHERE is_open AND expires_at IS NOT NULL;
DROP INDEX outbox_unpublished;
CREATE INDEX outbox_unpublished ON outbox (created_at, id) WHERE published_at IS NULL;

-- What happened before there were channels raises no alerts: it counts as routed, without a row being rewritten.
ALTER TABLE outbox ADD COLUMN routed_at timestamptz DEFAULT now();
ALTER TABLE outbox ALTER COLUMN routed_at DROP DEFAULT;
COMMENT ON COLUMN outbox.published_at IS 'When the bus (EventBridge) had taken it.';
COMMENT ON COLUMN outbox.routed_at IS 'When its deliveries to the tenant''s channels had been made.';
CREATE INDEX outbox_unrouted ON outbox (created_at, id) WHERE routed_at IS NULL;

CREATE TABLE job_run (
    id uuid PRIMARY KEY,
    job text NOT NULL,
    run_for timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text NOT NULL CHECK (outcome IN ('RUNNING', 'DONE', 'UNFINISHED', 'FAILED')),
    done bigint NOT NULL,
    message text,
    CONSTRAINT job_run_ended CHECK ((outcome = 'RUNNING') = (ended_at IS NULL))
);
CREATE INDEX job_run_of_job ON job_run (job, outcome, started_at);
COMMENT ON TABLE job_run IS 'Runs of jobs; UNFINISHED: time ran out and the next run goes on.';
"""


async def forwards() -> MigrationManager:
    """Create the tables; what was charged before is attributed, and all usage marked for its first rollup."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        for statements in (USAGE, ROLLUPS, CARRIED_OVER, ALERTS):
            await transaction.connection.execute(statements)

    manager.add_raw(create)
    return manager
