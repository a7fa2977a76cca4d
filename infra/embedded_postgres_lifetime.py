"""Who shares the embedded PostgreSQL, and when it stops.

Three locks on files in the data folder decide, because the kernel drops a lock however its holder ends, `kill -9`
included:

    change.lock   held by whoever is starting or stopping: one change at a time
    users.lock    shared by the processes that use the server: the last one to leave stops it
    server.lock   inherited by the processes of the server: if free, all are gone and any postmaster.pid is stale

This file, run as a program, is the guard: it outlives the process that started the server, so that a killed one does
not leave it running for ever. It needs nothing but the standard library.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_BETWEEN_ROUNDS_OF_THE_GUARD = 0.25


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The three lock files of a data folder, open."""

    data_dir: Path
    change: int
    users: int
    server: int

    @classmethod
    def open(cls, data_dir: Path) -> "Lifetime":
        return cls(data_dir, *(_open_lock(data_dir / f"{name}.lock") for name in ("change", "users", "server")))

    def close(self) -> None:
        for descriptor in (self.change, self.users, self.server):
            os.close(descriptor)

    @contextmanager
    def changing(self) -> Iterator[None]:
        fcntl.flock(self.change, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.change, fcntl.LOCK_UN)

    def join(self) -> None:
        fcntl.flock(self.users, fcntl.LOCK_SH)

    def leave(self) -> None:
        with self.changing():
            fcntl.flock(self.users, fcntl.LOCK_UN)
            self.stop_if_unused()

    @contextmanager
    def lock_to_inherit(self) -> Iterator[int]:
        """A held server.lock for the server to inherit. An opening of its own, so that it does not stay with us."""
        descriptor = _open_lock(self.data_dir / "server.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield descriptor
        finally:
            os.close(descriptor)

    def server_is_gone(self) -> bool:
        return _is_free(self.server)

    def stop_if_unused(self) -> None:
        """Ask for a fast and clean shutdown and see it through. To be called while `changing`."""
        if not _is_free(self.users):
            return
        told: set[int] = set()
        while not self.server_is_gone():
            with suppress(IndexError, ValueError, ProcessLookupError):
                process = int(postmaster(self.data_dir)[0])
                if process not in told:
                    told.add(process)
                    os.kill(process, signal.SIGINT)
            time.sleep(SECONDS_BETWEEN_LOOKS)


def postmaster(data_dir: Path) -> list[str]:
    """The lines of postmaster.pid as PostgreSQL's pidfile.h has them: 0 process, 3 port, 7 state."""
    try:
        return (data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def post_guard(data_dir: Path) -> None:
    """Start the guard. Through a shell that ends at once: it is no child of ours and cannot become our zombie."""
    # -I and -S: it starts quickly and imports nothing but the standard library.
    guard = [sys.executable, "-I", "-S", __file__, str(data_dir)]
    subprocess.run(
        ["/bin/sh", "-c", '"$0" "$@" </dev/null >/dev/null 2>&1 &', *guard],
        cwd="/",
        start_new_session=True,
        check=True,
    )


def _guard(data_dir: Path) -> None:
    """Stop the server once it is unused; end when it is gone."""
    lifetime = Lifetime.open(data_dir)
    while True:
        with lifetime.changing():
            lifetime.stop_if_unused()
            if lifetime.server_is_gone():
                return
        time.sleep(SECONDS_BETWEEN_ROUNDS_OF_THE_GUARD)


def _open_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        # Root as a guest in somebody's data folder must not lock its owner out.
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
