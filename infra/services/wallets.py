"""Wallets: what an operator puts in or takes back."""

from domain import adjustments
from domain.adjustments import Adjusted, AdjustWallet
from domain.books import Operation
from infra.application import Application
from infra.identifiers import new_id
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start


async def adjust_wallet(
    application: Application, caller: Caller, idempotency_key: str, wallet_key: str, amount: int, note: str
) -> Adjusted | Refused:
    """Grant (positive) or take back (negative), with a note that says why."""
    request = request_of(caller, Operation.ADJUST_WALLET, idempotency_key, (wallet_key, amount, note))
    command = AdjustWallet(request, wallet_key, amount, note, new_id())
    return await start(application, Adjusted, command, adjustments.problems(command))
