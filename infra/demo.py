"""Demo tenants: `acme` and `globex`, with the balances and keys that the README and scripts rely on.

Seeding is harmless at every start: tenants and keys are made once, each credit is booked once per reference,
and a start in a new month books that month's allocation.
"""

from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Final
from uuid import UUID

from domain.api_keys import hint
from domain.expenses import ExpenseEntry, ExpenseKind
from domain.money import NANO
from domain.wallets import METERED_KEY, LotSource
from infra.application import Application
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.identifiers import new_id
from infra.services import cycles, expenses, tenants, wallets
from infra.services.callers import Caller, Refused, Role
from infra.services.tenants import TenantOrder
from infra.transaction import transaction

_WRITE_KEY: Final = """
INSERT INTO api_key (id, tenant_id, name, role, hash, created_at, hint, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'demo')
ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL WHERE api_key.revoked_at IS NOT NULL"""
_REVOKE_OTHERS: Final = """
UPDATE api_key SET revoked_at = $3 WHERE name = ANY($1::text[]) AND hash <> ALL($2::bytea[]) AND revoked_at IS NULL"""


@dataclass(frozen=True, slots=True)
class DemoTenant:
    """A tenant on a plan of its region. `metered`: dollars topped up once; None: no metered wallet."""

    slug: str
    name: str
    region: str
    plan: str
    metered: int | None


DEMO_TENANTS: Final = (
    DemoTenant("acme", "Acme", "india", "professional", 50 * NANO),
    DemoTenant("globex", "Globex", "middle_east", "growth", None),
)

CAMPAIGN: Final = "spring"
DEMO_EXPENSES: Final = (
    ExpenseEntry(
        CAMPAIGN, ExpenseKind.ADWORDS, "EUR", date(2026, 11, 3), 1_250 * NANO, description="Search, first week"
    ),
    ExpenseEntry(CAMPAIGN, ExpenseKind.LINKEDIN_ADS, "EUR", date(2026, 11, 5), 480 * NANO),
    ExpenseEntry(CAMPAIGN, ExpenseKind.AGENCY, "EUR", date(2026, 11, 10), 900 * NANO, description="Landing page"),
    ExpenseEntry(
        CAMPAIGN, ExpenseKind.LABOR, "EUR", date(2026, 11, 12), hours=12 * NANO + NANO // 2, hourly_rate=60 * NANO
    ),
)
CUSTOMERS_WON: Final = ((3, date(2026, 11, 14)), (4, date(2026, 11, 20)))


async def seed(application: Application) -> None:
    """Make the demo tenants, credit what is due to them, and store the hashes of their keys."""
    identifiers: dict[str, UUID] = {}
    for tenant in DEMO_TENANTS:
        identifiers[tenant.slug] = await _seed_tenant(application, tenant)
    await _enter_expenses(application, identifiers["acme"])
    await _store_keys(application, identifiers)


async def _seed_tenant(application: Application, tenant: DemoTenant) -> UUID:
    plan = application.catalog.plan(tenant.region, tenant.plan, application.clock())
    assert plan is not None, f"the catalog has no plan {tenant.plan} in {tenant.region}"
    order = TenantOrder(tenant.slug, tenant.name, plan.region, plan.key, tenant.metered is not None)
    tenant_id = await tenants.set_up(application, order, plan)
    await cycles.start_cycle(application, tenant_id)
    if tenant.metered is not None:
        await wallets.credit(application, tenant_id, METERED_KEY, tenant.metered, LotSource.TOP_UP, "demo:top-up")
    return tenant_id


async def _enter_expenses(application: Application, tenant_id: UUID) -> None:
    """What a campaign of the demo has cost, and won. Each has its key, and so is entered once."""
    caller = Caller(tenant_id, Role.ADMIN, "demo")
    for number, entry in enumerate(DEMO_EXPENSES):
        added = await expenses.add_expense(application, caller, f"demo:expense:{number}", entry)
        assert not isinstance(added, Refused), added.refusal.message
    for count, day in CUSTOMERS_WON:
        key = f"demo:customers:{day}"
        won = await expenses.record_customers_won(application, caller, key, CAMPAIGN, count, day)
        assert not isinstance(won, Refused), won.refusal.message


async def _store_keys(application: Application, tenant_ids: dict[str, UUID]) -> None:
    """Keys of an earlier secret end here: they carry the same names."""
    now = application.clock()
    tokens = demo_tokens(application.settings)
    hashes = {label: sha256(token.encode()).digest() for label, token in tokens.items()}
    async with application.writers.acquire() as connection, transaction(connection):
        for key in DEMO_KEYS:
            tenant_id = None if key.tenant is None else tenant_ids[key.tenant]
            shown = hint(tokens[key.label])
            await connection.execute(
                _WRITE_KEY, new_id(now), tenant_id, key.name, key.role, hashes[key.label], now, shown
            )
        await connection.execute(_REVOKE_OTHERS, [key.name for key in DEMO_KEYS], list(hashes.values()), now)
