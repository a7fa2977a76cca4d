"""The real command line as processes of its own: `purser` in data folders of the tests."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from infra.demo_keys import demo_tokens
from infra.embedded_postgres_lifetime import Lifetime
from infra.settings import Settings
from tests.processes import PURSER, Process, Program, run

SECONDS_TO_START: Final = 60
SECONDS_TO_STOP: Final = 30


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that the account of the embedded server can reach; it waits until that server is gone."""
    parent = Path(tempfile.mkdtemp(prefix="purser-served-"))
    parent.chmod(0o755)
    try:
        yield parent / "data"
        eventually(lambda: postgres_is_gone(parent / "data"))
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Ours without what would lead to another database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PURSER_", "DATABASE_URL"))}
    return {**inherited, "PURSER_DATA_DIR": str(data_dir), **variables}


def purser(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run([PURSER, *arguments], environment(data_dir, **variables), SECONDS_TO_START)


@dataclass(slots=True)
class Server:
    """A running `purser serve`; its standard output and error are files."""

    process: Process
    output: Path
    errors: Path

    @property
    def url(self) -> str:
        line = next(line for line in self.output.read_text().splitlines() if line.startswith("ready "))
        return line.removeprefix("ready ")

    def ask(self, token: str, query: str, headers: Mapping[str, str] | None = None, **variables: Any) -> Any:
        """The data of a GraphQL answer without errors."""
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            timeout=30,
        ).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS_TO_STOP)


@contextmanager
def serving(data_dir: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """A server on a free port, once it is ready."""
    with started(data_dir, *arguments, **variables) as server:
        eventually(lambda: "\nready " in server.output.read_text() or server.process.poll() is not None)
        assert server.process.poll() is None, server.errors.read_text()
        yield server


@contextmanager
def started(data_dir: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """A server that may still be starting; killed at the end if it runs then."""
    with tempfile.TemporaryDirectory(prefix="purser-output-") as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        output.touch()
        command = (PURSER, "serve", "--port", "0", *arguments)
        process = Process(Program(command, environment(data_dir, **variables), output, errors, Path.cwd()))
        try:
            yield Server(process, output, errors)
        finally:
            process.kill()
            process.wait()


def demo_keys(data_dir: Path, **variables: str) -> dict[str, str]:
    """What `purser demo-keys` prints."""
    return demo_tokens(Settings.from_environment({"PURSER_DATA_DIR": str(data_dir), **variables}))


def postgres_is_gone(data_dir: Path) -> bool:
    """Whether no process of the embedded server is left."""
    if not data_dir.exists():
        return True
    lifetime = Lifetime.open(data_dir)
    try:
        return lifetime.server_is_gone()
    finally:
        lifetime.close()


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for something to come about."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
