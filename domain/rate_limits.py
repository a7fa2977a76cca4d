"""Rate limits: how many requests a minute, evenly, with a burst after a while of silence.

The generic cell rate algorithm: one number for each who asks, the moment at which all that it has asked for is worked off
at its even rate. That moment may lie ahead by the burst. Moments are nanoseconds of any clock that only goes forward.
"""

from typing import Final, NamedTuple

MINUTE: Final = 60 * 10**9
# A limit so small still allows this many at once: a page asks for several things.
SMALLEST_BURST: Final = 10
# Of a minute's requests this part may come at once.
BURST_DIVISOR: Final = 6


class Admitted(NamedTuple):
    """Whether a request goes on (`wait` 0), or in how many nanoseconds the next one would, and the new moment to keep."""

    due: int
    wait: int


def burst(per_minute: int) -> int:
    """How many requests may come at once: those of ten seconds, at least ten, and never more than a minute's."""
    return max(per_minute // BURST_DIVISOR, min(per_minute, SMALLEST_BURST))


def admit(due: int, now: int, per_minute: int) -> Admitted:
    """Decide about one request. `due` is what the request before left, anything in the past for the first."""
    interval = MINUTE // per_minute
    begins = max(due, now)
    wait = begins - now - (burst(per_minute) - 1) * interval
    return Admitted(due, wait) if wait > 0 else Admitted(begins + interval, 0)
