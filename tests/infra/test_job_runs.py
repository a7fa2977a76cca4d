"""Runs of jobs as they are written down, by jobs and by a server's housekeeping."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final
from unittest.mock import AsyncMock

import asyncpg
import pytest

from infra import housekeeping
from infra.application import Application
from infra.housekeeping import _Duty, _Keeper
from infra.job_outcomes import Outcome
from infra.queries.job_runs import job_runs
from infra.services import job_runs as service
from infra.services.job_runs import BROKEN_OFF, message_of
from infra.services.progress import Progress
from tests.infra.builders import Clock, count

AT: Final = datetime(2026, 11, 21, 3, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)


async def run(application: Application, job: str, at: datetime, ending: Progress | Exception | None) -> None:
    """A run that started at this moment; None: it still runs."""
    run_id = await service.start(application, job, at, at)
    if isinstance(ending, Progress):
        await service.end(application, run_id, ending, at)
    elif ending is not None:
        await service.fail(application, run_id, ending, at)


async def test_each_job_shows_its_last_run_success_and_failure(application: Application) -> None:
    await run(application, "expire_lots", AT, Progress(3))
    await run(application, "expire_lots", AT + MINUTE, RuntimeError("no room"))
    await run(application, "expire_lots", AT + 2 * MINUTE, Progress(2))
    await run(application, "expire_lots", AT + 3 * MINUTE, Progress(1, complete=False))
    await run(application, "audit_ledger", AT, None)
    audit, expire = await job_runs(application)
    assert (audit.job, audit.last.outcome, audit.last.ended_at) == ("audit_ledger", Outcome.RUNNING, None)
    assert (audit.last_success, audit.last_failure) == (None, None)
    assert (expire.last.outcome, expire.last.done) == (Outcome.UNFINISHED, 1)
    assert expire.last_success is not None
    assert (expire.last_success.started_at, expire.last_success.done) == (AT + 2 * MINUTE, 2)
    assert expire.last_failure is not None
    assert expire.last_failure.message == "RuntimeError: no room"


async def test_a_run_that_broke_off_is_told_by_the_next(application: Application) -> None:
    await run(application, "recharge", AT, None)
    await run(application, "recharge", AT + MINUTE, Progress(0))
    (recharge,) = await job_runs(application)
    assert recharge.last.outcome is Outcome.DONE
    assert recharge.last_failure is not None
    assert (recharge.last_failure.message, recharge.last_failure.ended_at) == (BROKEN_OFF, AT + MINUTE)


async def test_runs_are_kept_for_ninety_days(application: Application) -> None:
    await run(application, "recharge", AT, Progress(0))
    await run(application, "other", AT, Progress(0))
    await run(application, "recharge", AT + timedelta(days=90), Progress(0))
    assert await count(application, "job_run") == 3
    await run(application, "recharge", AT + timedelta(days=90, seconds=1), Progress(0))
    assert await count(application, "job_run") == 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError(""), "ValueError"),
        (
            OSError("no answer from postgresql://anna:seven-seals@db:5432/purser"),
            "OSError: no answer from postgresql://db:5432",
        ),
        (
            OSError("POST https://hooks.slack.com/services/T0/B0/seven-seals failed"),
            "OSError: POST https://hooks.slack.com failed",
        ),
        (ValueError("sk_live_sevenseals4711 and psk_sevenseals4711"), "ValueError: ... and ..."),
        (ValueError("one\n  two" + "x" * 1000), "ValueError: one two" + "x" * 481),
        (asyncpg.UniqueViolationError("twice"), "UniqueViolationError: twice"),
    ],
)
def test_a_message_holds_no_secret(error: Exception, message: str) -> None:
    assert message_of(error) == message


# ---- housekeeping ---------------------------------------------------------------------------------------------------


class Chore:
    """A job that ends as a test wants it to."""

    def __init__(self) -> None:
        self.ending: Progress | Exception = Progress(0)
        self.runs = 0

    async def __call__(self, _application: Application, _at: datetime) -> Progress:
        self.runs += 1
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending


@pytest.fixture
def chore() -> Chore:
    return Chore()


@pytest.fixture
def keeper(timed: Application, chore: Chore, monkeypatch: pytest.MonkeyPatch) -> _Keeper:
    monkeypatch.setattr(housekeeping, "duties", lambda _application: [_Duty("chore", chore, MINUTE)])
    return _Keeper(timed)


async def rounds(keeper: _Keeper, clock: Clock, minutes: int) -> None:
    for _ in range(minutes):
        await keeper._round()
        clock.advance(60)


async def test_rounds_that_do_nothing_are_written_down_once_an_hour(
    timed: Application, keeper: _Keeper, clock: Clock
) -> None:
    await rounds(keeper, clock, 59)
    assert await count(timed, "job_run") == 1
    await rounds(keeper, clock, 62)
    assert await count(timed, "job_run") == 3


async def test_rounds_that_do_something_are_added_up_by_the_hour(
    timed: Application, keeper: _Keeper, clock: Clock, chore: Chore
) -> None:
    chore.ending = Progress(2)
    await rounds(keeper, clock, 30)
    (runs,) = await job_runs(timed)
    assert (runs.job, runs.last.done, runs.last.started_at) == ("chore", 60, clock.now - MINUTE)
    assert await count(timed, "job_run") == 1


async def test_a_failure_and_the_success_after_it_are_both_to_be_seen(
    timed: Application, keeper: _Keeper, clock: Clock, chore: Chore
) -> None:
    await rounds(keeper, clock, 2)
    chore.ending = RuntimeError("no room")
    await rounds(keeper, clock, 3)
    (failing,) = await job_runs(timed)
    assert (failing.last.outcome, failing.last.message) == (Outcome.FAILED, "RuntimeError: no room")
    assert failing.last.started_at == clock.now - MINUTE
    chore.ending = Progress(0)
    await rounds(keeper, clock, 3)
    (working,) = await job_runs(timed)
    assert (working.last.outcome, working.last.started_at) == (Outcome.DONE, clock.now - 3 * MINUTE)
    assert working.last_failure is not None
    assert await count(timed, "job_run") == 2


async def test_a_job_is_done_as_often_as_it_is_due(keeper: _Keeper, clock: Clock, chore: Chore) -> None:
    keeper._duties = [_Duty("chore", chore, timedelta(hours=1))]
    await rounds(keeper, clock, 121)
    assert chore.runs == 3


@pytest.mark.parametrize("ending", [RuntimeError("no room"), Progress(0, complete=False)])
async def test_what_could_not_be_done_is_due_again_in_the_next_round(
    keeper: _Keeper, clock: Clock, chore: Chore, ending: Progress | Exception
) -> None:
    keeper._duties = [_Duty("chore", chore, timedelta(hours=1))]
    chore.ending = ending
    await rounds(keeper, clock, 3)
    chore.ending = Progress(0)
    await rounds(keeper, clock, 30)
    assert chore.runs == 4


@pytest.mark.parametrize("cut", [ConnectionError("cut"), asyncpg.InternalClientError("cut while it was spoken to")])
async def test_rounds_go_on_where_a_run_cannot_be_written_down(
    keeper: _Keeper, clock: Clock, chore: Chore, monkeypatch: pytest.MonkeyPatch, cut: Exception
) -> None:
    monkeypatch.setattr(service, "add", AsyncMock(side_effect=cut))
    await rounds(keeper, clock, 3)
    assert chore.runs == 3


async def test_a_server_keeps_all_of_it(application: Application) -> None:
    async with housekeeping.housekeeping(application):
        async with asyncio.timeout(30):
            while not await count(application, "job_run", "job = 'make_partitions'"):  # noqa: ASYNC110  # the rounds run beside
                await asyncio.sleep(0.01)
    found = await job_runs(application)
    assert {"start_cycles", "expire_reservations", "expire_lots", "reset_budgets", "roll_up_usage"} <= {
        runs.job for runs in found
    }
    assert {runs.last.outcome for runs in found} == {Outcome.DONE}


async def test_a_job_that_answers_a_stop_with_an_error_keeps_nobody_waiting(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def stubborn(_application: Application, _at: datetime) -> Progress:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise asyncpg.InterfaceError("the connection was cut") from error
        return Progress(0)

    monkeypatch.setattr(housekeeping, "duties", lambda _application: [_Duty("stubborn", stubborn, MINUTE)])
    async with asyncio.timeout(30), housekeeping.housekeeping(application):
        await begun.wait()
