"""Channels of a tenant. No query here can read an address or a secret."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.channels import ChannelKind
from infra.application import Application

CHANNEL_COLUMNS: Final = "id, kind, name, hint, event_types, actor, created_at"
_ALL: Final = f"SELECT {CHANNEL_COLUMNS} FROM channel WHERE tenant_id = $1 AND removed_at IS NULL ORDER BY id"


@dataclass(frozen=True, slots=True)
class ChannelView:
    """`hint`: so much of the address that its owner knows it again. `event_types` empty: all that its kind takes. `actor`
    added it."""

    id: UUID
    kind: ChannelKind
    name: str
    hint: str
    event_types: tuple[str, ...]
    actor: str
    created_at: datetime


async def list_channels(application: Application, tenant_id: UUID) -> list[ChannelView]:
    """The channels in use, oldest first."""
    return [channel_of(tuple(row)) for row in await application.readers.of(tenant_id).fetch(_ALL, tenant_id)]


def channel_of(row: tuple[Any, ...]) -> ChannelView:
    """A channel from CHANNEL_COLUMNS."""
    identifier, kind, name, hint, event_types, actor, created_at = row
    return ChannelView(identifier, ChannelKind(kind), name, hint, tuple(event_types), actor, created_at)
