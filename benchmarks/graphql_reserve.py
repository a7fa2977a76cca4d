"""GraphQL: reserve as a mutation over HTTP, with every rule on, against a mutation that does nothing.

Both servers are set up as `purser serve` sets up its own: authentication, limits, the same input type with its strict
scalars. The one that does nothing answers true. Clients run in a process of their own, on connections that are kept
alive. The sides of a round run one after the other in changing order, and the ratio is the median of the rounds'
ratios. At the end the books must hold what was answered.
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
from typing import Any, Final

import uvloop

from benchmarks._books import check_books
from benchmarks._figures import Steps, ratio, show
from benchmarks._load import make_tenants
from benchmarks._processes import FOLDER, server
from benchmarks._scratch import scratch_postgres
from infra.application import open_application
from infra.schema import migrate
from infra.services.api_keys import NewKey, create_key
from infra.services.callers import Role
from infra.settings import Settings

AIM: Final = 0.6
RESERVE: Final = "reserve"
NOTHING: Final = "nothing"
EXPECTED: Final = {RESERVE: '{"data":{"reserve":{"__typename":"Reservation"', NOTHING: '{"data":{"reserve":true}'}
CALLERS: Final = (64, 256, 1)
AIMED_AT: Final = 64


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how often."""

    rounds: int
    seconds: float


WHOLE: Final = Size(5, 3.0)
QUICK: Final = Size(1, 0.4)


async def clients(**asked: Any) -> dict[str, float]:
    """One stretch of load; what was answered."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._http_clients", json.dumps(asked)),
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the clients failed")
    answered: dict[str, float] = json.loads(output)
    return answered


async def run(url: str, size: Size) -> dict[str, Any]:
    """The whole benchmark on an empty database."""
    await migrate(url)
    found: defaultdict[tuple[int, str], list[dict[str, float]]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(open_application(Settings.from_environment(), url))
        (tenant_id,) = await make_tenants(application, 1, "bench")
        made = await create_key(application, tenant_id, Role.SERVICE, "bench")
        assert isinstance(made, NewKey), "workers' keys take no seat"
        token = made.token
        servers = {kind: await stack.enter_async_context(server(url, kind)) for kind in EXPECTED}
        steps = Steps(2 + size.rounds * len(CALLERS) * len(EXPECTED))
        reserved = 0

        async def window(kind: str, connections: int, seconds: float, run: str) -> dict[str, float]:
            nonlocal reserved
            answered = await clients(
                port=servers[kind].port,
                token=token,
                connections=connections,
                seconds=seconds,
                run=run,
                expected=EXPECTED[kind],
            )
            reserved += int(answered["requests"]) if kind == RESERVE else 0
            return answered

        steps.next("warming up")
        for kind in EXPECTED:
            await window(kind, max(CALLERS), size.seconds / 2, "warm")
        for number in range(size.rounds):
            for connections in CALLERS:
                for kind in EXPECTED if number % 2 == 0 else reversed(EXPECTED):
                    steps.next(f"round {number + 1}: {connections} connections, {kind}")
                    name = f"round{number}-{connections}"
                    found[connections, kind].append(await window(kind, connections, size.seconds, name))
        steps.next("checking the books against the answers")
        kept = await application.across_tenants.fetchval("SELECT count(*) FROM reservation WHERE state = 'HELD'")
        assert kept == reserved, f"{reserved} were answered, {kept} are kept"
        await check_books(application)
        steps.done()
    return {"connections": {str(count): _row(found, count) for count in CALLERS}, "reservations_checked": reserved}


def _row(found: dict[tuple[int, str], list[dict[str, float]]], connections: int) -> dict[str, Any]:
    sides = {kind: found[connections, kind] for kind in EXPECTED}
    rates = {kind: [window["requests"] / window["seconds"] for window in windows] for kind, windows in sides.items()}
    row: dict[str, Any] = {
        kind: {
            "rate": median(rates[kind]),
            "p50": median(window["p50"] for window in windows),
            "p99": median(window["p99"] for window in windows),
        }
        for kind, windows in sides.items()
    }
    row["ratio"] = ratio(rates[RESERVE], rates[NOTHING])
    return row


def _print(result: dict[str, Any]) -> None:
    show(
        "Mutations over HTTP: requests a second, p50 / p99 in ms",
        ("", "reserve", "ms", "nothing", "ms", "reserve : nothing"),
        [
            (
                f"{connections} connections",
                f"{row[RESERVE]['rate']:,.0f}",
                f"{row[RESERVE]['p50']:.2f} / {row[RESERVE]['p99']:.2f}",
                f"{row[NOTHING]['rate']:,.0f}",
                f"{row[NOTHING]['p50']:.2f} / {row[NOTHING]['p99']:.2f}",
                f"{row['ratio']:.2f}",
            )
            for connections, row in result["connections"].items()
        ],
    )
    reached = result["connections"][str(AIMED_AT)]["ratio"]
    verdict = "reached" if reached >= AIM else "MISSED "
    print(f"{verdict}  {AIMED_AT} connections: {reached:.2f} of the rate of a mutation that does nothing, aim {AIM}")
    print(f"{result['reservations_checked']:,} reservations: the books hold what the clients were told.")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {WHOLE.rounds}")
    parser.add_argument("--seconds", type=float, default=None, help=f"of each window; default {WHOLE.seconds:g}")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    parser.add_argument("--folder", type=Path, default=None, help="where to put the scratch data; its disk counts")
    options = parser.parse_args(arguments)
    usual = QUICK if options.quick else WHOLE
    size = Size(options.rounds or usual.rounds, options.seconds or usual.seconds)
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
