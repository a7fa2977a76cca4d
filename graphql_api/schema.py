"""The schema, put together from one file per noun, and made fit for execution."""

from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import (
    GraphQLAbstractType,
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    print_schema,
)
from strawberry.schema.config import StrawberryConfig

from graphql_api import enumerations as _described  # noqa: F401  # registers the enumerations
from graphql_api.admissions import AdmissionMutations
from graphql_api.budgets import BudgetMutations, BudgetQueries
from graphql_api.catalog import CatalogQueries
from graphql_api.nodes import NodeQueries
from graphql_api.permissions import guard
from graphql_api.reservations import ReservationQueries
from graphql_api.scalars import SCALARS
from graphql_api.scopes import ScopeMutations
from graphql_api.settlements import SettlementMutations
from graphql_api.usage import UsageMutations
from graphql_api.wallets import WalletMutations, WalletQueries


@strawberry.type(description="What can be asked. Nothing here changes anything.")
class Query(WalletQueries, CatalogQueries, ReservationQueries, BudgetQueries, NodeQueries):
    """What can be asked."""


@strawberry.type(description="What can be done.")
class Mutation(
    AdmissionMutations, SettlementMutations, UsageMutations, WalletMutations, ScopeMutations, BudgetMutations
):
    """What can be done."""


def create_schema() -> GraphQLSchema:
    """The schema as it is executed: with permissions, and with types told by their Python class alone."""
    described = strawberry.Schema(Query, Mutation, config=StrawberryConfig(scalar_map=SCALARS))
    schema: GraphQLSchema = described._schema  # noqa: SLF001  # Strawberry has no public name for it
    guard(schema)
    for named in schema.type_map.values():
        if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
            named.resolve_type = _type_name
        elif isinstance(named, GraphQLObjectType):
            named.is_type_of = None
            for field in named.fields.values():
                _leave_out_null(field.args.values())
        elif isinstance(named, GraphQLInputObjectType):
            _leave_out_null(named.fields.values())
    return schema


def export_schema() -> str:
    """The schema as text, for people and for the check that nothing breaks."""
    return print_schema(create_schema()) + "\n"


def _leave_out_null(inputs: Iterable[GraphQLArgument | GraphQLInputField]) -> None:
    """What may be left out is nullable, and says no more."""
    for value in inputs:
        if value.default_value is None:
            value.default_value = Undefined


def _type_name(value: Any, info: GraphQLResolveInfo[Any], abstract_type: GraphQLAbstractType) -> str:
    name: str = type(value).__strawberry_definition__.name
    if not info.schema.is_sub_type(abstract_type, info.schema.type_map[name]):
        # Not the engine's own error, which would be taken for the client's mistake.
        raise TypeError(f"{name} is no member of {abstract_type.name}")
    return name
