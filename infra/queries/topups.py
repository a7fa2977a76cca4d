"""Top-ups, newest first, in keyset pages: their ids carry the moment of the order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.ids import AFTER_ALL
from domain.payments import TopUp
from infra.application import Application
from infra.top_up_rows import TOP_UP_COLUMNS, top_up_of

_TOP_UPS: Final = f"SELECT {TOP_UP_COLUMNS} FROM top_up WHERE tenant_id = $1"
_PAGE: Final = f"{_TOP_UPS} AND id < $2 ORDER BY id DESC LIMIT $3"
_BY_ID: Final = f"{_TOP_UPS} AND id = ANY($2::uuid[])"


@dataclass(frozen=True, slots=True)
class TopUpPage:
    """Some top-ups, and whether there are older ones (next) and newer ones (previous)."""

    top_ups: tuple[TopUp, ...]
    has_next: bool
    has_previous: bool


async def page(application: Application, tenant_id: UUID, first: int, before: UUID | None) -> TopUpPage:
    """The newest `first` orders before this one."""
    rows = await application.readers.of(tenant_id).fetch(_PAGE, tenant_id, before or AFTER_ALL, first + 1)
    return TopUpPage(tuple([top_up_of(row)[1] for row in rows[:first]]), len(rows) > first, before is not None)


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[TopUp | None]:
    """Top-ups in the order asked; None for those that the tenant does not have."""
    rows = await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, list(ids))
    found = {top_up.id: top_up for _, top_up in map(top_up_of, rows)}
    return [found.get(identifier) for identifier in ids]
