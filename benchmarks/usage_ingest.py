"""Ingest: recordUsage in batches of 1,000, every event with its identity, against COPY of the same rows; and what
admission feels of it.

Both sides write the same rows into tables of the same indexes, COPY on one connection; recordUsage has four callers, checks, prices
and counts every event, and writes its key. Then 16 callers reserve and consume on the same tenant, alone and beside the
ingest, in the same process. The sides of a round run one after the other in changing order, and a ratio is the median of
the rounds' ratios. Every answer is checked, and at the end the books.
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

from benchmarks._books import check_books
from benchmarks._figures import Steps, Window, ratio, show
from benchmarks._load import Told, Workload, drive, make_tenants
from benchmarks._scratch import scratch_postgres
from domain.attribution import Attribution
from domain.prices import Tokens
from domain.usage import Priced, Route, Usage, UsageEvent
from infra.application import Application, open_application
from infra.collector import seldom_collected
from infra.deciding import utc_now
from infra.identifiers import new_id
from infra.schema import migrate
from infra.services import usage
from infra.services.callers import Caller, Role
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from infra.statements import USAGE_COLUMNS
from infra.usage_rows import event_row

BATCH: Final = 1_000
CALLERS: Final = 4
ADMISSION_CALLERS: Final = 16
# 1,200 tokens at 2.50 and 300 at 10 dollars a million.
COST: Final = 1_200 * 2_500 + 300 * 10_000
# At least this part of COPY's rate; at most so many times admission's own p99.
LEAST_RATIO: Final = 0.4
MOST_P99: Final = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many rounds, batches a round, and seconds of admission."""

    rounds: int
    batches: int
    seconds: float


WHOLE: Final = Size(7, 60, 3.0)
QUICK: Final = Size(1, 6, 0.5)


class Benchmark:
    """The sides and what they measured."""

    def __init__(self, application: Application, connection: asyncpg.Connection, tenant_id: UUID, size: Size) -> None:
        self.rates: dict[str, list[float]] = {"copy": [], "recordUsage": []}
        self.admission: dict[str, list[Window]] = {"alone": [], "beside": []}
        self.beside_rates: list[float] = []
        self.told = Told()
        self.recorded = 0
        self._application = application
        self._connection = connection
        self._tenant_id = tenant_id
        self._caller = Caller(tenant_id, Role.SERVICE, "key:bench")
        self._size = size
        self._runs = 0

    async def round(self, number: int, steps: Steps) -> None:
        """COPY and recordUsage, then admission without and with it."""
        sides = ["copy", "recordUsage"]
        for side in sides if number % 2 == 0 else reversed(sides):
            steps.next(f"round {number + 1}: {side}")
            now = utc_now()
            batches = [_events(f"{number}-{batch}", now) for batch in range(self._size.batches)]
            if side == "copy":
                await self._copy(batches, now)
            else:
                self.rates[side].append(await self._record(batches))
        for side in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
            steps.next(f"round {number + 1}: admission {side}")
            await self._admit(side)

    async def check(self) -> None:
        """All that was answered stands in the books."""
        kept = await self._connection.fetchval(
            "SELECT count(*) FROM usage_key WHERE tenant_id = $1 AND source = 'bench'", self._tenant_id
        )
        assert kept == self.recorded, (kept, self.recorded)
        await check_books(self._application)

    async def _copy(self, batches: Sequence[Sequence[ReportedUsage]], now: datetime) -> None:
        rows = [[event_row(self._tenant_id, _kept(event, now)) for event in batch] for batch in batches]
        await self._connection.execute("TRUNCATE copied")
        before = perf_counter()
        for batch in rows:
            await self._connection.copy_records_to_table("copied", records=batch, columns=USAGE_COLUMNS)
        self.rates["copy"].append(sum(map(len, rows)) / (perf_counter() - before))

    async def _record(self, batches: Sequence[Sequence[ReportedUsage]]) -> float:
        waiting = list(batches)
        before = perf_counter()

        async def call() -> None:
            while waiting:
                batch = waiting.pop()
                report = await usage.record_usage(self._application, self._caller, batch)
                assert (report.accepted, report.cost) == (len(batch), COST * len(batch)), report
                self.recorded += report.accepted

        await asyncio.gather(*[call() for _ in range(CALLERS)])
        return sum(map(len, batches)) / (perf_counter() - before)

    async def _admit(self, side: str) -> None:
        self._runs += 1
        workload = Workload("", ADMISSION_CALLERS, "llm_call", [self._tenant_id])
        ends = asyncio.Event()
        ingest = asyncio.create_task(self._ingest(ends)) if side == "beside" else None
        self.admission[side].append(
            Window(*await drive(self._application, workload, self._size.seconds, f"run{self._runs}", self.told))
        )
        ends.set()
        if ingest is not None:
            self.beside_rates.append(await ingest)

    async def _ingest(self, ends: asyncio.Event) -> float:
        """Batches that were made before, one after the other, until the end."""
        now = utc_now()
        prepared = [_events(f"beside-{self._runs}-{number}", now) for number in range(self._size.batches)]
        before, recorded, number = perf_counter(), self.recorded, 0
        while not ends.is_set() and number < len(prepared):
            await self._record(prepared[number : number + 1])
            number += 1
        return (self.recorded - recorded) / (perf_counter() - before)


def _events(name: str, now: datetime) -> list[ReportedUsage]:
    return [
        ReportedUsage(
            Usage(
                provider="openai",
                model="gpt-4o",
                tokens=Tokens(1_200, 300),
                source="bench",
                event_id=f"{name}-{number}",
                duration_ms=800,
                prompt_hash="a" * 64,
                occurred_at=now - timedelta(seconds=number % 3_600),
            ),
            None,
            None,
            Attribution(
                project="p",
                campaign=f"campaign-{number % 20}",
                account=f"account-{number % 500}",
                agent_role=f"role-{number % 5}",
                session=f"session-{number % 200}",
                tags=(("environment", "production"),),
            ),
        )
        for number in range(BATCH)
    ]


def _kept(event: ReportedUsage, now: datetime) -> UsageEvent:
    occurred = event.usage.occurred_at or now
    return UsageEvent(
        new_id(occurred), event.usage, occurred, now, None, None, event.attribution, Route.MANAGED, Priced(COST, now)
    )


async def run(url: str, size: Size) -> dict[str, Any]:
    """The whole benchmark on an empty database."""
    await migrate(url)
    async with open_application(Settings.from_environment(), url) as application:
        (tenant_id,) = await make_tenants(application, 1, "bench")
        connection = await asyncpg.connect(url)
        try:
            # A table of its own, so that the audit finds no events without keys.
            await connection.execute("CREATE TABLE copied (LIKE usage_event INCLUDING ALL)")
            benchmark = Benchmark(application, connection, tenant_id, size)
            steps = Steps(4 * size.rounds + 1)
            for number in range(size.rounds):
                await benchmark.round(number, steps)
            steps.next("checking the books against the answers")
            await benchmark.check()
            steps.done()
        finally:
            await connection.close()
    return _result(benchmark)


def _result(benchmark: Benchmark) -> dict[str, Any]:
    alone, beside = benchmark.admission["alone"], benchmark.admission["beside"]
    return {
        "copy": median(benchmark.rates["copy"]),
        "record_usage": median(benchmark.rates["recordUsage"]),
        "ratio": ratio(benchmark.rates["recordUsage"], benchmark.rates["copy"]),
        "admission_p99_alone": median(window.milliseconds(0.99) for window in alone),
        "admission_p99_beside": median(window.milliseconds(0.99) for window in beside),
        "admission_p99_ratio": ratio(
            [window.milliseconds(0.99) for window in beside], [window.milliseconds(0.99) for window in alone]
        ),
        "admission_rate_alone": median(window.rate for window in alone),
        "admission_rate_beside": median(window.rate for window in beside),
        "ingest_beside": median(benchmark.beside_rates),
        "events_checked": benchmark.recorded,
    }


def _print(result: dict[str, Any]) -> None:
    show(
        "Events a second, in batches of 1,000",
        ("COPY", "recordUsage", "x COPY"),
        [(f"{result['copy']:,.0f}", f"{result['record_usage']:,.0f}", f"{result['ratio']:.2f}")],
    )
    show(
        f"Admission of {ADMISSION_CALLERS} callers: commands a second, p99 in ms",
        ("", "commands", "p99"),
        [
            (side, f"{result[f'admission_rate_{side}']:,.0f}", f"{result[f'admission_p99_{side}']:.1f}")
            for side in ("alone", "beside")
        ],
    )
    print(f"Beside admission {result['ingest_beside']:,.0f} events a second were taken.")
    for name, met in (
        (f"{result['ratio']:.2f} of COPY's rate, aim {LEAST_RATIO}", result["ratio"] >= LEAST_RATIO),
        (
            f"admission's p99 beside it {result['admission_p99_ratio']:.2f} x its own, aim within {MOST_P99:g}",
            result["admission_p99_ratio"] <= MOST_P99,
        ),
    ):
        print(f"{'reached' if met else 'MISSED '}  {name}")
    print(f"{result['events_checked']:,} events: the books hold what the callers were told.")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {WHOLE.rounds}")
    parser.add_argument(
        "--seconds", type=float, default=None, help=f"of admission in a round; default {WHOLE.seconds:g}"
    )
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the scratch data; its disk counts")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else WHOLE
    size = Size(options.rounds or size.rounds, size.batches, options.seconds or size.seconds)
    with (
        scratch_postgres(options.folder) as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        seldom_collected(),  # as the server does
    ):
        result = runner.run(run(url, size))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(result)


if __name__ == "__main__":
    main()
