"""Cold import: what a job costs to load in a fresh interpreter, against asyncpg, Piccolo and Powertools alone.

Each import runs in a process of its own, with its bytecode compiled; what is measured is the CPU time from before the
import to after it, without the interpreter's own start. Each job's run stands between two of the libraries alone, whose mean
it is compared with, and the ratio is the median of the rounds' ratios. The GraphQL application's handler is shown too, and has no aim.
"""

import argparse
import compileall
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks._figures import Steps, ratio, show

AIM: Final = 1.5
FOLDER: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("domain", "infra", "lambdas", "graphql_api")
ALONE: Final = "asyncpg, piccolo, powertools"
GRAPHQL: Final = "graphql_api.lambda_handler"
NOT_HANDLERS: Final = ("__init__", "runtime")
ROUNDS: Final = 9
QUICK_ROUNDS: Final = 1

STATEMENTS: Final = {
    ALONE: "import asyncpg, aws_lambda_powertools, piccolo.engine.postgres, piccolo.table",
    **{
        f"lambdas.{path.stem}": f"import lambdas.{path.stem}"
        for path in sorted((FOLDER / "lambdas").glob("*.py"))
        if path.stem not in NOT_HANDLERS
    },
    GRAPHQL: f"import {GRAPHQL}",
}


def milliseconds(statement: str) -> float:
    """The CPU time of one cold import."""
    code = f"import time; started = time.process_time()\n{statement}\nprint((time.process_time() - started) * 1000)"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, capture_output=True, text=True, check=True)
    return float(done.stdout)


def run(rounds: int) -> dict[str, Any]:
    """All sides, in turn."""
    for package in PACKAGES:
        compileall.compile_dir(FOLDER / package, quiet=2)
    names = [name for name in STATEMENTS if name != ALONE]
    steps = Steps(rounds + 1)
    steps.next("once each, so that whatever is needed is compiled")
    for name in names:
        milliseconds(STATEMENTS[name])
    found: dict[str, list[float]] = defaultdict(list)
    beside: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        steps.next(f"round {number + 1}")
        before = milliseconds(STATEMENTS[ALONE])
        for name in names if number % 2 == 0 else reversed(names):
            found[name].append(milliseconds(STATEMENTS[name]))
            after = milliseconds(STATEMENTS[ALONE])
            beside[name].append((before + after) / 2)
            before = after
    steps.done()
    return {
        "aim": AIM,
        "alone_ms": median(median(times) for times in beside.values()),
        "imports": {name: {"ms": median(found[name]), "ratio": ratio(found[name], beside[name])} for name in names},
    }


def _print(result: dict[str, Any]) -> None:
    rows = [(name, f"{row['ms']:.0f}", f"{row['ratio']:.2f}") for name, row in result["imports"].items()]
    show("Cold imports: CPU time in ms", ("", "ms", "ratio"), [(ALONE, f"{result['alone_ms']:.0f}", ""), *rows])
    worst = max((row["ratio"], name) for name, row in result["imports"].items() if name != GRAPHQL)
    verdict = "reached" if worst[0] <= AIM else "MISSED "
    print(f"{verdict}  every job within {AIM} of {ALONE} alone: the slowest is {worst[1]} at {worst[0]:.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds: its figures mean nothing")
    parser.add_argument("--rounds", type=int, default=None, help=f"default {ROUNDS}")
    parser.add_argument("--json", action="store_true", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    result = run(options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        _print(result)


if __name__ == "__main__":
    main()
