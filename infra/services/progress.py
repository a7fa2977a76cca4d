"""Progress: how far a job came in one run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How many it dealt with. Not complete: time ran out, the next run goes on where this one stopped, because what is
    done is not found again."""

    done: int
    complete: bool = True
