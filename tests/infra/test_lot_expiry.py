"""Lots that have expired in wallets that nobody uses: their entries appear once, and balances change by nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from domain.wallets import LotSource
from infra.application import Application, open_application
from infra.services import wallets
from infra.services.callers import Caller
from infra.services.lots import expire_lots
from infra.services.progress import Progress
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance, count, nothing_moves, open_tenant, reserved

SPRING = datetime(2027, 3, 1, tzinfo=UTC)
EXPIRED = "type = 'EXPIRED'"


@pytest.fixture
async def beside(settings: Settings, database_url: str, clock: Clock) -> AsyncIterator[Application]:
    """Another process under the same clock."""
    async with open_application(settings, database_url, clock=clock) as opened:
        yield opened


async def with_lots(application: Application, slug: str) -> Caller:
    """A tenant whose credits and e-mail sends end in spring, beside dollars that never do."""
    caller = await open_tenant(application, slug, metered="5")
    for key in ("credits", "email_sends"):
        await wallets.credit(application, caller.tenant_id, key, nano("10"), LotSource.TOP_UP, "gift", SPRING)
    return caller


async def test_what_has_expired_is_booked_once(timed: Application, clock: Clock) -> None:
    caller = await with_lots(timed, "acme")
    held = await reserved(timed, caller)
    clock.now = SPRING - timedelta(seconds=1)
    async with nothing_moves(timed):
        assert await expire_lots(timed, clock.now) == Progress(0)
    clock.now = SPRING
    assert await expire_lots(timed, clock.now) == Progress(2)
    assert await balance(timed, caller, "credits") == ("0", "2", "0"), f"{held.id} is held still"
    assert await balance(timed, caller, "metered") == ("5", "0", "0")
    async with nothing_moves(timed):
        assert await expire_lots(timed, clock.now) == Progress(0)
        assert await expire_lots(timed, SPRING - timedelta(days=90)) == Progress(0)
    await audit(timed)


async def test_several_runs_at_once_book_it_once(timed: Application, beside: Application, clock: Clock) -> None:
    for slug in ("acme", "globex", "initech"):
        await with_lots(timed, slug)
    clock.now = SPRING
    runs = await asyncio.gather(*[expire_lots((timed, beside)[number % 2], SPRING) for number in range(6)])
    assert sum(run.done for run in runs) == 6
    assert await count(timed, "ledger_entry", EXPIRED) == 6
    await audit(timed)


async def test_a_run_that_is_killed_or_out_of_time_is_taken_up_where_it_stopped(
    timed: Application, beside: Application, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slug in ("acme", "globex", "initech"):
        await with_lots(timed, slug)
    clock.now = SPRING
    assert await expire_lots(timed, SPRING, stop_at=SPRING) == Progress(0, complete=False)
    submit = beside.group_commit.submit
    taken = asyncio.Event()

    def submit_and_hang(command: object) -> object:
        if taken.is_set():
            return asyncio.get_running_loop().create_future()
        taken.set()
        return submit(command)  # type: ignore[arg-type]

    monkeypatch.setattr(beside.group_commit, "submit", submit_and_hang)
    killed = asyncio.create_task(expire_lots(beside, SPRING))
    await taken.wait()
    await beside.group_commit.close()
    killed.cancel()
    assert await expire_lots(timed, SPRING) == Progress(4)
    assert await count(timed, "ledger_entry", EXPIRED) == 6
    await audit(timed)
