"""Usage: what happened, reported one by one or in batches."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain import attribution, ids, usage
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution, is_identifier
from domain.books import Operation, Request
from domain.recordings import NO_SUCH_RESERVATION, Record, Recording, Reported
from domain.refusals import FieldProblem
from domain.usage import Usage
from infra import usage_ingest
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller
from infra.services.commands import request_of
from infra.transaction import BEGIN_READING, transaction
from infra.usage_ingest import Unfit


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
        if index % usage_ingest.SLICE == usage_ingest.SLICE - 1:
            await asyncio.sleep(0)
        problems = _problems(event, now)
        if problems:
            rejected.append(Rejected(index, event.usage.event_id or "", problems))
            continue
        identifier = new_id(event.usage.occurred_at or now)
        places[identifier] = index
        reservation_id = None if event.reservation_id is None else ids.parse("reservation", event.reservation_id)
        reported.append(Reported(identifier, event.usage, event.feature, reservation_id, event.attribution))
    request = request_of(caller, Operation.RECORD_USAGE, "", ())
    recordings = [await _record(application, request, part, dry_run=dry_run) for part in _parts(reported)]
    for identifier, problem in [refused for recording in recordings for refused in recording.rejected]:
        index = places[identifier]
        rejected.append(Rejected(index, events[index].usage.event_id or "", (problem,)))
    return UsageReport(
        sum([len(recording.events) for recording in recordings]),
        sum([recording.duplicates for recording in recordings]),
        tuple(sorted(rejected, key=lambda event: event.index)),
        sum([recording.cost for recording in recordings]),
    )


def _parts(reported: Sequence[Reported]) -> list[Sequence[Reported]]:
    """The events that name a reservation, which belong to its tenant's turn, and the others. An event that comes under
    both is in one part, so that it counts once."""
    alone = [event for event in reported if event.reservation_id is None]
    if len(alone) < usage_ingest.SMALLEST or len(alone) == len(reported):
        return [reported] if reported else []
    named = {(event.usage.source, event.usage.event_id) for event in reported if event.reservation_id is not None}
    apart = [event for event in alone if (event.usage.source, event.usage.event_id) not in named]
    taken = {event.id for event in apart}
    return [[event for event in reported if event.id not in taken], apart]


async def _record(
    application: Application, request: Request, reported: Sequence[Reported], *, dry_run: bool
) -> Recording:
    command = Record(request, tuple(reported))
    large = len(reported) >= usage_ingest.SMALLEST and all(event.reservation_id is None for event in reported)
    answer: object
    if not dry_run:
        if large:
            with suppress(Unfit):
                return await application.usage_ingest.record(request, reported)
        answer, _ = await application.group_commit.submit(command)
    else:
        async with (
            application.readers.of(request.tenant_id).acquire() as connection,
            transaction(connection, BEGIN_READING),
        ):
            (answer,) = await application.group_commit.deciding.foresee(connection, [command])
    assert isinstance(answer, Recording)
    return answer


def _problems(event: ReportedUsage, now: datetime) -> tuple[FieldProblem, ...]:
    found = usage.problems(event.usage, "usage", now) + attribution.problems(event.attribution, "attribution")
    if event.usage.source is None or event.usage.event_id is None:
        found += (FieldProblem("eventId", "source and eventId say which event it is: give both"),)
    if event.feature is not None and not is_identifier(event.feature):
        found += (FieldProblem("feature", IDENTIFIER_RULE),)
    if event.reservation_id is not None and ids.parse("reservation", event.reservation_id) is None:
        found += (NO_SUCH_RESERVATION,)
    return found
