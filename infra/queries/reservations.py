"""Reservations by id, as they are stored."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from domain.holds import Reservation
from infra.application import Application
from infra.reservation_rows import RESERVATION_COLUMNS, reservation_of

_BY_ID: Final = (
    f"SELECT {RESERVATION_COLUMNS} FROM reservation r WHERE r.tenant_id = $1 AND r.id = ANY($2::uuid[])"  # column names
)


async def get_many(application: Application, tenant_id: UUID, ids: Sequence[UUID]) -> list[Reservation | None]:
    """Reservations in the order asked; None for those that the tenant does not have."""
    rows = await application.readers.of(tenant_id).fetch(_BY_ID, tenant_id, list(ids))
    found = {reservation.id: reservation for _, reservation in map(reservation_of, rows)}
    return [found.get(identifier) for identifier in ids]
