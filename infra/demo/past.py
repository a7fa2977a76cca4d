"""The application at another time: the same services on the same database, under a clock that says when they act."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from infra.application import Application
from infra.deciding import Deciding
from infra.group_commit import GroupCommit
from infra.usage_ingest import UsageIngest


class PastClock:
    """A clock that stands where it was put."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def at_another_time(application: Application, clock: PastClock) -> AsyncIterator[Application]:
    """The application under this clock. What it decides goes into the books as it would have then: cycles, expiries and
    months included."""
    allowed = application.settings.own_keys_allowed
    deciding = Deciding(application.catalogs, application.hints.give, own_keys_allowed=allowed, clock=clock)
    group_commit = GroupCommit(application.writers, deciding)
    ingest = UsageIngest(application.writers, deciding)
    try:
        yield replace(application, clock=clock, group_commit=group_commit, usage_ingest=ingest)
    finally:
        await group_commit.close()
