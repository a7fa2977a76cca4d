"""Job: tells operators what does not earn what it should, and how many paid calls nobody was charged for (daily)."""

from infra.services import margins
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("check_margins")
async def handler(run: Run) -> Progress:
    """The job succeeds whatever it finds: its metrics FlaggedMargins and UnmeteredCalls and the alerts tell."""
    checked = await margins.check_margins(run.application, run.at, stop_at=run.stop_at)
    if checked.flagged is not None and checked.unmetered is not None:
        run.figures.update(FlaggedMargins=checked.flagged, UnmeteredCalls=checked.unmetered)
    return checked.progress


if __name__ == "__main__":
    by_hand(handler)
