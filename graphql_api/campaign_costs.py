"""Costs of campaigns: what people entered beside what was tracked, and what a customer has cost to win.

A campaign's figures are read when they are asked for, those of all campaigns of a request together.
"""

import asyncio
from datetime import date
from typing import Annotated, Final

import strawberry

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.budgets import BudgetKey, BudgetPeriod, ScopeKey, ScopeKind, ScopeStatus
from domain.expenses import Cac, CacStatus, cac
from domain.refusals import BudgetScope
from graphql_api.budgets import Budget
from graphql_api.context import Info
from graphql_api.enumerations import NamedKind
from graphql_api.errors import bad_input
from graphql_api.expenses import FIRST_DAY, LAST_DAY, Expense, days_of
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from graphql_api.money import Money
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, ScopePaused, refusal_of
from graphql_api.scalars import Count, UsdAmount
from graphql_api.scopes import ScopeName
from infra.queries import campaign_costs as query
from infra.queries.campaign_costs import CampaignPage, CostsKey, Days, ModelsKey, NewestKey, Tracked
from infra.queries.scopes import RegisteredScope
from infra.services import expenses as service
from infra.services.callers import Refused

TOP: Final = 5
SHOWN: Final = 100
ZONE: Final = "in the tenant's time zone"


@strawberry.type(description="What the calls of one language model have cost.")
class ModelSpend:
    """What the calls of one model have cost."""

    provider: str = strawberry.field(description="Who was called.")
    model: str = strawberry.field(description="The model.")
    cost_usd: UsdAmount = strawberry.field(description="What the provider charged.")
    calls: Count = strawberry.field(description="How many calls that were.")

    @classmethod
    def of(cls, found: query.ModelSpend) -> "ModelSpend":
        return cls(provider=found.provider, model=found.model, cost_usd=UsdAmount(found.cost), calls=Count(found.calls))


@strawberry.type(
    description="What a campaign has cost: what people entered, in its currencies, and beside it what was tracked, in US "
    "dollars. Nothing is converted, and the two are never added up."
)
class CampaignCosts:
    """What a campaign has cost."""

    key: strawberry.Private[CostsKey]
    campaign: str = strawberry.field(description="Your own id of the campaign.")

    @field(description="What you call it, where it was given a name (nameScope).")
    async def name(self, info: Info) -> str | None:
        registered = await self._registered(info)
        return None if registered is None else registered.name

    @field(description="The client whose campaign it is; null where none is known.")
    async def client(self, info: Info) -> ScopeName | None:
        found = await self._registered(info)
        if found is None or found.client is None:
            return None
        return ScopeName(kind=NamedKind.CLIENT, id=found.client, name=found.client_name, client=None)

    @field(description="Whether it may spend.")
    async def status(self, info: Info) -> ScopeStatus:
        registered = await self._registered(info)
        return ScopeStatus.ACTIVE if registered is None else registered.status

    @field(description="Why it is stopped; null if it is not.")
    async def pause_reason(self, info: Info) -> str | None:
        registered = await self._registered(info)
        return None if registered is None else registered.pause_reason

    @field(
        description="Its budgets in their newest period, capped or not, whatever days are asked for: that of all time "
        "first, then that of the month; none where nothing was counted or capped."
    )
    async def budgets(self, info: Info) -> list[Budget]:
        keys = [
            BudgetKey(BudgetScope.CAMPAIGN, self.campaign, each) for each in (BudgetPeriod.TOTAL, BudgetPeriod.MONTH)
        ]
        return [Budget.of(view) for view in await info.context.loaders.budgets.load_many(keys) if view is not None]

    @field(description="What people entered, the newest day first; the query expenses turns the pages.")
    async def expenses(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="At most so many, 1 to 100.")] = SHOWN,
    ) -> list[Expense]:
        key = NewestKey(self.key, page_size(first, SHOWN))
        return [Expense.of(view) for view in await info.context.loaders.newest_expenses.load(key)]

    @field(description="How many expenses people entered, shown or not.")
    async def expense_count(self, info: Info) -> Count:
        return Count((await info.context.loaders.entered.load(self.key)).expenses)

    @field(description="The sum of all expenses, shown or not, for each currency that was used.")
    async def expense_totals(self, info: Info) -> list[Money]:
        return [Money.of(total) for total in (await info.context.loaders.entered.load(self.key)).totals]

    @field(
        description="What the campaign's calls have cost, of every kind: tracked by itself, and in no other figure here."
    )
    async def auto_tracked_usd(self, info: Info) -> UsdAmount:
        return UsdAmount((await self._tracked(info)).cost)

    @field(description="The part of autoTrackedUsd that language models have cost.")
    async def auto_tracked_llm_usd(self, info: Info) -> UsdAmount:
        return UsdAmount((await self._tracked(info)).llm)

    @field(description="How many calls' cost is not known yet: they are in no sum until they are priced.")
    async def unpriced(self, info: Info) -> Count:
        return Count((await self._tracked(info)).unpriced)

    @field(description="The language models on which the campaign spent most, the most expensive first.")
    async def models(
        self, info: Info, top: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = TOP
    ) -> list[ModelSpend]:
        found = await info.context.loaders.models_of_campaigns.load(ModelsKey(self.key, most_models(top)))
        return [ModelSpend.of(each) for each in found]

    @field(description="How many customers it won, corrections taken off.")
    async def customers_won(self, info: Info) -> int:
        return await info.context.loaders.customers_won.load(self.key)

    @field(
        description="What a customer has cost to win: the expenses divided by customersWon, rounded up to the currency's "
        "smallest unit. Null where it cannot be told: cacStatus says why. What was tracked is not in it."
    )
    async def cac(self, info: Info) -> Money | None:
        money = (await self._cac(info)).money
        return None if money is None else Money.of(money)

    @field(description="Whether cac can be told, and if not, why.")
    async def cac_status(self, info: Info) -> CacStatus:
        return (await self._cac(info)).status

    async def _registered(self, info: Info) -> RegisteredScope | None:
        return await info.context.loaders.registered.load(ScopeKey(ScopeKind.CAMPAIGN, self.campaign))

    async def _tracked(self, info: Info) -> Tracked:
        return await info.context.loaders.tracked_of_campaigns.load(self.key)

    async def _cac(self, info: Info) -> Cac:
        loaders = info.context.loaders
        # At once, so that all that is asked of the request's campaigns is asked together.
        entered, customers = await asyncio.gather(loaders.entered.load(self.key), loaders.customers_won.load(self.key))
        return cac(entered.totals, customers)

    @classmethod
    def of(cls, campaign: str, days: Days) -> "CampaignCosts":
        return cls(key=CostsKey(campaign, days), campaign=campaign)


@strawberry.type(description="A campaign in the list of all.")
class CampaignCostsEdge:
    """A campaign in the list of all."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: CampaignCosts = strawberry.field(description="The campaign and its costs.")


@strawberry.type(description="A page of campaigns with their costs.")
class CampaignCostsConnection:
    """A page of campaigns with their costs."""

    edges: list[CampaignCostsEdge] = strawberry.field(description="The campaigns, by id.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: CampaignPage, days: Days) -> "CampaignCostsConnection":
        edges = [
            CampaignCostsEdge(cursor=campaign, node=CampaignCosts.of(campaign, days)) for campaign in page.campaigns
        ]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.input(description="Count customers that a campaign won.")
class RecordCustomersWonInput:
    """Count customers that a campaign won."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    campaign: str = strawberry.field(description="Your own id of the campaign; registered if it is new.")
    count: int = strawberry.field(
        description="How many more. Below zero: so many that were recorded of this campaign and day are taken back, at most "
        "all of them."
    )
    on: date = strawberry.field(
        description="The day on which they were won; of a correction, the day that it corrects."
    )


RecordCustomersWonResult = Annotated[
    CampaignCosts | InvalidInput | IdempotencyKeyReused | ScopePaused,
    strawberry.union(
        "RecordCustomersWonResult", description="The campaign's costs of all days, or why nothing was counted."
    ),
]


@strawberry.type
class CampaignCostsQueries:
    """What can be asked about what campaigns have cost."""

    @field(
        description="What a campaign has cost, and what a customer has cost to win. One that nobody has named yet has cost "
        f"nothing. Days are those {ZONE}."
    )
    async def campaign_costs(
        self,
        campaign: Annotated[str, strawberry.argument(description="Your own id of the campaign.")],
        start: Annotated[date | None, strawberry.argument(name="from", description=FIRST_DAY)] = None,
        end: Annotated[date | None, strawberry.argument(name="to", description=LAST_DAY)] = None,
    ) -> CampaignCosts:
        return CampaignCosts.of(known("campaign", campaign), days_of(start, end))

    @field(
        description="All campaigns with what they have cost, by id: those that anything was entered, recorded or named for. "
        f"Days are those {ZONE}."
    )
    async def campaign_costs_list(
        self,
        info: Info,
        start: Annotated[date | None, strawberry.argument(name="from", description=FIRST_DAY)] = None,
        end: Annotated[date | None, strawberry.argument(name="to", description=LAST_DAY)] = None,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> CampaignCostsConnection:
        if after is not None and not is_identifier(after):
            raise bad_input("after must be a cursor of this list")
        context, days = info.context, days_of(start, end)
        page = await query.campaigns(context.application, context.caller.tenant_id, page_size(first, 20), after)
        return CampaignCostsConnection.of(page, days)


@strawberry.type
class CustomersWonMutations:
    """What can be recorded about customers won."""

    @field(description="Count customers that a campaign won on a day.")
    async def record_customers_won(
        self,
        info: Info,
        given: Annotated[RecordCustomersWonInput, strawberry.argument(name="input", description="How many, and when.")],
    ) -> RecordCustomersWonResult:
        context = info.context
        answer = await service.record_customers_won(
            context.application, context.caller, given.idempotency_key, given.campaign, given.count, given.on
        )
        return refusal_of(answer) if isinstance(answer, Refused) else CampaignCosts.of(given.campaign, Days())


def known(name: str, identifier: str) -> str:
    """An id that may be one; what cannot be is refused."""
    if not is_identifier(identifier):
        raise bad_input(f"{name} {IDENTIFIER_RULE}")
    return identifier


def most_models(top: int | None) -> int:
    """How many models are asked for."""
    if top is not None and not 1 <= top <= SHOWN:
        raise bad_input(f"top must be 1 to {SHOWN}")
    return top or TOP
