"""Expenses: by id, in keyset pages (newest day first), and every version of one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from domain.expenses import ExpenseChange, ExpenseFacts, ExpenseKind
from infra.application import Application
from infra.expense_rows import EXPENSE_COLUMNS, FACT_COLUMNS, ExpenseView, expense_of, facts_of_row

_EXPENSES: Final = f"SELECT {EXPENSE_COLUMNS} FROM expense WHERE tenant_id = $1"
_BY_ID: Final = f"{_EXPENSES} AND id = ANY($2::uuid[])"
_HISTORY: Final = f"""
SELECT expense_id, version, change, {FACT_COLUMNS}, actor, changed_at FROM expense_version
WHERE tenant_id = $1 AND expense_id = ANY($2::uuid[]) ORDER BY expense_id, version"""


class Place(NamedTuple):
    """Where an expense stands in the list."""

    incurred_on: date
    id: UUID


@dataclass(frozen=True, slots=True)
class ExpenseFilter:
    """Which expenses: of a campaign, of some kinds, from `start` to `end` (both days included); None: of any. `deleted`:
    those that were deleted, instead of those that count."""

    campaign: str | None = None
    kinds: tuple[ExpenseKind, ...] = ()
    start: date | None = None
    end: date | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ExpensePage:
    """Some expenses, and whether there are older ones (next) and newer ones (previous)."""

    expenses: tuple[ExpenseView, ...]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class ExpenseVersion:
    """What an expense was from a moment on, and who made it so; a deleted one keeps its last facts."""

    version: int
    change: ExpenseChange
    facts: ExpenseFacts
    actor: str
    changed_at: datetime


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[ExpenseView | None]:
    """Expenses in the order asked, deleted ones too; None for those that the tenant does not have."""
    rows = await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, list(ids))
    found = {row[0]: expense_of(tuple(row)) for row in rows}
    return [found.get(identifier) for identifier in ids]


async def histories(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[tuple[ExpenseVersion, ...]]:
    """The versions of each expense, oldest first; none for those that the tenant does not have."""
    found: defaultdict[UUID, list[ExpenseVersion]] = defaultdict(list)
    for row in await application.readers.of(tenant_id).fetch(_HISTORY, tenant_id, list(ids)):
        expense_id, version, change, *facts, actor, changed_at = tuple(row)
        found[expense_id].append(ExpenseVersion(version, ExpenseChange(change), facts_of_row(facts), actor, changed_at))
    return [tuple(found[identifier]) for identifier in ids]


async def page(
    application: Application, tenant_id: UUID, wanted: ExpenseFilter, first: int, after: Place | None
) -> ExpensePage:
    """The newest `first` expenses of the filter that come after this place: by day, then by when they were entered."""
    parameters: list[Any] = [tenant_id, first + 1]
    conditions = [f"deleted_at IS {'NOT ' if wanted.deleted else ''}NULL"]

    def where(condition: str, value: object) -> None:
        parameters.append(value)
        conditions.append(condition.format(f"${len(parameters)}"))

    if wanted.campaign is not None:
        where("campaign = {}", wanted.campaign)
    if wanted.kinds:
        where("kind = ANY({}::text[])", [kind.value for kind in wanted.kinds])
    if wanted.start is not None:
        where("incurred_on >= {}", wanted.start)
    if wanted.end is not None:
        where("incurred_on <= {}", wanted.end)
    if after is not None:
        parameters.append(after.id)
        where(f"(incurred_on, id) < ({{}}::date, ${len(parameters)})", after.incurred_on)
    statement = f"{_EXPENSES} AND {' AND '.join(conditions)} ORDER BY incurred_on DESC, id DESC LIMIT $2"
    rows = await application.readers.of(tenant_id).fetch(statement, *parameters)
    return ExpensePage(tuple([expense_of(tuple(row)) for row in rows[:first]]), len(rows) > first, after is not None)
