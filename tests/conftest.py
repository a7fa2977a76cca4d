"""What tests share: one PostgreSQL for all workers of a run, and an empty database for each test that asks for one.

The server is the embedded one, in a folder of this run; or that of PURSER_TEST_DATABASE_URL, whose role must be allowed
to create databases. The schema is migrated once, into a template. Each worker has a copy of it, which is emptied after
each test. A test that alters the schema gets a copy of its own by `@pytest.mark.own_database`; without that, it fails.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest

from domain.catalog import Catalog
from infra import catalog, roles
from infra.application import Application, open_application
from infra.collector import seldom_collected
from infra.embedded_postgres import embedded_postgres
from infra.embedded_postgres_lifetime import postmaster
from infra.schema import migrate
from infra.settings import DeploymentMode, Settings
from tests import browsers
from tests.databases import SharedDatabase, copied, drop, execute, with_database

FOLDER: Final = pytest.StashKey[Path]()
# Tests never fail for being slow: a machine may be busy.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """The run's folder: made by the process that was started, and handed on to its workers."""
    handed_on: str | None = getattr(config, "workerinput", {}).get("purser_folder")
    if handed_on is None:
        # Not among pytest's temporary folders: those are closed to the account that PostgreSQL runs as for root.
        handed_on = tempfile.mkdtemp(prefix="purser-tests-")
        Path(handed_on).chmod(0o711)
    config.stash[FOLDER] = Path(handed_on)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the folder is."""
    node.workerinput["purser_folder"] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Clear up, once all workers have left."""
    folder = config.stash.get(FOLDER, None)
    if folder is None or hasattr(config, "workerinput"):
        return
    url = os.environ.get("PURSER_TEST_DATABASE_URL")
    if url and (folder / "migrated").exists():
        asyncio.run(execute(url, f'DROP DATABASE IF EXISTS "{_template(folder)}"'))
    with suppress(OSError):
        home = (folder / "data" / "postgres").readlink()
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Nobody is to take a run without a browser for the whole suite: it says so after all else."""
    yield
    browsers.tell_left_out(terminalreporter)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Async tests run on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session", autouse=True)
def _less_to_do() -> Iterator[None]:
    """Spare each test what a process does once: the catalog's data files take 20 ms to read, the certificates of the
    world 30 ms for each HTTP client (and nobody here speaks TLS), and the garbage collector comes often."""
    read = catalog.load
    known = read()

    def load(folder: Path | None = None) -> Catalog:
        return known if folder is None else read(folder)

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as no_certificates, seldom_collected():
        patch.setattr(catalog, "load", load)
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", no_certificates)
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            # Processes that a test starts keep what they compile where we do.
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(sys.pycache_prefix))
        yield


@pytest.fixture(scope="session")
def postgres_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A server that all workers share; the last one to leave stops it if it is ours."""
    given = os.environ.get("PURSER_TEST_DATABASE_URL")
    if given:
        yield given
    else:
        data_dir = pytestconfig.stash[FOLDER] / "data"
        with embedded_postgres(data_dir) as url:
            _forgo_durability(data_dir)
            yield url


@pytest.fixture(scope="session")
def template(pytestconfig: pytest.Config, postgres_url: str) -> str:
    """The name of a migrated database that holds nothing. It is never analysed: statistics of empty tables would make
    plans that no real database has."""
    folder = pytestconfig.stash[FOLDER]
    name = _template(folder)
    with _locked(folder / "template.lock"):
        if not (folder / "migrated").exists():
            asyncio.run(execute(postgres_url, f'DROP DATABASE IF EXISTS "{name}"'))
            asyncio.run(execute(postgres_url, f'CREATE DATABASE "{name}"'))
            asyncio.run(migrate(with_database(postgres_url, name)))
            (folder / "migrated").touch()
    return name


@pytest.fixture(scope="session")
def shared_database(postgres_url: str, template: str) -> Iterator[SharedDatabase]:
    """The database of this worker's tests."""
    shared = SharedDatabase(postgres_url, template)
    with pytest.MonkeyPatch.context() as patch:
        # Whether the roles can be taken takes two connections to find out, and nothing changes it: who alters them here
        # is noticed, or has a database of its own.
        usable = roles.usable
        known: list[bool] = []

        async def usable_in_this_run(url: str) -> bool:
            if not shared.is_at(url):
                return await usable(url)
            if not known:
                known.append(await usable(url))
            return known[0]

        patch.setattr(roles, "usable", usable_in_this_run)
        yield shared
    shared.drop()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres_url: str, template: str) -> Iterator[str]:
    """A migrated database without a row, the test's own for as long as it runs."""
    if request.node.get_closest_marker("own_database") is not None:
        url = asyncio.run(copied(postgres_url, template))
        yield url
        drop(postgres_url, url)
        return
    shared: SharedDatabase = request.getfixturevalue("shared_database")
    yield shared.url()
    if not shared.empty():
        pytest.fail("the test altered the schema: mark it with @pytest.mark.own_database", pytrace=False)


@pytest.fixture
def deployment_mode() -> DeploymentMode | None:
    """Parametrise it with SELF_HOSTED where tenants are to bring own keys."""
    return None


@pytest.fixture
def settings(database_url: str, tmp_path: Path, deployment_mode: DeploymentMode | None) -> Settings:
    return Settings(database_url, tmp_path / "data", "a secret of the tests", deployment_mode)


@pytest.fixture
async def application(settings: Settings, database_url: str) -> AsyncIterator[Application]:
    """The application on the test's own database."""
    async with open_application(settings, database_url) as opened:
        yield opened


def _forgo_durability(data_dir: Path) -> None:
    """These databases outlive nothing: the server need not wait for the disk, nor for proofs of passwords. (Tests that
    kill one, or ask it for a password, start their own.)"""
    settings = data_dir / "postgres" / "cluster" / "postgresql.auto.conf"
    with settings.open("a") as file:
        file.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n")
    (settings.parent / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    os.kill(int(postmaster(data_dir)[0]), signal.SIGHUP)


def _template(folder: Path) -> str:
    return f"template-{folder.name}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
