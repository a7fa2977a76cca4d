"""Housekeeping: what a server does by itself beside answering.

A wallet that ran low recharges as soon as the commit that crossed its threshold is done. Every minute the jobs run that
elsewhere have schedules: cycles, overdue reservations, orders left pending, recharges that were missed. All of them
decide by what is true under the tenant's lock, so they may run in any number of processes, beside the same jobs on AWS.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from domain.books import Event, EventType
from infra.application import Application
from infra.payments import PaymentsRefusedError, PaymentsUnavailableError
from infra.services import cycles, recharges, reservations, topups
from infra.services.progress import Progress

Job = Callable[[Application, datetime], Awaitable[Progress]]

SECONDS_BETWEEN: Final = 60.0

_log: Final = logging.getLogger(__name__)


@asynccontextmanager
async def housekeeping(application: Application) -> AsyncIterator[None]:
    """Keep house while the body runs; what has begun is finished first."""
    keeper = _Keeper(application)
    application.group_commit.deciding.listeners.append(keeper.hear)
    rounds = asyncio.create_task(keeper.make_rounds())
    try:
        yield
    finally:
        application.group_commit.deciding.listeners.remove(keeper.hear)
        rounds.cancel()
        with suppress(asyncio.CancelledError):
            await rounds
        await keeper.finish()


class _Keeper:
    def __init__(self, application: Application) -> None:
        self._application = application
        self._recharging: set[asyncio.Task[None]] = set()

    def hear(self, events: Sequence[tuple[UUID, Event]]) -> None:
        """What was just committed."""
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
        application = self._application
        jobs: list[Job] = [cycles.start_due, reservations.expire_all_due]
        if application.gateway is not None:
            jobs += [topups.reconcile, recharges.recharge_due]
        for job in jobs:
            try:
                await job(application, application.clock())
            except PaymentsUnavailableError as error:
                _log.warning("the payment service does not answer: %s", error)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("the database does not answer: %s", error)
            except Exception:  # noqa: BLE001  # one job must not end the others
                _log.exception("a job of the round failed")
