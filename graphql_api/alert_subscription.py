"""Alerts as they are raised, for whoever watches."""

from collections.abc import AsyncGenerator

import strawberry

from graphql_api.alerts import Alert
from graphql_api.context import Info
from graphql_api.fields import subscription
from infra.alert_feed import AlertsRaised
from infra.alert_rows import RaisedAlert
from infra.topics import Follower


@strawberry.type
class AlertSubscriptions:
    """What can be watched of alerts."""

    @subscription(
        description="Every alert of the tenant that is raised from now on, once each. To miss none: subscribe, and once it "
        "has begun (a ping sent after it is answered) read `alerts`; do so again after the error FELL_BEHIND or a "
        "lost connection."
    )
    async def alert_raised(self, info: Info) -> AsyncGenerator[Alert, None]:
        context = info.context
        return _alerts(await context.application.feed.follow(AlertsRaised, context.caller.tenant_id))


async def _alerts(follower: Follower[RaisedAlert]) -> AsyncGenerator[Alert, None]:
    try:
        async for raised in follower:
            yield Alert.of(raised)
    finally:
        follower.leave()
