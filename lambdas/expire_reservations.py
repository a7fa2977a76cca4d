"""Job: gives back what reservations hold that nobody settled in time (every few minutes)."""

from infra.services import reservations
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("expire_reservations")
async def handler(run: Run) -> Progress:
    """Work that needs the room finds it without this job too; balances show it sooner with it."""
    return await reservations.expire_all_due(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
