"""Where new ids come from: the moment and random bits, the only randomness that reaches a decision."""

from datetime import UTC, datetime, timedelta
from random import Random
from secrets import randbits
from typing import Final
from uuid import UUID

from domain.ids import uuid7

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

# Ids are no secrets: a generator seeded by the system spares a system call for each.
_random: Final = Random(randbits(256))  # noqa: S311


def new_id(moment: datetime | None = None) -> UUID:
    """A time-ordered identifier of a moment, else of now."""
    return uuid7(((moment or datetime.now(UTC)) - EPOCH) // MILLISECOND, _random.getrandbits(74))
