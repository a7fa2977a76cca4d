"""Breakdowns of usage: what did X cost, by Y, over Z."""

from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain import breakdowns
from domain.breakdowns import Dimension, UsageFilter
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.scalars import Amount, Count, UsdAmount
from graphql_api.usage_filters import UsageFilterInput, filter_of
from infra.queries import usage_breakdowns as query
from infra.queries.usage_breakdowns import Breakdown, BreakdownRow, TooManyRowsError

MOST_DIMENSIONS: Final = 5
MOST_GROUPS: Final = 1_000
USUAL_GROUPS: Final = 100


@strawberry.type(description="Sums over usage, corrections included. Token classes are disjoint.")
class UsageTotals:
    """Sums over usage."""

    cost_usd: UsdAmount = strawberry.field(
        description="What the providers charged. Events whose cost is not known yet are left out: unpriced counts them."
    )
    calls: Count = strawberry.field(description="Calls; an event can stand for several.")
    input_tokens: Count = strawberry.field(description="Input tokens that were not cached.")
    output_tokens: Count = strawberry.field(description="Output tokens without reasoning.")
    events: Count = strawberry.field(description="Recorded events.")
    credits_charged: Amount = strawberry.field(description="What was charged in credits, all buckets together.")
    usd_charged: UsdAmount = strawberry.field(description="What was charged to the metered wallet.")
    cache_read_tokens: Count = strawberry.field(description="Input tokens read from the cache.")
    cache_write_tokens: Count = strawberry.field(description="Input tokens written to the cache.")
    reasoning_tokens: Count = strawberry.field(description="Reasoning tokens.")
    failures: Count = strawberry.field(description="Events that did not succeed.")
    unpriced: Count = strawberry.field(description="Events whose cost is not known yet.")
    duration_ms: Count = strawberry.field(description="How long the events took together, in milliseconds.")

    @classmethod
    def of(cls, totals: breakdowns.UsageTotals) -> "UsageTotals":
        return cls(
            cost_usd=UsdAmount(totals.cost),
            calls=Count(totals.calls),
            input_tokens=Count(totals.input_tokens),
            output_tokens=Count(totals.output_tokens),
            events=Count(totals.events),
            credits_charged=Amount(totals.credits_charged),
            usd_charged=UsdAmount(totals.usd_charged),
            cache_read_tokens=Count(totals.cache_read_tokens),
            cache_write_tokens=Count(totals.cache_write_tokens),
            reasoning_tokens=Count(totals.reasoning_tokens),
            failures=Count(totals.failures),
            unpriced=Count(totals.unpriced),
            duration_ms=Count(totals.duration_ms),
        )


@strawberry.type(description="What a row is about, in one of its dimensions.")
class DimensionValue:
    """A row's value in one dimension."""

    dimension: Dimension = strawberry.field(description="Which dimension.")
    value: str | None = strawberry.field(description="Its value; null for usage that has none.")
    name: str | None = strawberry.field(description="What people call it, where it was given a name (nameScope).")


@strawberry.type(description="The sums of one group.")
class UsageBreakdownRow:
    """The sums of one group."""

    keys: list[DimensionValue] = strawberry.field(description="The group, in the order of groupBy.")
    totals: UsageTotals = strawberry.field(description="Its sums.")
    previous: UsageTotals | None = strawberry.field(
        description="The sums of the same group in the period before; null where that was not asked for, and in a series "
        "(DAY, WEEK, MONTH)."
    )

    @classmethod
    def of(cls, row: BreakdownRow) -> "UsageBreakdownRow":
        return cls(
            keys=[DimensionValue(dimension=key.dimension, value=key.value, name=key.name) for key in row.keys],
            totals=UsageTotals.of(row.totals),
            previous=None if row.previous is None else UsageTotals.of(row.previous),
        )


@strawberry.type(description="Usage, grouped and added up. Exact at the moment asOf, late events included.")
class UsageBreakdown:
    """Usage, grouped and added up."""

    start: datetime = strawberry.field(name="from", description="The first moment that counts.")
    end: datetime = strawberry.field(name="to", description="The first moment after it that does not.")
    rows: list[UsageBreakdownRow] = strawberry.field(
        description="The groups that cost most, the most expensive first; in a series by time first."
    )
    total: UsageTotals = strawberry.field(description="The sums of all that the filter lets through, shown or not.")
    previous: UsageTotals | None = strawberry.field(
        description="The same sums of the period before; null where that was not asked for."
    )
    previous_from: datetime | None = strawberry.field(description="When the period before begins.")
    previous_to: datetime | None = strawberry.field(description="When it ends.")
    as_of: datetime = strawberry.field(description="The moment that these figures are of.")

    @classmethod
    def of(cls, wanted: UsageFilter, found: Breakdown) -> "UsageBreakdown":
        return cls(
            start=wanted.start,
            end=wanted.end,
            rows=[UsageBreakdownRow.of(row) for row in found.rows],
            total=UsageTotals.of(found.total),
            previous=None if found.previous is None else UsageTotals.of(found.previous),
            previous_from=found.previous_start,
            previous_to=found.previous_end,
            as_of=found.as_of,
        )


@strawberry.type
class UsageBreakdownQueries:
    """What can be asked about usage in sums."""

    @field(
        description="What did X cost, by Y, over Z: the usage of a filter, grouped and added up. A series (DAY, WEEK or "
        "MONTH among groupBy) answers every period of the top groups, at most 5,000 rows."
    )
    async def usage_breakdown(
        self,
        info: Info,
        wanted: Annotated[UsageFilterInput, strawberry.argument(name="filter", description="Which usage.")],
        group_by: Annotated[
            list[Dimension],
            strawberry.argument(description="Up to 5 dimensions, each once; none: one row with everything."),
        ],
        top: Annotated[
            int | None,
            strawberry.argument(description="How many groups, periods not counted: the most expensive, 1 to 1000."),
        ] = USUAL_GROUPS,
        compare_previous: Annotated[
            bool | None,
            strawberry.argument(
                description="Also sum up the period before: as many months before a span of whole months (in the tenant's "
                "time zone), else a span of the same length."
            ),
        ] = False,
    ) -> UsageBreakdown:
        groups = USUAL_GROUPS if top is None else top
        _check(group_by, groups)
        context = info.context
        asked = await filter_of(info, wanted)
        try:
            found = await query.usage_breakdown(
                context.application,
                context.caller.tenant_id,
                asked,
                group_by,
                top=groups,
                compare_previous=bool(compare_previous),
            )
        except TooManyRowsError as error:
            raise bad_input(f"groupBy: {error}") from error
        return UsageBreakdown.of(asked, found)


def _check(group_by: list[Dimension], top: int) -> None:
    if len(group_by) > MOST_DIMENSIONS:
        raise bad_input(f"groupBy: at most {MOST_DIMENSIONS} dimensions, these are {len(group_by)}")
    for dimension in group_by:
        if group_by.count(dimension) > 1:
            raise bad_input(f"groupBy: {dimension.value} stands there more than once: name it once")
    if not 1 <= top <= MOST_GROUPS:
        raise bad_input(f"top must be 1 to {MOST_GROUPS}")
