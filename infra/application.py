"""The application: what every service and query works with, opened once per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from domain.catalog import Catalog
from infra import catalog, roles
from infra.deciding import Clock, Deciding, utc_now
from infra.group_commit import LARGEST_BATCH, PINNED_PLANS, GroupCommit
from infra.refusal_log import RefusalLog
from infra.settings import DeploymentMode, Settings

READERS: Final = 8
SPARE_WRITERS: Final = 2


@dataclass(frozen=True, slots=True)
class Application:
    """`writers` belongs to the group commit and what seeds tenants; `readers` serves the queries. `separate_roles`:
    whether they run under roles of their own, or (where the owner may not make roles) both as the owner."""

    settings: Settings
    catalog: Catalog
    group_commit: GroupCommit
    refusals: RefusalLog
    readers: asyncpg.Pool
    writers: asyncpg.Pool
    clock: Clock
    separate_roles: bool


@asynccontextmanager
async def open_application(
    settings: Settings,
    url: str,
    *,
    lanes: int = 1,
    largest_batch: int = LARGEST_BATCH,
    clock: Clock = utc_now,
) -> AsyncIterator[Application]:
    """Connect to a migrated database; at the end, commit what waits and leave."""
    loaded = catalog.load()
    separate_roles = await roles.usable(url)
    writing = PINNED_PLANS | ({"role": roles.LEDGER} if separate_roles else {})
    reading = {"application_name": "purser", "jit": "off"} | ({"role": roles.APPLICATION} if separate_roles else {})
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=lanes + SPARE_WRITERS, server_settings=writing) as writers,
        asyncpg.create_pool(url, min_size=1, max_size=READERS, server_settings=reading) as readers,
    ):
        own_keys_allowed = settings.deployment_mode is DeploymentMode.SELF_HOSTED
        deciding = Deciding(loaded, own_keys_allowed=own_keys_allowed, clock=clock)
        group_commit = GroupCommit(writers, deciding, lanes=lanes, largest_batch=largest_batch)
        refusals = RefusalLog(writers)
        try:
            yield Application(settings, loaded, group_commit, refusals, readers, writers, clock, separate_roles)
        finally:
            await group_commit.close()
            await refusals.close()
