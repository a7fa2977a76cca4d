"""The audit of the books that a benchmark leaves: what `purser verify-ledger` checks."""

from infra.application import Application
from infra.audit import audit


async def check_books(application: Application) -> None:
    """Every hash recomputed, every balance folded from its entries, every hold found; or an error that says what is
    wrong."""
    async with application.across_tenants.acquire() as connection:
        report = await audit(connection)
    assert report.hold, report.findings[:5]
