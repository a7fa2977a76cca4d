"""Margins, for operators: what each feature, provider, tenant and month brought in, what it cost, and what is left."""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import margins
from domain.ids import NIL
from domain.margins import MarginDimension, MarginFlag
from graphql_api.context import Context, Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.scalars import Amount, Count, UsdAmount
from graphql_api.usage_filters import check_span, values_of
from infra.queries import margins as query
from infra.queries.margins import Line, Only, Period
from infra.queries.usage_breakdowns import TooManyRowsError

MOST_LINES: Final = 1_000
USUAL_LINES: Final = 100
OF_PERIOD: Final = "of the tenant that the header Purser-Tenant names, else of every tenant"


@strawberry.input(
    description="Which usage: from <= occurredAt < to, and of each field that names any values, one of them; "
    f"{OF_PERIOD}. Spans up to ten years, up to 100 values in a field."
)
class MarginFilter:
    """Which usage."""

    start: datetime = strawberry.field(name="from", description="The first moment that counts.")
    end: datetime = strawberry.field(name="to", description="The first moment after it that does not.")
    feature: list[str] | None = strawberry.field(default=None, description="The feature of the rate card.")
    provider: list[str] | None = strawberry.field(default=None, description="Who was called.")


@strawberry.type(
    description="What work brought in and what it cost. The cost of calls on tenants' own keys is theirs and is left out."
)
class MarginSums:
    """What work brought in and what it cost."""

    revenue_usd: UsdAmount = strawberry.field(description="What was charged: credits at their value, and dollars.")
    credits_charged: Amount = strawberry.field(description="What was charged in credits, all buckets together.")
    credit_revenue_usd: UsdAmount = strawberry.field(
        description="Those credits at the value of the rate card in force when the usage happened, rounded down."
    )
    metered_revenue_usd: UsdAmount = strawberry.field(description="What was charged to metered wallets.")
    cost_usd: UsdAmount = strawberry.field(
        description="What providers charged on our keys, for what is free on the card too. Events whose cost is not known "
        "yet are left out: unpriced counts them."
    )
    margin_usd: UsdAmount = strawberry.field(description="What is left: less than 0 where it cost more.")
    margin_percent: float | None = strawberry.field(
        description="What is left, of what came in, rounded down to hundredths; null where nothing came in."
    )
    least_revenue_usd: UsdAmount = strawberry.field(
        description="What should have come in for this cost: by the target; of features that are charged by cost alone, at "
        "most by their markup; nothing for what is free on the card."
    )
    least_percent: float | None = strawberry.field(
        description="The margin that it should have, by leastRevenueUsd; null where nothing is asked for."
    )
    flag: MarginFlag | None = strawberry.field(
        description="What is wrong; null: nothing, or it is given away on purpose."
    )
    events: Count = strawberry.field(description="Recorded events on our keys.")
    unpriced: Count = strawberry.field(description="Those of them whose cost is not known yet.")

    @classmethod
    def of(cls, sums: margins.Sums) -> "MarginSums":
        return cls(
            revenue_usd=UsdAmount(sums.revenue),
            credits_charged=Amount(sums.credits),
            credit_revenue_usd=UsdAmount(sums.credit_revenue),
            metered_revenue_usd=UsdAmount(sums.metered_revenue),
            cost_usd=UsdAmount(sums.cost),
            margin_usd=UsdAmount(sums.margin),
            margin_percent=_percent(sums.percent),
            least_revenue_usd=UsdAmount(sums.least),
            least_percent=_percent(sums.least_percent),
            flag=sums.flag,
            events=Count(sums.events),
            unpriced=Count(sums.unpriced),
        )


@strawberry.type(description="What a line is about, in one of its dimensions.")
class MarginKey:
    """A line's value in one dimension."""

    dimension: MarginDimension = strawberry.field(description="Which dimension.")
    value: str | None = strawberry.field(description="Its value; null for usage that has none.")
    name: str | None = strawberry.field(description="The tenant's name, in the dimension TENANT.")


@strawberry.type(description="The sums of one group.")
class MarginRow:
    """The sums of one group."""

    keys: list[MarginKey] = strawberry.field(description="The group, in the order of groupBy.")
    sums: MarginSums = strawberry.field(description="Its sums.")

    @classmethod
    def of(cls, line: Line) -> "MarginRow":
        keys = [MarginKey(dimension=key.dimension, value=key.value, name=key.name) for key in line.keys]
        return cls(keys=keys, sums=MarginSums.of(line.sums))


@strawberry.type(description="Margins, grouped. Exact at the moment asOf, late events included.")
class Margins:
    """Margins, grouped."""

    rows: list[MarginRow] = strawberry.field(
        description="The groups: flagged ones first, those first that lack most to what they should bring in; then by cost."
    )
    total: MarginSums = strawberry.field(description="The sums of all that the filter lets through, shown or not.")
    target_percent: float = strawberry.field(description="The margin that was asked for.")
    as_of: datetime = strawberry.field(description="The moment that these figures are of.")


@strawberry.type
class MarginQueries:
    """What operators can ask about margins."""

    @field(
        description="Operators: what work brought in, what it cost and what is left, "
        f"{OF_PERIOD}. A provider's revenue is its part of what a tenant was charged for a feature in a month, by cost."
    )
    async def margins(
        self,
        info: Info,
        wanted: Annotated[MarginFilter, strawberry.argument(name="filter", description="Which usage.")],
        group_by: Annotated[
            list[MarginDimension], strawberry.argument(description="The dimensions, each once; none: the total alone.")
        ],
        top: Annotated[int | None, strawberry.argument(description="How many rows, 1 to 1000.")] = USUAL_LINES,
        only_flagged: Annotated[
            bool | None, strawberry.argument(description="Leave out the rows with which nothing is wrong.")
        ] = False,
        target_percent: Annotated[
            int | None,
            strawberry.argument(description="The margin that is asked for, 0 to 99; null: the usual one."),
        ] = None,
    ) -> Margins:
        shown = USUAL_LINES if top is None else top
        if not 1 <= shown <= MOST_LINES:
            raise bad_input(f"top must be 1 to {MOST_LINES}")
        for dimension in group_by:
            if group_by.count(dimension) > 1:
                raise bad_input(f"groupBy: {dimension.value} stands there more than once: name it once")
        only = Only(values_of("feature", wanted.feature), values_of("provider", wanted.provider))
        target = _target(target_percent)
        try:
            found = await query.of(
                info.context.application,
                period_of(info.context, wanted.start, wanted.end),
                group_by,
                only=only,
                target=target,
                top=shown,
                only_flagged=bool(only_flagged),
            )
        except TooManyRowsError as error:
            raise bad_input(f"filter: {error}") from error
        return Margins(
            rows=[MarginRow.of(line) for line in found.lines] if group_by else [],
            total=MarginSums.of(found.total),
            target_percent=found.target / 100,
            as_of=found.as_of,
        )


def period_of(context: Context, start: datetime, end: datetime) -> Period:
    """A span that an operator asks about, of the tenant that it names, if it names one."""
    check_span(start, end)
    tenant_id = context.caller.tenant_id
    return Period(start, end, None if tenant_id == NIL else tenant_id)


def _target(whole: int | None) -> int:
    if whole is None:
        return margins.TARGET
    if not 0 <= whole * 100 <= margins.MOST_TARGET:
        raise bad_input(f"targetPercent must be 0 to {margins.MOST_TARGET // 100}")
    return whole * 100


def _percent(hundredths: int | None) -> float | None:
    return None if hundredths is None else hundredths / 100
