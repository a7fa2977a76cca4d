"""Admission: reserve and consume with every rule on, by group commit, against two others on the same server.

(a) the same code with batches of one, on its best number of connections;
(b) pgbench updating one hot row and inserting one row per transaction, with its best number of clients.

A command is one reserve or one consume; a transaction of pgbench counts as one. The sides of a round run one after
the other in changing order, and a ratio is the median of the rounds' ratios. Every answer is checked, and at the end
the books against the answers.
"""

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks._books import check_books
from benchmarks._figures import Steps, Window, ratio, show, summary
from benchmarks._load import Told, Workload, check, drive, make_tenants
from benchmarks._one_by_one import one_by_one
from benchmarks._pgbench import Pgbench
from benchmarks._phases import Phases
from benchmarks._scratch import scratch_postgres
from infra.application import Application, open_application
from infra.collector import seldom_collected
from infra.schema import migrate
from infra.settings import Settings

HOT: Final = "one hot wallet"
SPREAD: Final = "1,000 wallets"
# Workload: least ratio to (a), least ratio to (b), highest p99 in milliseconds, highest p50 as a multiple of (a)'s.
AIMS: Final = {
    f"{HOT}, 64 callers": (15.0, 4.0, 10.0, None),
    f"{HOT}, 256 callers": (15.0, 4.0, None, None),
    f"{SPREAD}, 64 callers": (3.5, None, None, None),
    f"{SPREAD}, 256 callers": (3.5, None, None, None),
    "a lone caller": (None, None, None, 1.3),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how often."""

    rounds: int
    seconds: float
    seconds_to_try: float
    tenants: int
    connections: Sequence[int]
    clients: Sequence[int]


WHOLE: Final = Size(5, 2.0, 1.0, 1_000, (1, 2, 4, 8, 16), (1, 2, 4, 8, 16, 32, 64))
QUICK: Final = Size(1, 0.3, 0.2, 20, (1, 4), (1, 8))


class Benchmark:
    """The sides, what they measured, and what they were told."""

    def __init__(self, application: Application, singles: dict[int, Application], pgbench: Pgbench, size: Size) -> None:
        self.told = Told()
        self.windows: defaultdict[tuple[str, str], list[Window]] = defaultdict(list)
        self.pgbench_rates: defaultdict[str, list[float]] = defaultdict(list)
        self.best_connections: dict[str, int] = {}
        self.best_clients = 0
        self._application = application
        self._singles = singles
        self._pgbench = pgbench
        self._size = size
        self._runs = 0

    async def find_best(self, families: dict[str, Workload], steps: Steps) -> None:
        """Give (a) and (b) the number of connections that suits them best."""
        for family, workload in families.items():
            rates: dict[int, float] = {}
            for connections, application in self._singles.items():
                steps.next(f"(a) on {connections} connections: {family}")
                rates[connections] = (await self._window(application, workload, self._size.seconds_to_try)).rate
            self.best_connections[family] = max(rates, key=lambda connections: rates[connections])
        rates = {}
        for clients in self._size.clients:
            steps.next(f"(b) with {clients} clients")
            rates[clients] = await self._pgbench.rate(clients, 1)
        self.best_clients = max(rates, key=lambda clients: rates[clients])

    async def round(self, number: int, workloads: dict[str, Workload], steps: Steps) -> None:
        """Every workload on every side, in turn."""
        for name, workload in workloads.items():
            family = family_of(workload)
            single = self._singles[1 if workload.callers == 1 else self.best_connections[family]]
            sides: list[tuple[str, Application | None]] = [("group commit", self._application), ("(a)", single)]
            if family == HOT and workload.callers > 1:
                sides.append(("(b)", None))
            for side, application in sides if number % 2 == 0 else reversed(sides):
                steps.next(f"round {number + 1}: {name}, {side}")
                if application is None:
                    seconds = max(1, round(self._size.seconds))
                    self.pgbench_rates[name].append(await self._pgbench.rate(self.best_clients, seconds))
                else:
                    window = await self._window(application, workload, self._size.seconds)
                    self.windows[name, side].append(window)

    async def profile(self, workload: Workload) -> Phases:
        """One more window, watched."""
        phases = Phases()
        with phases.watching():
            await self._window(self._application, workload, self._size.seconds)
        return phases

    async def check(self, tenants: Sequence[Any]) -> None:
        """All that was answered stands in the books."""
        await check(self._application, tenants, self.told)
        await self._pgbench.check()
        await check_books(self._application)

    async def _window(self, application: Application, workload: Workload, seconds: float) -> Window:
        self._runs += 1
        return Window(*await drive(application, workload, seconds, f"run{self._runs}", self.told))


def family_of(workload: Workload) -> str:
    """Workloads that get the same number of connections."""
    if workload.feature == "email_send":
        return f"{HOT}, email_send"
    return HOT if len(workload.tenants) == 1 else SPREAD


async def run(url: str, size: Size, *, profile: bool) -> dict[str, Any]:
    """The whole benchmark on an empty database."""
    await migrate(url)
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(open_application(Settings.from_environment(), url))
        singles = await stack.enter_async_context(one_by_one(application, url, size.connections))
        pgbench = Pgbench(url)
        await pgbench.prepare()
        benchmark = Benchmark(application, singles, pgbench, size)
        tenants = await make_tenants(application, size.tenants + 1, "bench")
        hot, spread = tenants[:1], tenants[1:]
        workloads = {
            f"{HOT}, 64 callers": Workload("", 64, "llm_call", hot),
            f"{HOT}, 256 callers": Workload("", 256, "llm_call", hot),
            f"{HOT}, 64 callers, two wallets each": Workload("", 64, "email_send", hot),
            f"{SPREAD}, 64 callers": Workload("", 64, "llm_call", spread),
            f"{SPREAD}, 256 callers": Workload("", 256, "llm_call", spread),
            "a lone caller": Workload("", 1, "llm_call", hot),
        }
        families: dict[str, Workload] = {}
        for workload in workloads.values():
            families.setdefault(family_of(workload), workload)
        tries = len(families) * len(size.connections) + len(size.clients)
        steps = Steps(tries + size.rounds * (2 * len(workloads) + 2) + 1)
        await benchmark.find_best(families, steps)
        for number in range(size.rounds):
            await benchmark.round(number, workloads, steps)
        found = {name: await benchmark.profile(workload) for name, workload in workloads.items()} if profile else {}
        steps.next("checking the books against the answers")
        await benchmark.check(tenants)
        steps.done()
        return _result(benchmark, workloads, found)


def _result(benchmark: Benchmark, workloads: dict[str, Workload], profiles: dict[str, Phases]) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name, workload in workloads.items():
        mine, theirs = benchmark.windows[name, "group commit"], benchmark.windows[name, "(a)"]
        pgbench = benchmark.pgbench_rates[name]
        rates = [window.rate for window in mine]
        rows[name] = {
            "group_commit": asdict(summary(mine)),
            "one_by_one": asdict(summary(theirs)),
            "connections": 1 if workload.callers == 1 else benchmark.best_connections[family_of(workload)],
            "ratio_to_one_by_one": ratio(rates, [window.rate for window in theirs]),
            "ratio_of_p50": ratio([w.milliseconds(0.5) for w in mine], [w.milliseconds(0.5) for w in theirs]),
            "pgbench": sorted(pgbench)[len(pgbench) // 2] if pgbench else None,
            "ratio_to_pgbench": ratio(rates, pgbench) if pgbench else None,
        }
    return {
        "workloads": rows,
        "pgbench_clients": benchmark.best_clients,
        "pairs_checked": benchmark.told.pairs.total(),
        "profiles": {name: _profile(phases) for name, phases in profiles.items()},
    }


def _profile(phases: Phases) -> dict[str, Any]:
    return {
        "commands_a_batch": phases.commands / phases.batches,
        "phases": {phase: {"ms": ms, "percent": wall, "cpu": cpu} for phase, ms, wall, cpu in phases.rows()},
    }


def _print(result: dict[str, Any]) -> None:
    rows: list[tuple[str, ...]] = []
    for name, row in result["workloads"].items():
        mine, theirs, pgbench = row["group_commit"], row["one_by_one"], row["pgbench"]
        rows.append(
            (
                name,
                f"{mine['rate']:,.0f}",
                f"{mine['p50']:.2f} / {mine['p99']:.2f}",
                f"{theirs['rate']:,.0f} ({row['connections']})",
                f"{theirs['p50']:.2f} / {theirs['p99']:.2f}",
                f"{row['ratio_to_one_by_one']:.1f}",
                f"{row['ratio_of_p50']:.2f}",
                "" if pgbench is None else f"{pgbench:,.0f}",
                "" if pgbench is None else f"{row['ratio_to_pgbench']:.1f}",
            )
        )
    show(
        "Reserve and consume: commands a second, p50 / p99 in ms; (a) one by one (connections); "
        f"(b) pgbench ({result['pgbench_clients']} clients)",
        ("", "group commit", "ms", "(a)", "ms", "x (a)", "p50 : (a)", "(b)", "x (b)"),
        rows,
    )
    for name, profile in result["profiles"].items():
        show(
            f"{name}: {profile['commands_a_batch']:.0f} commands a batch",
            ("", "ms a batch", "% of the time", "% computing here"),
            [
                (phase, f"{part['ms']:.3f}", f"{part['percent']:.1f}", f"{part['cpu']:.1f}")
                for phase, part in profile["phases"].items()
            ],
        )
    for name, met in _aims(result):
        print(f"{'reached' if met else 'MISSED '}  {name}")
    print(f"{result['pairs_checked']:,} reserve and consume pairs: the books hold what the callers were told.")


def _aims(result: dict[str, Any]) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for name, (to_single, to_pgbench, p99, p50_ratio) in AIMS.items():
        row = result["workloads"][name]
        if to_single is not None:
            reached = row["ratio_to_one_by_one"]
            found.append((f"{name}: {reached:.1f} x (a), aim {to_single}", reached >= to_single))
        if to_pgbench is not None:
            reached = row["ratio_to_pgbench"]
            found.append((f"{name}: {reached:.1f} x (b), aim {to_pgbench}", reached >= to_pgbench))
        if p99 is not None:
            reached = row["group_commit"]["p99"]
            found.append((f"{name}: p99 {reached:.1f} ms, aim under {p99}", reached < p99))
        if p50_ratio is not None:
            reached = row["ratio_of_p50"]
            found.append((f"{name}: latency {reached:.2f} x (a)'s, aim within {p50_ratio}", reached <= p50_ratio))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {WHOLE.rounds}")
    parser.add_argument("--seconds", type=float, default=None, help=f"of each window; default {WHOLE.seconds:g}")
    parser.add_argument("--profile", action="store_true", help="also show where the time of a batch goes")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the scratch data; its disk counts")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else WHOLE
    size = Size(
        options.rounds or size.rounds,
        options.seconds or size.seconds,
        size.seconds_to_try,
        size.tenants,
        size.connections,
        size.clients,
    )
    with (
        scratch_postgres(options.folder) as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        seldom_collected(),  # as the server does
    ):
        result = runner.run(run(url, size, profile=options.profile))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(result)


if __name__ == "__main__":
    main()
