"""The application at another time: the same services on the same database, under a clock that says when they act."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from infra import roles
from infra.application import Application
from infra.deciding import Deciding
from infra.group_commit import PINNED_PLANS, GroupCommit
from infra.usage_ingest import AT_ONCE, UsageIngest

# Of an invented past, nothing is lost with what a crash takes back: the next start books it again. So no commit waits for
# the disk, and the order of commits stays as ever.
_UNHURRIED: Final = {"synchronous_commit": "off"}


# More than a batch's decisions take, each a microsecond after the one before.
_STEP: Final = timedelta(milliseconds=1)


class PastClock:
    """A clock that goes on from where it was put, a step with each look, so that moments tell the order as real ones do."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += _STEP
        return self.now


@asynccontextmanager
async def at_another_time(application: Application, clock: PastClock) -> AsyncIterator[Application]:
    """The application under this clock. What it decides goes into the books as it would have then: cycles, expiries and
    months included."""
    writing = PINNED_PLANS | _UNHURRIED | ({"role": roles.LEDGER} if application.separate_roles else {})
    async with asyncpg.create_pool(
        application.url, min_size=1, max_size=AT_ONCE + 3, server_settings=writing
    ) as writers:
        own_keys_allowed = application.settings.own_keys_allowed
        deciding = Deciding(
            application.catalogs, application.hints.give, own_keys_allowed=own_keys_allowed, clock=clock
        )
        group_commit = GroupCommit(writers, deciding)
        ingest = UsageIngest(writers, deciding)
        try:
            yield replace(application, clock=clock, writers=writers, group_commit=group_commit, usage_ingest=ingest)
        finally:
            await group_commit.close()
