"""Where new ids come from: the moment and random bits, the only randomness that reaches a decision."""

from datetime import UTC, datetime, timedelta
from random import Random
from secrets import randbits
from typing import Final
from uuid import UUID

from domain.ids import milliseconds_of, uuid7

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

# Ids are no secrets: a generator seeded by the system spares a system call for each.
_random: Final = Random(randbits(256))  # noqa: S311


def new_id(moment: datetime | None = None) -> UUID:
    """A time-ordered identifier of a moment, else of now. The first twelve of its random bits are the microseconds (RFC 9562,
    section 6.2, method 3): what comes after another within one millisecond is listed after it."""
    milliseconds, rest = divmod((moment or datetime.now(UTC)) - EPOCH, MILLISECOND)
    return uuid7(milliseconds, rest.microseconds * 4_096 // 1_000 << 62 | _random.getrandbits(62))


def first_id(moment: datetime) -> UUID:
    """The least id of a moment's millisecond: ids from a moment on are not less than it."""
    return uuid7((moment - EPOCH) // MILLISECOND, 0)


def moment_of(identifier: UUID) -> datetime:
    """The moment that `new_id` made an id of, to the microsecond."""
    fraction = identifier.int >> 64 & 0xFFF
    return EPOCH + milliseconds_of(identifier) * MILLISECOND + timedelta(microseconds=-(-fraction * 1_000 // 4_096))
