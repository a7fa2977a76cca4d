"""Expenses: what people enter against a campaign, every version of it, and the customers that a campaign won.

An expense is its newest version; the application's roles may only add versions. A deleted expense stays as a row.
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.engine import engine_finder
from piccolo.engine.postgres import PostgresEngine

ID = "2026-11-25T10:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "expenses"

FACTS = """
    campaign text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('ADWORDS', 'META_ADS', 'LINKEDIN_ADS', 'OTHER_ADS', 'AGENCY', 'LABOR', 'SOFTWARE',
                                       'CONTENT', 'EVENT', 'OTHER')),
    minor bigint NOT NULL CHECK (minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    hours bigint CHECK (hours > 0),
    hourly_rate bigint CHECK (hourly_rate > 0),
    incurred_on date NOT NULL,
    description text
"""

EXPENSES = f"""
CREATE TABLE expense (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    {FACTS},
    reference text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT expense_labor CHECK ((kind = 'LABOR') = (hours IS NOT NULL) AND (kind = 'LABOR') = (hourly_rate IS NOT NULL))
);
COMMENT ON COLUMN expense.minor IS 'In minor units of the currency.';
COMMENT ON COLUMN expense.hours IS 'Of labor: nano-hours; hourly_rate: nano-units of the currency.';
COMMENT ON COLUMN expense.reference IS 'What the file that it was imported from calls it.';
COMMENT ON COLUMN expense.actor IS 'Who added it; who changed it stands in its versions.';
CREATE INDEX expense_newest ON expense (tenant_id, incurred_on, id);
CREATE INDEX expense_of_campaign ON expense (tenant_id, campaign, incurred_on, id)
    INCLUDE (currency, minor) WHERE deleted_at IS NULL;

CREATE TABLE expense_version (
    tenant_id uuid NOT NULL,
    expense_id uuid NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    change text NOT NULL CHECK (change IN ('ADDED', 'CHANGED', 'DELETED')),
    {FACTS},
    actor text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, expense_id, version)
);
COMMENT ON TABLE expense_version IS 'Every version of every expense, with who made it and when; rows are never changed.';

CREATE TABLE customers_won (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    campaign text NOT NULL,
    won_on date NOT NULL,
    count integer NOT NULL CHECK (count <> 0),
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE customers_won IS 'Counts that are added up; a correction is a row below zero of the same campaign and day.';
CREATE INDEX customers_won_of_campaign ON customers_won (tenant_id, campaign, won_on) INCLUDE (count);
"""


async def forwards() -> MigrationManager:
    """Create the tables."""
    manager = MigrationManager(migration_id=ID, app_name="purser", description=DESCRIPTION)

    async def create() -> None:
        engine = engine_finder()
        assert isinstance(engine, PostgresEngine)
        transaction = engine.current_transaction.get()
        assert transaction is not None, "migrations run in a transaction"
        await transaction.connection.execute(EXPENSES)

    manager.add_raw(create)
    return manager
