"""The tenants' months: which one runs in each of their time zones, for statements that look at all tenants.

Reckoned here, as everywhere: PostgreSQL takes some names of zones (CET, EET, MET, WET) for offsets without summer time, and
may know other rules of those to come.
"""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from domain.periods import month_key
from infra.transaction import Connection

_ZONES: Final = "SELECT DISTINCT time_zone FROM tenant"


async def months_by_zone(connection: Connection, at: datetime) -> tuple[list[str], list[str]]:
    """The time zones of all tenants, and beside each the month that runs there, such as "2026-11"."""
    zones: list[str] = [zone for (zone,) in await connection.fetch(_ZONES)]
    return zones, [month_key(at, ZoneInfo(zone)) for zone in zones]
