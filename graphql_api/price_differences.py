"""Price differences: what an operator looks at before publishing prices."""

import re
from datetime import datetime
from typing import Annotated, Final

import strawberry

from graphql_api.catalog import Price
from graphql_api.context import Info
from graphql_api.enumerations import PriceDifferenceKind
from graphql_api.errors import bad_input
from graphql_api.fields import field
from graphql_api.interfaces import PageInfo, page_size
from infra.queries import price_differences as query
from infra.queries.price_differences import PriceDifferencePage, PricePlace

_CURSOR: Final = re.compile(r"(CHANGED|GONE|NEW)/([^/]{1,100})/([0-9]{1,4})/(.{1,200})", re.ASCII)


@strawberry.type(
    description="A model whose price in our list differs from that of the package genai-prices, from a moment on. Nothing "
    "is charged by the package: an operator publishes what is to change."
)
class PriceDifference:
    """A model whose price differs."""

    kind: PriceDifferenceKind = strawberry.field(description="What differs.")
    provider: str = strawberry.field(description="The provider's slug.")
    model: str = strawberry.field(description="The model.")
    effective_from: datetime = strawberry.field(description="From when it differs.")
    kept: bool = strawberry.field(
        description="Whether our figure is not from the package: one of our own, which somebody wanted so."
    )
    ours: list[Price] = strawberry.field(description="Our rows at that moment; none where our list has no such model.")
    theirs: list[Price] = strawberry.field(
        description="What publishPrice takes, row by row, to follow the package; one whose effectiveTo is its effectiveFrom "
        "withdraws a row that the package does not have. None where it has the model no more: without a price its calls "
        "would be refused."
    )

    @classmethod
    def of(cls, found: query.PriceDifference) -> "PriceDifference":
        return cls(
            kind=PriceDifferenceKind(found.place.kind),
            provider=found.place.provider,
            model=found.place.model,
            effective_from=found.start,
            kept=found.kept,
            ours=[Price.of(price) for price in found.ours],
            theirs=[Price.of(price) for price in found.theirs],
        )


@strawberry.type(description="A difference in the list of all.")
class PriceDifferenceEdge:
    """A difference in its list."""

    cursor: str = strawberry.field(description="Its place in the list.")
    node: PriceDifference = strawberry.field(description="The difference.")


@strawberry.type(description="A page of the differences between our price list and the package genai-prices.")
class PriceDifferenceConnection:
    """A page of differences."""

    release: str = strawberry.field(description="The release of the package that is installed.")
    edges: list[PriceDifferenceEdge] = strawberry.field(
        description="The differences: of changed prices, of models that the package has no more, of new ones; each by "
        "provider and model."
    )
    page_info: PageInfo = strawberry.field(description="Where this page stands.")

    @classmethod
    def of(cls, page: PriceDifferencePage) -> "PriceDifferenceConnection":
        edges = [
            PriceDifferenceEdge(cursor=_cursor(found.place), node=PriceDifference.of(found))
            for found in page.differences
        ]
        return cls(release=page.release, edges=edges, page_info=PageInfo.of(page, edges))


@strawberry.type
class PriceDifferenceQueries:
    """What operators ask before they publish prices."""

    @field(
        description="For operators: where our price list and the package genai-prices differ, now and at every later moment "
        "at which either changes a price. Needs no tenant."
    )
    async def price_differences(
        self,
        info: Info,
        provider: Annotated[str | None, strawberry.argument(description="Only this provider's; null for all.")] = None,
        unlisted: Annotated[
            bool | None, strawberry.argument(description="Also models that our list does not have.")
        ] = False,
        first: Annotated[int | None, strawberry.argument(description="How many, 1 to 100.")] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The endCursor of the page before; null for the first page.")
        ] = None,
    ) -> PriceDifferenceConnection:
        match = None if after is None else _CURSOR.fullmatch(after)
        if after is not None and match is None:
            raise bad_input("after must be a cursor of this list")
        place = None if match is None else PricePlace(match[1], match[2], match[4], int(match[3]))
        page = await query.page(
            info.context.application,
            provider=provider,
            unlisted=bool(unlisted),
            first=page_size(first, 20),
            after=place,
        )
        return PriceDifferenceConnection.of(page)


def _cursor(place: PricePlace) -> str:
    return f"{place.kind}/{place.provider}/{place.number}/{place.model}"
