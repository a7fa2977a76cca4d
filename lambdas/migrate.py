"""Job: brings the database's schema up to date, and makes the coming months' partitions (at each deploy, by
`aws lambda invoke`, before anything else runs on the new code).
"""

from infra.services import partitions
from infra.services.progress import Progress
from lambdas.runtime import Run, by_hand, job


async def _prepare(url: str) -> None:
    # Piccolo takes long to load, and no other job needs it.
    from infra.database import prepare

    await prepare(url)


@job("migrate", first=_prepare)
async def handler(run: Run) -> Progress:
    """Twice or two at once is harmless: migrations wait for each other."""
    return await partitions.make_ahead(run.application, run.at)


if __name__ == "__main__":
    by_hand(handler)
