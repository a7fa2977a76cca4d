"""What several types share: the Node interface and the parts of a connection."""

from collections.abc import Sequence
from typing import Protocol

import strawberry

from graphql_api.errors import bad_input

LARGEST_PAGE = 100


class Page(Protocol):
    """A page as queries read it."""

    @property
    def has_next(self) -> bool: ...

    @property
    def has_previous(self) -> bool: ...


class Edge(Protocol):
    """An item of a page with its place in the list."""

    @property
    def cursor(self) -> str: ...


@strawberry.interface(description="Anything that has an id. `node(id:)` finds it again.")
class Node:
    """Anything that has an id."""

    id: strawberry.ID = strawberry.field(description="Stays the same for ever; begins with what kind of thing it is.")


@strawberry.type(description="Where a page of a list stands in it.")
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = strawberry.field(description="Whether the list goes on after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is something before this page.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first item; null if it is empty.")
    end_cursor: str | None = strawberry.field(
        description="The cursor of the page's last item: send it as `after` for the next page; null if it is empty."
    )

    @classmethod
    def of(cls, page: Page, edges: Sequence[Edge]) -> "PageInfo":
        return cls(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )


def page_size(first: int | None, default: int) -> int:
    """How many items a page holds."""
    if first is None:
        return default
    if not 1 <= first <= LARGEST_PAGE:
        raise bad_input(f"first must be 1 to {LARGEST_PAGE}")
    return first
