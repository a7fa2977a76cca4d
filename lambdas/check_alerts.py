"""Job: raises alerts of budgets and balances (every quarter of an hour)."""

from infra.services import alerts
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("check_alerts")
async def handler(run: Run) -> Progress:
    """Raise what is due; each alert once a day, however often this runs."""
    return await alerts.check_alerts(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
