"""Uses of API keys: when each was last used, written in the background and at most once a minute for a key.

No request waits for it, and what cannot be written is lost: it is noted again within the minute.
"""

import asyncio
import logging
from datetime import UTC, datetime
from time import monotonic
from typing import Final
from uuid import UUID

import asyncpg

from infra.transaction import UNANSWERED

SECONDS_BETWEEN_NOTES: Final = 60.0
MOST_KEPT: Final = 10_000
# Other processes note the same keys.
WRITE: Final = """
UPDATE api_key SET last_used_at = v.at FROM unnest($1::uuid[], $2::timestamptz[]) AS v (id, at)
WHERE api_key.id = v.id AND (last_used_at IS NULL OR last_used_at <= v.at - interval '1 minute')"""

_log: Final = logging.getLogger(__name__)


class KeyUses:
    """Notes which keys are used."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._noted: dict[UUID, float] = {}
        self._kept: dict[UUID, datetime] = {}
        self._writer: asyncio.Task[None] | None = None

    def note(self, key_id: UUID) -> None:
        """A key is used now."""
        now = monotonic()
        if now - self._noted.get(key_id, -SECONDS_BETWEEN_NOTES) < SECONDS_BETWEEN_NOTES:
            return
        if len(self._noted) >= MOST_KEPT:
            self._noted.clear()
        self._noted[key_id] = now
        self._kept[key_id] = datetime.now(UTC)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what is kept."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._kept:
            uses, self._kept = self._kept, {}
            try:
                # Sorted, so that two processes wait for each other instead of stopping each other.
                await self._pool.execute(WRITE, sorted(uses), [uses[key_id] for key_id in sorted(uses)])
            except UNANSWERED:
                _log.warning("uses of keys were not noted: %d", len(uses), exc_info=True)
