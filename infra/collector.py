"""The garbage collector in a process that serves requests."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# A request leaves no cycles behind, so looking for them every 700 objects is in vain: it took a third of the time.
THRESHOLDS: Final = (50_000, 20, 100)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Inside, the collector leaves alone what was there before, and comes seldom."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
