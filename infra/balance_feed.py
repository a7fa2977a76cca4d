"""Balances as they change, for whoever watches a wallet: as the query of wallets shows them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Final, Self

import asyncpg
from typing_extensions import override

from infra.hints import WALLETS
from infra.queries import wallets
from infra.queries.wallets import WalletView
from infra.topics import Newest

SECONDS_BETWEEN: Final = 0.1


class Balance(Newest[WalletView]):
    """A tenant's wallet; `subject` is its key. There is no state where the tenant has no such wallet."""

    channel: ClassVar[str] = WALLETS
    seconds_between: ClassVar[float] = SECONDS_BETWEEN

    @override
    @classmethod
    async def look(cls, connection: asyncpg.Connection, topics: Sequence[Self], now: datetime) -> None:
        found = await wallets.at_places(connection, [(topic.tenant_id, topic.subject) for topic in topics], now)
        for topic in topics:
            view = found.get((topic.tenant_id, topic.subject))
            if view is not None:
                topic.see(view)

    def see(self, view: WalletView) -> None:
        """Tell what stands there now, unless it was told. Balances never go back to an older version: where a database
        has lost what was committed, whoever watches begins anew."""
        self.due = view.changes_at
        if self.state is None:
            self.tell(view)
            return
        told = self.state.value
        if view.wallet.sequence < told.wallet.sequence:
            self.restart(view)
        elif replace(view, as_of=told.as_of, changes_at=told.changes_at) != told:
            self.tell(view)
        else:
            self.refresh(view)
