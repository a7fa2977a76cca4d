"""Settling: what has ended is told to Purser, in the background, until it has answered.

Each step carries a key of the entry, and calls carry ids of their own, so all steps may be taken again after any
interruption: after a lost answer, in this process; after a crash, by the next one.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from purser_client.connection import Connection, pauses
from purser_client.entries import Entry
from purser_client.facts import Wire, call
from purser_client.journal import Journal
from purser_client.operations import CONSUME, RECORD, RELEASE, RESERVE
from purser_client.refusals import JournalError, Refused, Unauthenticated, Unavailable, refused

MOST_CALLS: Final = 1_000
AT_ONCE: Final = 8
INTERRUPTED: Final = {"release": "the worker ended before its work did"}
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Settlement:
    """An entry on its way: `tried` is set after the first attempt, `charges` when it was consumed."""

    entry: Entry
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    charges: tuple[tuple[str, str], ...] | None = None
    task: asyncio.Task[None] | None = None


class Settler:
    """Settles entries, some at a time."""

    def __init__(self, connection: Connection, journal: Journal) -> None:
        self._connection = connection
        self._journal = journal
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._open: dict[str, Settlement] = {}
        self.aside: dict[str, Entry] = {}
        self.closed = False

    def start(self, entry: Entry) -> Settlement:
        """Have an entry settled that has ended."""
        settlement = Settlement(entry)
        self._open[entry.id] = settlement
        settlement.task = asyncio.create_task(self._settle(settlement))
        return settlement

    def resume(self, left: Sequence[Entry]) -> None:
        """Settle what was left behind. Work that had not ended is given back, and what it cost is recorded."""
        for entry in left:
            if entry.refusal is not None:
                self.aside[entry.id] = entry
                _log.error("settlement %s is still kept aside: %s", entry.id, entry.refusal)
                continue
            if entry.request is not None and entry.ending is None:
                entry.ending = INTERRUPTED
            self.start(entry)

    async def earlier(self, task: tuple[str, str], seconds: float) -> None:
        """Wait until what is left of earlier tries of a task is settled: a retry must not find their hold and lose it."""
        tries = [one.task for one in self._open.values() if one.entry.task == task and one.task is not None]
        if tries:
            await asyncio.wait(tries, timeout=seconds)

    async def flush(self, seconds: float | None) -> int:
        """Wait until all is settled, at most so long; how many are still to be settled."""
        tasks = [one.task for one in self._open.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return len(self._open)

    async def stop(self) -> None:
        """Leave the rest to the journal."""
        self.closed = True
        tasks = [one.task for one in self._open.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, settlement: Settlement) -> None:
        entry = settlement.entry
        try:
            self._journal.ended(entry)
            await self._journal.synced()
        except JournalError as error:
            _log.error("settlement %s is not on disk, and would be lost with this process: %s", entry.id, error)
        try:
            for pause in pauses():
                try:
                    async with self._turns:
                        await self._steps(settlement)
                    break
                except Unavailable as error:
                    _tell(settlement, error)
                    wait = max(pause, error.wait)
                settlement.tried.set()
                await asyncio.sleep(wait)
        except Refused as error:
            self._keep_aside(entry, f"{error.code}: {error.message}")
        except Exception as error:
            _log.exception("a mistake of the client")
            self._keep_aside(entry, f"{type(error).__name__}: {error}")
        else:
            self._journal.settled(entry)
        finally:
            del self._open[entry.id]
            settlement.tried.set()

    def _keep_aside(self, entry: Entry, why: str) -> None:
        entry.refusal = why
        self.aside[entry.id] = entry
        with suppress(JournalError):
            self._journal.ended(entry)
        _log.error("settlement %s was refused and is kept aside: %s", entry.id, why)

    async def _steps(self, settlement: Settlement) -> None:
        entry = settlement.entry
        ending = entry.ending
        if entry.request is None or ending is None:
            await self._record(list(entry.usage.values()))
            return
        if entry.reservation is None:
            try:
                entry.reservation = (await self._connection.ask(RESERVE, {"input": entry.request}))["id"]
            except Refused:
                return
        if "keep" in ending:
            await self._record([{**one, "reservationId": entry.reservation} for one in entry.usage.values()])
        elif "release" in ending:
            await self._release(entry, ending["release"])
        else:
            await self._consume(settlement, entry, ending.get("quantity"))

    async def _release(self, entry: Entry, reason: str) -> None:
        wish = {"idempotencyKey": entry.id, "reservationId": entry.reservation, "reason": reason}
        try:
            await self._connection.ask(RELEASE, {"input": wish})
        except Refused as error:
            if error.code != "RESERVATION_ENDED":
                raise
        await self._record(_beside(entry))

    async def _consume(self, settlement: Settlement, entry: Entry, quantity: str | None) -> None:
        calls = list(entry.usage.values())
        while len(calls) > MOST_CALLS:
            await self._record([{**one, "reservationId": entry.reservation} for one in calls[:MOST_CALLS]])
            del calls[:MOST_CALLS]
        wish: Wire = {"quantity": quantity, "usage": [call(one) for one in calls]}
        try:
            first = {"idempotencyKey": entry.id, "reservationId": entry.reservation, **wish}
            settlement.charges = _charges(await self._connection.ask(CONSUME, {"input": first}))
        except Refused as error:
            if error.code != "RESERVATION_ENDED":
                raise
            state = error.figures["state"]
        else:
            return
        if state == "RELEASED":
            # Another worker of the same task gave the hold back. This one did the work: it takes a new hold for it.
            again = f"{entry.id}-again"
            assert entry.request is not None, "it was reserved"
            try:
                hold = await self._connection.ask(RESERVE, {"input": {**entry.request, "idempotencyKey": again}})
            except Refused:
                await self._record(_beside(entry))
                raise
            if hold["state"] != "CONSUMED":
                second = {"idempotencyKey": again, "reservationId": hold["id"], **wish}
                settlement.charges = _charges(await self._connection.ask(CONSUME, {"input": second}))
                return
        # The task was charged already, by another worker. What this one spent is spent all the same.
        await self._record(_beside(entry))

    async def _record(self, events: list[Wire]) -> None:
        remaining = iter(events)
        while batch := list(islice(remaining, MOST_CALLS)):
            answer = await self._connection.ask(RECORD, {"input": {"events": batch}})
            problems = list(_problems(answer["rejected"]))
            if problems:
                text = "; ".join(f"{problem['path']}: {problem['message']}" for problem in problems)
                raise refused("INVALID_INPUT", text, {"fields": problems})


def _beside(entry: Entry) -> list[Wire]:
    """The calls of work that is not charged as done: what they cost counts, and no more units than the worker named."""
    return [
        {**one, "reservationId": entry.reservation, "usage": {"units": "0", **one["usage"]}}
        for one in entry.usage.values()
    ]


def _charges(consumed: Any) -> tuple[tuple[str, str], ...]:
    return tuple((charge["wallet"]["key"], charge["amount"]) for charge in consumed["charges"])


def _problems(rejected: Sequence[Wire]) -> Iterator[Wire]:
    for event in rejected:
        yield from event["problems"]


def _tell(settlement: Settlement, error: Unavailable) -> None:
    """Say once that it takes longer; a key that is not let in needs a person."""
    if not settlement.tried.is_set():
        level = logging.ERROR if isinstance(error, Unauthenticated) else logging.WARNING
        _log.log(level, "settlement %s is in the journal and will be tried again: %s", settlement.entry.id, error)
