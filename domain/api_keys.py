"""API keys: what one may be like, and what becomes of it when a new one takes its place."""

from datetime import datetime, timedelta
from typing import Final

from domain.attribution import is_identifier
from domain.refusals import FieldProblem

LONGEST_NAME: Final = 100
LONGEST_OVERLAP: Final = timedelta(days=7)
MOST_REQUESTS_PER_MINUTE: Final = 10_000_000
# Far enough for anybody, and near enough for a lifetime to be added to it.
LATEST_YEAR: Final = 2100

# So much of a key is shown, so that its owner knows it again; 40 of its characters stay secret.
_SHOWN: Final = 7


def hint(token: str) -> str:
    """The beginning of a key: `psk_Ab3...`."""
    return f"{token[:_SHOWN]}..."


def problems(
    name: str,
    expires_at: datetime | None,
    requests_per_minute: int | None,
    now: datetime,
    *,
    most_per_minute: int | None,
) -> tuple[FieldProblem, ...]:
    """What is wrong with a key that is to be made. `most_per_minute`: what its maker may allow it; None: anything."""
    found: list[FieldProblem] = []
    if not is_identifier(name) or len(name) > LONGEST_NAME:
        found.append(
            FieldProblem("name", f"must be 1 to {LONGEST_NAME} printable characters without blanks at the ends")
        )
    found.extend(end_problems(expires_at, now))
    most = MOST_REQUESTS_PER_MINUTE if most_per_minute is None else most_per_minute
    if requests_per_minute is not None and not 1 <= requests_per_minute <= most:
        found.append(FieldProblem("requestsPerMinute", f"must be 1 to {most}; leave it out for the usual limit"))
    return tuple(found)


def end_problems(expires_at: datetime | None, now: datetime) -> tuple[FieldProblem, ...]:
    """What is wrong with the moment at which a key is to end."""
    if expires_at is None or (expires_at > now and expires_at.year < LATEST_YEAR):
        return ()
    return (FieldProblem("expiresAt", f"must lie ahead, before the year {LATEST_YEAR}; leave it out for none"),)


def overlap_problems(seconds: int) -> tuple[FieldProblem, ...]:
    """What is wrong with the time for which an old key works beside its successor."""
    longest = LONGEST_OVERLAP // timedelta(seconds=1)
    return () if 0 <= seconds <= longest else (FieldProblem("overlapSeconds", f"must be 0 to {longest}"),)


def end_of_successor(created_at: datetime, expires_at: datetime | None, now: datetime) -> datetime | None:
    """When a new key ends that takes the place of one made then and ending then: it lives as long as that was to live."""
    return None if expires_at is None else now + (expires_at - created_at)


def end_of_replaced(expires_at: datetime | None, overlap_seconds: int, now: datetime) -> datetime:
    """When a key that was replaced stops: after the overlap, or at its own end if that is sooner."""
    end = now + timedelta(seconds=overlap_seconds)
    return end if expires_at is None else min(end, expires_at)
