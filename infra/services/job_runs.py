"""Runs of jobs: each is written down, so that an operator sees when a job last succeeded and why it failed.

A message never holds what may be secret: of an address only its host is kept, and anything that looks like a key is left
out.
"""

import re
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from infra.application import Application
from infra.identifiers import new_id
from infra.job_outcomes import Outcome
from infra.services.progress import Progress

KEPT: Final = timedelta(days=90)
LONGEST_MESSAGE: Final = 500
BROKEN_OFF: Final = "The process ended before the job did."

# By the outcomes, because the index begins so.
_FORGET: Final = """
DELETE FROM job_run
WHERE job = $1 AND outcome IN ('RUNNING', 'DONE', 'UNFINISHED', 'FAILED') AND started_at < $2"""
# Of one job only one runs at a time, so what still runs by its row has been broken off.
_BREAK_OFF: Final = """
UPDATE job_run SET outcome = 'FAILED', ended_at = $2, message = $3 WHERE job = $1 AND outcome = 'RUNNING'"""
_START: Final = """
INSERT INTO job_run (id, job, run_for, started_at, outcome, done) VALUES ($1, $2, $3, $4, 'RUNNING', 0)"""
_END: Final = "UPDATE job_run SET outcome = $2, ended_at = $3, done = $4, message = $5 WHERE id = $1"
_ADD: Final = """
INSERT INTO job_run AS r (id, job, run_for, started_at, ended_at, outcome, done, message)
VALUES ($1, $2, $3, $3, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET run_for = EXCLUDED.run_for, started_at = EXCLUDED.started_at, ended_at = EXCLUDED.ended_at, done = r.done + EXCLUDED.done,
    message = EXCLUDED.message"""

_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/@]*@)?([^\s/?#'\"]*)\S*", re.IGNORECASE)
_KEY: Final = re.compile(r"\b(?:psk|sk|rk|pk|whsec|xox[a-z]|AKIA|ASIA)[-_A-Z0-9][-_A-Za-z0-9*]{6,}")


def outcome_of(progress: Progress) -> Outcome:
    """How a run ended that came this far."""
    return Outcome.DONE if progress.complete else Outcome.UNFINISHED


async def start(application: Application, job: str, run_for: datetime, now: datetime) -> UUID:
    """Write down that a job runs; nobody else may be running it. Old runs are forgotten, a broken one is told as such."""
    run_id = new_id(now)
    async with application.writers.acquire() as connection:
        await connection.execute(_FORGET, job, now - KEPT)
        await connection.execute(_BREAK_OFF, job, now, BROKEN_OFF)
        await connection.execute(_START, run_id, job, run_for, now)
    return run_id


async def end(application: Application, run_id: UUID, progress: Progress, now: datetime) -> None:
    """Write down how far a run came."""
    await application.writers.execute(_END, run_id, outcome_of(progress), now, progress.done, None)


async def fail(application: Application, run_id: UUID, error: BaseException, now: datetime) -> None:
    """Write down why a run ended early."""
    await application.writers.execute(_END, run_id, Outcome.FAILED, now, 0, message_of(error))


async def add(
    application: Application,
    run_id: UUID,
    job: str,
    now: datetime,
    progress: Progress | None,
    error: BaseException | None = None,
) -> None:
    """Write down a run that is over already: how far it came, or (None) the error that ended it. Under the id of an earlier
    one with the same outcome it is added to that."""
    outcome = Outcome.FAILED if progress is None else outcome_of(progress)
    done = 0 if progress is None else progress.done
    message = None if error is None else message_of(error)
    async with application.writers.acquire() as connection:
        await connection.execute(_FORGET, job, now - KEPT)
        await connection.execute(_ADD, run_id, job, now, outcome, done, message)


def message_of(error: BaseException) -> str:
    """What an operator may read of an error: its kind and its own words, without secrets."""
    # Of PostgreSQL's errors only the message: the detail holds rows.
    text = error.message if isinstance(error, asyncpg.PostgresError) and error.message else str(error)
    text = _KEY.sub("...", _ADDRESS.sub(r"\1\2", " ".join(text.split())))
    return f"{type(error).__name__}: {text}"[:LONGEST_MESSAGE].removesuffix(": ")
