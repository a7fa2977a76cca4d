"""Each test has a data folder and a server of its own; holders are processes that use it until told to leave."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from infra.embedded_postgres import EmbeddedPostgresError, binaries, embedded_postgres
from infra.embedded_postgres_lifetime import Lifetime, postmaster

IS_ROOT = os.geteuid() == 0
# As root it can become an ordinary user; only after the imports, since Python itself may lie in root's home.
HOLDER = """
import encodings.idna, os, sys
from pathlib import Path
from infra.embedded_postgres import embedded_postgres
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
with embedded_postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder in which there is nothing yet."""
    with new_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def made_dir() -> Iterator[Path]:
    with new_folder() as folder:
        yield folder


@pytest.fixture
def made(made_dir: Path) -> Iterator[Path]:
    """A folder for tests that are not about how its cluster is made: each finds it stopped, as the one before left it."""
    yield made_dir
    eventually(lambda: is_stopped(made_dir))


@contextmanager
def new_folder() -> Iterator[Path]:
    # pytest's own temporary folders are closed to other users; this one lets a server of another account through.
    parent = Path(tempfile.mkdtemp(prefix="purser test "))
    parent.chmod(0o755)
    yield parent / "data"
    eventually(lambda: not (parent / "data").exists() or is_stopped(parent / "data"))
    remove(parent)


def remove(parent: Path) -> None:
    for link in parent.rglob("postgres"):
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(parent, ignore_errors=True)


@contextmanager
def holder(data_dir: Path, user: int | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that uses the server, and the URL that it was given."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir), *([] if user is None else [str(user)])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


def ask(url: str, query: str) -> object:
    async def answer() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(answer())


def keep(url: str) -> None:
    """Write what is to be there later."""
    ask(url, "DROP TABLE IF EXISTS kept")
    ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")


def is_stopped(data_dir: Path) -> bool:
    lifetime = Lifetime.open(data_dir)
    try:
        return lifetime.server_is_gone()
    finally:
        lifetime.close()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def test_it_starts_answers_and_is_stopped_when_left(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as url:
        assert ask(url, "SELECT current_user || ' ' || current_database()") == "purser purser"
        assert ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        assert ask(url, "SELECT count(*) FROM pg_database WHERE datcollate = 'C' AND encoding = 6") == 4
        assert [ask(url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "jit")] == ["on", "on", "off"]
        assert not is_stopped(data_dir)
    assert is_stopped(data_dir)
    assert postmaster(data_dir) == []


def test_what_was_written_is_there_after_a_restart(made: Path) -> None:
    with embedded_postgres(made) as url:
        keep(url)
    with embedded_postgres(made) as url:
        assert ask(url, "SELECT answer FROM kept") == 42


def test_nobody_gets_in_without_the_password_and_only_the_owner_can_read_it(made: Path) -> None:
    with embedded_postgres(made) as url:
        password = (made / "postgres" / "password").read_text()
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(url.replace(password, "guessed"), "SELECT 1")
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(url.replace(f"purser:{password}", "postgres:"), "SELECT 1")
        assert stat.S_IMODE((made / "postgres" / "password").stat().st_mode) == 0o600
        assert stat.S_IMODE((made / "postgres" / "server.log").stat().st_mode) == 0o600


def test_a_second_process_joins_and_the_last_one_to_leave_stops_it(made: Path) -> None:
    with holder(made) as (other, url_of_other):
        with embedded_postgres(made) as url:
            assert url == url_of_other
        assert ask(url, "SELECT 1") == 1
        other.communicate()
        assert other.returncode == 0
        assert is_stopped(made)


def test_two_first_starts_at_the_same_moment_share_one_server(data_dir: Path) -> None:
    with holder(data_dir) as (_, one), holder(data_dir) as (_, other):
        assert one == other
        assert ask(one, "SELECT 1") == 1


def test_ctrl_c_in_the_process_group_leaves_the_server_to_its_user(made: Path) -> None:
    story = """
import os, signal, sys, time
from pathlib import Path
from infra.embedded_postgres import embedded_postgres
from tests.infra.test_embedded_postgres import ask
# Who runs the tests in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded_postgres(Path(sys.argv[1])) as url:
    try:
        os.killpg(0, signal.SIGINT)
        # Not signal.pause(): the signal may come just before it, and never again.
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        print(ask(url, "SELECT 1"))
"""
    done = subprocess.run(
        [sys.executable, "-c", story, str(made)], capture_output=True, text=True, start_new_session=True, check=True
    )
    assert done.stdout == "1\n"
    assert is_stopped(made)


def test_a_killed_user_does_not_leave_the_server_running_for_ever(made: Path) -> None:
    with holder(made) as (process, url):
        keep(url)
        process.kill()
    eventually(lambda: is_stopped(made))
    with embedded_postgres(made) as url:
        assert ask(url, "SELECT answer FROM kept") == 42


def test_after_a_killed_user_the_next_one_gets_in_at_once(made: Path) -> None:
    for _ in range(3):
        with holder(made) as (process, url):
            assert ask(url, "SELECT 1") == 1
            process.kill()


def test_a_process_killed_while_it_makes_the_cluster_is_no_obstacle(data_dir: Path) -> None:
    for seconds in (0.15, 0.2, 0.25, 0.3, 0.45):
        with subprocess.Popen([sys.executable, "-c", HOLDER, str(data_dir)], stdin=subprocess.PIPE) as process:
            time.sleep(seconds)
            process.kill()
    with embedded_postgres(data_dir) as url:
        assert ask(url, "SELECT 1") == 1
    assert list((data_dir / "postgres").glob("draft-*")) == []


def test_a_killed_postmaster_is_started_again(made: Path) -> None:
    with embedded_postgres(made) as url:
        keep(url)
        os.kill(int(postmaster(made)[0]), signal.SIGKILL)
        with embedded_postgres(made) as url_of_next:
            assert ask(url_of_next, "SELECT answer FROM kept") == 42
    assert is_stopped(made)


def test_a_stale_pid_that_now_belongs_to_another_process_is_no_obstacle(made: Path) -> None:
    with embedded_postgres(made):
        lines = postmaster(made)
    # This very process stands for the one that got the number, as happens after the restart of a container.
    stale = made / "postgres" / "cluster" / "postmaster.pid"
    stale.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with embedded_postgres(made) as url:
        assert ask(url, "SELECT 1") == 1


def test_the_callers_postgres_variables_are_none_of_the_servers_business(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "LC_ALL": "xx_XX", "TZ": "Nowhere/None"}.items():
        monkeypatch.setenv(name, value)
    with embedded_postgres(data_dir) as url:
        assert ask(url, "SHOW timezone") == "UTC"


def test_pgbench_of_the_same_folder_runs_on_it(made: Path) -> None:
    with embedded_postgres(made) as url:
        for arguments in (["-i", "-q"], ["-t", "10"]):
            subprocess.run([binaries() / "pgbench", *arguments, url], check=True, capture_output=True)


def test_a_data_folder_that_is_no_folder_says_what_to_set(data_dir: Path) -> None:
    file = data_dir.parent / "file"
    file.touch()
    for folder in (file, file / "below", Path("/proc/nope"), Path("/proc")):
        with pytest.raises(EmbeddedPostgresError, match="PURSER_DATA_DIR"), embedded_postgres(folder):
            pass


def test_a_data_folder_that_cannot_be_made_says_what_to_set(data_dir: Path) -> None:
    if IS_ROOT:
        pytest.skip("root can write everywhere")
    closed = data_dir.parent / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(EmbeddedPostgresError, match="PURSER_DATA_DIR"), embedded_postgres(closed / "data"):
        pass


@pytest.mark.skipif(not IS_ROOT, reason="needs root")
class TestAsRoot:
    def test_a_home_that_others_cannot_read_stays_closed_and_works(self, data_dir: Path) -> None:
        home = data_dir.parent
        home.chmod(0o700)
        with embedded_postgres(data_dir) as url:
            assert ask(url, "SELECT 1") == 1
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
        with embedded_postgres(data_dir) as url:
            assert ask(url, "SELECT 1") == 1

    def test_the_server_is_not_root_and_its_account_cannot_change_its_configuration(self, made: Path) -> None:
        with embedded_postgres(made):
            status = Path(f"/proc/{postmaster(made)[0]}").stat()
            assert status.st_uid == pwd.getpwnam("nobody").pw_uid
            for name in (".", "postgresql.conf", "pg_hba.conf", "password", "server.log"):
                assert (made / "postgres" / name).stat().st_uid == 0

    def test_an_ordinary_user_starts_it_and_root_joins_as_a_guest(self, data_dir: Path) -> None:
        user = ordinary_user()
        os.chown(data_dir.parent, user, user)
        with holder(data_dir, user=user) as (_, url_of_user), embedded_postgres(data_dir) as url:
            assert url == url_of_user
            assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        with embedded_postgres(data_dir) as url:  # started by root now, in the user's folder
            assert ask(url, "SELECT 1") == 1
        with holder(data_dir, user=user) as (_, url_of_user):
            assert ask(url_of_user, "SELECT 1") == 1

    def test_an_ordinary_user_is_told_that_the_folder_is_not_theirs(self, made: Path) -> None:
        with embedded_postgres(made):
            done = subprocess.run(
                [sys.executable, "-c", HOLDER, str(made), str(ordinary_user())],
                capture_output=True,
                text=True,
                check=False,
            )
        assert "set PURSER_DATA_DIR to a folder of yours" in done.stderr

    @pytest.mark.slow
    def test_binaries_in_a_closed_home_are_copied_to_where_the_server_can_run_them(self, data_dir: Path) -> None:
        home = data_dir.parent
        package = binaries().parent.parent
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, home / folder.name)
        home.chmod(0o700)
        place = Path(tempfile.mkdtemp(prefix="purser-test-"))
        place.chmod(0o755)
        story = f"""
import sys
from pathlib import Path
import infra.embedded_postgres as module
module.binaries = lambda: Path({str(home / package.name / "pginstall" / "bin")!r})
module.PLACE_FOR_ROOT = Path({str(place)!r})
{HOLDER.replace("from infra.embedded_postgres import embedded_postgres", "embedded_postgres = module.embedded_postgres")}
"""
        try:
            done = subprocess.run(
                [sys.executable, "-c", story, str(data_dir)], input="", capture_output=True, text=True, check=True
            )
            assert done.stdout.startswith("postgresql://purser:")
            assert [path.name.startswith("purser-postgresql-") for path in sorted(place.iterdir())].count(True) == 1
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
        finally:
            shutil.rmtree(place)


def ordinary_user() -> int:
    """A user other than root and `nobody` who can run the binaries."""
    for entry in pwd.getpwall():
        if entry.pw_uid == 0 or entry.pw_name == "nobody":
            continue
        with suppress(PermissionError):
            subprocess.run([binaries() / "postgres", "--version"], user=entry.pw_uid, capture_output=True, check=True)
            return entry.pw_uid
    pytest.skip("the binaries lie where no ordinary user can run them")
