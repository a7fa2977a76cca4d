"""Usage events as they are now: with their amendments, of which re-rating adds some, or as they were recorded. It changes no
event."""

from typing import Final

import asyncpg
import orjson

from domain.attribution import Attribution
from domain.prices import Tokens
from domain.usage import Priced, Route, Usage, UsageEvent, UsageKind
from infra.reservation_rows import counted_of

# In their order: what was added to the cost, to the charges, and which price holds now. Of the tenant $1.
WITH_AMENDMENTS: Final = """
SELECT u.id, u.occurred_at, u.recorded_at, kind, provider, model, operation, feature, reservation_id, project, research,
    campaign, account, client, agent_role, session, task_run, tags, route, calls, input_tokens, output_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, units, results, u.cost, price_effective_from, u.charges,
    duration_ms, success, prompt_hash, response_hash, trace_id, source, event_id, counted, under_reservation, steps,
    a.amendments, a.cost AS added_cost, a.unpriced AS added_unpriced, a.charges AS added_charges, a.price AS new_price
FROM ({events}) u
CROSS JOIN LATERAL (
    SELECT count(*) AS amendments, sum(cost)::bigint AS cost, sum(unpriced) AS unpriced,
        jsonb_agg(charges ORDER BY recorded_at, id) FILTER (WHERE charges IS NOT NULL) AS charges,
        (array_agg(price_effective_from ORDER BY recorded_at DESC, id DESC))[1] AS price
    FROM usage_amendment WHERE tenant_id = $1 AND event_id = u.id
) a"""
# Those of the ids $2, which happened in the milliseconds $3: an id carries the one of its event, and so its partition. By
# LIMIT each is looked up for itself, whatever the statistics say.
BY_ID: Final = WITH_AMENDMENTS.format(
    events="""
    SELECT e.* FROM unnest($2::uuid[], $3::timestamptz[]) AS asked (id, millisecond)
    CROSS JOIN LATERAL (
        SELECT * FROM usage_event WHERE tenant_id = $1 AND id = asked.id
            AND occurred_at >= asked.millisecond AND occurred_at < asked.millisecond + interval '1 millisecond' LIMIT 1
    ) e"""
)

# As they were recorded, without what was added since.
AS_RECORDED: Final = """
SELECT u.*, 0 AS amendments, NULL AS added_charges FROM ({events}) u"""


def event_of(row: asyncpg.Record) -> UsageEvent:
    """The event of a row of WITH_AMENDMENTS."""
    tags = {} if row["tags"] is None else orjson.loads(row["tags"])
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
    priced = _priced(row)
    return UsageEvent(
        row["id"],
        usage,
        row["occurred_at"],
        row["recorded_at"],
        row["feature"],
        row["reservation_id"],
        attribution,
        Route(row["route"]),
        priced,
        _charges(row),
        row["counted"] if priced.cost is None else None,
        row["under_reservation"],
        None if row["steps"] is None else counted_of(orjson.loads(row["steps"])),
    )


def _priced(row: asyncpg.Record) -> Priced:
    """What an event costs by now: unknown until an amendment brought its price."""
    if not row["amendments"]:
        return Priced(row["cost"], row["price_effective_from"])
    unpriced = (row["cost"] is None) + row["added_unpriced"]
    cost = None if unpriced else (row["cost"] or 0) + row["added_cost"]
    return Priced(cost, row["new_price"])


def _charges(row: asyncpg.Record) -> tuple[tuple[str, int, int], ...]:
    """What an event is charged by now, per wallet, each with the entry that charged it first; nothing where corrections
    have taken it back."""
    found = [] if row["charges"] is None else orjson.loads(row["charges"])
    for added in [] if row["added_charges"] is None else orjson.loads(row["added_charges"]):
        found.extend(added)
    charges: dict[str, tuple[int, int]] = {}
    for wallet_key, amount, sequence in found:
        before, entry = charges.get(wallet_key, (0, sequence))
        charges[wallet_key] = (before + amount, entry)
    return tuple([(key, amount, entry) for key, (amount, entry) in charges.items() if amount])
