"""Files that a command imports, and how far it has read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from graphql_api.administration import AdministrationError

STANDARD_INPUT: Final = Path("-")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file to read, or standard input for `-`."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise AdministrationError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        yield file


class Bar:
    """How far a file is read, on a terminal; elsewhere nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        console = Console(stderr=True)
        self._file = file
        self._seekable = file.seekable()
        self._progress = Progress(
            TextColumn("Importing"),
            BarColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=self._size(), rows=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, rows: int) -> None:
        """How far it is."""
        self._progress.update(self._task, completed=self._file.tell() if self._seekable else None, rows=rows)

    def _size(self) -> int | None:
        if not self._seekable:
            return None
        size = self._file.seek(0, 2)
        self._file.seek(0)
        return size
