"""The application: what every service and query works with, opened once per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from domain.catalog import Catalog
from infra import catalog, roles
from infra.catalog.publications import CatalogKeeper
from infra.deciding import Clock, Deciding, utc_now
from infra.feed import Feed
from infra.group_commit import LARGEST_BATCH, PINNED_PLANS, GroupCommit
from infra.hints import Hints
from infra.key_uses import KeyUses
from infra.payments import PaymentGateway
from infra.refusal_log import RefusalLog
from infra.report_turns import ReportTurns
from infra.settings import Settings, SettingsError
from infra.stripe_gateway import StripeGateway
from infra.tenant_readers import TenantConnection, TenantReaders
from infra.usage_ingest import AT_ONCE, UsageIngest
from infra.vault import Vault, open_vault

READERS: Final = 8
OVERSEERS: Final = 4
# For ingests, roll-ups, what seeds tenants, the record of refusals and the hints to other processes.
SPARE_WRITERS: Final = AT_ONCE + 3
SECONDS_TO_CONNECT: Final = 15
LOCAL_URL: Final = "http://127.0.0.1:8000"
_READING: Final = {"application_name": "purser", "jit": "off"}


@dataclass(frozen=True, slots=True)
class Application:
    """`writers` belongs to the group commit and what seeds tenants. `readers` serves the queries: of one tenant each, long
    ones in their turn (`reports`); months are played again one at a time (`back_tests`), as that is work of this process.
    `across_tenants` reads the rows of all: for keys, operators and jobs alone.
    `separate_roles`: whether they run under roles of their own, or (where the owner may not make roles) all as the owner.
    `gateway`: the payment rail, None where there is none. `feed`: what is new, for those who follow it; `hints`: tells it,
    and other processes', what this one has changed.
    `url`: of the database, as its owner."""

    settings: Settings
    url: str = field(repr=False)
    catalogs: CatalogKeeper
    group_commit: GroupCommit
    usage_ingest: UsageIngest
    refusals: RefusalLog
    key_uses: KeyUses
    readers: TenantReaders
    across_tenants: asyncpg.Pool
    reports: ReportTurns
    back_tests: ReportTurns
    writers: asyncpg.Pool
    clock: Clock
    separate_roles: bool
    vault: Vault
    feed: Feed
    hints: Hints
    gateway: PaymentGateway | None = None

    @property
    def catalog(self) -> Catalog:
        """The catalog as this process knows it: with all that was published when it last looked."""
        return self.catalogs.current

    async def current_catalog(self) -> Catalog:
        """The catalog with all that is published by now."""
        async with self.across_tenants.acquire() as connection:
            await self.catalogs.load(connection)
        return self.catalogs.current


@asynccontextmanager
async def open_application(
    settings: Settings,
    url: str,
    *,
    lanes: int = 1,
    largest_batch: int = LARGEST_BATCH,
    most_readers: int = READERS,
    clock: Clock = utc_now,
    gateway: PaymentGateway | None = None,
) -> AsyncIterator[Application]:
    """Connect to a migrated database; at the end, commit what waits and leave. Without `gateway`, payments go by the
    settings."""
    catalogs = CatalogKeeper(catalog.load())
    separate_roles = await roles.usable(url)
    writing = PINNED_PLANS | ({"role": roles.LEDGER} if separate_roles else {})
    reading = _READING | ({"role": roles.APPLICATION} if separate_roles else {})
    overseeing = _READING | ({"role": roles.OVERSEER} if separate_roles else {})
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=lanes + SPARE_WRITERS, server_settings=writing) as writers,
        asyncpg.create_pool(
            url, min_size=0, max_size=most_readers, server_settings=reading, connection_class=TenantConnection
        ) as readers,
        asyncpg.create_pool(
            url, min_size=1, max_size=min(most_readers, OVERSEERS), server_settings=overseeing
        ) as across_tenants,
    ):
        listening = overseeing | {"application_name": "purser feed"}
        feed = Feed(lambda: asyncpg.connect(url, timeout=SECONDS_TO_CONNECT, server_settings=listening), clock)
        hints = Hints(writers, feed)
        deciding = Deciding(catalogs, hints.give, own_keys_allowed=settings.own_keys_allowed, clock=clock)
        group_commit = GroupCommit(writers, deciding, lanes=lanes, largest_batch=largest_batch)
        refusals, key_uses = RefusalLog(writers), KeyUses(writers)
        async with across_tenants.acquire() as connection:
            await catalogs.load(connection)
        rail = gateway or _payment_rail(settings)
        vault = open_vault(settings)
        try:
            yield Application(
                settings,
                url,
                catalogs,
                group_commit,
                UsageIngest(writers, deciding),
                refusals,
                key_uses,
                TenantReaders(readers),
                across_tenants,
                ReportTurns(max(1, most_readers // 2)),
                ReportTurns(1),
                writers,
                clock,
                separate_roles,
                vault,
                feed,
                hints,
                rail,
            )
        finally:
            await feed.close()
            await group_commit.close()
            await refusals.written()
            await key_uses.close()
            await hints.close()
            if rail is not None and rail is not gateway:
                await rail.close()


def _payment_rail(settings: Settings) -> PaymentGateway | None:
    """Stripe by its settings; None without them. Nothing of Stripe's SDK is loaded before it is used."""
    if settings.stripe_api_key is None:
        return None
    if settings.stripe_webhook_secret is None:
        raise SettingsError("STRIPE_WEBHOOK_SECRET must be set beside STRIPE_API_KEY: webhooks are verified by it.")
    return StripeGateway(
        settings.stripe_api_key,
        settings.stripe_webhook_secret,
        api_base=settings.stripe_api_base,
        public_url=settings.public_url or LOCAL_URL,
    )
