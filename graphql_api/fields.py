"""Fields with a resolver: Strawberry's decorator, typed so that the function below it keeps its type."""

from collections.abc import Callable
from typing import Any, TypeVar

import strawberry

Resolver = TypeVar("Resolver", bound=Callable[..., Any])


def field(*, description: str, graphql_type: Any = None) -> Callable[[Resolver], Resolver]:
    """Make a method or function the resolver of a field; its name, arguments and type are the field's."""
    decorate: Callable[[Resolver], Resolver] = strawberry.field(description=description, graphql_type=graphql_type)
    return decorate


def subscription(*, description: str) -> Callable[[Resolver], Resolver]:
    """Make a method a subscription: awaited, it has begun and answers with what there is to tell."""
    decorate: Callable[[Resolver], Resolver] = strawberry.subscription(description=description)
    return decorate
