"""Costs of accounts: what the calls for one have cost."""

from datetime import date
from typing import Annotated

import strawberry

from domain.budgets import ScopeKey, ScopeKind
from graphql_api.campaign_costs import TOP, ZONE, ModelSpend, known, most_models
from graphql_api.context import Info
from graphql_api.expenses import FIRST_DAY, LAST_DAY, days_of
from graphql_api.fields import field
from graphql_api.scalars import Count, UsdAmount
from infra.queries.campaign_costs import CostsKey, ModelsKey, Tracked


@strawberry.type(description="What the calls for one account have cost, such as finding its website and enriching it.")
class AccountCosts:
    """What the calls for one account have cost."""

    key: strawberry.Private[CostsKey]
    account: str = strawberry.field(description="Your own id of the account.")

    @field(description="What you call it, where it was given a name (nameScope).")
    async def name(self, info: Info) -> str | None:
        registered = await info.context.loaders.registered.load(ScopeKey(ScopeKind.ACCOUNT, self.account))
        return None if registered is None else registered.name

    @field(description="What its calls have cost, of every kind.")
    async def auto_tracked_usd(self, info: Info) -> UsdAmount:
        return UsdAmount((await self._tracked(info)).cost)

    @field(description="The part of autoTrackedUsd that language models have cost.")
    async def auto_tracked_llm_usd(self, info: Info) -> UsdAmount:
        return UsdAmount((await self._tracked(info)).llm)

    @field(description="How many calls' cost is not known yet: they are in no sum until they are priced.")
    async def unpriced(self, info: Info) -> Count:
        return Count((await self._tracked(info)).unpriced)

    @field(description="The language models on which most was spent for it, the most expensive first.")
    async def models(
        self, info: Info, top: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = TOP
    ) -> list[ModelSpend]:
        found = await info.context.loaders.models_of_accounts.load(ModelsKey(self.key, most_models(top)))
        return [ModelSpend.of(each) for each in found]

    async def _tracked(self, info: Info) -> Tracked:
        return await info.context.loaders.tracked_of_accounts.load(self.key)


@strawberry.type
class AccountCostsQueries:
    """What can be asked about what accounts have cost."""

    @field(description=f"What the calls for one account have cost. Days are those {ZONE}.")
    async def account_costs(
        self,
        account: Annotated[str, strawberry.argument(description="Your own id of the account.")],
        start: Annotated[date | None, strawberry.argument(name="from", description=FIRST_DAY)] = None,
        end: Annotated[date | None, strawberry.argument(name="to", description=LAST_DAY)] = None,
    ) -> AccountCosts:
        account = known("account", account)
        return AccountCosts(key=CostsKey(account, days_of(start, end)), account=account)
