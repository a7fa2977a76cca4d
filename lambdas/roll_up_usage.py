"""Job: sums up usage by hour and day, as far as it is marked as new or changed (hourly)."""

from infra.services import rollups
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("roll_up_usage")
async def handler(run: Run) -> Progress:
    """Figures are exact without it too; it keeps them fast."""
    return await rollups.roll_up(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
