"""Back-test inputs: what is assumed of a month, as it is asked over GraphQL."""

from dataclasses import replace

import strawberry
from typing_extensions import override

from domain.back_tests import Assumptions, RateChange
from domain.budgets import BudgetKey, BudgetPeriod
from domain.refusals import BudgetScope
from graphql_api.identifiers import scope_part
from graphql_api.scalars import Amount, UsdAmount


@strawberry.input(description="A cap that is assumed to have held all month, whatever was decided about it meanwhile.")
class AssumedCapInput:
    """A cap that is assumed."""

    scope: BudgetScope = strawberry.field(
        description="What it is about. The cap of one reservation has scope AGENT and period TASK."
    )
    scope_id: str | None = strawberry.field(
        default=None,
        description="The agent role, the campaign, or a tag as key=value; null for the tenant, and for the task cap of "
        "any role.",
    )
    period: BudgetPeriod = strawberry.field(
        description="TENANT: MONTH. AGENT: MONTH or TASK. CAMPAIGN and TAG: MONTH or TOTAL."
    )
    cap: UsdAmount | None = strawberry.field(
        default=None, description="The most that might be spent; null: no cap, not even a default one."
    )

    def told(self) -> tuple[BudgetKey, int | None]:
        return BudgetKey(self.scope, scope_part(self.scope_id), self.period), self.cap


@strawberry.input(
    description="Which month, and what is assumed instead of what really held. Without any, it is as it was."
)
class BackTestInput:
    """Which month, and what is assumed."""

    month: str = strawberry.field(
        description="A calendar month of the tenant's time zone, such as 2026-10; of the running one, what is over."
    )
    caps: list[AssumedCapInput] | None = strawberry.field(
        default=None, description="Up to 100 caps; budgets that are not named here keep theirs."
    )
    plan: str | None = strawberry.field(
        default=None,
        description="The key of a plan of the tenant's region, which is in force from the month's start and grants every "
        "cycle that begins in the month; what was granted before stays. Null: the real one.",
    )

    def assumptions(self) -> Assumptions:
        return Assumptions(caps=tuple([cap.told() for cap in self.caps or ()]), plan=self.plan)


@strawberry.input(description="Another amount for a feature that is charged by amounts on this wallet.")
class AssumedRateInput:
    """Another amount for a feature."""

    feature: str = strawberry.field(description="A feature of the rate card.")
    wallet_key: str = strawberry.field(description="The wallet that it draws on, such as credits.")
    amount: Amount = strawberry.field(description="Per unit of quantity, or per result, in the wallet's unit.")


@strawberry.input(
    description="Which month, and what is assumed instead of what really held. What is said of the rate card makes one card, "
    "which holds all month for what is reserved in it. Without any, it is as it was."
)
class BackTestMarginsInput(BackTestInput):
    """Which month, and what is assumed, the rate card included."""

    rate_card: int | None = strawberry.field(
        default=None,
        description="The version of a published rate card, one of the tenant's own included; null: that in force when the month "
        "began, if anything else is said of the card.",
    )
    markup: Amount | None = strawberry.field(
        default=None, description="On provider cost, at least 1; 2 charges twice what it was. Null: the card's."
    )
    credit_value_usd: UsdAmount | None = strawberry.field(
        default=None, description="What a credit is worth; null: as on the card."
    )
    rates: list[AssumedRateInput] | None = strawberry.field(
        default=None, description="Up to 100 other amounts; features of a bundle change together."
    )

    @override
    def assumptions(self) -> Assumptions:
        return replace(
            super().assumptions(),
            rate_card=self.rate_card,
            markup=self.markup,
            credit_value=self.credit_value_usd,
            rates=tuple([RateChange(rate.feature, rate.wallet_key, rate.amount) for rate in self.rates or ()]),
        )
