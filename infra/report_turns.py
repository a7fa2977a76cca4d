"""Turns of reports: sums over much usage take turns, so that admission and keys never wait behind them for a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

MOST_OF_TENANT: Final = 2


class ReportTurns:
    """At most `at_once` reports, and of one tenant at most two: the others wait without a connection."""

    def __init__(self, at_once: int) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._of_tenant: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Wait for a turn, and keep it for the body."""
        own = self._of_tenant.get(tenant_id)
        if own is None:
            own = self._of_tenant[tenant_id] = asyncio.Semaphore(MOST_OF_TENANT)
        async with own, self._all:
            yield
