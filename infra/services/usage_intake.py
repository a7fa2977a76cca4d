"""Usage in bulk: what comes in line by line goes on in batches, and is counted and told apart to the end."""

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from domain.attribution import LONGEST_ID
from domain.refusals import FieldProblem
from domain.usage import MOST_EVENTS
from infra.application import Application
from infra.services.callers import Caller
from infra.services.usage import Rejected, ReportedUsage, record_usage

MOST_REJECTED: Final = 500


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What should have been an event and is none: `event_id` as far as it can be made out, else empty."""

    event_id: str
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of the lines until now. `rejected` are the first MOST_REJECTED of `rejections`; the index of each is
    the line that it was taken with. `cost` is the known cost of the accepted events, in nano-dollars."""

    accepted: int = 0
    duplicates: int = 0
    rejections: int = 0
    rejected: tuple[Rejected, ...] = ()
    cost: int = 0


class UsageIntake:
    """Takes one tenant's lines in any number. What a batch has committed stays, whatever becomes of the next ones:
    sending all of it again is harmless. A dry run writes nothing, and knows what it saw in the batches before."""

    def __init__(self, application: Application, caller: Caller, *, dry_run: bool = False) -> None:
        self.report = IntakeReport()
        self._application = application
        self._caller = caller
        self._dry_run = dry_run
        self._foreseen: set[int] = set()
        self._lines: list[int] = []
        self._events: list[ReportedUsage] = []
        self._rejected: list[Rejected] = []

    @property
    def tenant_id(self) -> UUID:
        """Whose lines it takes."""
        return self._caller.tenant_id

    async def take(self, line: int, read: ReportedUsage | Unreadable) -> None:
        """Take one line; every MOST_EVENTS of them are recorded. Raises what record_usage raises."""
        if isinstance(read, Unreadable):
            self._rejected.append(Rejected(line, read.event_id[:LONGEST_ID], read.problems))
        else:
            self._lines.append(line)
            self._events.append(read)
        if len(self._events) + len(self._rejected) == MOST_EVENTS:
            await self.flush()

    async def flush(self) -> None:
        """Record what waits."""
        lines, events, rejected = self._lines, self._events, self._rejected
        self._lines, self._events, self._rejected = [], [], []
        seen = 0
        if self._dry_run:
            fresh = [place for place, event in enumerate(events) if _name(event) not in self._foreseen]
            seen = len(events) - len(fresh)
            lines, events = [lines[place] for place in fresh], [events[place] for place in fresh]
        if events:
            recorded = await record_usage(self._application, self._caller, events, dry_run=self._dry_run)
            rejected += [replace(each, index=lines[each.index]) for each in recorded.rejected]
            if self._dry_run:
                wrong = {each.index for each in recorded.rejected}
                self._foreseen.update(_name(event) for place, event in enumerate(events) if place not in wrong)
            self._count(recorded.accepted, recorded.duplicates, recorded.cost)
        self._count(0, seen, 0)
        self._reject(rejected)

    def _count(self, accepted: int, duplicates: int, cost: int) -> None:
        told = self.report
        self.report = replace(
            told, accepted=told.accepted + accepted, duplicates=told.duplicates + duplicates, cost=told.cost + cost
        )

    def _reject(self, rejected: list[Rejected]) -> None:
        if rejected:
            told = self.report
            rejected.sort(key=lambda each: each.index)
            shown = told.rejected + tuple(rejected[: MOST_REJECTED - len(told.rejected)])
            self.report = replace(told, rejected=shown, rejections=told.rejections + len(rejected))


def _name(event: ReportedUsage) -> int:
    """What an event is known by, small: of two in a file, none is taken for another in practice."""
    return hash((event.usage.source, event.usage.event_id))
