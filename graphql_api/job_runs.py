"""Runs of jobs: what an operator looks at to see that everything that runs by itself still does."""

from datetime import datetime

import strawberry

from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.scalars import Count
from infra.job_outcomes import Outcome
from infra.queries import job_runs as query


@strawberry.type(
    description="One run of a job, or the runs of an hour with the same outcome in a server that runs jobs itself."
)
class JobRun:
    """One run of a job."""

    run_for: datetime = strawberry.field(description="The time that it was for: when it was scheduled.")
    started_at: datetime = strawberry.field(description="When it started.")
    ended_at: datetime | None = strawberry.field(description="When it ended; null while it runs.")
    outcome: Outcome = strawberry.field(description="How it ended.")
    done: Count = strawberry.field(description="How many things it dealt with.")
    message: str | None = strawberry.field(description="Why it failed; null where it did not.")

    @classmethod
    def of(cls, run: query.JobRun) -> "JobRun":
        return cls(
            run_for=run.run_for,
            started_at=run.started_at,
            ended_at=run.ended_at,
            outcome=run.outcome,
            done=Count(run.done),
            message=run.message,
        )


@strawberry.type(description="How a job fares. Runs are kept for 90 days.")
class JobRuns:
    """How a job fares."""

    job: str = strawberry.field(description="The job's name, such as start_cycles.")
    last: JobRun = strawberry.field(description="Its last run, whatever became of it.")
    last_success: JobRun | None = strawberry.field(
        description="The last run that did all there was to do; null where none did."
    )
    last_failure: JobRun | None = strawberry.field(description="The last run that failed; null where none did.")

    @classmethod
    def of(cls, runs: query.JobRuns) -> "JobRuns":
        return cls(
            job=runs.job,
            last=JobRun.of(runs.last),
            last_success=None if runs.last_success is None else JobRun.of(runs.last_success),
            last_failure=None if runs.last_failure is None else JobRun.of(runs.last_failure),
        )


@strawberry.type
class JobRunQueries:
    """What can be asked about jobs."""

    @field(description="For operators: every job that has run in the last 90 days, by name. Needs no tenant.")
    async def job_runs(self, info: Info) -> list[JobRuns]:
        return [JobRuns.of(runs) for runs in await query.job_runs(info.context.application)]
