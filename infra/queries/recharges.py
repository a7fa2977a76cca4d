"""Recharges of wallets, with what was ordered in this month."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.periods import month_key
from infra.application import Application
from infra.top_up_rows import RECHARGE_COLUMNS, recharge_of

_ZONE: Final = "SELECT time_zone FROM tenant WHERE id = $1"
_BY_WALLET: Final = (
    f"SELECT {RECHARGE_COLUMNS} FROM auto_recharge WHERE tenant_id = $1 AND wallet_key = ANY($2::text[])"
)


@dataclass(frozen=True, slots=True)
class RechargeView:
    """When and by how much a wallet tops itself up (nano-units). `month_ordered`: in the tenant's running month."""

    enabled: bool
    threshold: int
    amount: int
    monthly_limit: int | None
    month_ordered: int
    in_flight: UUID | None
    retry_at: datetime | None
    disabled_reason: str | None


async def get_many(application: Application, tenant_id: UUID, wallet_keys: Sequence[str]) -> list[RechargeView | None]:
    """Recharges by wallet, in the order asked; None for wallets without one."""
    rows = await application.readers.of(tenant_id).fetch(_BY_WALLET, tenant_id, list(wallet_keys))
    if not rows:
        return [None for _ in wallet_keys]
    zone: str = await application.readers.of(tenant_id).fetchval(_ZONE, tenant_id)
    month = month_key(application.clock(), ZoneInfo(zone))
    found = {
        recharge.wallet_key: RechargeView(
            recharge.enabled,
            recharge.threshold,
            recharge.amount,
            recharge.monthly_limit,
            recharge.month_amount if recharge.month == month else 0,
            recharge.in_flight,
            recharge.retry_at,
            recharge.disabled_reason,
        )
        for _, recharge in map(recharge_of, rows)
    }
    return [found.get(key) for key in wallet_keys]
