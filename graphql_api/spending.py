"""Spending: the month of a tenant against its cap, and, for operators, that of all tenants."""

import re
from datetime import datetime
from typing import Annotated, Final

import strawberry

from domain.money import LARGEST_STORED
from graphql_api.context import Info
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from graphql_api.periods import month_named
from graphql_api.scalars import UsdAmount, usd
from graphql_api.tenants import Tenant
from infra.queries import spending as query
from infra.queries.spending import TenantSpendingPage

_CURSOR: Final = re.compile(r"([0-9]{1,19})_([a-z0-9][a-z0-9-]{0,62})", re.ASCII)
LONGEST_SEARCH: Final = 100


@strawberry.type(description="What a tenant has spent in a month, against its cap of now.")
class Spending:
    """What a tenant has spent in a month."""

    month: str = strawberry.field(description="The month in the tenant's time zone, such as 2026-11.")
    start: datetime = strawberry.field(name="from", description="When the month begins there.")
    end: datetime = strawberry.field(name="to", description="When it ends, and the next one begins.")
    spent: UsdAmount = strawberry.field(description="What the work of the month has cost so far.")
    held: UsdAmount = strawberry.field(description="What open work of the month holds.")
    cap: UsdAmount | None = strawberry.field(
        description="The most that the tenant may spend in a month, as it is set now; null: no cap."
    )
    used_percent: float | None = strawberry.field(description="Spent, of the cap; null without a cap.")
    projected_usd: UsdAmount | None = strawberry.field(
        description="What the running month will have cost at its end if it goes on as it began: spent, divided by the "
        "share of the month that is over (to the microsecond, rounded down); what is held is left out. Null in the "
        "month's first hour and for any other month."
    )

    @classmethod
    def of(cls, found: query.Spending) -> "Spending":
        used = found.used_percent
        return cls(
            month=found.month,
            start=found.span.start,
            end=found.span.end,
            spent=UsdAmount(found.spent),
            held=UsdAmount(found.held),
            cap=usd(found.cap),
            used_percent=None if used is None else used / 100,
            projected_usd=usd(found.projected),
        )


@strawberry.type(description="A tenant and what it has spent in its present month.")
class TenantSpending:
    """A tenant and what it has spent."""

    tenant: Tenant = strawberry.field(description="The tenant, with its plan and status.")
    month: str = strawberry.field(description="The present month in the tenant's time zone, such as 2026-11.")
    spent: UsdAmount = strawberry.field(description="What the work of the month has cost so far.")
    held: UsdAmount = strawberry.field(description="What open work of the month holds.")
    cap: UsdAmount | None = strawberry.field(description="The most that it may spend in a month; null: no cap.")
    used_percent: float | None = strawberry.field(description="Spent, of the cap; null without a cap.")

    @classmethod
    def of(cls, found: query.TenantSpending) -> "TenantSpending":
        spending = found.spending
        used = spending.used_percent
        return cls(
            tenant=Tenant.of(found.tenant),
            month=spending.month,
            spent=UsdAmount(spending.spent),
            held=UsdAmount(spending.held),
            cap=usd(spending.cap),
            used_percent=None if used is None else used / 100,
        )


@strawberry.type(description="A tenant in the list of all by what they spent.")
class TenantSpendingEdge:
    """A tenant in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: TenantSpending = strawberry.field(description="The tenant and its figures.")


@strawberry.type(description="A page of all tenants by what they spent this month.")
class TenantSpendingConnection:
    """A page of tenants."""

    edges: list[TenantSpendingEdge] = strawberry.field(description="The tenants: those that spent most first.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: TenantSpendingPage) -> "TenantSpendingConnection":
        edges = [
            TenantSpendingEdge(
                cursor=f"{found.spending.spent}_{found.tenant.tenant.slug}", node=TenantSpending.of(found)
            )
            for found in page.tenants
        ]
        return cls(edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type
class SpendingQueries:
    """What can be asked about a month's spend."""

    @field(description="The tenant's month against its cap, and where the running month will end.")
    async def spend_against_cap(
        self,
        info: Info,
        month: Annotated[
            str | None, strawberry.argument(description="Such as 2026-11, in the tenant's time zone; null: this month.")
        ] = None,
    ) -> Spending:
        context = info.context
        return Spending.of(await query.of_month(context.application, context.caller.tenant_id, known_month(month)))

    @field(
        description="Operators: all tenants with what they spent in their present month, those that spent most first. A "
        "tenant whose spend moves past a page's end meanwhile may be missed or shown twice."
    )
    async def tenant_spending(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
        search: Annotated[
            str | None,
            strawberry.argument(
                description="Only those whose slug or name holds this, in capitals or not, at most 100 characters; null "
                "for all."
            ),
        ] = None,
    ) -> TenantSpendingConnection:
        if search is not None and (len(search) > LONGEST_SEARCH or not search.isprintable()):
            raise bad_input(f"search must be at most {LONGEST_SEARCH} printable characters")
        match = None if after is None else _CURSOR.fullmatch(after)
        if after is not None and match is None:
            raise bad_input("after must be a cursor of this list")
        place = None if match is None else (min(int(match[1]), LARGEST_STORED), match[2])
        page = await query.page(info.context.application, page_size(first, 20), place, search or "")
        return TenantSpendingConnection.of(page)


def known_month(month: str | None) -> str | None:
    """A month that a client names; none is the present one."""
    return None if month is None else month_named(month)
