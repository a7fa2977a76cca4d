"""Job: books the credits that have expired in wallets that nobody uses (hourly)."""

from infra.services import lots
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("expire_lots")
async def handler(run: Run) -> Progress:
    """Expired credits count no more, booked or not; the ledger shows it with this."""
    return await lots.expire_lots(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
