"""What tests share: one PostgreSQL for all workers of a run, and a fresh database for each test that asks for one.

The server is the embedded one, in a folder of this run; or that of PURSER_TEST_DATABASE_URL, whose role must be allowed
to create databases. The schema is migrated once, into a template; a test's database is a copy of it.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from infra.application import Application, open_application
from infra.embedded_postgres import embedded_postgres
from infra.embedded_postgres_lifetime import postmaster
from infra.schema import migrate
from infra.settings import DeploymentMode, Settings

FOLDER: Final = pytest.StashKey[Path]()


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
        asyncio.run(_execute(url, f'DROP DATABASE IF EXISTS "{_template(folder)}"'))
    with suppress(OSError):
        home = (folder / "data" / "postgres").readlink()
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Async tests run on the loop that the server runs on."""
    return "asyncio", {"use_uvloop": True}


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
            asyncio.run(_execute(postgres_url, f'DROP DATABASE IF EXISTS "{name}"'))
            asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}"'))
            asyncio.run(migrate(_with_database(postgres_url, name)))
            (folder / "migrated").touch()
    return name


@pytest.fixture
def database_url(postgres_url: str, template: str) -> Iterator[str]:
    """A fresh, migrated database of the test's own."""
    name = f"test_{uuid4().hex}"
    asyncio.run(_execute(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    yield _with_database(postgres_url, name)
    asyncio.run(_execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


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
    """These databases outlive nothing: the server need not wait for the disk. (Tests that kill one start their own.)"""
    settings = data_dir / "postgres" / "cluster" / "postgresql.auto.conf"
    with settings.open("a") as file:
        file.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n")
    os.kill(int(postmaster(data_dir)[0]), signal.SIGHUP)


def _template(folder: Path) -> str:
    return f"template-{folder.name}"


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
