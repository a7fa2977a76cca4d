"""Lots: what has expired is booked, also in wallets that nobody uses.

Expiry is decided by time and any command on a wallet books it first, so the job only makes the entries appear where none
comes.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

from domain.adjustments import ExpireLots, LotsExpired
from domain.books import Operation
from domain.ids import NIL
from infra.application import Application
from infra.deciding import SYSTEM
from infra.services.callers import Caller, Role
from infra.services.commands import request_of
from infra.services.progress import Progress

_DUE: Final = """
SELECT DISTINCT w.tenant_id, w.key FROM lot l JOIN wallet w ON w.tenant_id = l.tenant_id AND w.id = l.wallet_id
WHERE l.is_open AND l.expires_at <= $1 AND l.available > 0 AND (w.tenant_id, w.key) > ($2::uuid, $3::text)
ORDER BY 1, 2 LIMIT 500"""


async def expire_lots(application: Application, at: datetime, *, stop_at: datetime | None = None) -> Progress:
    """Book what has expired by now in every wallet; harmless at any time, twice or beside another run. Counts the wallets
    in which something had."""
    done = 0
    after: tuple[UUID, str] = (NIL, "")
    while rows := await application.across_tenants.fetch(_DUE, at, *after):
        for tenant_id, found in groupby(rows, key=itemgetter(0)):
            if stop_at is not None and application.clock() >= stop_at:
                return Progress(done, complete=False)
            done += await _expire(application, tenant_id, [key for _, key in found])
        after = tuple(rows[-1])
    return Progress(done)


async def _expire(application: Application, tenant_id: UUID, wallet_keys: Sequence[str]) -> int:
    system = Caller(tenant_id, Role.OPERATOR, SYSTEM)
    command = ExpireLots(request_of(system, Operation.EXPIRE_LOTS, "", ()), tuple(wallet_keys))
    answer, _ = await application.group_commit.submit(command)
    assert isinstance(answer, LotsExpired), answer
    return answer.wallets
