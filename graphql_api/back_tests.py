"""Back-tests: a month of work decided again under other caps, another plan and, for operators, another rate card."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

import strawberry
from typing_extensions import override

from domain import back_tests, outcomes
from domain.back_tests import Assumptions
from domain.margins import Sums
from domain.refusals import BudgetScope, RefusalCode
from domain.wallets import unit_of
from graphql_api.back_test_inputs import BackTestInput, BackTestMarginsInput
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.plans import WalletAmount
from graphql_api.refusals import InvalidInput, NotFound, refusal_of
from graphql_api.scalars import Amount, Count, UsdAmount
from infra.queries import back_tests as query
from infra.services.callers import Refused

# Reservations and calls together: what is played well within a request's time.
MOST: Final = 10_000


@strawberry.type(description="What one level refused.")
class BackTestRefusals:
    """What one level refused."""

    code: RefusalCode = strawberry.field(description="Why.")
    scope: BudgetScope | None = strawberry.field(
        description="The budget or pause that refused; null where it was none of them."
    )
    scope_id: str | None = strawberry.field(description="The agent role, campaign or tag; null for the tenant.")
    wallet_key: str | None = strawberry.field(description="The wallet that was short; null where it was none.")
    requests: int = strawberry.field(description="How many requests it refused, each time that they were sent.")
    cost_usd: UsdAmount = strawberry.field(
        description="What that work really cost; where it was really refused too, what was estimated for it."
    )
    first_at: datetime = strawberry.field(description="When it refused first.")
    last_at: datetime = strawberry.field(description="When it refused last.")

    @classmethod
    def of(cls, refused: outcomes.Refused) -> "BackTestRefusals":
        level = refused.level
        return cls(
            code=level.code,
            scope=level.scope,
            scope_id=level.scope_id or None,
            wallet_key=level.wallet_key,
            requests=refused.requests,
            cost_usd=UsdAmount(refused.cost),
            first_at=refused.first,
            last_at=refused.last,
        )


@strawberry.type(description="The first time in the month that something was paused or deactivated.")
class BackTestStop:
    """The first time that something was stopped."""

    scope: BudgetScope = strawberry.field(description="What was stopped.")
    scope_id: str | None = strawberry.field(description="The agent role or campaign; null for the tenant.")
    reason: str = strawberry.field(description="Why, as ScopePaused says it.")
    at: datetime = strawberry.field(description="When.")

    @classmethod
    def of(cls, stop: outcomes.Stop) -> "BackTestStop":
        return cls(scope=stop.scope, scope_id=stop.scope_id or None, reason=stop.reason, at=stop.at)


@strawberry.type(description="What a month came to.")
class BackTestOutcome:
    """What a month came to."""

    admitted: int = strawberry.field(description="Reservations that were granted.")
    assumed_to_run: int = strawberry.field(
        description="Those of them that were really refused: they are taken to cost what was estimated for them, and to end "
        "at once."
    )
    refused: int = strawberry.field(description="Requests that were refused; `refusals` tells by which level.")
    refusals: list[BackTestRefusals] = strawberry.field(
        description="What each level refused, the first to refuse first. Of work that really ran, what it used, and what was "
        "charged and counted for it, is then left out."
    )
    cost_usd: UsdAmount = strawberry.field(
        description="What providers charged for all that ran, on the tenant's own keys too."
    )
    charges: list[WalletAmount] = strawberry.field(
        description="What was charged per wallet; less than 0: more was given back."
    )
    balances: list[WalletAmount] = strawberry.field(
        description="What was available in each wallet at the month's last moment."
    )
    stops: list[BackTestStop] = strawberry.field(description="What was paused or deactivated, in order.")

    @classmethod
    def of(cls, outcome: outcomes.Outcome) -> "BackTestOutcome":
        return cls(
            admitted=outcome.admitted,
            assumed_to_run=outcome.guessed,
            refused=outcome.refusals,
            refusals=[BackTestRefusals.of(refused) for refused in outcome.refused],
            cost_usd=UsdAmount(outcome.cost),
            charges=_amounts(outcome.charges),
            balances=_amounts(outcome.balances),
            stops=[BackTestStop.of(stop) for stop in outcome.stops],
        )


@strawberry.type(
    description="A month decided again by the same rules: what was asked for is asked for again, in its order and at its "
    "moments. Nothing is held, charged or written."
)
class BackTest:
    """A month as it was, and as it would have been."""

    month: str = strawberry.field(description="The month that was asked for.")
    start: datetime = strawberry.field(name="from", description="When it begins.")
    end: datetime = strawberry.field(name="to", description="When it ends, or the present moment.")
    facts: int = strawberry.field(
        description="How many facts were played: requests, calls, money that came in, decisions."
    )
    as_it_was: BackTestOutcome = strawberry.field(description="The month under what really held.")
    as_assumed: BackTestOutcome = strawberry.field(description="The same month under what is assumed.")
    differences: list[str] = strawberry.field(
        description="Where asItWas is not what the books say, up to 20 of them in words: then something that decided the month "
        "is not kept, and asAssumed may be off by as much. Mostly empty."
    )

    @classmethod
    def of(cls, found: back_tests.BackTest) -> "BackTest":
        return cls(**_parts(found))


@strawberry.type(description="What work of a month brought in and what it cost us.")
class BackTestMargin:
    """What work of a month brought in and what it cost us."""

    revenue_usd: UsdAmount = strawberry.field(description="What was charged: credits at their value, and dollars.")
    credits_charged: Amount = strawberry.field(description="What was charged in credits, all buckets together.")
    credit_revenue_usd: UsdAmount = strawberry.field(
        description="Those credits at the value of the card that they were charged by, rounded down."
    )
    metered_revenue_usd: UsdAmount = strawberry.field(description="What was charged to the metered wallet.")
    cost_usd: UsdAmount = strawberry.field(
        description="What providers charged on our keys. Events whose cost is not known yet are left out: unpriced counts "
        "them."
    )
    margin_usd: UsdAmount = strawberry.field(description="What is left: less than 0 where it cost more.")
    margin_percent: float | None = strawberry.field(
        description="What is left, of what came in, rounded down to hundredths; null where nothing came in."
    )
    unpriced: Count = strawberry.field(description="Events on our keys whose cost is not known yet.")

    @classmethod
    def of(cls, sums: Sums) -> "BackTestMargin":
        return cls(
            revenue_usd=UsdAmount(sums.revenue),
            credits_charged=Amount(sums.credits),
            credit_revenue_usd=UsdAmount(sums.credit_revenue),
            metered_revenue_usd=UsdAmount(sums.metered_revenue),
            cost_usd=UsdAmount(sums.cost),
            margin_usd=UsdAmount(sums.margin),
            margin_percent=None if sums.percent is None else sums.percent / 100,
            unpriced=Count(sums.unpriced),
        )


@strawberry.type(description="A BackTest, and what each of the two would have left us.")
class BackTestMargins(BackTest):
    """A month as it was and as it would have been, with the margins."""

    margin_as_it_was: BackTestMargin = strawberry.field(description="The margin under what really held.")
    margin_as_assumed: BackTestMargin = strawberry.field(description="The margin under what is assumed.")

    @override
    @classmethod
    def of(cls, found: back_tests.BackTest) -> "BackTestMargins":
        return cls(
            **_parts(found),
            margin_as_it_was=BackTestMargin.of(found.as_it_was.margin),
            margin_as_assumed=BackTestMargin.of(found.as_assumed.margin),
        )


BackTestResult = Annotated[
    BackTest | InvalidInput | NotFound,
    strawberry.union("BackTestResult", description="The month, twice; or why it cannot be played."),
]
BackTestMarginsResult = Annotated[
    BackTestMargins | InvalidInput | NotFound,
    strawberry.union("BackTestMarginsResult", description="The month, twice; or why it cannot be played."),
]
OF_MONTHS: Final = (
    f"For months of up to {MOST:,} reservations and calls together; one such question a request. Larger ones are played on "
    "the command line: purser back-test."
)


@strawberry.type
class BackTestQueries:
    """What can be asked about months that might have gone otherwise."""

    @field(description=f"What a month would have come to under other caps or another plan. {OF_MONTHS}")
    async def back_test(
        self,
        info: Info,
        given: Annotated[
            BackTestInput, strawberry.argument(name="input", description="The month, and what is assumed.")
        ],
    ) -> BackTestResult:
        found = await _played(info, given.month, given.assumptions())
        return BackTest.of(found) if isinstance(found, back_tests.BackTest) else refusal_of(Refused(found, None))

    @field(
        description="Operators: what a month of the tenant would have come to, and left us, under other caps, another plan or "
        f"another rate card. {OF_MONTHS}"
    )
    async def back_test_margins(
        self,
        info: Info,
        given: Annotated[
            BackTestMarginsInput, strawberry.argument(name="input", description="The month, and what is assumed.")
        ],
    ) -> BackTestMarginsResult:
        found = await _played(info, given.month, given.assumptions())
        return BackTestMargins.of(found) if isinstance(found, back_tests.BackTest) else refusal_of(Refused(found, None))


async def _played(info: Info, month: str, assumptions: Assumptions) -> Any:
    application, tenant_id = info.context.application, info.context.caller.tenant_id
    async with application.back_tests.turn(tenant_id), application.reports.turn(tenant_id):
        return await query.back_test(application, tenant_id, month, assumptions, most=MOST)


def _parts(found: back_tests.BackTest) -> dict[str, Any]:
    return {
        "month": found.month,
        "start": found.start,
        "end": found.end,
        "facts": found.facts,
        "as_it_was": BackTestOutcome.of(found.as_it_was),
        "as_assumed": BackTestOutcome.of(found.as_assumed),
        "differences": list(found.differences),
    }


def _amounts(amounts: Iterable[tuple[str, int]]) -> list[WalletAmount]:
    return [WalletAmount(wallet_key=key, unit=unit_of(key), amount=Amount(amount)) for key, amount in amounts]
