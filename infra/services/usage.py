"""Usage: what happened, reported one by one or in batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain import attribution, ids, usage
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, is_identifier
from domain.books import Operation
from domain.recordings import NO_SUCH_RESERVATION, Record, Recording, Reported
from domain.refusals import FieldProblem
from domain.usage import Usage
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller
from infra.services.commands import request_of
from infra.transaction import BEGIN_READING, transaction


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    """One event as a client sends it: `usage` carries its source and event id, `reservation_id` is the public form."""

    usage: Usage
    feature: str | None = None
    reservation_id: str | None = None
    attribution: Attribution = NOBODY


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that cannot be taken as it is; `index` is its place in the batch."""

    index: int
    event_id: str
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What became of a batch. `cost` is the known cost of the accepted events, in nano-dollars."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    cost: int


async def record_usage(
    application: Application, caller: Caller, events: Sequence[ReportedUsage], *, dry_run: bool = False
) -> UsageReport:
    """Take events that happened, each once by (source, event id); at most MOST_EVENTS. A dry run says what would
    become of them and writes nothing."""
    assert len(events) <= usage.MOST_EVENTS, "the faces limit the batch"
    now = application.clock()
    rejected: list[Rejected] = []
    reported: list[Reported] = []
    places: dict[UUID, int] = {}
    for index, event in enumerate(events):
        problems = _problems(event, now)
        if problems:
            rejected.append(Rejected(index, event.usage.event_id or "", problems))
            continue
        identifier = new_id(event.usage.occurred_at or now)
        places[identifier] = index
        reservation_id = None if event.reservation_id is None else ids.parse("reservation", event.reservation_id)
        reported.append(Reported(identifier, event.usage, event.feature, reservation_id, event.attribution))
    command = Record(request_of(caller, Operation.RECORD_USAGE, "", ()), tuple(reported))
    recording = await _record(application, command, dry_run=dry_run)
    for identifier, problem in recording.rejected:
        index = places[identifier]
        rejected.append(Rejected(index, events[index].usage.event_id or "", (problem,)))
    return UsageReport(
        len(recording.events),
        recording.duplicates,
        tuple(sorted(rejected, key=lambda event: event.index)),
        recording.cost,
    )


async def _record(application: Application, command: Record, *, dry_run: bool) -> Recording:
    if not dry_run:
        answer = await application.group_commit.submit(command)
    else:
        async with application.readers.acquire() as connection, transaction(connection, BEGIN_READING):
            answer = await application.group_commit.deciding.foresee(connection, command)
    assert isinstance(answer, Recording)
    return answer


def _problems(event: ReportedUsage, now: datetime) -> tuple[FieldProblem, ...]:
    found = list(usage.problems(event.usage, "usage", now))
    found.extend(attribution.problems(event.attribution, "attribution"))
    if event.usage.source is None or event.usage.event_id is None:
        found.append(FieldProblem("eventId", "source and eventId say which event it is: give both"))
    if event.feature is not None and not is_identifier(event.feature):
        found.append(FieldProblem("feature", IDENTIFIER_RULE))
    if event.reservation_id is not None and ids.parse("reservation", event.reservation_id) is None:
        found.append(NO_SUCH_RESERVATION)
    return tuple(found)
