"""Ledger entries of a wallet, newest first, in keyset pages: their numbers have no gaps and never change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.ledger import Entry, EntryType
from infra.application import Application
from infra.ledger_rows import ENTRY_COLUMNS, entry_of

_ENTRIES: Final = f"SELECT {ENTRY_COLUMNS} FROM ledger_entry"
_PAGE: Final = f"""{_ENTRIES}
WHERE tenant_id = $1 AND wallet_id = $2 AND sequence < $3 AND ($4::text[] IS NULL OR type = ANY($4))
ORDER BY sequence DESC LIMIT $5"""
_BY_PLACE: Final = f"""{_ENTRIES}
JOIN unnest($2::uuid[], $3::bigint[]) AS asked (wallet_id, sequence) USING (wallet_id, sequence)
WHERE tenant_id = $1"""
AFTER_ALL: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Some entries, and whether there are older ones (next) and newer ones (previous)."""

    entries: tuple[Entry, ...]
    has_next: bool
    has_previous: bool


async def page(
    application: Application,
    tenant_id: UUID,
    wallet_id: UUID,
    first: int,
    before: int | None,
    types: Sequence[EntryType] | None,
) -> EntryPage:
    """The newest `first` entries with numbers under `before`."""
    names = None if types is None else [entry_type.value for entry_type in types]
    start = AFTER_ALL if before is None else before
    rows = await application.readers.of(tenant_id).fetch(_PAGE, tenant_id, wallet_id, start, names, first + 1)
    return EntryPage(tuple(entry_of(row[:]) for row in rows[:first]), len(rows) > first, before is not None)


async def get_many(application: Application, tenant_id: UUID, places: Sequence[tuple[UUID, int]]) -> list[Entry | None]:
    """Entries by wallet and number, in the order asked; None for those that the tenant does not have."""
    wallet_ids = [wallet_id for wallet_id, _ in places]
    sequences = [sequence for _, sequence in places]
    rows = await application.readers.of(tenant_id).fetch(_BY_PLACE, tenant_id, wallet_ids, sequences)
    found = {(row[1], row[2]): entry_of(row[:]) for row in rows}
    return [found.get(place) for place in places]
