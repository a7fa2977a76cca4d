"""Usage events by id. An id carries the moment of its event in milliseconds, and so its partition."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from domain.attribution import Attribution
from domain.ids import milliseconds_of
from domain.prices import Tokens
from domain.usage import Priced, Route, Usage, UsageEvent, UsageKind
from infra.application import Application
from infra.identifiers import EPOCH, MILLISECOND

_BY_ID: Final = """
SELECT u.id, occurred_at, recorded_at, kind, provider, model, operation, feature, reservation_id, project, research,
    campaign, account, client, agent_role, session, task_run, tags, route, calls, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, units, results, cost, price_effective_from, charges,
    duration_ms, success, prompt_hash, response_hash, trace_id, source, event_id
FROM unnest($2::uuid[], $3::timestamptz[]) AS asked (id, millisecond)
JOIN usage_event u ON u.tenant_id = $1 AND u.id = asked.id
    AND u.occurred_at >= asked.millisecond AND u.occurred_at < asked.millisecond + interval '1 millisecond'"""
_LAST_MILLISECOND: Final = (datetime(9999, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[UsageEvent | None]:
    """Events in the order asked; None for those that the tenant does not have."""
    asked = [identifier for identifier in ids if milliseconds_of(identifier) < _LAST_MILLISECOND]
    moments = [EPOCH + milliseconds_of(identifier) * MILLISECOND for identifier in asked]
    rows = await application.readers.fetch(_BY_ID, tenant_id, asked, moments)
    found = {row[0]: _event(row) for row in rows}
    return [found.get(identifier) for identifier in ids]


def _event(row: asyncpg.Record) -> UsageEvent:
    tags = {} if row["tags"] is None else orjson.loads(row["tags"])
    charges = [] if row["charges"] is None else orjson.loads(row["charges"])
    usage = Usage(
        kind=UsageKind(row["kind"]),
        provider=row["provider"],
        model=row["model"],
        operation=row["operation"],
        calls=row["calls"],
        tokens=Tokens(
            row["input_tokens"],
            row["output_tokens"],
            row["cache_read_tokens"],
            row["cache_write_tokens"],
            row["reasoning_tokens"],
        ),
        units=row["units"],
        results=row["results"],
        source=row["source"],
        event_id=row["event_id"],
        duration_ms=row["duration_ms"],
        success=row["success"],
        prompt_hash=row["prompt_hash"],
        response_hash=row["response_hash"],
        trace_id=row["trace_id"],
        occurred_at=row["occurred_at"],
    )
    attribution = Attribution(
        project=row["project"],
        research=row["research"],
        campaign=row["campaign"],
        account=row["account"],
        client=row["client"],
        agent_role=row["agent_role"],
        session=row["session"],
        task_run=row["task_run"],
        tags=tuple(sorted(tags.items())),
    )
    return UsageEvent(
        row["id"],
        usage,
        row["occurred_at"],
        row["recorded_at"],
        row["feature"],
        row["reservation_id"],
        attribution,
        Route(row["route"]),
        Priced(row["cost"], row["price_effective_from"]),
        tuple((wallet_key, amount, sequence) for wallet_key, amount, sequence in charges),
    )
