"""How runs of jobs end."""

from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended. UNFINISHED: its time ran out, or something could not be done yet; the next run goes on."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    UNFINISHED = "UNFINISHED"
    FAILED = "FAILED"
