"""Plans: what a tenant can subscribe to, and which of them holds what it wants to make."""

from collections.abc import Iterable
from typing import Annotated, Final

import strawberry

from domain import money, plan_fit, plans
from domain.ids import NIL
from domain.money import NANO
from domain.plan_fit import Deliverable
from domain.rates import ChargeType
from domain.wallets import Unit, unit_of
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.money import Money
from graphql_api.refusals import InvalidInput, UnknownFeature, refusal_of
from graphql_api.scalars import Amount
from infra.queries import tenants as tenants_query
from infra.services.callers import Refused

CREDITS: Final = "credits"


@strawberry.type(description="So much of one wallet.")
class WalletAmount:
    """So much of one wallet."""

    wallet_key: str = strawberry.field(description="The wallet.")
    unit: Unit = strawberry.field(description="What it counts.")
    amount: Amount = strawberry.field(description="How much, in the wallet's unit.")


@strawberry.type(description="What a tenant of a region can subscribe to, for a month at a time.")
class Plan:
    """What a tenant can subscribe to."""

    key: str = strawberry.field(description="Its name in the region: what changePlan takes.")
    name: str = strawberry.field(description="Its name for people.")
    region: str = strawberry.field(description="Where it is sold.")
    price: Money = strawberry.field(description="What it costs a month.")
    allocations: list[WalletAmount] = strawberry.field(
        description="What each cycle puts into the wallets; for capacity, the ceiling."
    )
    seats: int = strawberry.field(description="How many people may have access: API keys of admins and members.")
    agents: int = strawberry.field(description="How many agent roles may be in use.")
    unlimited: bool = strawberry.field(description="Whether the tenant's own provider keys serve enrichment too.")

    @classmethod
    def of(cls, plan: plans.Plan) -> "Plan":
        return cls(
            key=plan.key,
            name=plan.name,
            region=plan.region,
            price=Money.of(money.Money(plan.price, plan.currency)),
            allocations=_amounts(plan.allocations),
            seats=plan.seats,
            agents=plan.agents,
            unlimited=plan.unlimited,
        )


@strawberry.input(description="So much of one feature.")
class DeliverableInput:
    """So much of one feature."""

    feature: str = strawberry.field(description="What is to be made: a feature of the rate card.")
    quantity: Amount | None = strawberry.field(default=Amount(NANO), description="How many units of it.")


@strawberry.type(description="What one deliverable takes from one wallet.")
class PlanFitLine:
    """What one deliverable takes from one wallet."""

    feature: str = strawberry.field(description="The feature.")
    name: str = strawberry.field(description="Its name for people.")
    charge_type: ChargeType = strawberry.field(
        description="How it is charged. PER_RESULT: the amount is the most, if everything is found."
    )
    wallet_key: str = strawberry.field(description="The wallet that pays.")
    unit: Unit = strawberry.field(description="What the wallet counts.")
    quantity: Amount = strawberry.field(description="How many units, as asked.")
    amount: Amount = strawberry.field(
        description="What is charged, in the wallet's unit; 0 where a feature of the same bundle has paid for it already."
    )
    estimated: bool = strawberry.field(
        description="Whether the charge depends on what providers will cost, and is taken from the rate card's estimate."
    )

    @classmethod
    def of(cls, line: plan_fit.Line) -> "PlanFitLine":
        rate = line.rate
        return cls(
            feature=rate.feature,
            name=rate.name,
            charge_type=rate.charge_type,
            wallet_key=rate.wallet_key,
            unit=unit_of(rate.wallet_key),
            quantity=Amount(line.quantity),
            amount=Amount(line.amount),
            estimated=line.estimated,
        )


@strawberry.type(description="How one plan holds the deliverables.")
class FittingPlan:
    """How one plan holds the deliverables."""

    plan: Plan = strawberry.field(description="The plan.")
    fits: bool = strawberry.field(description="Whether a cycle's allocations hold everything.")
    short_by: list[WalletAmount] = strawberry.field(description="What is missing, by wallet; empty if it fits.")
    left_over: list[WalletAmount] = strawberry.field(
        description="What is left of the wallets that are drawn on, where there is enough."
    )


@strawberry.type(
    description="What the deliverables take, and which plans hold it. What goes to the metered wallet is prepaid beside "
    "every plan: it is in the totals, and no plan is short of it."
)
class PlanFit:
    """What the deliverables take, and which plans hold it."""

    lines: list[PlanFitLine] = strawberry.field(description="Each deliverable, one line per wallet that it draws on.")
    totals: list[WalletAmount] = strawberry.field(description="All lines together, by wallet.")
    credits: Amount = strawberry.field(description="The total of the wallet credits.")
    plans: list[FittingPlan] = strawberry.field(description="The plans of the tenant's region.")

    @classmethod
    def of(cls, found: plan_fit.PlanFit) -> "PlanFit":
        return cls(
            lines=[PlanFitLine.of(line) for line in found.lines],
            totals=_amounts(found.totals),
            credits=Amount(dict(found.totals).get(CREDITS, 0)),
            plans=[
                FittingPlan(
                    plan=Plan.of(fit.plan),
                    fits=fit.fits,
                    short_by=_amounts(fit.short_by),
                    left_over=_amounts(fit.left_over),
                )
                for fit in found.plans
            ],
        )


PlanFitResult = Annotated[
    PlanFit | UnknownFeature | InvalidInput,
    strawberry.union("PlanFitResult", description="What they take, or why that cannot be said."),
]


@strawberry.type
class PlanQueries:
    """What can be asked about plans."""

    @field(description="The plans that are sold now.")
    async def plans(
        self,
        info: Info,
        region: Annotated[
            str | None,
            strawberry.argument(
                description="Such as india; null for the tenant's own, and for all of them where an operator names no tenant."
            ),
        ] = None,
    ) -> list[Plan]:
        application, tenant_id = info.context.application, info.context.caller.tenant_id
        if region is None and tenant_id != NIL:
            region = await tenants_query.region_of(application, tenant_id)
        catalog = await application.current_catalog()
        return [Plan.of(plan) for plan in catalog.plans_of(region, application.clock())]

    @field(
        description="What deliverables take from the wallets by the rate card in force, and which plans hold it. Features "
        "of one bundle that go together are one charge. Reserves nothing."
    )
    async def plan_fit(
        self,
        info: Info,
        deliverables: Annotated[list[DeliverableInput], strawberry.argument(description="1 to 100 of them.")],
    ) -> PlanFitResult:
        application, tenant_id = info.context.application, info.context.caller.tenant_id
        now = application.clock()
        wanted = [Deliverable(each.feature, NANO if each.quantity is None else each.quantity) for each in deliverables]
        catalog = await application.current_catalog()
        card = catalog.for_tenant(tenant_id).rate_cards.at(now, now)
        region = await tenants_query.region_of(application, tenant_id)
        found = plan_fit.plan_fit(wanted, card, catalog.plans_of(region, now))
        return PlanFit.of(found) if isinstance(found, plan_fit.PlanFit) else refusal_of(Refused(found, None))


def _amounts(amounts: Iterable[tuple[str, int]]) -> list[WalletAmount]:
    return [WalletAmount(wallet_key=key, unit=unit_of(key), amount=Amount(amount)) for key, amount in amounts]
