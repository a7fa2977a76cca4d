"""Stories: histories of one tenant told by hand, through the services, to be played again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from typing_extensions import override

from domain.admission import Wish
from domain.attribution import Attribution
from domain.back_tests import Assumptions, BackTest
from domain.budgets import BudgetKey, BudgetPeriod
from domain.holds import Estimate, ModelName, Reservation
from domain.money import NANO
from domain.outcomes import Outcome
from domain.refusals import BudgetScope
from domain.usage import Usage
from domain.wallets import LotSource
from infra.application import Application, open_application
from infra.queries.back_tests import back_test
from infra.services import catalog, cycles, reservations, settlements, subscriptions, tenants, usage, wallets
from infra.services.callers import Caller, Refused, Role
from infra.services.tenants import TenantOrder
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import OPERATOR, Clock, cap

WRITER: Final = Attribution(campaign="spring", agent_role="writer", tags=(("team", "red"),))
TENANT_MONTH: Final = BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH)
BEGIN: Final = datetime(2026, 8, 20, 9, tzinfo=UTC)
# Plans by price: mailboxes, and whether they are unlimited.
PLANS: Final = {"bare": (0, False), "small": (5, False), "large": (10, False), "same": (10, True)}


class MovingClock(Clock):
    """A clock that never tells the same time twice, as real ones do from one commit to the next."""

    @override
    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Story:
    """One tenant, and what happens to it."""

    def __init__(self, application: Application, clock: MovingClock) -> None:
        self.application = application
        self.clock = clock
        self.caller = OPERATOR
        self._keys = 0

    def at(self, moment: str) -> None:
        """Time passes."""
        self.clock.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    def key(self) -> str:
        """A fresh one."""
        self._keys += 1
        return f"key-{self._keys}"

    async def begin(self, plan: str = "starter", *, zone: str = "UTC", anchor_day: int = 1) -> None:
        """The tenant is made, and is granted its first cycle."""
        found = self.application.catalog.plan("india", plan, self.clock())
        assert found is not None
        order = TenantOrder("acme", "acme", "india", plan, True, zone, anchor_day)
        self.caller = Caller(await tenants.set_up(self.application, order, found), Role.ADMIN, "key:test")
        await cycles.start_cycle(self.application, self.caller.tenant_id)
        await wallets.credit(
            self.application, self.caller.tenant_id, "metered", nano("20"), LotSource.TOP_UP, self.key()
        )

    async def plans(self) -> None:
        """PLANS are published."""
        for price, (name, (mailboxes, unlimited)) in enumerate(PLANS.items(), 1):
            row = {
                "region": "india",
                "currency": "INR",
                "effective_from": (self.clock() + timedelta(seconds=1)).isoformat(),
                "key": name,
                "name": name,
                "price": str(price),
                "seats": 5,
                "agents": 5,
                "unlimited": unlimited,
                "allocations": {"credits": "100", "email_accounts": str(mailboxes)} if mailboxes else {"credits": "1"},
            }
            published = await catalog.publish_plan(self.application, OPERATOR, self.key(), row)
            assert not isinstance(published, Refused), published
        self.clock.advance(60)

    async def cycle(self, moment: str) -> None:
        """The job grants what is due."""
        self.at(moment)
        await cycles.start_due(self.application, self.clock())

    async def subscribe(self, plan: str) -> None:
        """Another plan is chosen."""
        answer = await subscriptions.change_plan(self.application, self.caller, self.key(), plan)
        assert not isinstance(answer, Refused), answer

    async def cap(self, amount: str, key: BudgetKey = TENANT_MONTH) -> None:
        """A budget is set."""
        await cap(self.application, self.caller, key, amount, self.key())

    async def ask(
        self,
        feature: str = "llm_call",
        cost: str | None = None,
        *,
        quantity: int = 1,
        model: ModelName | None = None,
        task: str | None = None,
    ) -> Reservation | Refused:
        """Work is asked for."""
        wish = Wish(feature, quantity * NANO, model, Estimate(cost=None if cost is None else nano(cost)), WRITER)
        answer = await reservations.reserve(self.application, self.caller, self.key(), wish, task)
        return answer if isinstance(answer, Refused) else answer.reservation

    async def work(self, feature: str = "llm_call", cost: str = "1", **asked: Any) -> Reservation:
        """Work is asked for, admitted and costs what was estimated."""
        held = await self.ask(feature, cost, **asked)
        assert isinstance(held, Reservation), held
        await self.settle(held, cost)
        return held

    async def settle(self, held: Reservation, cost: str) -> Reservation:
        """Work is done, and cost this much."""
        calls = [Usage(cost=nano(cost))]
        answer = await settlements.consume(self.application, self.caller, self.key(), held.id, None, calls)
        assert not isinstance(answer, Refused), answer
        return answer.reservation

    async def expire(self) -> None:
        """The job books what is overdue."""
        await reservations.expire_due(self.application, self.caller.tenant_id)

    async def post(self, calls: int, cost: str) -> None:
        """Calls are reported together."""
        events = [
            ReportedUsage(Usage(source="w", event_id=self.key(), cost=nano(cost)), "llm_call", None, WRITER)
            for _ in range(calls)
        ]
        report = await usage.record_usage(self.application, self.caller, events)
        assert report.accepted == calls

    async def played(self, month: str, **assumed: Any) -> BackTest:
        """A month is played again."""
        await self.application.refusals.written()
        found = await back_test(self.application, self.caller.tenant_id, month, Assumptions(**assumed))
        assert isinstance(found, BackTest), found
        return found

    async def assumed(self, month: str, **assumed: Any) -> Outcome:
        """What a month would have come to."""
        return (await self.played(month, **assumed)).as_assumed

    async def exact(self, *months: str) -> None:
        """Played again as they were, months come to what they came to."""
        for month in months:
            found = await self.played(month)
            assert found.differences == (), "\n".join((month, *found.differences))
            assert found.as_assumed == found.as_it_was


@asynccontextmanager
async def told(settings: Settings, url: str) -> AsyncIterator[Story]:
    """A story from its beginning."""
    clock = MovingClock(BEGIN)
    async with open_application(settings, url, clock=clock) as application:
        yield Story(application, clock)
