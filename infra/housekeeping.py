"""Housekeeping: what a server does by itself beside answering.

A wallet that ran low recharges as soon as the commit that crossed its threshold is done, and what happened goes out to the
tenants' channels, beside the rounds: a channel that does not answer keeps nothing else waiting. The jobs that elsewhere have
schedules run here in rounds, each as often as it is due. All of them decide by what is true when they write, so they may
run in any number of processes, beside the same jobs on AWS. Only the audit of the ledger does not: it would read all the
books in the process that answers requests.

Their runs are written down under the jobs' names, but not each: a round that did something is added to the row of its hour,
one that did nothing is written once an hour, or where the one before had another outcome.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from domain.books import Event, EventType
from infra.application import Application
from infra.events import EventsUnavailableError, event_bus
from infra.identifiers import new_id
from infra.job_outcomes import Outcome
from infra.payments import PaymentsRefusedError, PaymentsUnavailableError
from infra.services import (
    alerts,
    budget_resets,
    cycles,
    deliveries,
    job_runs,
    lots,
    margins,
    partitions,
    recharges,
    refusals,
    relay,
    reservations,
    rollups,
    topups,
)
from infra.services.job_runs import outcome_of
from infra.services.progress import Progress
from infra.transaction import UNANSWERED

Job = Callable[[Application, datetime], Awaitable[Progress]]

SECONDS_BETWEEN: Final = 60.0
# So that many commits in a row are told of at once.
SECONDS_TO_GATHER: Final = 0.1
MINUTE: Final = timedelta(minutes=1)
QUARTER: Final = timedelta(minutes=15)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

_log: Final = logging.getLogger(__name__)


@asynccontextmanager
async def housekeeping(application: Application) -> AsyncIterator[None]:
    """Keep house while the body runs; what has begun is finished first."""
    keeper = _Keeper(application)
    application.group_commit.deciding.listeners.append(keeper.hear)
    running = [asyncio.create_task(keeper.make_rounds()), asyncio.create_task(keeper.make_deliveries())]
    try:
        yield
    finally:
        application.group_commit.deciding.listeners.remove(keeper.hear)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await keeper.finish()


class _Duty(NamedTuple):
    """A job by the name that it has elsewhere, and how often it is due."""

    name: str
    job: Job
    every: timedelta


class _Row(NamedTuple):
    """Where runs of one outcome are written down for an hour."""

    id: UUID
    since: datetime


def duties(application: Application) -> list[_Duty]:
    """What there is to do in this installation."""
    found = [
        _Duty("start_cycles", cycles.start_due, MINUTE),
        _Duty("expire_reservations", reservations.expire_all_due, MINUTE),
        _Duty("expire_lots", lots.expire_lots, HOUR),
        _Duty("reset_budgets", budget_resets.reset_budgets, HOUR),
        _Duty("check_alerts", alerts.check_alerts, QUARTER),
        _Duty("roll_up_usage", rollups.roll_up, MINUTE),
        _Duty("make_partitions", partitions.make_ahead, DAY),
        _Duty("forget_refusals", refusals.forget_old, DAY),
        _Duty("check_margins", _check_margins, DAY),
    ]
    if application.gateway is not None:
        found.append(_Duty("reconcile_top_ups", topups.reconcile, MINUTE))
        found.append(_Duty("recharge", recharges.recharge_due, MINUTE))
    if application.settings.event_bus is not None:
        found.append(_Duty("relay_outbox", _relay, MINUTE))
    return found


DELIVERIES: Final = _Duty("deliver_notifications", deliveries.notify, MINUTE)


async def _check_margins(application: Application, at: datetime) -> Progress:
    return (await margins.check_margins(application, at)).progress


async def _relay(application: Application, _at: datetime) -> Progress:
    return await relay.relay_outbox(application, event_bus(application.settings))


class _Keeper:
    def __init__(self, application: Application) -> None:
        self._application = application
        self._duties = duties(application)
        self._done_at: dict[str, datetime] = {}
        self._rows: dict[tuple[str, Outcome], _Row] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._recharging: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    def hear(self, events: Sequence[tuple[UUID, Event]]) -> None:
        """What was just committed."""
        self._news.set()
        if self._application.gateway is None:
            return
        for tenant_id in {tenant_id for tenant_id, event in events if event.type is EventType.BALANCE_LOW}:
            task = asyncio.create_task(self._recharge(tenant_id))
            self._recharging.add(task)
            task.add_done_callback(self._recharging.discard)

    async def make_rounds(self) -> None:
        while True:
            await self._round()
            await asyncio.sleep(SECONDS_BETWEEN)

    async def make_deliveries(self) -> None:
        """As soon as there is news, and every minute: what did not arrive, and what other processes have committed."""
        while True:
            await self._do(DELIVERIES, self._application.clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_BETWEEN):
                    await self._news.wait()
            await asyncio.sleep(SECONDS_TO_GATHER)
            self._news.clear()

    async def finish(self) -> None:
        if self._recharging:
            await asyncio.wait(self._recharging)

    async def _recharge(self, tenant_id: UUID) -> None:
        try:
            await recharges.recharge(self._application, tenant_id)
        except (PaymentsUnavailableError, PaymentsRefusedError) as error:
            _log.warning("a recharge of tenant %s is left to the next round: %s", tenant_id, error)
        except Exception:  # noqa: BLE001  # nobody awaits it; the next round tries again
            _log.exception("a recharge of tenant %s failed", tenant_id)

    async def _round(self) -> None:
        for duty in self._duties:
            now = self._application.clock()
            last = self._done_at.get(duty.name)
            if (last is None or now - last >= duty.every) and await self._do(duty, now):
                self._done_at[duty.name] = now

    async def _do(self, duty: _Duty, now: datetime) -> bool:
        """Whether all was done that there was to do; if not, it is due again in the next round."""
        progress: Progress | None = None
        failed: Exception | None = None
        try:
            progress = await duty.job(self._application, now)
        except (PaymentsUnavailableError, EventsUnavailableError) as error:
            failed = error
            _log.warning("%s: %s", duty.name, error)
        except UNANSWERED as error:
            failed = error
            _log.warning("%s: the database does not answer as it should: %s", duty.name, error)
        except Exception as error:  # noqa: BLE001  # one job must not end the others
            failed = error
            _log.exception("%s failed", duty.name)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A job may have answered the request to stop with an error of its own.
            raise asyncio.CancelledError
        try:
            await self._write_down(duty.name, progress, failed)
        except UNANSWERED as error:
            _log.warning("a run of %s was not written down: %s", duty.name, error)
        return progress is not None and progress.complete

    async def _write_down(self, name: str, progress: Progress | None, failed: Exception | None) -> None:
        now = self._application.clock()
        outcome = Outcome.FAILED if progress is None else outcome_of(progress)
        row = self._rows.get((name, outcome))
        fresh = row is None or now - row.since >= HOUR
        if row is None or fresh:
            row = self._rows[name, outcome] = _Row(new_id(now), now)
        news = fresh or self._outcomes.get(name) is not outcome
        self._outcomes[name] = outcome
        if news or progress is None or progress.done:
            await job_runs.add(self._application, row.id, name, now, progress, failed)
