"""Usage: what happened, as it is reported and as it is kept."""

from datetime import datetime
from typing import Annotated

import strawberry

from domain import ids, usage
from domain.prices import Tokens
from domain.usage import MOST_EVENTS, Route, Usage, UsageKind
from graphql_api.attribution import AttributionInput, Tag, attribution_of
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import Node
from graphql_api.refusals import FieldProblem, field_problems
from graphql_api.scalars import Amount, UsdAmount, amount, usd
from graphql_api.wallets import Charge
from infra.services import usage as service
from infra.services.usage import ReportedUsage


@strawberry.type(description="One call that happened, with what it cost.")
class UsageEvent(Node):
    """One call that happened."""

    kind: UsageKind = strawberry.field(description="What happened.")
    provider: str | None = strawberry.field(description="Who was called.")
    model: str | None = strawberry.field(description="Which model.")
    operation: str | None = strawberry.field(description="Which operation.")
    feature: str | None = strawberry.field(description="For which feature of the rate card.")
    calls: int = strawberry.field(description="How many calls it stands for.")
    input_tokens: int = strawberry.field(description="Input tokens that were not cached.")
    output_tokens: int = strawberry.field(description="Output tokens without reasoning.")
    cost_usd: UsdAmount | None = strawberry.field(description="What the provider charged; null while it is unknown.")
    route: Route = strawberry.field(description="On whose provider key it ran.")
    unpriced: bool = strawberry.field(description="True while the price list has no price for it.")
    campaign: str | None = strawberry.field(description="The campaign.")
    agent_role: str | None = strawberry.field(description="The agent's role.")
    account: str | None = strawberry.field(description="The account that the work was about.")
    research: str | None = strawberry.field(description="The research.")
    project: str | None = strawberry.field(description="The project.")
    client: str | None = strawberry.field(description="The client for whom it was done.")
    session: str | None = strawberry.field(description="The session.")
    task_run: str | None = strawberry.field(description="The run of a task.")
    tags: list[Tag] = strawberry.field(description="Free labels.")
    units: Amount | None = strawberry.field(description="Units that were done, where the feature counts them.")
    results: int | None = strawberry.field(description="Results that were found, where the feature counts them.")
    cache_read_tokens: int = strawberry.field(description="Input tokens read from the cache.")
    cache_write_tokens: int = strawberry.field(description="Input tokens written to the cache.")
    reasoning_tokens: int = strawberry.field(description="Reasoning tokens.")
    charges: list[Charge] = strawberry.field(description="What this event itself was charged, per wallet.")
    price_effective_from: datetime | None = strawberry.field(
        description="The start of the price that it was priced with; null where the provider reported the cost."
    )
    prompt_hash: str | None = strawberry.field(description="SHA-256 of the prompt.")
    response_hash: str | None = strawberry.field(description="SHA-256 of the response.")
    trace_id: str | None = strawberry.field(description="The id of its trace elsewhere.")
    duration_ms: int | None = strawberry.field(description="How long it took, in milliseconds.")
    success: bool = strawberry.field(description="Whether it succeeded.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    recorded_at: datetime = strawberry.field(description="When we heard of it.")

    @classmethod
    def of(cls, event: usage.UsageEvent) -> "UsageEvent":
        call, attribution, tokens = event.usage, event.attribution, event.usage.tokens
        return cls(
            id=strawberry.ID(ids.public("usage_event", event.id)),
            kind=call.kind,
            provider=call.provider,
            model=call.model,
            operation=call.operation,
            feature=event.feature,
            calls=call.calls,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cost_usd=usd(event.priced.cost),
            route=event.route,
            unpriced=event.priced.cost is None,
            campaign=attribution.campaign,
            agent_role=attribution.agent_role,
            account=attribution.account,
            research=attribution.research,
            project=attribution.project,
            client=attribution.client,
            session=attribution.session,
            task_run=attribution.task_run,
            tags=[Tag(key=key, value=value) for key, value in attribution.tags],
            units=amount(call.units),
            results=call.results,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            reasoning_tokens=tokens.reasoning,
            charges=[Charge(wallet_key=key, amount=Amount(charged)) for key, charged, _ in event.charges],
            price_effective_from=event.priced.effective_from,
            prompt_hash=call.prompt_hash,
            response_hash=call.response_hash,
            trace_id=call.trace_id,
            duration_ms=call.duration_ms,
            success=call.success,
            occurred_at=event.occurred_at,
            recorded_at=event.recorded_at,
        )


@strawberry.input(
    description="The facts of one call. Token classes are disjoint: input excludes cached, output excludes reasoning."
)
class UsageInput:
    """The facts of one call."""

    source: str | None = strawberry.field(
        default=None,
        description="Who reports it. In consume: an event sent before with the same source and id is not counted again.",
    )
    event_id: str | None = strawberry.field(default=None, description="Its id at the source; given with source.")
    own_key: bool | None = strawberry.field(
        default=None, description="Whether it ran on the tenant's own key; for usage without a reservation."
    )
    kind: UsageKind | None = strawberry.field(default=UsageKind.LLM, description="What happened.")
    provider: str | None = strawberry.field(default=None, description="The provider's slug.")
    model: str | None = strawberry.field(default=None, description="The model, as the provider names it.")
    operation: str | None = strawberry.field(default=None, description="The operation.")
    calls: int | None = strawberry.field(default=1, description="How many calls it stands for.")
    input_tokens: int | None = strawberry.field(default=None, description="Input tokens that were not cached.")
    output_tokens: int | None = strawberry.field(default=None, description="Output tokens without reasoning.")
    cache_read_tokens: int | None = strawberry.field(default=None, description="Input tokens read from the cache.")
    cache_write_tokens: int | None = strawberry.field(default=None, description="Input tokens written to the cache.")
    reasoning_tokens: int | None = strawberry.field(default=None, description="Reasoning tokens.")
    units: Amount | None = strawberry.field(default=None, description="Units that were done.")
    results: int | None = strawberry.field(default=None, description="Results that were found.")
    cost_usd: UsdAmount | None = strawberry.field(
        default=None, description="What the provider says that it charged; else it is priced from the list."
    )
    duration_ms: int | None = strawberry.field(default=None, description="How long it took, in milliseconds.")
    success: bool | None = strawberry.field(default=True, description="Whether it succeeded.")
    prompt_hash: str | None = strawberry.field(default=None, description="SHA-256 of the prompt, in hexadecimal.")
    response_hash: str | None = strawberry.field(default=None, description="SHA-256 of the response, in hexadecimal.")
    trace_id: str | None = strawberry.field(default=None, description="The id of its trace elsewhere.")
    occurred_at: datetime | None = strawberry.field(default=None, description="When it happened; null for now.")


@strawberry.input(description="One event of a batch. Source and id name it for ever: it counts once.")
class UsageEventInput:
    """One event of a batch."""

    source: str = strawberry.field(description="Who reports it.")
    event_id: str = strawberry.field(description="Its id at the source.")
    kind: UsageKind = strawberry.field(description="What happened; it comes before the kind in usage.")
    feature: str | None = strawberry.field(
        default=None, description="The feature that it is charged by, where no reservation is named."
    )
    reservation_id: strawberry.ID | None = strawberry.field(
        default=None, description="The reservation that it belongs to."
    )
    attribution: AttributionInput | None = strawberry.field(
        default=None, description="For whom and for what; null for that of its reservation."
    )
    usage: UsageInput = strawberry.field(description="The facts. Its source and id are those of the event.")


@strawberry.input(description="A batch of events.")
class RecordUsageInput:
    """A batch of events."""

    events: list[UsageEventInput] = strawberry.field(description="At most 1,000.")
    dry_run: bool | None = strawberry.field(
        default=False, description="Say what would become of the events, and write nothing."
    )


@strawberry.type(description="An event that was not taken.")
class RejectedEvent:
    """An event that was not taken."""

    index: int = strawberry.field(description="Its place in the batch, from 0.")
    event_id: str = strawberry.field(description="Its id at the source.")
    problems: list[FieldProblem] = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="What became of a batch. Rejected events hurt no others.")
class RecordUsageResult:
    """What became of a batch."""

    accepted: int = strawberry.field(description="Events that are new.")
    duplicates: int = strawberry.field(description="Events that were known already.")
    rejected: list[RejectedEvent] = strawberry.field(description="Events that cannot be taken as they are.")
    cost_usd: UsdAmount = strawberry.field(description="What the accepted events cost, as far as it is known.")


@strawberry.type
class UsageMutations:
    """What can be done with usage."""

    @field(description="Record calls that happened, up to 1,000 at once; sending them again is harmless.")
    async def record_usage(
        self,
        info: Info,
        given: Annotated[RecordUsageInput, strawberry.argument(name="input", description="The events.")],
    ) -> RecordUsageResult:
        if len(given.events) > MOST_EVENTS:
            raise bad_input(f"events: at most {MOST_EVENTS} at once, these are {len(given.events)}")
        report = await service.record_usage(
            info.context.application,
            info.context.caller,
            [_reported(event) for event in given.events],
            dry_run=bool(given.dry_run),
        )
        return RecordUsageResult(
            accepted=report.accepted,
            duplicates=report.duplicates,
            rejected=[
                RejectedEvent(index=event.index, event_id=event.event_id, problems=field_problems(event.problems))
                for event in report.rejected
            ],
            cost_usd=UsdAmount(report.cost),
        )


def usage_of(given: UsageInput) -> Usage:
    """What the rules look at; null stands for the default."""
    tokens = Tokens(
        given.input_tokens or 0,
        given.output_tokens or 0,
        given.cache_read_tokens or 0,
        given.cache_write_tokens or 0,
        given.reasoning_tokens or 0,
    )
    return Usage(
        UsageKind.LLM if given.kind is None else given.kind,
        given.provider,
        given.model,
        given.operation,
        1 if given.calls is None else given.calls,
        tokens,
        given.units,
        given.results,
        given.cost_usd,
        given.source,
        given.event_id,
        given.own_key,
        given.duration_ms,
        given.success is not False,
        given.prompt_hash,
        given.response_hash,
        given.trace_id,
        given.occurred_at,
    )


def _reported(event: UsageEventInput) -> ReportedUsage:
    facts = usage_of(event.usage)._replace(source=event.source, event_id=event.event_id, kind=event.kind)
    return ReportedUsage(facts, event.feature, event.reservation_id, attribution_of(event.attribution))
