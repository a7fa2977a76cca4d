"""Attribution: for whom and for what a call is made."""

import strawberry

from domain.attribution import NOBODY, Attribution


@strawberry.input(description="A free label: work that carries it can be capped and added up.")
class TagInput:
    """A label."""

    key: str = strawberry.field(description="Its name, without '='.")
    value: str = strawberry.field(description="Its value.")


@strawberry.type(description="A free label.")
class Tag:
    """A label."""

    key: str = strawberry.field(description="Its name.")
    value: str = strawberry.field(description="Its value.")


@strawberry.input(
    description="For whom and for what a call is made. All ids are your own, 1 to 200 characters; all are optional."
)
class AttributionInput:
    """For whom and for what a call is made."""

    project: str | None = strawberry.field(default=None, description="The project.")
    research: str | None = strawberry.field(default=None, description="The research.")
    campaign: str | None = strawberry.field(default=None, description="The campaign; it may have a budget.")
    account: str | None = strawberry.field(default=None, description="The account that the work is about.")
    client: str | None = strawberry.field(default=None, description="Your client, for whom the work is done.")
    agent_role: str | None = strawberry.field(default=None, description="The agent's role; it may have a budget.")
    session: str | None = strawberry.field(default=None, description="The session of a user or an agent.")
    task_run: str | None = strawberry.field(default=None, description="The run of a task.")
    tags: list[TagInput] | None = strawberry.field(
        default=None, description="At most ten labels, each key once; each may have a budget."
    )


def attribution_of(given: AttributionInput | None) -> Attribution:
    """What the rules look at."""
    if given is None:
        return NOBODY
    tags = () if not given.tags else tuple(sorted([(tag.key, tag.value) for tag in given.tags]))
    return Attribution(
        given.project,
        given.research,
        given.campaign,
        given.account,
        given.client,
        given.agent_role,
        given.session,
        given.task_run,
        tags,
    )
