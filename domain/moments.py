"""Moments as clients write them: ISO 8601 with seconds and an offset, and nothing looser."""

import re
from datetime import UTC, datetime
from typing import Final

_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


class MomentError(ValueError):
    """A value is no moment; the message says what to send instead."""


def read_moment(value: object) -> datetime:
    """Read a string such as "2026-11-21T02:45:00Z" into UTC; what is finer than a microsecond is cut off.

    Raises MomentError for every other form, and for moments that there are not."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise MomentError(
            "a moment is a string such as '2026-11-21T02:45:00Z', with seconds and with Z or an offset such as +05:30"
        )
    whole, fraction, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{whole}.{(fraction or '0')[:6]:0<6}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MomentError(f"there is no such moment: {error}") from error
