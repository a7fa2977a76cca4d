"""The log of refusals: kept for their receipts, after the batch, bounded and as well as can be.

A refusal is never slower for being logged, and no decision waits for the log: when more wait than it
holds, the newest are dropped, and counted in the server's log.
"""

import asyncio
import json
import logging
from collections import deque
from dataclasses import asdict
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from domain.holds import ModelName
from domain.receipts import Asked
from domain.refusals import Refusal
from infra.reservation_rows import attribution_json, attribution_of, estimate_fields, estimate_of
from infra.reservation_rows import json as json_of
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
        self._added = self._done = self._dropped = 0
        self._progress = asyncio.Event()
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
        # What a request comes to may be more than 64 bits hold; PostgreSQL and this JSON take it.
        figures = json.dumps(asdict(refusal))
        wanted = None if asked is None else asked_json(asked)
        code, message = refusal.code.value, refusal.message
        self._kept.append(_Kept(tenant_id, identifier, operation, code, message, figures, wanted, at))
        self._added += 1
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Wait until what was refused before is written, or lost; not for what is refused meanwhile."""
        last = self._added
        while self._done < last and self._writer is not None and not self._writer.done():
            await self._progress.wait()

    async def _write(self) -> None:
        while self._kept:
            rows = [self._kept.popleft() for _ in range(min(LARGEST_WRITE, len(self._kept)))]
            try:
                await self._pool.execute(WRITE, *zip(*rows, strict=True))
            except UNANSWERED:
                _log.exception("refusals were not kept: %d", len(rows))
            finally:
                self._done += len(rows)
                self._progress.set()
                self._progress = asyncio.Event()
        if self._dropped:
            _log.warning("refusals were dropped: %d", self._dropped)
            self._dropped = 0


def asked_json(asked: Asked) -> str:
    """What was asked for, as it is stored."""
    model = None if asked.model is None else (asked.model.provider, asked.model.model, asked.model.operation)
    work = (asked.feature, asked.quantity, model, attribution_json(asked.attribution))
    return json_of((*work, estimate_fields(asked.estimate), asked.task_key, asked.idempotency_key))


def asked_of(text: str) -> Asked:
    """The other way round."""
    feature, quantity, model, attribution, *more = orjson.loads(text)
    name, whose = None if model is None else ModelName(*model), attribution_of(attribution)
    if not more:  # kept before there were back-tests
        return Asked(feature, quantity, name, whose)
    estimate, task_key, idempotency_key = more
    return Asked(feature, quantity, name, whose, estimate_of(estimate), task_key, idempotency_key)
