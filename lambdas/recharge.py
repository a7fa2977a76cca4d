"""Job: recharges wallets that are below their threshold, where the commit that crossed it did not (every few minutes)."""

from infra.services import recharges
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("recharge")
async def handler(run: Run) -> Progress:
    """Start what is due; never two charges of one wallet at a time. Without payments nothing can be."""
    if run.application.gateway is None:
        return Progress(0)
    return await recharges.recharge_due(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
