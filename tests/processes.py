"""Our programs as processes of their own, without the second that each would take to load what it imports.

One process per worker of the run loads it all, and forks for each that is started (the standard library's forkserver). What
is forked has the arguments, environment, folder, standard streams and session of its own that a fresh interpreter would
have. Tests that are about loading start fresh interpreters.
"""

import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final, NamedTuple

PURSER: Final = str(Path(sys.executable).parent / "purser")
LOADED: Final = (
    "tests.processes",
    "awslambdaric",
    "graphql_api.administration",
    "graphql_api.mcp_endpoint",
    "graphql_api.replay",
    "graphql_api.serving",
    "infra.stripe_stand_in.demo",
)
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([*LOADED])


class Program(NamedTuple):
    """What is to be run: a command line that begins with PURSER, or with the name of a module. It appends to the files
    `output` and `errors`, which may be the same."""

    command: tuple[str, ...]
    environment: dict[str, str]
    output: Path
    errors: Path
    folder: Path


class Process:
    """A process that was started; to its user as one of `subprocess`."""

    def __init__(self, program: Program) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(target=_run, args=(program,))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        code = self._process.exitcode
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs")
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with tempfile.TemporaryDirectory(prefix="purser-output-") as place:
        output, errors = Path(place, "output"), Path(place, "errors")
        process = Process(Program((*command,), {**environment}, output, errors, folder or Path.cwd()))
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess([*command], code, output.read_text(), errors.read_text())


def _run(program: Program) -> None:
    """In the new process."""
    os.setsid()
    for number, path in ((1, program.output), (2, program.errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    os.environ.clear()
    os.environ.update(program.environment)
    os.chdir(program.folder)
    sys.argv = [*program.command]
    if program.command[0] == PURSER:
        from graphql_api.cli import main

        main()
    else:
        sys.path.insert(0, str(program.folder))
        runpy.run_module(program.command[0], run_name="__main__", alter_sys=True)
