"""The journal: what must not be lost, on disk before the server is asked for the first time.

A folder with one SQLite file per client. A client holds the lock of its own file for as long as it lives, so the lock says
who is alive: a file whose lock can be taken was left behind, and whoever starts next takes it over.

What is written outlives the process at once, and takes a tenth of a millisecond. It outlives the machine after `synced`, which is
slow: it happens in a thread, and all that wait at once share it.
"""

import asyncio
import ctypes
import json
import logging
import os
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4
from weakref import WeakSet

from purser_client.entries import Entry
from purser_client.facts import Wire
from purser_client.refusals import JournalError

VERSION: Final = 1
_SCHEMA: Final = f"""
BEGIN;
CREATE TABLE work (id TEXT PRIMARY KEY, request TEXT, reservation TEXT, ending TEXT, refusal TEXT);
CREATE TABLE usage (work TEXT, name TEXT, event TEXT, PRIMARY KEY (work, name));
PRAGMA user_version = {VERSION};
COMMIT;
"""
_ENTRIES: Final = "SELECT id, request, reservation, ending, refusal FROM work ORDER BY rowid"
_USAGE: Final = "SELECT work, name, event FROM usage ORDER BY rowid"
_log: Final = logging.getLogger(__name__)
Statement = tuple[str, tuple[Any, ...]]


class Journal:
    """One client's file in the folder. What cannot be written raises JournalError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / f"{uuid4().hex}.sqlite"
        self._connection: sqlite3.Connection | None = None
        self._log = -1
        self._lock = Lock()
        # Not the loop's own threads: a worker's calls may take them all.
        self._thread = ThreadPoolExecutor(1, "purser-journal")
        self._running: asyncio.Task[Exception | None] | None = None
        self._next: asyncio.Task[Exception | None] | None = None

    def open(self) -> list[Entry]:
        """Make this client's file and take over what was left behind; everything that is still to be settled. Raises
        JournalError where nothing can be written."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._made()
            _opened.add(self)
            # SQLite's own log, beside its file, is all that a commit writes to.
            self._log = os.open(_log_of(self._path), os.O_RDWR)
            _sync_folder(self._folder)
            for path in sorted(self._folder.glob("*.sqlite")):
                if path != self._path:
                    self._take_over(path, self._connection)
            return _entries(self._connection)
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise JournalError(
                f"the journal {self._folder} cannot be written, so no work may begin: {error}"
            ) from error

    def add(self, entry: Entry) -> None:
        """Write an entry as it is."""
        self._write(_insert(entry))

    def recorded(self, entry: Entry, name: str) -> None:
        """Write one of its calls."""
        self._write(_usage(entry, name))

    def ended(self, entry: Entry) -> None:
        """Write how it is to be settled, or why it is kept aside."""
        ending = (
            "UPDATE work SET ending = ?, refusal = ? WHERE id = ?",
            (_text(entry.ending), entry.refusal, entry.id),
        )
        self._write([*_usage(entry), ending])

    def reserved(self, entry: Entry) -> None:
        """Write which reservation it got. Who does not find it asks for it again, so it may fail."""
        with suppress(JournalError):
            self._write([("UPDATE work SET reservation = ? WHERE id = ?", (entry.reservation, entry.id))])

    def settled(self, entry: Entry) -> None:
        """Strike it out. Who finds it settles it again, and nothing counts twice, so it may fail."""
        with suppress(JournalError):
            self._write(
                [("DELETE FROM usage WHERE work = ?", (entry.id,)), ("DELETE FROM work WHERE id = ?", (entry.id,))]
            )

    async def synced(self) -> None:
        """Wait until all that was written is on the disk itself."""
        if self._next is None:
            self._next = asyncio.create_task(self._sync(self._running))
        error = await asyncio.shield(self._next)
        if error is not None:
            raise JournalError(f"the journal {self._path} cannot be written: {error}") from error

    def close(self) -> None:
        """Give the file up: with what is left in it, or not at all."""
        self._thread.shutdown(wait=False)
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        with closing(connection), suppress(sqlite3.Error):
            if connection.execute("SELECT count(*) FROM work").fetchone() == (0,):
                _remove(self._path)

    def _made(self) -> sqlite3.Connection:
        while True:
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with ExitStack() as opened:
                try:
                    connection = opened.enter_context(closing(_locked(self._path)))
                    # Who looked for files left behind may have taken it for one, before it was locked.
                    if self._path.exists():
                        connection.executescript(_SCHEMA)
                        opened.pop_all()
                        return connection
                except BlockingIOError:
                    pass
                except sqlite3.Error:
                    _remove(self._path)
                    raise
            self._path = self._folder / f"{uuid4().hex}.sqlite"

    def _take_over(self, path: Path, own: sqlite3.Connection) -> None:
        with ExitStack() as opened:
            try:
                other = opened.enter_context(closing(_locked(path)))
                version = other.execute("PRAGMA user_version").fetchone()[0]
                left = _entries(other) if version == VERSION else []
            except BlockingIOError:
                return
            except (sqlite3.Error, ValueError) as error:
                _log.error("the journal %s was left behind and cannot be read: %s", path, error)
                return
            if version not in {0, VERSION}:
                _log.error("the journal %s is of another version of this client: start that one once", path)
                return
            _execute(own, [statement for entry in left for statement in _insert(entry)])
            os.fsync(self._log)
            # While its lock is held: so nobody else can be about to write to it.
            _remove(path)

    def forked(self) -> None:
        """In a new process, forget the parent's file, and never close it: SQLite would clear the parent's log away."""
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            self._connection = None

    def _write(self, statements: list[Statement]) -> None:
        if self._connection is None:
            raise RuntimeError(
                "the client was closed, or is another process's: what is in its journal is settled by the next"
            )
        try:
            with self._lock:
                _execute(self._connection, statements)
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self._path} cannot be written: {error}") from error

    async def _sync(self, before: asyncio.Task[Exception | None] | None) -> Exception | None:
        if before is not None:
            await asyncio.wait([before])
        # Who comes from now on may have written too late for this one.
        self._running, self._next = self._next, None
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, _sync_log, self._log)
        except (OSError, RuntimeError) as error:  # the second: it was closed meanwhile
            return error
        return None


_opened: Final[WeakSet[Journal]] = WeakSet()


def _forked() -> None:
    for journal in _opened:
        journal.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _locked(path: Path) -> sqlite3.Connection:
    """The file, and its lock until it is closed. Raises BlockingIOError where somebody has it."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise BlockingIOError(str(error)) from error
        raise
    return connection


def _remove(path: Path) -> None:
    """The file, and then what SQLite keeps beside it."""
    for each in (path, _log_of(path)):
        each.unlink(missing_ok=True)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _sync_log(log: int) -> None:
    if os.fstat(log).st_nlink == 0:
        raise FileNotFoundError("somebody removed it: start this worker again")
    os.fsync(log)


def _sync_folder(folder: Path) -> None:
    """A file that nobody finds is none. (Windows knows no such thing.)"""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _execute(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _entries(connection: sqlite3.Connection) -> list[Entry]:
    entries = {
        identifier: Entry(
            identifier, request and json.loads(request), reservation, ending and json.loads(ending), refusal
        )
        for identifier, request, reservation, ending, refusal in connection.execute(_ENTRIES)
    }
    for work, name, event in connection.execute(_USAGE):
        entries.setdefault(work, Entry(work)).usage[name] = json.loads(event)
    return list(entries.values())


def _insert(entry: Entry) -> list[Statement]:
    values = (entry.id, _text(entry.request), entry.reservation, _text(entry.ending), entry.refusal)
    return [("INSERT OR IGNORE INTO work VALUES (?, ?, ?, ?, ?)", values), *_usage(entry)]


def _usage(entry: Entry, *names: str) -> list[Statement]:
    return [
        ("INSERT OR IGNORE INTO usage VALUES (?, ?, ?)", (entry.id, name, _text(entry.usage[name])))
        for name in names or entry.usage
    ]


def _text(value: Wire | None) -> str | None:
    return None if value is None else json.dumps(value)
