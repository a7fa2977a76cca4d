"""Usage filters: which usage a question is about, and what is wrong with one."""

from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar

import strawberry

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.breakdowns import UsageFilter
from domain.periods import month_key
from domain.usage import EARLIEST, Route, UsageKind
from graphql_api.attribution import TagInput
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.periods import span_of_days, span_of_month
from infra.queries.tenants import zone_of

Value = TypeVar("Value")

MOST_VALUES: Final = 100
LONGEST_SPAN: Final = timedelta(days=3_653)
LATEST: Final = datetime(9998, 1, 1, tzinfo=UTC)


@strawberry.input(
    name="UsageFilter",
    description="Which usage: from <= occurredAt < to, and of each field that names any values, one of them. Spans up to "
    "ten years, up to 100 values in a field. What a field names nothing for is not filtered by. When it happened is said in "
    "one way: from and to, or month, or firstDay and lastDay; in none it is this month.",
)
class UsageFilterInput:
    """Which usage a question is about."""

    start: datetime | None = strawberry.field(name="from", default=None, description="The first moment that counts.")
    end: datetime | None = strawberry.field(
        name="to", default=None, description="The first moment after it that does not."
    )
    month: str | None = strawberry.field(
        default=None, description="A calendar month such as 2026-11, in the tenant's time zone."
    )
    first_day: date | None = strawberry.field(
        default=None, description="The first day that counts, in the tenant's time zone."
    )
    last_day: date | None = strawberry.field(default=None, description="The last day that counts.")
    provider: list[str] | None = strawberry.field(default=None, description="Who was called.")
    model: list[str] | None = strawberry.field(default=None, description="The model.")
    operation: list[str] | None = strawberry.field(default=None, description="The operation.")
    feature: list[str] | None = strawberry.field(default=None, description="The feature of the rate card.")
    agent_role: list[str] | None = strawberry.field(default=None, description="The agent's role.")
    campaign: list[str] | None = strawberry.field(default=None, description="The campaign.")
    client: list[str] | None = strawberry.field(
        default=None, description="The client; that of the campaign where the usage names none itself."
    )
    project: list[str] | None = strawberry.field(default=None, description="The project.")
    research: list[str] | None = strawberry.field(default=None, description="The research.")
    account: list[str] | None = strawberry.field(default=None, description="The account.")
    session: list[str] | None = strawberry.field(default=None, description="The session.")
    task_run: list[str] | None = strawberry.field(default=None, description="The run of a task.")
    kind: list[UsageKind] | None = strawberry.field(default=None, description="What happened.")
    route: list[Route] | None = strawberry.field(default=None, description="On whose provider key it ran.")
    tags: list[TagInput] | None = strawberry.field(
        default=None, description="All of these must be there, each key once."
    )


async def filter_of(info: Info, given: UsageFilterInput) -> UsageFilter:
    """What the queries look at. Raises for what cannot be asked."""
    start, end = await _span_of(info, given)
    check_span(start, end)
    return UsageFilter(
        start,
        end,
        values_of("provider", given.provider),
        values_of("model", given.model),
        values_of("operation", given.operation),
        values_of("feature", given.feature),
        values_of("agentRole", given.agent_role),
        values_of("campaign", given.campaign),
        values_of("client", given.client),
        values_of("project", given.project),
        values_of("research", given.research),
        values_of("account", given.account),
        values_of("session", given.session),
        values_of("taskRun", given.task_run),
        tuple(_bounded("kind", given.kind)),
        tuple(_bounded("route", given.route)),
        _tags(given.tags),
    )


async def _span_of(info: Info, given: UsageFilterInput) -> tuple[datetime, datetime]:
    """When the usage happened, in whichever way that was said."""
    moments, days = (given.start, given.end), (given.first_day, given.last_day)
    if sum([moments != (None, None), given.month is not None, days != (None, None)]) > 1:
        raise bad_input("filter: say when by from and to, by month, or by firstDay and lastDay: leave the others out")
    if given.start is not None or given.end is not None:
        if given.start is None or given.end is None:
            raise bad_input("filter.from and filter.to belong together: name both")
        return given.start, given.end
    context = info.context
    zone = await zone_of(context.application, context.caller.tenant_id)
    if given.first_day is not None or given.last_day is not None:
        return span_of_days(given.first_day, given.last_day, zone, "filter.")
    month = month_key(context.application.clock(), zone) if given.month is None else given.month
    return span_of_month(month, zone, "filter.")


def check_span(start: datetime, end: datetime) -> None:
    """Raises for a span that cannot be asked for."""
    if start >= end:
        raise bad_input("filter.from must lie before filter.to")
    if start < EARLIEST:
        raise bad_input("filter.from must not lie before the year 2000")
    if end > LATEST:
        raise bad_input("filter.to must not lie after the year 9997")
    if end - start > LONGEST_SPAN:
        raise bad_input("filter.to may lie at most ten years after filter.from: ask for a shorter span")


def values_of(name: str, given: list[str] | None) -> tuple[str, ...]:
    """What a field of a filter names. Raises for what cannot be asked for."""
    for value in _bounded(name, given):
        _check_value(name, value)
    return tuple(given or ())


def _tags(given: list[TagInput] | None) -> tuple[tuple[str, str], ...]:
    tags = _bounded("tags", given)
    for tag in tags:
        _check_value("tags", tag.key)
        _check_value("tags", tag.value)
    if len({tag.key for tag in tags}) < len(tags):
        raise bad_input("filter.tags: a tag has one value, so name each key once")
    return tuple(sorted([(tag.key, tag.value) for tag in tags]))


def _bounded(name: str, given: list[Value] | None) -> list[Value]:
    if given is None:
        return []
    if not given:
        raise bad_input(f"filter.{name} names nothing: leave it out, or name what to look for")
    if len(given) > MOST_VALUES:
        raise bad_input(f"filter.{name}: at most {MOST_VALUES} values, these are {len(given)}")
    return given


def _check_value(name: str, value: str) -> None:
    if not is_identifier(value):
        raise bad_input(f"filter.{name}: each value {IDENTIFIER_RULE}")
