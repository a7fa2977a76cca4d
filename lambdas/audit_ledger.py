"""Job: proves that the books hold, and tells people where they do not (daily)."""

from infra.services import audits
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


@job("audit_ledger")
async def handler(run: Run) -> Progress:
    """The job succeeds whatever it finds: its metric LedgerImbalance and the alerts tell."""
    audited = await audits.audit_ledger(run.application, stop_at=run.stop_at)
    if audited.imbalances is not None:
        run.figures["LedgerImbalance"] = audited.imbalances
    return audited.progress


if __name__ == "__main__":
    by_hand(handler)
