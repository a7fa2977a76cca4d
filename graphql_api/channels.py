"""Channels: where a tenant is told of alerts and events. Addresses go in and never come out again."""

from datetime import datetime
from typing import Annotated

import strawberry
from typing_extensions import override

from domain import ids
from domain.books import EventType
from domain.channels import MOST_CHANNELS, MOST_TESTS_AN_HOUR, ChannelKind
from graphql_api.context import Info
from graphql_api.fields import field
from graphql_api.identifiers import parse_or_nobodys
from graphql_api.refusals import Conflict, IdempotencyKeyReused, InvalidInput, NotFound, ScopePaused, refusal_of
from infra.queries import channels as query
from infra.queries.channels import ChannelView
from infra.services import channels as service
from infra.services.callers import Refused


@strawberry.type(description="Where the tenant is told of alerts and, by a webhook, of events.")
class Channel:
    """Where the tenant is told."""

    id: strawberry.ID = strawberry.field(description="Stays the same for ever: chn_...")
    kind: ChannelKind = strawberry.field(description="What it is.")
    name: str = strawberry.field(description="Its name for people.")
    hint: str = strawberry.field(description="So much of its address that it can be told from others.")
    event_types: list[str] = strawberry.field(
        description="The events that a webhook takes; empty: all. Slack and e-mail take alerts alone."
    )
    actor: str = strawberry.field(description="Who added it.")
    created_at: datetime = strawberry.field(description="When it was added.")

    @classmethod
    def of(cls, view: ChannelView) -> "Channel":
        return cls(
            id=strawberry.ID(ids.public("channel", view.id)),
            kind=view.kind,
            name=view.name,
            hint=view.hint,
            event_types=list(view.event_types),
            actor=view.actor,
            created_at=view.created_at,
        )


@strawberry.type(description="A channel that was added.")
class ChannelAdded:
    """A channel that was added."""

    channel: Channel = strawberry.field(description="The channel.")
    signing_secret: str | None = strawberry.field(
        description="What a webhook's messages are signed by (Standard Webhooks): whsec_... Keep it: no query shows it. "
        "Null for other kinds."
    )

    @classmethod
    def of(cls, added: service.ChannelAdded) -> "ChannelAdded":
        return cls(channel=Channel.of(added.channel), signing_secret=added.secret)


@strawberry.type(description="What became of a test message.")
class ChannelTested:
    """What became of a test message."""

    delivered: bool = strawberry.field(description="Whether it arrived.")
    error: str | None = strawberry.field(description="Why it did not, for people; null if it did.")

    @classmethod
    def of(cls, tested: service.ChannelTested) -> "ChannelTested":
        return cls(delivered=tested.error is None, error=tested.error)


@strawberry.input(description="Add a channel.")
class AddChannelInput:
    """Add a channel."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    kind: ChannelKind = strawberry.field(description="What it is.")
    name: str = strawberry.field(description="Its name for people.")
    target: str = strawberry.field(
        description="Where it is: a Slack incoming webhook's URL, an e-mail address, or an https URL on the public "
        "internet. Send it as a variable, so that it stands in no query."
    )
    event_types: list[str] | None = strawberry.field(
        default=None, description=f"Webhooks only: the events that it takes, of {', '.join(EventType)}; null: all."
    )

    @override
    def __repr__(self) -> str:
        return f"AddChannelInput(kind={self.kind!r}, name={self.name!r})"


@strawberry.input(description="Remove a channel.")
class RemoveChannelInput:
    """Remove a channel."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, it counts once.")
    id: strawberry.ID = strawberry.field(description="The channel: chn_...")


@strawberry.input(description="Try a channel.")
class TestChannelInput:
    """Try a channel."""

    idempotency_key: str = strawberry.field(description="Sent again with the same request, nothing is sent again.")
    id: strawberry.ID = strawberry.field(description="The channel: chn_...")


AddChannelResult = Annotated[
    ChannelAdded | InvalidInput | IdempotencyKeyReused | ScopePaused | Conflict,
    strawberry.union("AddChannelResult", description="The channel, or why it was not added."),
]
RemoveChannelResult = Annotated[
    Channel | InvalidInput | IdempotencyKeyReused | NotFound,
    strawberry.union("RemoveChannelResult", description="The channel that was removed, or why there was none."),
]
TestChannelResult = Annotated[
    ChannelTested | InvalidInput | IdempotencyKeyReused | NotFound | Conflict,
    strawberry.union("TestChannelResult", description="What became of the test message, or why none was sent."),
]


@strawberry.type
class ChannelQueries:
    """What can be asked about channels."""

    @field(description="The tenant's channels, oldest first.")
    async def channels(self, info: Info) -> list[Channel]:
        context = info.context
        views = await query.list_channels(context.application, context.caller.tenant_id)
        return [Channel.of(view) for view in views]


@strawberry.type
class ChannelMutations:
    """What can be done with channels."""

    @field(
        description="Add a channel: alerts go there from now on, and to a webhook events too. What does not arrive is "
        f"sent again for about a day. A tenant has at most {MOST_CHANNELS}."
    )
    async def add_channel(
        self,
        info: Info,
        given: Annotated[AddChannelInput, strawberry.argument(name="input", description="The channel.")],
    ) -> AddChannelResult:
        context = info.context
        answer = await service.add_channel(
            context.application,
            context.caller,
            given.idempotency_key,
            given.kind,
            given.name,
            given.target,
            given.event_types or (),
        )
        return refusal_of(answer) if isinstance(answer, Refused) else ChannelAdded.of(answer)

    @field(description="Remove a channel and forget its address; what was still to be sent there is given up.")
    async def remove_channel(
        self,
        info: Info,
        given: Annotated[RemoveChannelInput, strawberry.argument(name="input", description="Which one.")],
    ) -> RemoveChannelResult:
        context = info.context
        channel_id = parse_or_nobodys("channel", given.id)
        answer = await service.remove_channel(context.application, context.caller, given.idempotency_key, channel_id)
        return refusal_of(answer) if isinstance(answer, Refused) else Channel.of(answer)

    @field(
        description="Send a test message to a channel now, and say what happened; at most "
        f"{MOST_TESTS_AN_HOUR} an hour."
    )
    async def test_channel(
        self,
        info: Info,
        given: Annotated[TestChannelInput, strawberry.argument(name="input", description="Which one.")],
    ) -> TestChannelResult:
        context = info.context
        channel_id = parse_or_nobodys("channel", given.id)
        answer = await service.test_channel(context.application, context.caller, given.idempotency_key, channel_id)
        return refusal_of(answer) if isinstance(answer, Refused) else ChannelTested.of(answer)
