"""Payments in tests: an application whose payment rail is the stand-in, spoken to by Stripe's own SDK over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from domain.payments import TopUp
from domain.topups import Ordered
from infra.application import Application, open_application
from infra.queries import topups as topups_query
from infra.services import topups
from infra.services.callers import Caller, Refused
from infra.settings import Settings
from infra.stripe_stand_in import StandIn
from infra.stripe_stand_in.cards import SUCCEEDS
from tests.infra.builders import Clock
from tests.infra.stand_in import RunningStandIn, running_stand_in


@dataclass(frozen=True, slots=True)
class Shop:
    """An application with its payment rail. Messages wait at the stand-in until `deliver` brings them."""

    application: Application
    rail: RunningStandIn
    clock: Clock

    @property
    def stripe(self) -> StandIn:
        """What a test does in the payer's, the bank's or Stripe's place."""
        return self.rail.controls

    def advance(self, seconds: float = 0, *, days: int = 0) -> None:
        """Let time pass, here and at the rail."""
        self.clock.advance(seconds, days=days)
        self.rail.clock.moment = self.clock.now

    async def order(self, caller: Caller, key: str = "t", wallet_key: str = "metered", **asked: Any) -> TopUp:
        """An order that must be taken."""
        return ordered(await topups.start_top_up(self.application, caller, key, wallet_key, **asked))

    async def paid(self, caller: Caller, key: str = "t", wallet_key: str = "metered", **asked: Any) -> TopUp:
        """An order that is paid and credited."""
        top_up = await self.order(caller, key, wallet_key, **asked)
        self.pay(top_up)
        await self.deliver()
        return await self.look(caller, top_up)

    def pay(self, top_up: TopUp, card: str = SUCCEEDS) -> None:
        """The payer pays on the page."""
        assert top_up.facts.session_id is not None
        self.stripe.pay(top_up.facts.session_id, card)

    def messages(self, kind: str = "") -> list[tuple[bytes, str]]:
        """What the rail has told since the last time, signed now: all of it, or one type."""
        deliveries = self.stripe.deliveries
        told, deliveries.events = deliveries.events, []
        return [deliveries.signed(event) for event in told if event["type"].startswith(kind)]

    async def deliver(self, kind: str = "") -> list[int]:
        """Bring what the rail has told since the last time; answers the statuses."""
        return [await self.receive(message) for message in self.messages(kind)]

    async def receive(self, message: tuple[bytes, str]) -> int:
        """Bring one message; answers its status."""
        return (await topups.receive(self.application, *message)).status

    async def look(self, caller: Caller, top_up: TopUp) -> TopUp:
        """An order as it stands."""
        (found,) = await topups_query.get_many(self.application, caller.tenant_id, [top_up.id])
        assert found is not None
        return found


def ordered(answer: Ordered | Refused) -> TopUp:
    """The order of an answer that must be one."""
    assert isinstance(answer, Ordered), answer
    return answer.top_up


@asynccontextmanager
async def open_shop(settings: Settings, url: str, clock: Clock) -> AsyncIterator[Shop]:
    """An application and its rail, both under the test's clock."""
    async with running_stand_in() as rail:
        rail.clock.moment = clock.now
        rail.controls.deliveries.is_holding = True
        gateway = rail.gateway()
        try:
            async with open_application(settings, url, clock=clock, gateway=gateway) as application:
                yield Shop(application, rail, clock)
        finally:
            await gateway.close()
