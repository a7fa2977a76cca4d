"""Publications: what operators add to the catalog. Nothing is changed or deleted: old versions stay, with their dates."""

import re
from dataclasses import replace
from typing import Annotated, Any, Final

import strawberry

from domain import refusals
from domain.attribution import camel
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.publication_inputs import (
    PublishBundleInput,
    PublishPlanInput,
    PublishPriceInput,
    PublishProviderInput,
    PublishRateCardInput,
)
from graphql_api.publication_results import (
    PublishBundleResult,
    PublishedBundle,
    PublishedPlan,
    PublishedPrice,
    PublishedProvider,
    PublishedRateCard,
    PublishPlanResult,
    PublishPriceResult,
    PublishProviderResult,
    PublishRateCardResult,
)
from graphql_api.refusals import refusal_of
from infra.services import catalog as service
from infra.services.callers import Refused


@strawberry.type
class PublicationQueries:
    """What operators can ask about the catalog."""

    @field(
        description="Operators: all versions of the rate card, and those of the tenant alone that the header Purser-Tenant "
        "names. The newest number first."
    )
    async def rate_cards(self, info: Info) -> list[PublishedRateCard]:
        context = info.context
        catalog = (await context.application.current_catalog()).for_tenant(context.caller.tenant_id)
        cards = sorted(catalog.rate_cards, key=lambda card: card.version, reverse=True)
        return [PublishedRateCard.of(card) for card in cards]


@strawberry.type
class PublicationMutations:
    """What operators can publish."""

    @field(
        description="Operators: publish the next version of the rate card, for everybody or for one tenant. What is reserved "
        "already is charged by the version of its reservation."
    )
    async def publish_rate_card(
        self,
        info: Info,
        given: Annotated[PublishRateCardInput, strawberry.argument(name="input", description="The version.")],
    ) -> PublishRateCardResult:
        context = info.context
        answer = await service.publish_rate_card(
            context.application,
            context.caller,
            given.idempotency_key,
            given.body(),
            tenant=given.tenant,
            based_on=given.based_on,
            without=tuple(given.without or ()),
        )
        return _refusal(answer, _RATE_CARD) if isinstance(answer, Refused) else PublishedRateCard.of(answer.row)

    @field(
        description="Operators: publish a price, for everybody or for one tenant. What is reserved already is priced by "
        "what was published before. What happened already is corrected by `rerateUsage`."
    )
    async def publish_price(
        self,
        info: Info,
        given: Annotated[PublishPriceInput, strawberry.argument(name="input", description="The price.")],
    ) -> PublishPriceResult:
        context = info.context
        answer = await service.publish_price(
            context.application, context.caller, given.idempotency_key, given.body(), tenant=given.tenant
        )
        return _refusal(answer, _PRICE) if isinstance(answer, Refused) else PublishedPrice.of(answer.row)

    @field(description="Operators: publish a provider, or another version of one.")
    async def publish_provider(
        self,
        info: Info,
        given: Annotated[PublishProviderInput, strawberry.argument(name="input", description="The provider.")],
    ) -> PublishProviderResult:
        context = info.context
        answer = await service.publish_provider(
            context.application, context.caller, given.idempotency_key, given.body()
        )
        return _refusal(answer, {}) if isinstance(answer, Refused) else PublishedProvider.of(answer.row)

    @field(description="Operators: publish a plan, or another version of one. Tenants get it with their next cycle.")
    async def publish_plan(
        self, info: Info, given: Annotated[PublishPlanInput, strawberry.argument(name="input", description="The plan.")]
    ) -> PublishPlanResult:
        keys = [allocation.wallet_key for allocation in given.allocations]
        twice = next((index for index, key in enumerate(keys) if key in keys[:index]), None)
        if twice is not None:
            problem = refusals.invalid(f"allocations.{twice}.walletKey", "a wallet is given one amount")
            return _refusal(Refused(problem, None), {})  # type: ignore[no-any-return]  # its union says which it may be
        context = info.context
        answer = await service.publish_plan(context.application, context.caller, given.idempotency_key, given.body())
        return _refusal(answer, _places(keys)) if isinstance(answer, Refused) else PublishedPlan.of(answer.row)

    @field(description="Operators: publish a bundle, or another version of one.")
    async def publish_bundle(
        self,
        info: Info,
        given: Annotated[PublishBundleInput, strawberry.argument(name="input", description="The bundle.")],
    ) -> PublishBundleResult:
        context = info.context
        answer = await service.publish_bundle(context.application, context.caller, given.idempotency_key, given.body())
        return _refusal(answer, _BUNDLE) if isinstance(answer, Refused) else PublishedBundle.of(answer.row)


# What the inputs call other than the rows of the data files do; rows count from 1, inputs from 0.
_BUNDLE: Final = {"wallet": "walletKey"}
_RATE_CARD: Final = {"wallet": "walletKey", "amount": "credits", "default_estimate": "defaultEstimateUsd"}
_PRICE: Final = {
    figure: f"{camel(figure)}Per1M" for figure in ("input", "output", "cache_read", "cache_write", "reasoning")
}
_ITEM: Final = re.compile(r"(.+)\[(\d+)\]")


def _places(keys: list[str]) -> dict[str, str]:
    """Where the allocation of each wallet stands in the input: its amount, and its key."""
    amounts = {f"allocations.{key}": f"allocations.{index}.amount" for index, key in enumerate(keys)}
    return amounts | {f"allocations.{key}.wallet": f"allocations.{index}.walletKey" for index, key in enumerate(keys)}


def _refusal(refused: Refused, names: dict[str, str]) -> Any:
    """The refusal with the paths of its fields as the client wrote them."""
    refusal = refused.refusal
    if isinstance(refusal, refusals.InvalidInput):
        fields = tuple([replace(problem, path=_path_as_sent(problem.path, names)) for problem in refusal.fields])
        refused = Refused(refusals.InvalidInput(fields), refused.id)
    return refusal_of(refused)


def _path_as_sent(path: str, names: dict[str, str]) -> str:
    if path in names:
        return names[path]
    parts: list[str] = []
    for part in path.split("."):
        item = _ITEM.fullmatch(part)
        name, place = (part, None) if item is None else (item.group(1), int(item.group(2)) - 1)
        parts.append(names.get(name, camel(name)))
        if place is not None:
            parts.append(str(place))
    return ".".join(parts)
