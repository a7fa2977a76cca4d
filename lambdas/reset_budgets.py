"""Job: resumes what budgets paused in a month that is over in the tenant's zone (hourly, since months begin by zone)."""

from infra.services import budget_resets
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("reset_budgets")
async def handler(run: Run) -> Progress:
    """Such a pause stops nobody any more; workers are told to queue the work again."""
    return await budget_resets.reset_budgets(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
