"""Wallets: what an operator puts in or takes back, and what Purser itself credits."""

from datetime import datetime
from uuid import UUID

from domain import adjustments
from domain.adjustments import Adjusted, AdjustWallet, Grant
from domain.books import Operation
from domain.wallets import LotSource
from infra.application import Application
from infra.deciding import SYSTEM
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused, Role
from infra.services.commands import request_of, start


async def adjust_wallet(
    application: Application, caller: Caller, idempotency_key: str, wallet_key: str, amount: int, note: str
) -> Adjusted | Refused:
    """Grant (positive) or take back (negative), with a note that says why."""
    request = request_of(caller, Operation.ADJUST_WALLET, idempotency_key, (wallet_key, amount, note))
    command = AdjustWallet(request, wallet_key, amount, note, new_id(application.clock()))
    return await start(application, Adjusted, command, adjustments.problems(command))


async def credit(
    application: Application,
    tenant_id: UUID,
    wallet_key: str,
    amount: int,
    source: LotSource,
    reference: str,
    expires_at: datetime | None = None,
) -> None:
    """Credit a wallet (nano-units), once per reference."""
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    key = f"{wallet_key}:{reference}"
    request = request_of(system, Operation.GRANT, key, (wallet_key, amount, source, reference))
    command = Grant(request, wallet_key, amount, source, expires_at, reference, new_id(application.clock()))
    answer = await start(application, Adjusted, command, ())
    assert isinstance(answer, Adjusted), answer
