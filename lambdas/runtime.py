"""Runtime of the jobs: what AWS Lambda hands in becomes one call of a service.

The first invocation opens the application; those that find the process warm use it again, on the same event loop. The
scheduled time comes in as data, and says what the job is for. The clock of the whole job starts there too, unless the run
is late: then it starts now, so that nothing is ever booked at a time that is over. Of one job only one runs at a time,
whoever starts it.
"""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, Protocol

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from infra.application import Application, open_application
from infra.services import job_runs
from infra.services.progress import Progress
from infra.settings import Settings, SettingsError
from infra.transaction import UNANSWERED

# Two connections to read: one keeps the job's lock.
MOST_READERS: Final = 2
# What is kept of the time that Lambda gives, for the step that is under way and for the answer.
MOST_TIME_KEPT: Final = timedelta(seconds=10)
NAMESPACE: Final = "Purser"
MOMENT_RULE: Final = "a moment with its offset, such as 2026-11-20T00:00:00Z"
# Clocks differ a little. A run for a time to come would book it as if it were here.
MOST_AHEAD: Final = timedelta(minutes=5)
FIRST_YEAR: Final = 2000

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"

Answer = dict[str, Any]
First = Callable[[str], Awaitable[None]]


def now() -> datetime:
    """The present: no run may be for a time after it."""
    return datetime.now(UTC)


class EventError(ValueError):
    """An event that cannot be taken; the message says what it must hold."""


class LambdaContext(Protocol):
    """What Lambda says about an invocation, as far as it is used here."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the process."""


class JobClock:
    """The clock of a job: it is started once per run, and runs on from there."""

    def __init__(self) -> None:
        self.start(datetime.fromtimestamp(0, UTC))

    def start(self, at: datetime) -> None:
        self._at = at
        self._started = monotonic()

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=monotonic() - self._started)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: the time that it is for, and when on its clock it has to stop (None: by hand, no end). `figures`:
    metrics that the job adds to its own, by name."""

    application: Application
    at: datetime
    stop_at: datetime | None
    figures: dict[str, int] = field(default_factory=dict)


class Warm:
    """What outlives an invocation: the event loop, and the application once it is open."""

    def __init__(self) -> None:
        self.clock = JobClock()
        self.logger: Final = Logger(service="purser")
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._application: Application | None = None

    def run(
        self,
        start: datetime,
        work: Callable[[Application], Awaitable[Answer]],
        first: First | None = None,
        **keys: str,
    ) -> Answer:
        """Do one invocation's work, its clock started at a time, `first` before the application is open; every line of the
        log carries the keys."""
        if self._runner is None:
            self._runner = asyncio.Runner()
            self._log_all()
        self.logger.append_keys(**keys)
        self.clock.start(start)
        return self._runner.run(self._work(work, first))

    def close(self) -> None:
        """Give everything back."""
        if self._runner is not None:
            self._runner.run(self._stack.aclose())
            self._runner.close()

    async def _work(self, work: Callable[[Application], Awaitable[Answer]], first: First | None) -> Answer:
        application = await self._opened(first)
        try:
            return await work(application)
        finally:
            # Between invocations nothing runs: what is written in the background is written now.
            await application.refusals.written()
            await application.hints.close()

    async def _opened(self, first: First | None) -> Application:
        if self._application is not None:
            if first is not None:
                await first(self._application.url)
            # Let the loop hear of connections that ended while it was frozen, so that none of them is used.
            await asyncio.sleep(0.001)
            return self._application
        settings = Settings.from_environment()
        async with AsyncExitStack() as stack:
            url = settings.database_url
            if url is None:
                from infra.database import database

                url = stack.enter_context(database(settings))
            if first is not None:
                await first(url)
            self._application = await stack.enter_async_context(
                open_application(settings, url, most_readers=MOST_READERS, clock=self.clock)
            )
            self._stack = stack.pop_all()
        return self._application

    def _log_all(self) -> None:
        """Everybody's lines as JSON, by the one handler."""
        logging.getLogger(self.logger.service).propagate = False
        logging.root.handlers[:] = [self.logger.registered_handler]
        logging.root.setLevel(self.logger.log_level)


WARM: Final = Warm()


class Job:
    """A handler for EventBridge schedules."""

    def __init__(self, name: str, function: Callable[[Run], Awaitable[Progress]], first: First | None) -> None:
        self.name = name
        self._function = function
        self.first = first

    def __call__(self, event: Mapping[str, Any], context: LambdaContext) -> Answer:
        """`time` (EventBridge) or `at` of the event says which time the job is for."""
        remaining = timedelta(milliseconds=context.get_remaining_time_in_millis())
        try:
            at = moment(event.get("at", event.get("time")))
        except EventError as error:
            raise EventError(f'the event must say which time the job is for: "at" or "time" {error}') from None
        with self._measured() as figures:
            return self.run(at, remaining, figures, request_id=context.aws_request_id)

    def run(
        self, at: datetime, remaining: timedelta | None = None, figures: dict[str, int] | None = None, **keys: str
    ) -> Answer:
        """Run it unless it runs already. It stops before the remaining time is up, and says how far it came. Its metrics
        are put into `figures`."""
        measured = {} if figures is None else figures
        start = max(at, now())
        stop_at = None if remaining is None else start + remaining - min(MOST_TIME_KEPT, remaining / 5)

        async def work(application: Application) -> Answer:
            async with _alone(application, self.name) as alone:
                if not alone:
                    return {"skipped": "running"}
                progress = await self._recorded(Run(application, at, stop_at, measured))
            measured.update(Success=int(progress.complete), Done=progress.done)
            return asdict(progress)

        answer = WARM.run(start, work, self.first, job=self.name, **keys)
        WARM.logger.info("ran", at=at.isoformat(), answer=answer)
        return answer

    async def _recorded(self, run: Run) -> Progress:
        """Run it, and write down when and how."""
        run_id = await job_runs.start(run.application, self.name, run.at, datetime.now(UTC))
        try:
            progress = await self._function(run)
        except Exception as error:
            # That it cannot be written down must not hide why it failed; the next run tells that this one broke off.
            with suppress(*UNANSWERED):
                await job_runs.fail(run.application, run_id, error, datetime.now(UTC))
            raise
        await job_runs.end(run.application, run_id, progress, datetime.now(UTC))
        return progress

    @contextmanager
    def _measured(self) -> Iterator[dict[str, int]]:
        """Metrics of one invocation, as a line of the log that CloudWatch reads: Success (1: it ran to its end), Done, and
        the job's own. One that was skipped has none."""
        figures: dict[str, int] = {}
        try:
            yield figures
        except Exception:
            figures["Success"] = 0
            raise
        finally:
            if figures:
                metrics = EphemeralMetrics(namespace=NAMESPACE, service=self.name)
                for name, value in figures.items():
                    metrics.add_metric(name, MetricUnit.Count, value)
                metrics.flush_metrics()


def job(name: str, *, first: First | None = None) -> Callable[[Callable[[Run], Awaitable[Progress]]], Job]:
    """Make a function the job of this name. `first` is done with the database's address before the application is open."""
    return lambda function: Job(name, function, first)


def moment(text: object) -> datetime:
    """The time that a job is for, in UTC: the present or the past. The message of an EventError says what it must be."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise EventError(f"must be {MOMENT_RULE}")
    if at.year < FIRST_YEAR:
        raise EventError(f"must not be before the year {FIRST_YEAR}")
    present = now()
    if at > present + MOST_AHEAD:
        raise EventError(f"must not be in the future: it is {present:%FT%TZ}")
    return at.astimezone(UTC)


def by_hand(handler: Job) -> None:
    """The command line of a job: `python -m lambdas.start_cycles --at "$(date -u +%FT%TZ)"`."""
    from infra.database import DatabaseError
    from infra.embedded_postgres import EmbeddedPostgresError

    parser = argparse.ArgumentParser(prog=f"python -m lambdas.{handler.name}", description=f"Run {handler.name} once.")
    parser.add_argument(
        "--at", required=True, metavar="MOMENT", help=f"the time that it is for, now or in the past: {MOMENT_RULE}"
    )
    given = parser.parse_args()
    try:
        at = moment(given.at)
    except EventError as error:
        parser.error(f"--at {error}")
    handler.first = handler.first or _find_books
    try:
        sys.stdout.write(json.dumps(handler.run(at)) + "\n")
    except (SettingsError, DatabaseError, EmbeddedPostgresError) as error:
        parser.exit(2, f"{error}\n")
    finally:
        WARM.close()


async def _find_books(url: str) -> None:
    """Raises DatabaseError, which says what to do, where no migrated database answers."""
    from infra.database import connect_to_books

    connection = await connect_to_books(url)
    await connection.close()


@asynccontextmanager
async def _alone(application: Application, name: str) -> AsyncIterator[bool]:
    """Whether no other run of this job is under way; none starts as long as somebody is inside."""
    key = f"purser job {name}"
    async with application.across_tenants.acquire() as connection:
        locked: bool = await connection.fetchval(_LOCK, key)
        try:
            yield locked
        finally:
            if locked and not connection.is_closed():
                await connection.execute(_UNLOCK, key)
