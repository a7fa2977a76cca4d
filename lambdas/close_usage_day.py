"""Job: sums up what is left of the days that are over, makes the coming months' partitions, and forgets refusals that are
old (nightly)."""

from infra.services import partitions, refusals, rollups
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("close_usage_day")
async def handler(run: Run) -> Progress:
    """Partitions first: they take little time, and must not wait for usage that takes much."""
    made = await partitions.make_ahead(run.application, run.at)
    rolled = await rollups.roll_up(run.application, run.at, stop_at=run.stop_at)
    forgotten = await refusals.forget_old(run.application, run.at, stop_at=run.stop_at)
    steps = (made, rolled, forgotten)
    return Progress(sum([step.done for step in steps]), complete=all(step.complete for step in steps))


if __name__ == "__main__":
    by_hand(handler)
