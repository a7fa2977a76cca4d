"""Breakdown: thirty days by day and model of one tenant, from the rollups against the same answer from raw rows.

Five tenants share 5 million events of thirty days, then 10 million of the same days. The last of them come after the
roll-up, so that the running hour is marked and read raw. The sides of a round run one after the other in changing order,
and the answers must be the same to the last digit. A ratio is the median of the rounds' ratios.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import asyncpg
import uvloop

from benchmarks._figures import Steps, show
from benchmarks._load import make_tenants
from benchmarks._scratch import scratch_postgres
from domain.breakdowns import Dimension, UsageFilter
from infra.application import Application, open_application
from infra.deciding import utc_now
from infra.queries.usage_breakdowns import usage_breakdown
from infra.schema import migrate
from infra.services.rollups import roll_up
from infra.settings import Settings

TENANTS: Final = 5
DAYS: Final = 30
# At least as much faster than raw rows; at most as much slower with twice the events.
LEAST_RATIO: Final = 50.0
MOST_GROWTH: Final = 1.2
# Ten models, four agent roles, twelve campaigns; amounts that tell rows apart. $4: how many events before these.
_FILL: Final = """
INSERT INTO usage_event (tenant_id, id, occurred_at, recorded_at, kind, provider, model, feature, campaign, agent_role,
    session, route, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost,
    duration_ms, success, source, event_id)
SELECT ($1::uuid[])[1 + n % cardinality($1)], gen_random_uuid(), $2::timestamptz + (n::float8 / $5) * $3::interval,
    now(), 'LLM', 'provider-' || n % 3, 'model-' || n % 10, 'llm_call', 'campaign-' || n % 12, 'role-' || n % 4,
    's' || n / 50, 'MANAGED', 1, n % 2000, n % 700, n % 100, 0, 0, 1000 + n % 99991, 800, n % 50 <> 0, 'bench',
    'e' || $4::bigint + n
FROM generate_series(0, $5::bigint - 1) n"""
_MARK: Final = """
INSERT INTO usage_mark (tenant_id, quarter)
SELECT t, q FROM unnest($1::uuid[]) t, generate_series($2::timestamptz, $3::timestamptz, interval '15 minutes') q"""
_RAW: Final = """
SELECT (occurred_at AT TIME ZONE 'UTC')::date::text, model, count(*), sum(input_tokens), sum(output_tokens), sum(cost)
FROM usage_event WHERE tenant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 GROUP BY 1, 2 ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many events at first (then twice as many), and how often they are asked for."""

    events: int
    rounds: int


WHOLE: Final = Size(5_000_000, 9)
QUICK: Final = Size(20_000, 2)


@dataclass(slots=True)
class Stage:
    """The times of one number of events, in seconds."""

    events: int
    rollups: list[float]
    raw: list[float]
    raw_rows: int = 0


async def run(url: str, size: Size) -> dict[str, Any]:
    """The whole benchmark on an empty database."""
    await migrate(url)
    # Midnight, so that all days are whole but the last, whose last hour is not rolled up.
    end = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS)
    async with open_application(Settings.from_environment(), url) as application:
        tenants = await make_tenants(application, TENANTS, "bench")
        owner = await asyncpg.connect(url)
        steps = Steps(2 * (3 + size.rounds))
        stages: list[Stage] = []
        try:
            for number in range(2):
                stage = Stage(size.events * (number + 1), [], [])
                await _fill(owner, tenants, start, end, size.events, number, steps)
                steps.next("rolling up")
                await roll_up(application, end - timedelta(minutes=30))
                steps.next("letting PostgreSQL count its rows")
                await owner.execute("VACUUM (ANALYZE) usage_event")
                for table in ("usage_day", "usage_hour", "usage_mark"):
                    await owner.execute(f"VACUUM (ANALYZE) {table}")
                for turn in range(size.rounds):
                    steps.next(f"{stage.events:,} events, round {turn + 1}")
                    await _round(application, tenants[0], start, end, stage, rollups_first=turn % 2 == 0)
                stages.append(stage)
        finally:
            await owner.close()
        steps.done()
    return _result(stages)


async def _fill(
    owner: asyncpg.Connection,
    tenants: Sequence[UUID],
    start: datetime,
    end: datetime,
    events: int,
    number: int,
    steps: Steps,
) -> None:
    steps.next(f"writing {events:,} events")
    await owner.execute(_FILL, tenants, start, end - start, events * number, events, timeout=3600)
    await owner.execute(_MARK, tenants, start, end)


async def _round(
    application: Application, tenant_id: UUID, start: datetime, end: datetime, stage: Stage, *, rollups_first: bool
) -> None:
    wanted = UsageFilter(start, end)
    answers: dict[str, list[tuple[Any, ...]]] = {}
    for side in ("rollups", "raw") if rollups_first else ("raw", "rollups"):
        before = perf_counter()
        if side == "rollups":
            found = await usage_breakdown(application, tenant_id, wanted, [Dimension.DAY, Dimension.MODEL], top=1000)
            stage.rollups.append(perf_counter() - before)
            answers[side] = sorted(
                (
                    *[key.value for key in row.keys],
                    row.totals.events,
                    row.totals.input_tokens,
                    row.totals.output_tokens,
                    row.totals.cost,
                )
                for row in found.rows
            )
        else:
            rows = await application.across_tenants.fetch(_RAW, tenant_id, start, end)
            stage.raw.append(perf_counter() - before)
            answers[side] = [tuple(row) for row in rows]
            stage.raw_rows = sum(row[2] for row in rows)
    assert answers["rollups"] == answers["raw"], "both sides answer the same"


def _result(stages: Sequence[Stage]) -> dict[str, Any]:
    small, large = stages
    return {
        "stages": [
            {
                "events": stage.events,
                "events_of_the_tenant": stage.raw_rows,
                "rollups_ms": median(stage.rollups) * 1000,
                "raw_ms": median(stage.raw) * 1000,
                "ratio": median(raw / mine for raw, mine in zip(stage.raw, stage.rollups, strict=True)),
            }
            for stage in stages
        ],
        "growth": median(large.rollups) / median(small.rollups),
    }


def _print(result: dict[str, Any]) -> None:
    show(
        "Thirty days by day and model of one of five tenants: milliseconds",
        ("events", "of the tenant", "rollups", "raw rows", "x"),
        [
            (
                f"{stage['events']:,}",
                f"{stage['events_of_the_tenant']:,}",
                f"{stage['rollups_ms']:.2f}",
                f"{stage['raw_ms']:.1f}",
                f"{stage['ratio']:.0f}",
            )
            for stage in result["stages"]
        ],
    )
    for name, met in (
        (
            f"{result['stages'][0]['ratio']:.0f} x raw rows, aim {LEAST_RATIO:g}",
            result["stages"][0]["ratio"] >= LEAST_RATIO,
        ),
        (f"{result['growth']:.2f} x with twice the events, aim within {MOST_GROWTH}", result["growth"] <= MOST_GROWTH),
    ):
        print(f"{'reached' if met else 'MISSED '}  {name}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {WHOLE.rounds}")
    parser.add_argument(
        "--events", type=int, default=None, help=f"at first, then twice as many; default {WHOLE.events:,}"
    )
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the scratch data")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else WHOLE
    size = Size(options.events or size.events, options.rounds or size.rounds)
    with scratch_postgres(options.folder) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(url, size))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(result)


if __name__ == "__main__":
    main()
