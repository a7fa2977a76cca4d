"""The runtime under Lambda's own client: one process, many invocations, one application; one run of a job at a time."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import asyncpg
import pytest

from infra.settings import CHECKOUT
from lambdas.runtime import EventError, moment
from tests.lambdas.runtime_api import Answered, Function, environment, function
from tests.processes import run

AT: Final = {"at": "2030-11-20T00:00:00Z"}
JOBS: Final = "tests.lambdas.trivial_jobs"


@pytest.fixture
def shown(variables: dict[str, str]) -> Iterator[Function]:
    """The job that shows what it is given."""
    with function(f"{JOBS}.shown", **variables) as opened:
        yield opened


def test_a_warm_process_uses_the_same_application_again(shown: Function) -> None:
    assert shown.invoke(AT) == Answered({"done": 1, "complete": True})
    assert shown.invoke({"time": "2030-11-20T05:30:00+05:30"}) == Answered({"done": 2, "complete": True})
    assert shown.invoke(AT) == Answered({"done": 3, "complete": True})
    lines = [line["message"] for line in shown.logged() if line["message"].startswith("on backend")]
    assert len(lines) == 3
    assert len(set(lines)) == 1, "one connection for all"


def test_every_line_of_the_log_names_the_job_and_its_request(shown: Function) -> None:
    shown.invoke(AT)
    shown.invoke(AT)
    lines = shown.logged()
    assert [line["message"].split()[0] for line in lines] == ["on", "ran", "on", "ran"]
    assert {(line["service"], line["job"]) for line in lines} == {("purser", "shown")}
    assert len({line["request_id"] for line in lines}) == 2
    assert lines[-1]["answer"] == {"done": 2, "complete": True}


@pytest.mark.parametrize("text", [None, 5, "yesterday", "2025-11-20T00:00:00"])
def test_a_time_that_cannot_be_read_is_an_error_that_says_what_to_send(text: object) -> None:
    with pytest.raises(EventError, match=r"must be a moment with its offset, such as 2026-11-20T00:00:00Z"):
        moment(text)


def test_no_run_is_for_a_time_to_come_nor_for_one_before_all_books() -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    assert moment(soon.isoformat()) == soon, "clocks differ a little"
    assert moment("2000-01-01T00:00:00+05:30") == datetime(1999, 12, 31, 18, 30, tzinfo=UTC)
    for ahead in ((soon + timedelta(minutes=3)).isoformat(), "9999-12-31T23:59:59-14:00"):
        with pytest.raises(EventError, match=r"must not be in the future: it is 20..-..-..T..:..:..Z"):
            moment(ahead)
    for early in ("1999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(EventError, match="must not be before the year 2000"):
            moment(early)


def test_a_run_for_a_time_to_come_books_nothing(variables: dict[str, str]) -> None:
    with function(f"{JOBS}.shown", **variables) as shown:
        error = shown.invoke({"at": "2030-11-20T00:06:00Z"}).error
    assert error is not None
    assert error["errorType"] == "EventError"
    assert error["errorMessage"].endswith("must not be in the future: it is 2030-11-20T00:00:00Z")
    assert asyncio.run(rows(variables["DATABASE_URL"], "SELECT FROM job_run")) == []


def test_an_error_is_told_to_lambda_and_the_process_works_on(variables: dict[str, str]) -> None:
    with function(f"{JOBS}.failing", **variables) as failing:
        no_time = failing.invoke({}).error
        assert no_time is not None
        assert (no_time["errorType"], no_time["errorMessage"][:24]) == ("EventError", "the event must say which")
        error = failing.invoke(AT).error
        assert error is not None
        assert error["errorType"] == "DivisionByZeroError"
        assert failing.invoke(AT) == Answered({"done": 2, "complete": True})


def test_each_run_is_written_down_and_measured(variables: dict[str, str]) -> None:
    with function(f"{JOBS}.failing", **variables) as failing:
        failing.invoke({})
        failing.invoke(AT)
        failing.invoke(AT)
        assert failing.measured() == [
            {"service": "failing", "Success": 0},
            {"service": "failing", "Success": 1, "Done": 2},
        ]
    runs = asyncio.run(rows(variables["DATABASE_URL"], "SELECT job, outcome, done, message FROM job_run ORDER BY id"))
    assert [tuple(run) for run in runs] == [
        ("failing", "FAILED", 0, "DivisionByZeroError: division by zero"),
        ("failing", "DONE", 2, None),
    ]


def test_a_job_stops_before_its_time_is_up(variables: dict[str, str]) -> None:
    with function(f"{JOBS}.endless", **variables) as endless:
        answer = endless.invoke(AT, seconds=2).response
    assert answer["complete"] is False
    assert answer["done"] > 0


def test_a_second_run_of_a_job_is_skipped_while_the_first_is_under_way(
    database_url: str, variables: dict[str, str]
) -> None:
    with (
        function(f"{JOBS}.endless", **variables) as endless,
        function(f"{JOBS}.shown", **variables) as another,
        ThreadPoolExecutor(1) as thread,
    ):
        assert endless.invoke(AT, seconds=1).error is None
        running = thread.submit(endless.invoke, AT, seconds=3)
        with Beside(database_url) as beside:
            beside.wait_for_a_lock()
            assert running.result().response["complete"] is False
            beside.lock("purser job endless")
            assert endless.invoke(AT, seconds=1) == Answered({"skipped": "running"})
            assert another.invoke(AT).response["done"] == 1, "each job has a lock of its own"
        assert endless.invoke(AT, seconds=1).response["complete"] is False
        assert [figures["Success"] for figures in endless.measured()] == [0, 0, 0], "what was skipped has no metrics"


def test_the_lock_is_given_back_between_invocations(variables: dict[str, str]) -> None:
    with function(f"{JOBS}.shown", **variables) as one, function(f"{JOBS}.shown", **variables) as other:
        assert one.invoke(AT) == Answered({"done": 1, "complete": True})
        assert other.invoke(AT) == Answered({"done": 1, "complete": True})
        assert one.invoke(AT) == Answered({"done": 2, "complete": True})


def test_connections_that_end_between_invocations_are_not_used_again(shown: Function, database_url: str) -> None:
    assert shown.invoke(AT).error is None
    assert asyncio.run(end_connections(database_url)) >= 1
    assert shown.invoke(AT) == Answered({"done": 2, "complete": True})


def test_a_wrong_setting_is_told_at_every_invocation(tmp_path: Path) -> None:
    variables = {"DATABASE_URL": "mysql://root:seven-seals@db/purser", "PURSER_DATA_DIR": str(tmp_path)}
    with function(f"{JOBS}.shown", **variables) as shown:
        for _ in range(2):
            error = shown.invoke(AT).error
            assert error is not None
            assert error["errorType"] == "SettingsError"
        assert "seven-seals" not in shown.written()


def test_a_job_is_run_by_hand(variables: dict[str, str]) -> None:
    done = by_hand(variables, "--at", "2030-11-20T00:00Z")
    assert json.loads(done.stdout.splitlines()[-1]) == {"done": 1, "complete": True}
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [(), ("--at", "yesterday"), ("--at", "2030-11-20T00:06Z")])
def test_by_hand_too_the_time_must_be_said_and_not_be_to_come(arguments: tuple[str, ...]) -> None:
    done = by_hand({}, *arguments)
    assert done.returncode == 2
    assert "--at" in done.stderr.splitlines()[-1]


def test_by_hand_a_wrong_setting_is_a_message_that_says_what_to_do() -> None:
    done = by_hand({"PURSER_DEPLOYMENT_MODE": "mine"}, "--at", "2030-11-20T00:00Z")
    assert (done.returncode, done.stderr) == (
        2,
        "PURSER_DEPLOYMENT_MODE is 'mine': set it to hosted or self_hosted, or leave it out.\n",
    )


def test_by_hand_a_wrong_database_is_a_message_without_its_password() -> None:
    url = "postgresql://purser:seven-seals@127.0.0.1:1/purser"
    done = by_hand({"DATABASE_URL": url}, "--at", "2030-11-20T00:00Z")
    assert (done.returncode, done.stdout) == (2, "")
    (message,) = done.stderr.splitlines()
    assert message.startswith("No PostgreSQL answers at 127.0.0.1:1/purser (")
    assert message.endswith("): start it, or correct DATABASE_URL.")


def by_hand(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m` of the job that shows what it is given."""
    return run([JOBS, *arguments], environment(**variables), 60, CHECKOUT)


class Beside:
    """A connection of the test's own, which may stand for another run."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._connection = self._runner.run(asyncpg.connect(self._url))
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()

    def lock(self, name: str) -> None:
        self._runner.run(self._connection.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", name))

    def wait_for_a_lock(self) -> None:
        """Until a job holds one."""
        self._runner.run(self._locked())

    async def _locked(self) -> None:
        while not await self._connection.fetchval(  # noqa: ASYNC110  # it is another process that takes it
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database()))"
        ):
            await asyncio.sleep(0.01)


async def rows(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def end_connections(url: str) -> int:
    """End everybody else's connections to the database; answers how many there were."""
    connection = await asyncpg.connect(url)
    try:
        ended: int = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        return ended
    finally:
        await connection.close()
