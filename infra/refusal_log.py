"""The log of refusals: kept for their receipts, after the batch, bounded and as well as can be.

A refusal is never slower for being logged, and no decision waits for the log: when more wait than it
holds, the newest are dropped, and counted in the server's log.
"""

import asyncio
import logging
from collections import deque
from dataclasses import fields
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from domain.holds import ModelName
from domain.receipts import Asked
from domain.refusals import Refusal
from infra.reservation_rows import attribution_json, attribution_of, json
from infra.transaction import UNANSWERED

MOST_KEPT: Final = 10_000
LARGEST_WRITE: Final = 1_000
WRITE: Final = """
INSERT INTO refusal (tenant_id, id, operation, code, message, figures, asked, created_at)
SELECT v.tenant_id, v.id, v.operation, v.code, v.message, v.figures::jsonb, v.asked::jsonb, v.created_at
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
    AS v (tenant_id, id, operation, code, message, figures, asked, created_at)"""

_log = logging.getLogger(__name__)


class _Kept(NamedTuple):
    tenant_id: UUID
    id: UUID
    operation: str
    code: str
    message: str
    figures: str
    asked: str | None
    created_at: datetime


class RefusalLog:
    """Writes refusals in the background while there are any."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._kept: deque[_Kept] = deque()
        self._dropped = 0
        self._writer: asyncio.Task[None] | None = None

    def add(
        self,
        tenant_id: UUID,
        identifier: UUID,
        operation: str,
        refusal: Refusal,
        at: datetime,
        asked: Asked | None = None,
    ) -> None:
        """Keep a refusal, if there is room, with what a reserve asked for."""
        if len(self._kept) >= MOST_KEPT:
            self._dropped += 1
            return
        figures = json({field.name: getattr(refusal, field.name) for field in fields(refusal)})
        wanted = None if asked is None else asked_json(asked)
        code, message = refusal.code.value, refusal.message
        self._kept.append(_Kept(tenant_id, identifier, operation, code, message, figures, wanted, at))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Wait until what was refused before is written."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._kept:
            rows = [self._kept.popleft() for _ in range(min(LARGEST_WRITE, len(self._kept)))]
            try:
                await self._pool.execute(WRITE, *zip(*rows, strict=True))
            except UNANSWERED:
                _log.exception("refusals were not kept: %d", len(rows))
        if self._dropped:
            _log.warning("refusals were dropped: %d", self._dropped)
            self._dropped = 0


def asked_json(asked: Asked) -> str:
    """What was asked for, as it is stored."""
    model = None if asked.model is None else (asked.model.provider, asked.model.model, asked.model.operation)
    return json((asked.feature, asked.quantity, model, attribution_json(asked.attribution)))


def asked_of(text: str) -> Asked:
    """The other way round."""
    feature, quantity, model, attribution = orjson.loads(text)
    return Asked(feature, quantity, None if model is None else ModelName(*model), attribution_of(attribution))
