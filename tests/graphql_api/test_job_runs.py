"""`jobRuns`: operators see how the jobs fare; nobody else does."""

from datetime import UTC, datetime
from typing import Final

from infra.application import Application
from infra.services import job_runs
from infra.services.progress import Progress
from tests.graphql_api.conftest import Clients

AT: Final = datetime(2026, 11, 21, 3, tzinfo=UTC)
JOB_RUNS: Final = """{ jobRuns { job last { runFor startedAt endedAt outcome done message }
    lastSuccess { outcome done } lastFailure { outcome message } } }"""


async def test_an_operator_sees_each_jobs_last_run_success_and_failure(
    application: Application, clients: Clients
) -> None:
    first = await job_runs.start(application, "recharge", AT, AT)
    await job_runs.end(application, first, Progress(3), AT)
    second = await job_runs.start(application, "recharge", AT, AT.replace(hour=4))
    await job_runs.fail(application, second, RuntimeError("no room"), AT.replace(hour=5))
    answer = await clients.operator.send(JOB_RUNS)
    assert answer["data"]["jobRuns"] == [
        {
            "job": "recharge",
            "last": {
                "runFor": "2026-11-21T03:00:00.000000Z",
                "startedAt": "2026-11-21T04:00:00.000000Z",
                "endedAt": "2026-11-21T05:00:00.000000Z",
                "outcome": "FAILED",
                "done": "0",
                "message": "RuntimeError: no room",
            },
            "lastSuccess": {"outcome": "DONE", "done": "3"},
            "lastFailure": {"outcome": "FAILED", "message": "RuntimeError: no room"},
        }
    ]


async def test_only_operators_may_ask(clients: Clients) -> None:
    for client in (clients.admin, clients.member, clients.service):
        (error,) = (await client.send(JOB_RUNS))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
