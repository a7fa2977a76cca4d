"""Jobs for the tests of the runtime: they show what a job is given, and do what tests ask for."""

import asyncio
import logging
from datetime import UTC, datetime

from infra.services.progress import Progress
from lambdas import runtime
from lambdas.runtime import Run, by_hand, job

runs = 0
runtime.now = lambda: datetime(2030, 11, 20, tzinfo=UTC)


@job("shown")
async def shown(run: Run) -> Progress:
    """Fails unless the clock starts at the time that the job is for; answers how often this process ran it."""
    global runs  # noqa: PLW0603  # what a warm process remembers is what is tested
    runs += 1
    backends: int = await run.application.across_tenants.fetchval("SELECT pg_backend_pid()")
    logging.getLogger("infra.somewhere").info("on backend %d", backends)
    behind = (run.application.clock() - run.at).total_seconds()
    assert 0 <= behind < 60, behind
    return Progress(runs)


@job("endless")
async def endless(run: Run) -> Progress:
    """Works until its time is up."""
    done = 0
    while run.stop_at is None or run.application.clock() < run.stop_at:
        await asyncio.sleep(0.01)
        done += 1
    return Progress(done, complete=False)


@job("failing")
async def failing(run: Run) -> Progress:
    """Fails at first, in the middle of a statement."""
    global runs  # noqa: PLW0603  # as above
    runs += 1
    if runs == 1:
        await run.application.across_tenants.execute("SELECT 1 / 0")
    return Progress(runs)


if __name__ == "__main__":
    by_hand(shown)
