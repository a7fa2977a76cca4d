"""Hints: what a commit has changed, told to whoever may want to look: a tenant's id and nothing else.

The process's own feed hears at once. Other processes hear by NOTIFY, on another connection after the commit: within a
transaction it would have all commits wait for each other. One statement tells of all tenants that were changed since the
last one. A hint that is lost costs time alone: the feed looks by itself every few seconds.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from typing import Final
from uuid import UUID

import asyncpg

from infra.feed import Feed
from infra.transaction import UNANSWERED

WALLETS: Final = "purser_wallet"
USAGE: Final = "purser_usage"
SECONDS_BETWEEN: Final = 0.05

_NOTIFY: Final = """
SELECT count(pg_notify(channel, tenant_id::text)) FROM unnest($1::text[], $2::uuid[]) AS hint (channel, tenant_id)"""
_log: Final = logging.getLogger(__name__)


class Hints:
    """Tells of what this process has changed."""

    def __init__(self, pool: asyncpg.Pool, feed: Feed) -> None:
        self._pool = pool
        self._feed = feed
        self._waiting: set[tuple[str, UUID]] = set()
        self._sender: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def give(self, channel: str, tenant_ids: Collection[UUID]) -> None:
        """These tenants' wallets (WALLETS) or usage (USAGE) were changed by what is committed."""
        if not tenant_ids:
            return
        self._feed.hint(channel, tenant_ids)
        self._waiting.update([(channel, tenant_id) for tenant_id in tenant_ids])
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Tell other processes at once of what waits."""
        self._hurry.set()
        if self._sender is not None:
            await asyncio.wait([self._sender])
        self._hurry.clear()

    async def _send(self) -> None:
        while self._waiting:
            told, self._waiting = self._waiting, set()
            try:
                async with self._pool.acquire() as connection:
                    sender = connection.get_server_pid()
                    self._feed.own = ((sender, WALLETS), (sender, USAGE))
                    await connection.execute(_NOTIFY, *zip(*told, strict=True))
            except UNANSWERED as error:
                _log.warning("other processes hear of %d changes later: %s", len(told), error)
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_BETWEEN):
                    await self._hurry.wait()
