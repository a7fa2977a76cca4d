"""Live balances: from a command to the last of 1,000 websockets that watch, and what each of them takes of memory.

The server is set up as `purser serve` sets up its own; subscribers and the writer are in a process of their own. The
writer reserves and consumes, one command after the other. A time is from when a command was sent to when a subscriber had
the balance that it left, or a newer one: the commit is part of it. The sides of a round run one after the other in
changing order, and a ratio is the median of the rounds' ratios. No version may fall, what each subscriber is told last
must be what the query `wallet` says, and at the end the books are proved.

Of equal documents an answer is made once for all who are told it; a document with a directive is executed for each: that
is the side it is compared with.
"""

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import uvloop

from benchmarks._books import check_books
from benchmarks._figures import Steps, ratio, show
from benchmarks._live_clients import KEY, WALLET
from benchmarks._load import make_tenants
from benchmarks._processes import FOLDER, Served, server
from benchmarks._scratch import scratch_postgres
from infra.application import Application, open_application
from infra.schema import migrate
from infra.services.api_keys import NewKey, create_key
from infra.services.callers import Role
from infra.settings import Settings

SHARED: Final = f'subscription {{ walletBalance(key: "{KEY}") {{ {WALLET} }} }}'
EXECUTED: Final = f'subscription {{ walletBalance(key: "{KEY}") {{ {WALLET} @include(if: true) }} }}'
WARM: Final = 20
# Longer than a balance rests between two states, so that each command is told by itself.
APART: Final = 0.12
SECONDS_TO_SETTLE: Final = 1.0

ONE: Final = "one subscriber"
HOT: Final = "one wallet"
EACH: Final = "one wallet, executed for each"
OTHER: Final = "one wallet, another process writes"
BUSY: Final = "one wallet that never rests"
SPREAD: Final = "each another wallet"


class Side(NamedTuple):
    """Whether all subscribers watch (else one), whether each has a wallet of its own, and how it is written to."""

    all: bool = True
    spread: bool = False
    document: str = SHARED
    gap: float = APART
    by_other: bool = False


SIDES: Final = {
    ONE: Side(all=False),
    HOT: Side(),
    EACH: Side(document=EXECUTED),
    OTHER: Side(by_other=True),
    BUSY: Side(gap=0.0),
    SPREAD: Side(spread=True, gap=0.01),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How many, how long and how often."""

    rounds: int
    seconds: float
    subscribers: int


WHOLE: Final = Size(3, 8.0, 1_000)
QUICK: Final = Size(1, 0.5, 40)


class Benchmark:
    """What was measured, and what it needs."""

    def __init__(self, url: str, tokens: Sequence[str], size: Size) -> None:
        self.windows: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
        self._url = url
        self._tokens = tokens
        self._size = size
        self._runs = 0

    async def memory(self, side: Side) -> float:
        """The bytes by which a fresh server grows for each subscriber."""
        async with server(self._url, "reserve") as served:
            await self._window(served, served, side, WARM, 0.1)
            before = served.memory()
            found = await self._window(served, served, side, self._size.subscribers, 0.1)
            return (found["memory"] - before) / self._size.subscribers

    async def warm_up(self, served: Served, other: Served) -> None:
        """Have every statement prepared."""
        for writing in (served, other):
            for side in (SIDES[HOT], SIDES[SPREAD]):
                await self._window(served, writing, side, min(WARM, self._size.subscribers), 0.3)

    async def round(self, number: int, served: Served, other: Served, steps: Steps) -> None:
        """Every side, in turn."""
        names = list(SIDES)
        for name in names if number % 2 == 0 else reversed(names):
            side = SIDES[name]
            steps.next(f"round {number + 1}: {name}")
            subscribers = self._size.subscribers if side.all else 1
            writing = other if side.by_other else served
            self.windows[name].append(await self._window(served, writing, side, subscribers, self._size.seconds))

    async def _window(
        self, served: Served, writing: Served, side: Side, subscribers: int, seconds: float
    ) -> dict[str, float]:
        self._runs += 1
        asked = {
            "port": served.port,
            "write_port": writing.port,
            "tokens": list(self._tokens[: subscribers if side.spread else 1]),
            "subscribers": subscribers,
            "document": side.document,
            "seconds": seconds,
            "gap": side.gap,
            "settle": SECONDS_TO_SETTLE,
            "run": f"run{self._runs}",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks._live_clients", json.dumps(asked)),
            cwd=FOLDER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        connected = await process.stdout.readline() == b"ready\n"
        memory, before = served.memory(), served.computed()
        process.stdin.close()
        output = await process.stdout.read()
        if await process.wait() != 0 or not connected:
            raise RuntimeError("the subscribers failed")
        found: dict[str, float] = json.loads(output)
        return {**found, "memory": memory, "computed": served.computed() - before}


async def run(url: str, size: Size) -> dict[str, Any]:
    """The whole benchmark on an empty database."""
    await migrate(url)
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(open_application(Settings.from_environment(), url))
        steps = Steps(5 + size.rounds * len(SIDES))
        steps.next("making tenants")
        benchmark = Benchmark(url, await _tokens(application, size.subscribers), size)
        memory = {}
        for name in (HOT, SPREAD):
            steps.next(f"memory: {name}")
            memory[name] = await benchmark.memory(SIDES[name])
        served, other = [await stack.enter_async_context(server(url, "reserve")) for _ in range(2)]
        steps.next("warming up")
        await benchmark.warm_up(served, other)
        for number in range(size.rounds):
            await benchmark.round(number, served, other, steps)
        steps.next("proving the books")
        await check_books(application)
        steps.done()
    return _result(benchmark.windows, memory, size)


async def _tokens(application: Application, count: int) -> list[str]:
    """A key for each of so many tenants."""
    keys = [
        await create_key(application, tenant_id, Role.SERVICE, "bench")
        for tenant_id in await make_tenants(application, count, "bench")
    ]
    return [key.token for key in keys if isinstance(key, NewKey)]


def _result(windows: dict[str, list[dict[str, float]]], memory: dict[str, float], size: Size) -> dict[str, Any]:
    def of(name: str, figure: str) -> list[float]:
        return [window[figure] for window in windows[name]]

    def computed(name: str) -> list[float]:
        """Milliseconds of the server's computing for each state that was told."""
        return [1000 * mine / max(told, 1) for mine, told in zip(of(name, "computed"), of(name, "told"), strict=True)]

    figures = ("commits", "told", "p50", "p99", "command_p50", "command_p99")
    return {
        "subscribers": size.subscribers,
        "sides": {
            name: {
                **{figure: median(of(name, figure)) for figure in figures},
                "computed_ms": median(computed(name)),
            }
            for name in SIDES
        },
        "states_checked": sum(sum(of(name, "told")) for name in SIDES),
        "bytes_a_subscriber": memory,
        "ratio_to_one": ratio(of(HOT, "p99"), of(ONE, "p99")),
        "ratio_of_executing": ratio(of(EACH, "p99"), of(HOT, "p99")),
        "computing_ratio_of_executing": ratio(computed(EACH), computed(HOT)),
    }


def _print(result: dict[str, Any]) -> None:
    show(
        f"From a command to {result['subscribers']:,} subscribers, p50 / p99 in ms",
        ("", "commands", "states told", "command", "subscriber has it", "ms computed a state"),
        [
            (
                name,
                f"{row['commits']:,.0f}",
                f"{row['told']:,.0f}",
                f"{row['command_p50']:.1f} / {row['command_p99']:.1f}",
                f"{row['p50']:.1f} / {row['p99']:.1f}",
                f"{row['computed_ms']:.3f}",
            )
            for name, row in result["sides"].items()
        ],
    )
    for name, size in result["bytes_a_subscriber"].items():
        print(f"memory  {name}: {size / 1024:.1f} KiB a subscriber")
    print(f"ratio   {result['subscribers']:,} subscribers to one: p99 {result['ratio_to_one']:.1f} x")
    print(
        f"ratio   executing for each to making an answer once: p99 {result['ratio_of_executing']:.1f} x, "
        f"computing {result['computing_ratio_of_executing']:.1f} x"
    )
    print(f"{result['states_checked']:,.0f} states told: none older than the one before, the last as the query says.")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {WHOLE.rounds}")
    parser.add_argument("--seconds", type=float, default=None, help=f"of each window; default {WHOLE.seconds:g}")
    parser.add_argument("--subscribers", type=int, default=None, help=f"default {WHOLE.subscribers}")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the scratch data; its disk counts")
    options = parser.parse_args(arguments)
    usual = QUICK if options.quick else WHOLE
    size = Size(
        options.rounds or usual.rounds,
        options.seconds or usual.seconds,
        options.subscribers or usual.subscribers,
    )
    with (
        scratch_postgres(options.folder) as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        result = runner.run(run(url, size))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(result)


if __name__ == "__main__":
    main()
