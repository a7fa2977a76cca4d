"""Job: asks the payment rail about orders whose webhooks did not come, and settles them (every quarter of an hour)."""

from infra.services import topups
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("reconcile_top_ups")
async def handler(run: Run) -> Progress:
    """Settle what was left pending, by the same rules as webhooks. Without payments there is nothing to settle."""
    if run.application.gateway is None:
        return Progress(0)
    return await topups.reconcile(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
