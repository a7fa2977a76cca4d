"""Rate limits, kept in the memory of this process: who asked how often (domain/rate_limits.py says what is too often).

A bounded number is remembered, in two generations: what was not asked for during a whole one is forgotten.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic_ns
from typing import Final
from weakref import WeakValueDictionary

from domain import rate_limits

MOST_REMEMBERED: Final = 50_000
SECOND: Final = 10**9


class RateLimitedError(Exception):
    """Somebody asked too often. `seconds`: when the next request would do, at least 1."""

    def __init__(self, seconds: int, per_minute: int) -> None:
        super().__init__(f"too many requests: there may be {per_minute} a minute; wait {seconds} s")
        self.seconds = seconds


class RateLimits:
    """Counts by name, each against a limit of its own."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def admit(self, name: str, per_minute: int) -> None:
        """Count one request. Raises RateLimitedError where it is one too many."""
        due = self._due.get(name)
        if due is None:
            due = self._before.get(name, 0)
            if len(self._due) >= MOST_REMEMBERED:
                self._before, self._due = self._due, {}
        self._due[name], wait = rate_limits.admit(due, monotonic_ns(), per_minute)
        if wait > 0:
            raise RateLimitedError(-(-wait // SECOND), per_minute)

    def check(self, name: str, per_minute: int) -> None:
        """Raises RateLimitedError where the next request would be one too many; counts nothing."""
        due = self._due.get(name, self._before.get(name, 0))
        wait = rate_limits.admit(due, monotonic_ns(), per_minute).wait
        if wait > 0:
            raise RateLimitedError(-(-wait // SECOND), per_minute)


class Turns:
    """So many at once for each name; the others wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, and keep it for the body."""
        places = self._places.get(name)
        if places is None:
            places = self._places[name] = asyncio.Semaphore(self._most)
        async with places:
            yield
