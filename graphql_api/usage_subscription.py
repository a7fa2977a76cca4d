"""Usage as it is recorded, for whoever watches."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.fields import subscription
from graphql_api.interfaces import page_size
from graphql_api.shared_events import shown
from graphql_api.spending import Spending
from graphql_api.usage_events import UsageEventConnection
from infra.queries.recent_usage import RecentUsage
from infra.topics import State
from infra.usage_feed import follow_usage


@strawberry.type(description="What was used lately.")
class UsageRecorded:
    """What was used lately."""

    calls: UsageEventConnection = strawberry.field(
        description="The newest calls of the last 31 days, as the first page of `usageEvents`."
    )
    spending: Spending = strawberry.field(description="The running month against its cap, as budgets count it.")
    as_of: datetime = strawberry.field(description="The moment that nothing here is older than.")

    @classmethod
    def of(cls, found: RecentUsage, first: int) -> "UsageRecorded":
        return cls(
            calls=UsageEventConnection.of(found.first(first)),
            spending=Spending.of(found.spending),
            as_of=found.as_of,
        )


@strawberry.type
class UsageSubscriptions:
    """What can be watched of usage."""

    @subscription(
        description="The newest calls and what the running month has cost: as they are now, and then whenever usage of the "
        "tenant was recorded or priced anew. The newest state wins: at most four a second come, however much is recorded, "
        "and none is older than the one before. `usageEvents` has every single call."
    )
    async def usage_recorded(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many calls, 1 to 100.")] = 20,
    ) -> AsyncGenerator[UsageRecorded, None]:
        context = info.context
        number = page_size(first, 20)
        return _usage(await follow_usage(context.application, context.caller.tenant_id, number), number)


async def _usage(states: AsyncGenerator[State[RecentUsage], None], first: int) -> AsyncGenerator[UsageRecorded, None]:
    async with aclosing(states):
        async for state in states:
            yield shown(state, first, lambda found: UsageRecorded.of(found, first))
