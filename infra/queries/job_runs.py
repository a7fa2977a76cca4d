"""Runs of jobs, as an operator looks at them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from infra.application import Application
from infra.job_outcomes import Outcome

_COLUMNS: Final = "id, job, run_for, started_at, ended_at, outcome, done, message"
# Skips from job to job and, for each outcome, to its newest run: its cost does not grow with how many there were.
_LAST: Final = f"""
WITH RECURSIVE known AS (
    (SELECT job FROM job_run ORDER BY job LIMIT 1)
    UNION ALL
    SELECT (SELECT job FROM job_run WHERE job > known.job ORDER BY job LIMIT 1) FROM known WHERE known.job IS NOT NULL
)
SELECT newest.* FROM known
CROSS JOIN unnest(ARRAY['RUNNING', 'DONE', 'UNFINISHED', 'FAILED']) AS asked (outcome)
CROSS JOIN LATERAL (
    SELECT {_COLUMNS} FROM job_run r WHERE r.job = known.job AND r.outcome = asked.outcome
    ORDER BY started_at DESC LIMIT 1
) AS newest
ORDER BY newest.job, newest.started_at"""


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run. `run_for`: the time that it was for. `done`: how many it dealt with. `message`: why it failed."""

    id: UUID
    job: str
    run_for: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    done: int
    message: str | None


@dataclass(frozen=True, slots=True)
class JobRuns:
    """A job's last run, whatever became of it, its last success (one that ran out of time is none) and its last failure."""

    job: str
    last: JobRun
    last_success: JobRun | None
    last_failure: JobRun | None


async def job_runs(application: Application) -> list[JobRuns]:
    """Every job that has run within the time that runs are kept, by its name."""
    found: dict[str, list[JobRun]] = {}
    for row in await application.across_tenants.fetch(_LAST):
        identifier, job, run_for, started_at, ended_at, outcome, done, message = row
        run = JobRun(identifier, job, run_for, started_at, ended_at, Outcome(outcome), done, message)
        found.setdefault(job, []).append(run)
    return [_runs(job, runs) for job, runs in found.items()]


def _runs(job: str, runs: list[JobRun]) -> JobRuns:
    """The newest run of each outcome, by when they started."""
    by_outcome = {run.outcome: run for run in runs}
    return JobRuns(job, runs[-1], by_outcome.get(Outcome.DONE), by_outcome.get(Outcome.FAILED))
