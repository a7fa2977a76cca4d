"""Balances as they change, for whoever watches."""

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry

from domain.attribution import is_identifier
from graphql_api.context import Info
from graphql_api.errors import RequestError, bad_input
from graphql_api.fields import subscription
from graphql_api.shared_events import shown
from graphql_api.wallets import Wallet
from infra.balance_feed import Balance
from infra.queries.wallets import WalletView
from infra.topics import Follower, State


@strawberry.type
class WalletSubscriptions:
    """What can be watched of wallets."""

    @subscription(
        description="A wallet as it stands, and then whenever it changes, also by time as a lot expires. The newest state "
        "wins: at most ten a second come, one that was overtaken is left out, and `version` never falls. Over a lost "
        "connection nothing is lost: subscribe again."
    )
    async def wallet_balance(
        self, info: Info, key: Annotated[str, strawberry.argument(description="Such as credits or metered.")]
    ) -> AsyncGenerator[Wallet, None]:
        context = info.context
        if not is_identifier(key):
            raise _unknown(key)
        follower = await context.application.feed.follow(Balance, context.caller.tenant_id, key)
        if follower.waits:
            follower.leave()
            raise _unknown(key)
        return _balances(follower)


def _unknown(key: str) -> RequestError:
    return bad_input(f"key: there is no wallet {key[:80]!r}; `wallets` lists them")


async def _balances(follower: Follower[State[WalletView]]) -> AsyncGenerator[Wallet, None]:
    try:
        async for state in follower:
            yield shown(state, Wallet, Wallet.of)
    finally:
        follower.leave()
