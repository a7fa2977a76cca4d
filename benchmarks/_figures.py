"""Figures of a benchmark: windows of load, medians over rounds, steps shown while it runs, and a table."""

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Window:
    """What one side did in one stretch of time. Latencies are sorted, in seconds, one per command."""

    commands: int
    seconds: float
    latencies: Sequence[float]

    @property
    def rate(self) -> float:
        """Commands a second."""
        return self.commands / self.seconds

    def milliseconds(self, part: float) -> float:
        """The time that this part of the commands stayed under."""
        return self.latencies[min(len(self.latencies) - 1, int(part * len(self.latencies)))] * 1000


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds."""

    rate: float
    p50: float
    p99: float


def summary(windows: Sequence[Window]) -> Summary:
    """Each figure's median over the windows of one side."""
    return Summary(
        median(window.rate for window in windows),
        median(window.milliseconds(0.50) for window in windows),
        median(window.milliseconds(0.99) for window in windows),
    )


def ratio(left: Sequence[float], right: Sequence[float]) -> float:
    """The median of the rounds' ratios: both sides of a round ran one after the other, under the same conditions."""
    return median(mine / theirs for mine, theirs in zip(left, right, strict=True))


class Steps:
    """Says on standard error what is being run, and how far it is."""

    def __init__(self, total: int) -> None:
        self._console = Console(stderr=True)
        self._total = total
        self._done = 0
        self._started = perf_counter()

    def next(self, what: str) -> None:
        """Say what comes now. Garbage of what was before is not left to it."""
        gc.collect()
        self._done += 1
        line = f"[{self._done}/{self._total}, {perf_counter() - self._started:.0f} s] {what}"
        if self._console.is_terminal:
            self._console.control()
            sys.stderr.write(f"\r\x1b[2K{line}")
            sys.stderr.flush()
        else:
            sys.stderr.write(f"{line}\n")

    def done(self) -> None:
        """Clear the line."""
        if self._console.is_terminal:
            sys.stderr.write("\r\x1b[2K")


def show(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all columns but the first are figures."""
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
