"""Re-rating: a price was added or corrected, and what happened before is corrected by it.

Events are taken in the order in which they happened, tenant after tenant, in commands of a hundred. Each command
commits alone and changes nothing where it was done already, so a run that was stopped is simply run again.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.books import Operation, Request
from domain.decisions import Answer
from domain.ids import NIL
from domain.rerating import Rerate, Rerated
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Role
from infra.transaction import BEGIN_READING, transaction

EVENTS_PER_COMMAND: Final = 100
MOST_EVENTS: Final = 5_000

_TENANTS: Final = "SELECT id, slug FROM tenant WHERE id >= $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY id"
_SELECTED: Final = """
FROM usage_event u
WHERE provider = $1 AND ($2::text IS NULL OR model = $2) AND ($3::text IS NULL OR operation = $3)
    AND occurred_at >= $4 AND occurred_at < $5"""
# What got its price before is not unpriced any more, though its row still says so.
_UNPRICED: Final = """
    AND cost IS NULL AND NOT EXISTS (
        SELECT FROM usage_amendment a WHERE a.tenant_id = u.tenant_id AND a.event_id = u.id AND a.unpriced < 0)"""
_BY_LIST: Final = "\n    AND (cost IS NULL OR price_effective_from IS NOT NULL)"


class Place(NamedTuple):
    """How far a run has come: up to this event."""

    tenant_id: UUID
    occurred_at: datetime
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: those of a provider (and of one model or operation) that happened in [start, end), of one tenant or
    (None) of all. `only_unpriced`: those that have no price yet."""

    tenant_id: UUID | None
    provider: str
    model: str | None
    operation: str | None
    start: datetime
    end: datetime
    only_unpriced: bool = False


@dataclass(frozen=True, slots=True)
class TenantTotals:
    """What became of one tenant's events; `events` is how many were looked at."""

    slug: str
    events: int
    rerated: Rerated


@dataclass(frozen=True, slots=True)
class RerateReport:
    """The tenants that had any such events. `end`: where the next call goes on; `complete`: there is nothing left."""

    tenants: tuple[TenantTotals, ...] = ()
    end: Place | None = None
    complete: bool = True

    def plus(self, later: "RerateReport") -> "RerateReport":
        """This report and that of the call after it."""
        sums = {totals.slug: totals for totals in self.tenants}
        for totals in later.tenants:
            before = sums.get(totals.slug)
            both = (totals.rerated,) if before is None else (before.rerated, totals.rerated)
            events = totals.events + (0 if before is None else before.events)
            sums[totals.slug] = TenantTotals(totals.slug, events, added_up(both))
        return RerateReport(tuple(sums.values()), later.end, later.complete)


@dataclass(slots=True)
class _Run:
    """One call while it runs."""

    application: Application
    actor: str
    selection: Selection
    dry_run: bool
    left: int
    tenants: list[TenantTotals] = field(default_factory=list)


async def rerate(
    application: Application,
    actor: str,
    selection: Selection,
    *,
    dry_run: bool,
    after: Place | None = None,
    most: int = MOST_EVENTS,
) -> RerateReport:
    """Re-rate up to `most` of the selected events, by the prices that are published now. A dry run answers the same totals
    and writes nothing. (What a reservation is charged in all follows from all its events: of one whose events fall into two
    calls, the dry runs of these foresee each its part alone.)"""
    assert 0 < most <= MOST_EVENTS, "the faces limit the call"
    run = _Run(application, actor, selection, dry_run, most)
    first = NIL if after is None else after.tenant_id
    for tenant_id, slug in await application.across_tenants.fetch(_TENANTS, first, selection.tenant_id):
        place = after if after is not None and after.tenant_id == tenant_id else None
        end = await _rerate_tenant(run, tenant_id, slug, place)
        if end is not None:
            return RerateReport(tuple(run.tenants), end, complete=False)
    return RerateReport(tuple(run.tenants))


async def count(application: Application, selection: Selection) -> int:
    """How many events a run looks at."""
    statement, parameters = f"SELECT count(*) {_SELECTED}{_kind(selection)}", _parameters(selection)
    if selection.tenant_id is not None:
        statement, parameters = f"{statement} AND tenant_id = $6", (*parameters, selection.tenant_id)
    events: int = await application.across_tenants.fetchval(statement, *parameters)
    return events


def added_up(parts: Sequence[Rerated]) -> Rerated:
    """The sums of several commands."""
    charges: defaultdict[str, int] = defaultdict(int)
    for key, amount in [charge for part in parts for charge in part.charges]:
        charges[key] += amount
    return Rerated(
        sum([part.corrected for part in parts]),
        sum([part.priced for part in parts]),
        sum([part.unpriced for part in parts]),
        sum([part.held for part in parts]),
        sum([part.unfit for part in parts]),
        sum([part.cost for part in parts]),
        tuple(sorted((key, amount) for key, amount in charges.items() if amount)),
    )


async def _rerate_tenant(run: _Run, tenant_id: UUID, slug: str, after: Place | None) -> Place | None:
    """Re-rate one tenant's events; answers where the call ends, None if there are no more."""
    events = await _selected(run, tenant_id, after)
    taken = events[: run.left]
    if taken:
        request = Request(tenant_id, run.actor, Operation.RERATE_USAGE, "", b"", Role.OPERATOR.value)
        now = run.application.clock()
        commands = [
            Rerate(
                request,
                tuple(
                    [
                        (new_id(occurred_at), identifier)
                        for occurred_at, identifier in taken[place:][:EVENTS_PER_COMMAND]
                    ]
                ),
                new_id(now),
            )
            for place in range(0, len(taken), EVENTS_PER_COMMAND)
        ]
        answers = await (_foresee if run.dry_run else _submit)(run.application, commands)
        rerated = [answer for answer in answers if isinstance(answer, Rerated)]
        assert len(rerated) == len(commands), "the tenant was there a moment ago"
        run.tenants.append(TenantTotals(slug, len(taken), added_up(rerated)))
        run.left -= len(taken)
    if len(events) == len(taken):
        return None
    if not taken:
        return after or Place(tenant_id, run.selection.start, NIL)
    return Place(tenant_id, *taken[-1])


async def _selected(run: _Run, tenant_id: UUID, after: Place | None) -> Sequence[tuple[datetime, UUID]]:
    """The tenant's next events, one more than are left to do."""
    reached = (run.selection.start, NIL) if after is None else after[1:]
    statement = (
        f"SELECT occurred_at, id {_SELECTED} AND tenant_id = $6{_kind(run.selection)}"
        " AND (occurred_at, id) > ($7, $8) ORDER BY occurred_at, id LIMIT $9"
    )
    rows = await run.application.readers.of(tenant_id).fetch(
        statement, *_parameters(run.selection), tenant_id, *reached, run.left + 1
    )
    return [(row[0], row[1]) for row in rows]


async def _submit(application: Application, commands: Sequence[Rerate]) -> list[Answer]:
    """One after the other: others' commands go between them."""
    return [(await application.group_commit.submit(command)).answer for command in commands]


async def _foresee(application: Application, commands: Sequence[Rerate]) -> list[Answer]:
    async with (
        application.readers.of(commands[0].request.tenant_id).acquire() as connection,
        transaction(connection, BEGIN_READING),
    ):
        return await application.group_commit.deciding.foresee(connection, commands)


def _kind(selection: Selection) -> str:
    return _UNPRICED if selection.only_unpriced else _BY_LIST


def _parameters(selection: Selection) -> tuple[Any, ...]:
    return selection.provider, selection.model, selection.operation, selection.start, selection.end
