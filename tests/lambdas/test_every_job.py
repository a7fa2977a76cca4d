"""Every file in `lambdas/`: its handler runs under Lambda's own client, it loads nothing that it may never need, and every
job is run by hand too. A new file is found here by itself."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from infra.settings import CHECKOUT
from tests.databases import drop, execute, with_database
from tests.lambdas.runtime_api import Answered, environment, function
from tests.processes import run

NOT_HANDLERS: Final = ("__init__", "runtime")
HANDLERS: Final = sorted(path.stem for path in (CHECKOUT / "lambdas").glob("*.py") if path.stem not in NOT_HANDLERS)
# What comes from elsewhere than from a schedule.
EVENTS: Final[dict[str, dict[str, Any]]] = {
    "ingest_usage": {"Records": []},
    "topup_webhook": {
        "version": "2.0",
        "headers": {"stripe-signature": "t=1,v1=00"},
        "requestContext": {"http": {"method": "POST"}, "timeEpoch": 1_795_000_000_000},
        "body": "{}",
        "isBase64Encoded": False,
    },
}
JOBS: Final = [name for name in HANDLERS if name not in EVENTS]
AT: Final = datetime.now(UTC).isoformat()
HEAVY: Final = (
    "stripe",
    "boto3",
    "strawberry",
    "graphql",
    "starlette",
    "uvicorn",
    "piccolo",
    "cryptography",
    "genai_prices",
    "httpx",
    "apprise",
    "rich",
    "typer",
    "moto",
)
# One interpreter that has loaded nothing yet forks for each, which takes a tenth of the time that one for each takes.
LOADED: Final = f"""
import importlib, json, os, sys
for name in {HANDLERS}:
    if os.fork() == 0:
        importlib.import_module("lambdas." + name)
        print(json.dumps([name, sorted(set({HEAVY}).intersection(sys.modules))]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """By handler: what is heavy and was loaded with it."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=True
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture
def with_a_bus(variables: dict[str, str]) -> dict[str, str]:
    """The environment of a job that may ask for a bus; nothing has happened that it could be told."""
    return variables | {"PURSER_EVENT_BUS": "purser"}


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """A database without a schema."""
    name = f"empty-{datetime.now(UTC).timestamp()}"
    asyncio.run(execute(postgres_url, f'CREATE DATABASE "{name}"'))
    url = with_database(postgres_url, name)
    yield url
    drop(postgres_url, url)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_loads_nothing_that_it_may_never_need(name: str, loaded: dict[str, list[str]]) -> None:
    assert loaded[name] == []


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_runs_under_lambdas_own_client(name: str, with_a_bus: dict[str, str]) -> None:
    with function(f"lambdas.{name}.handler", **with_a_bus) as handler:
        answered = handler.invoke(EVENTS.get(name, {"time": AT}))
        assert answered.error is None, handler.written()
        if name in JOBS:
            assert answered == Answered({"done": 0, "complete": True})
            assert handler.measured()[0]["service"] == name
            assert handler.measured()[0]["Success"] == 1


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_run_by_hand(name: str, with_a_bus: dict[str, str]) -> None:
    done = run([f"lambdas.{name}", "--at", AT], environment(**with_a_bus), 60, CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"done": 0, "complete": True}


def test_there_is_nothing_else_in_the_folder() -> None:
    assert set(EVENTS) <= set(HANDLERS)
    assert {path.name for path in (CHECKOUT / "lambdas").iterdir() if path.is_dir()} <= {"__pycache__"}


def test_migrate_makes_the_schema_and_does_nothing_the_second_time(empty_database: str, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": empty_database, "PURSER_DATA_DIR": str(tmp_path)}
    at = datetime.now(UTC)
    spring = at.replace(year=at.year + 1, month=3, day=10)
    with function("tests.lambdas.timely_jobs.migrate", **variables) as migrate:
        for _ in range(2):
            assert migrate.invoke({"at": at.isoformat()}) == Answered({"done": 0, "complete": True}), migrate.written()
        months = 15 - at.month
        assert migrate.invoke({"at": spring.isoformat()}) == Answered({"done": months, "complete": True})
    with function("lambdas.start_cycles.handler", **variables) as start_cycles:
        assert start_cycles.invoke({"at": AT}) == Answered({"done": 0, "complete": True})
