"""Recharges: what a wallet that ran low does about it.

Fired at once by the commit that crosses the threshold (its event is in the outbox of that commit), and by a job that
finds whatever was missed. Whether one is due is decided under the tenant's lock, so both may come at once.
"""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID

from domain import recharges
from domain.books import Operation
from domain.ids import NIL
from domain.payments import TopUp
from domain.recharges import Due, Recharge, RechargeState, SetAutoRecharge
from domain.topups import payment_problems
from domain.wallets import METERED_KEY
from infra.application import Application
from infra.deciding import SYSTEM
from infra.identifiers import new_id
from infra.payments import PaymentsRefusedError
from infra.services.callers import Caller, Refused, Role
from infra.services.commands import request_of, start
from infra.services.progress import Progress
from infra.services.topups import charge, gateway_of

_HAS_CARD: Final = "SELECT card_id IS NOT NULL FROM payment_customer WHERE tenant_id = $1"
_LOW: Final = """
SELECT r.tenant_id, r.wallet_key FROM auto_recharge r
JOIN wallet w ON w.tenant_id = r.tenant_id AND w.key = r.wallet_key AND w.available < r.threshold
WHERE r.enabled AND r.in_flight IS NULL AND (r.retry_at IS NULL OR r.retry_at <= $1) AND r.tenant_id > $2
ORDER BY r.tenant_id LIMIT 100"""

_log: Final = logging.getLogger(__name__)


async def set_auto_recharge(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    wallet_key: str,
    *,
    enabled: bool,
    threshold: int | None = None,
    amount: int | None = None,
    monthly_limit: int | None = None,
    keeps_limit: bool = False,
) -> RechargeState | Refused:
    """Switch a wallet's recharge on or off, and set its figures (nano-dollars). None leaves threshold and amount as they
    are, and removes the limit unless `keeps_limit`."""
    asked = (wallet_key, enabled, threshold, amount, monthly_limit, keeps_limit)
    request = request_of(caller, Operation.SET_AUTO_RECHARGE, idempotency_key, asked)
    has_card = bool(await application.readers.of(caller.tenant_id).fetchval(_HAS_CARD, caller.tenant_id))
    command = SetAutoRecharge(request, wallet_key, enabled, threshold, amount, monthly_limit, has_card, keeps_limit)
    wrong = [*recharges.problems(command), *(() if amount is None else payment_problems("amount", amount))]
    return await start(application, RechargeState, command, wrong)


async def recharge(application: Application, tenant_id: UUID, wallet_key: str = METERED_KEY) -> TopUp | None:
    """Top a wallet up by the kept card if that is due; None where it is not."""
    gateway = gateway_of(application)
    if not await application.readers.of(tenant_id).fetchval(_HAS_CARD, tenant_id):
        return None
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    request = request_of(system, Operation.RECHARGE, wallet_key, ())
    answer, _ = await application.group_commit.submit(Recharge(request, wallet_key, new_id(application.clock())))
    if not isinstance(answer, Due):
        return None
    return await charge(application, gateway, tenant_id, answer.top_up)


async def recharge_due(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Recharge every wallet that is below its threshold."""
    done = 0
    after = NIL
    while rows := await application.across_tenants.fetch(_LOW, at, after):
        for tenant_id, wallet_key in rows:
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            after = tenant_id
            try:
                done += await recharge(application, tenant_id, wallet_key) is not None
            except PaymentsRefusedError as error:
                _log.warning("the recharge of tenant %s was not taken: %s", tenant_id, error)
    return Progress(done)
