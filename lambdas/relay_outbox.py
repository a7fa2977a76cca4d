"""Job: tells the EventBridge bus PURSER_EVENT_BUS what happened (every minute)."""

from infra.events import event_bus
from infra.services import relay
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("relay_outbox")
async def handler(run: Run) -> Progress:
    """At least once: consumers drop by the event's id what comes twice."""
    return await relay.relay_outbox(run.application, event_bus(run.application.settings), stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
