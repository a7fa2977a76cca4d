"""Job: brings events to the tenants' channels, and raises the alerts that events call for (every minute)."""

from infra.services import deliveries
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("deliver_notifications")
async def handler(run: Run) -> Progress:
    """Bring on its way what has happened, and what did not arrive before; a duplicate carries the same id."""
    return await deliveries.notify(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
