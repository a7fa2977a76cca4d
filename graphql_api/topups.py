"""Top-ups: what can be bought, the checkout for it, and where each order stands."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain import ids, money, payments, plans
from domain.payments import TopUpOrigin, TopUpState
from domain.tenants import TenantStatus
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.interfaces import Node, PageInfo, page_size
from graphql_api.money import Money
from graphql_api.permissions import ADMINS
from graphql_api.refusals import IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from graphql_api.scalars import Amount
from infra.queries import tenants as tenants_query
from infra.queries import topups as query
from infra.queries.topups import TopUpPage
from infra.services import topups as service
from infra.services.callers import Refused


@strawberry.type(description="An order of balance: so much into a wallet for so much money.")
class TopUp(Node):
    """An order of balance."""

    top_up: strawberry.Private[payments.TopUp]
    state: TopUpState = strawberry.field(description="Where it stands.")
    wallet_key: str = strawberry.field(description="The wallet that it fills.")
    amount: Amount = strawberry.field(description="How much is bought, in the wallet's unit.")
    price: Money = strawberry.field(description="What is paid for it.")
    bundle: str | None = strawberry.field(description="The bundle that was bought; null for an amount of dollars.")
    origin: TopUpOrigin = strawberry.field(description="Who started it.")
    created_at: datetime = strawberry.field(description="When it was ordered.")
    credited_at: datetime | None = strawberry.field(description="When it was put into the wallet; null if it was not.")
    taken_back: Amount = strawberry.field(
        description="What refunds and disputes took out of the wallet again, in the wallet's unit."
    )
    failure: str | None = strawberry.field(
        description="The payment service's code of the last decline, such as card_declined; null if there was none."
    )

    @field(
        description="The page on which it is paid, for admins and operators; null once there is nothing to pay there, "
        "and while the tenant is not active."
    )
    async def checkout_url(self, info: Info) -> str | None:
        context = info.context
        if self.top_up.checkout_url is None or context.caller.role not in ADMINS:
            return None
        view = await context.loaders.tenants.load(context.caller.tenant_id)
        return self.top_up.checkout_url if view is not None and view.tenant.status is TenantStatus.ACTIVE else None

    @classmethod
    def of(cls, top_up: payments.TopUp) -> "TopUp":
        return cls(
            top_up=top_up,
            id=strawberry.ID(ids.public("top_up", top_up.id)),
            state=top_up.state,
            wallet_key=top_up.wallet_key,
            amount=Amount(top_up.amount),
            price=Money.of(top_up.price),
            bundle=top_up.bundle,
            origin=top_up.origin,
            created_at=top_up.created_at,
            credited_at=top_up.credited_at,
            taken_back=Amount(top_up.taken_back),
            failure=top_up.facts.failure,
        )


@strawberry.type(description="A top-up in its list.")
class TopUpEdge:
    """A top-up in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: TopUp = strawberry.field(description="The top-up.")


@strawberry.type(description="A page of the tenant's top-ups.")
class TopUpConnection:
    """A page of top-ups."""

    edges: list[TopUpEdge] = strawberry.field(description="The top-ups, newest first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: TopUpPage) -> "TopUpConnection":
        found = [TopUp.of(top_up) for top_up in page.top_ups]
        edges = [TopUpEdge(cursor=top_up.id, node=top_up) for top_up in found]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type(description="What can be bought on top of the plan.")
class Bundle:
    """What can be bought on top of the plan."""

    key: str = strawberry.field(description="Its name: what startTopUp takes.")
    wallet_key: str = strawberry.field(description="The wallet that it fills.")
    amount: Amount = strawberry.field(description="How much it puts there, in the wallet's unit.")
    price: Money = strawberry.field(description="What it costs.")

    @classmethod
    def of(cls, bundle: plans.Bundle) -> "Bundle":
        return cls(
            key=bundle.key,
            wallet_key=bundle.wallet_key,
            amount=Amount(bundle.amount),
            price=Money.of(money.Money(bundle.price, bundle.currency)),
        )


@strawberry.input(description="Buy a bundle of the region, or an amount of metered dollars.")
class StartTopUpInput:
    """Buy balance."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    wallet_key: str = strawberry.field(description="The wallet that is to be filled.")
    bundle: str | None = strawberry.field(default=None, description="A bundle (query bundles); null for an amount.")
    amount: Amount | None = strawberry.field(
        default=None, description="US dollars in whole cents, for the metered wallet; null for a bundle."
    )


StartTopUpResult = Annotated[
    TopUp | InvalidInput | NotFound | IdempotencyKeyReused | ScopePaused,
    strawberry.union(
        "StartTopUpResult", description="The order, with the page on which it is paid, or why there is none."
    ),
]


@strawberry.type
class TopUpQueries:
    """What can be asked about top-ups."""

    @field(description="One top-up; null if the tenant has none of this id.")
    async def top_up(
        self, info: Info, public_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="Its id.")]
    ) -> TopUp | None:
        found = await info.context.loaders.top_ups.load(parse_or_nobodys("top_up", public_id))
        return None if found is None else TopUp.of(found)

    @field(description="The tenant's top-ups, newest first.")
    async def top_ups(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> TopUpConnection:
        before = None if after is None else ids.parse("top_up", after)
        if after is not None and before is None:
            raise bad_input("after must be a cursor of this list")
        context = info.context
        page = await query.page(context.application, context.caller.tenant_id, page_size(first, 20), before)
        return TopUpConnection.of(page)

    @field(description="The bundles that the tenant can buy now.")
    async def bundles(self, info: Info) -> list[Bundle]:
        application = info.context.application
        region = await tenants_query.region_of(application, info.context.caller.tenant_id)
        catalog = await application.current_catalog()
        return [Bundle.of(bundle) for bundle in catalog.bundles_of(region, application.clock())]

    @field(
        description="Whether this installation takes payments; where it does not, nothing can be bought. Needs no tenant."
    )
    async def accepts_payments(self, info: Info) -> bool:
        return info.context.application.gateway is not None


@strawberry.type
class TopUpMutations:
    """What can be done with top-ups."""

    @field(
        description="Order a bundle, or an amount of metered dollars, and open the page on which it is paid. Nothing is "
        "credited before it is paid."
    )
    async def start_top_up(
        self, info: Info, given: Annotated[StartTopUpInput, strawberry.argument(name="input", description="The order.")]
    ) -> StartTopUpResult:
        context = info.context
        answer = await service.start_top_up(
            context.application,
            context.caller,
            given.idempotency_key,
            given.wallet_key,
            given.bundle,
            given.amount,
        )
        return refusal_of(answer) if isinstance(answer, Refused) else TopUp.of(answer.top_up)
