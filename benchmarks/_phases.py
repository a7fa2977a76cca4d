"""Where the time of a batch goes. Functions of the product are wrapped here, while a window is measured; the product
itself knows nothing of it.

All runs on one thread, so a phase that waits for PostgreSQL also holds what callers do meanwhile: `cpu` is the part
of the phase in which this process was computing, whoever for.
"""

import functools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from time import perf_counter, process_time
from typing import Any, Final
from unittest.mock import patch

import domain.decisions
import infra.books
import infra.changes
import infra.deciding
import infra.group_commit
from infra.transaction import BEGIN, Connection

PHASES: Final = ("begin", "lock", "read", "decide", "write", "commit")


class Phases:
    """Seconds by phase of the batches that were watched."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.batches = 0
        self.commands = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure every batch of this process meanwhile."""
        run = infra.deciding.Deciding.run

        async def counted(deciding: Any, connection: Connection, commands: Any) -> Any:
            self.batches += 1
            self.commands += len(commands)
            return await run(deciding, connection, commands)

        with ExitStack() as patches:
            for module, name, phase in (
                (infra.books, "lock", "lock"),
                (infra.books, "read", "read"),
                (infra.changes, "write", "write"),
            ):
                patches.enter_context(patch.object(module, name, self._awaited(getattr(module, name), phase)))
            decide = self._called(domain.decisions.decide, "decide")
            patches.enter_context(patch.object(infra.deciding, "decide", decide))
            patches.enter_context(patch.object(infra.group_commit, "transaction", self._transaction))
            patches.enter_context(patch.object(infra.deciding.Deciding, "run", counted))
            started, started_cpu = perf_counter(), process_time()
            yield
            self.wall["all"] += perf_counter() - started
            self.cpu["all"] += process_time() - started_cpu

    def rows(self) -> list[tuple[str, float, float, float]]:
        """For each phase, and for what is between batches: milliseconds a batch, its part of all the time in percent,
        and how much of that part this process was computing, in percent of all the time."""
        between = self.wall["all"] - sum(self.wall[phase] for phase in PHASES)
        between_cpu = self.cpu["all"] - sum(self.cpu[phase] for phase in PHASES)
        wall = {**{phase: self.wall[phase] for phase in PHASES}, "rest": between}
        cpu = {**{phase: self.cpu[phase] for phase in PHASES}, "rest": between_cpu}
        whole = self.wall["all"]
        return [
            (phase, wall[phase] * 1000 / self.batches, 100 * wall[phase] / whole, 100 * cpu[phase] / whole)
            for phase in wall
        ]

    def _awaited(self, function: Callable[..., Awaitable[Any]], phase: str) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(function)
        async def timed(*positional: Any, **named: Any) -> Any:
            with self._phase(phase):
                return await function(*positional, **named)

        return timed

    def _called(self, function: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*positional: Any, **named: Any) -> Any:
            with self._phase(phase):
                return function(*positional, **named)

        return timed

    @contextmanager
    def _phase(self, phase: str) -> Iterator[None]:
        wall, cpu = perf_counter(), process_time()
        try:
            yield
        finally:
            self.wall[phase] += perf_counter() - wall
            self.cpu[phase] += process_time() - cpu

    @asynccontextmanager
    async def _transaction(self, connection: Connection) -> AsyncIterator[None]:
        with self._phase("begin"):
            await connection.execute(BEGIN)
        yield
        with self._phase("commit"):
            await connection.execute("COMMIT")
