"""Job: grants the running cycle to tenants whose last one has ended, also to those who ask for nothing (hourly)."""

from infra.services import cycles
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("start_cycles")
async def handler(run: Run) -> Progress:
    """Grant what is due; twice, late or after missed months is harmless."""
    return await cycles.start_due(run.application, run.at, stop_at=run.stop_at)


if __name__ == "__main__":
    by_hand(handler)
