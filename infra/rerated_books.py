"""Books of a batch, the part that only re-rating looks at: events as they are now, and what they were counted and charged
in."""

from collections.abc import Iterable
from uuid import UUID

from domain import rerating
from domain.attribution import Attribution
from domain.catalog import Catalog
from domain.ids import milliseconds_of
from domain.rerating import Rerate
from domain.usage import UsageEvent
from infra.amended_usage import BY_ID, event_of
from infra.batch import Batch
from infra.identifiers import EPOCH, MILLISECOND
from infra.transaction import Connection


async def read_events(connection: Connection, batch: Batch, commands: Iterable[Rerate]) -> None:
    """Read the events that these commands are about, unless the batch has changed them already."""
    for command in commands:
        tenant_id = command.request.tenant_id
        usage = batch.tenants[tenant_id].usage
        unread = [identifier for _, identifier in command.events if identifier not in usage]
        moments = [EPOCH + milliseconds_of(identifier) * MILLISECOND for identifier in unread]
        rows = await connection.fetch(BY_ID, tenant_id, unread, moments) if unread else ()
        usage.update((event.id, event) for event in map(event_of, rows))


def reservations_of(batch: Batch, command: Rerate) -> set[UUID | None]:
    """The reservations whose terms hold for the events."""
    return {event.reservation_id for event in _events(batch, command) if event.under_reservation}


def wallets_of(batch: Batch, catalog: Catalog, command: Rerate) -> set[str]:
    """The wallets that events outside a reservation were charged to."""
    known = catalog.for_tenant(command.request.tenant_id)
    return {key for event in _events(batch, command) for key in rerating.wallet_keys(known, event)}


def counted_in(batch: Batch, command: Rerate) -> set[tuple[UUID, Attribution, str]]:
    """Tenant, attribution and month in which events outside a reservation count."""
    tenant = batch.tenants[command.request.tenant_id].tenant
    return {
        (tenant.id, event.attribution, month)
        for event in _events(batch, command)
        if not event.under_reservation
        for month in rerating.months(tenant, event)
    }


def _events(batch: Batch, command: Rerate) -> list[UsageEvent]:
    usage = batch.tenants[command.request.tenant_id].usage
    return [usage[identifier] for _, identifier in command.events if identifier in usage]
