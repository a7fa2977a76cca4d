"""The schema keeps what clients rely on, says what everything is, and is the one that is committed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    build_schema,
    get_named_type,
    introspection_types,
    print_ast,
    print_type,
    specified_scalar_types,
)
from graphql.utilities import ast_from_value

from graphql_api import schema as schema_module
from graphql_api.permissions import ALLOWED, OPERATORS
from graphql_api.schema import create_schema, export_schema

HERE = Path(__file__).parent
CONTRACT = build_schema((HERE / "contract.graphql").read_text())
SCHEMA = create_schema()


def types_of(schema: GraphQLSchema) -> list[GraphQLNamedType]:
    known = introspection_types.keys() | specified_scalar_types.keys()
    return [named for name, named in schema.type_map.items() if name not in known]


@pytest.mark.parametrize("promised", types_of(CONTRACT), ids=str)
def test_keeps_every_type_of_the_contract(promised: GraphQLNamedType) -> None:
    kept = SCHEMA.type_map[promised.name]
    assert isinstance(kept, type(promised))
    match promised:
        case GraphQLObjectType() | GraphQLInterfaceType():
            assert isinstance(kept, GraphQLObjectType | GraphQLInterfaceType)
            assert {named.name for named in promised.interfaces} <= {named.name for named in kept.interfaces}
            for name, field in promised.fields.items():
                assert str(kept.fields[name].type) == str(field.type), name
                check_inputs(field.args, kept.fields[name].args)
        case GraphQLInputObjectType():
            assert isinstance(kept, GraphQLInputObjectType)
            check_inputs(promised.fields, kept.fields)
        case GraphQLEnumType():
            assert isinstance(kept, GraphQLEnumType)
            assert promised.values.keys() <= kept.values.keys()
        case GraphQLUnionType():
            assert isinstance(kept, GraphQLUnionType)
            assert {named.name for named in promised.types} <= {named.name for named in kept.types}
        case _:
            assert isinstance(kept, GraphQLScalarType)


def check_inputs(promised: dict[str, Any], kept: dict[str, Any]) -> None:
    for name, value in promised.items():
        # What had to be said may be left out since: old requests say it.
        assert str(kept[name].type) in (str(value.type), str(value.type).removesuffix("!")), name
        assert default_of(kept[name]) == default_of(value), name
    for name in kept.keys() - promised.keys():
        may_be_left_out = not isinstance(kept[name].type, GraphQLNonNull) or kept[name].default_value is not Undefined
        assert may_be_left_out, f"{name} is new, so old requests do not have it"


def default_of(value: GraphQLArgument | GraphQLInputField) -> str | None:
    if value.default is not None and value.default.literal is not None:
        return print_ast(value.default.literal)
    if value.default_value is Undefined:
        return None
    literal = ast_from_value(value.default_value, value.type)
    assert literal is not None
    return print_ast(literal)


@pytest.mark.parametrize("described", types_of(SCHEMA), ids=str)
def test_describes_everything_in_words(described: GraphQLNamedType) -> None:
    undescribed = [
        path for path, thing in parts_of(described) if not (thing.description or "").strip().endswith((".", ":"))
    ]
    assert undescribed == []


def parts_of(described: GraphQLNamedType) -> Iterator[tuple[str, Any]]:
    yield described.name, described
    match described:
        case GraphQLObjectType() | GraphQLInterfaceType():
            for name, field in described.fields.items():
                yield f"{described.name}.{name}", field
                for argument_name, argument in field.args.items():
                    yield f"{described.name}.{name}({argument_name})", argument
        case GraphQLInputObjectType():
            for name, value in described.fields.items():
                yield f"{described.name}.{name}", value
        case GraphQLEnumType():
            for name, member in described.values.items():
                yield f"{described.name}.{name}", member
        case _:
            pass


def test_shows_tenants_neither_credit_value_nor_markup() -> None:
    for named in open_to_tenants():
        text = print_type(named).lower()
        for secret in ("creditvalue", "credit_value", "markup", "margin", "defaultestimate", "default_estimate"):
            assert secret not in text, named.name


def open_to_tenants() -> list[GraphQLNamedType]:
    """Every type that a request can reach through an operation that is not for operators alone."""
    every = (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
    roots = [root for root in every if root is not None]
    waiting: list[GraphQLNamedType] = []
    for root in roots:
        for name, operation in root.fields.items():
            if ALLOWED[f"{root.name}.{name}"] != OPERATORS:
                waiting += reached_by(operation)
    found: dict[str, GraphQLNamedType] = {}
    while waiting:
        named = waiting.pop()
        if named.name not in found:
            found[named.name] = named
            if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
                waiting += SCHEMA.get_possible_types(named)
            if isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
                waiting += [part for field in named.fields.values() for part in reached_by(field)]
            elif isinstance(named, GraphQLInputObjectType):
                waiting += [get_named_type(field.type) for field in named.fields.values()]
    assert {"Wallet", "RateCard", "ReserveInput", "PlanFit"} <= found.keys()
    return list(found.values())


def reached_by(field: GraphQLField) -> list[GraphQLNamedType]:
    return [get_named_type(field.type), *(get_named_type(argument.type) for argument in field.args.values())]


def test_is_the_committed_schema() -> None:
    committed = Path(schema_module.__file__).with_name("schema.graphql").read_text()
    assert committed == export_schema(), "run `make schema` and commit the result"
