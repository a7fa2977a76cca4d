"""Agent budgets: what each agent role has spent in a month, and what it may."""

from typing import Annotated

import strawberry

from domain.agent_budgets import AgentStatus
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.scalars import UsdAmount, usd
from graphql_api.spending import known_month
from infra.queries import agent_budgets as query

MOST_ROLES = 1_000


@strawberry.type(
    description="One agent role in one month. The cap and the pause are those of now, for past months too."
)
class AgentBudget:
    """One agent role in one month."""

    role: str = strawberry.field(description="The agent role.")
    name: str | None = strawberry.field(description="What people call it; null without a name.")
    month: str = strawberry.field(description="The month in the tenant's time zone, such as 2026-11.")
    spent: UsdAmount = strawberry.field(description="What it spent in the month.")
    held: UsdAmount = strawberry.field(description="What its open work of the month holds.")
    cap: UsdAmount | None = strawberry.field(
        description="The most that it may spend in a month, the operator's default included; null: no cap."
    )
    used_percent: float | None = strawberry.field(description="Spent, of the cap; null without a cap.")
    status: AgentStatus = strawberry.field(description="Where it stands.")
    pause_reason: str | None = strawberry.field(description="Why it is stopped; null if it is not.")

    @classmethod
    def of(cls, found: query.AgentBudget) -> "AgentBudget":
        used = found.used_percent
        return cls(
            role=found.role,
            name=found.name,
            month=found.month,
            spent=UsdAmount(found.spent),
            held=UsdAmount(found.held),
            cap=usd(found.cap),
            used_percent=None if used is None else used / 100,
            status=found.status,
            pause_reason=found.pause_reason,
        )


@strawberry.type
class AgentBudgetQueries:
    """What can be asked about agent roles."""

    @field(
        description="Every agent role, capped or not, with what it spent in a month: those that spent most first. A past "
        "month shows what was spent then against the cap of now."
    )
    async def agent_budgets(
        self,
        info: Info,
        month: Annotated[
            str | None, strawberry.argument(description="Such as 2026-11, in the tenant's time zone; null: this month.")
        ] = None,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 1000.")] = MOST_ROLES,
    ) -> list[AgentBudget]:
        wanted = MOST_ROLES if first is None else first
        if not 1 <= wanted <= MOST_ROLES:
            raise bad_input(f"first must be 1 to {MOST_ROLES}")
        context = info.context
        found = await query.list_agent_budgets(
            context.application, context.caller.tenant_id, known_month(month), wanted
        )
        return [AgentBudget.of(each) for each in found]
