"""Tuning: the schema that Strawberry made, put in order for fast execution.

What is described stays as it is; what happens per field changes. A plain field is an attribute, known as one. A field
with a resolver calls its function, without the wrappers that look at each call anew. Input arrives as the Python
object that its type describes. The type of a value is told by its class alone.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

from graphql import (
    GraphQLAbstractType,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
)
from strawberry.types.field import StrawberryField

from graphql_api.shared_events import SharedEvent

# In a field's extensions: the attribute that it shows, if it is a plain one.
ATTRIBUTE: Final = "purser-attribute"
# In a type's extensions: the Python class whose instances are of it.
PYTHON_CLASS: Final = "purser-class"

_DEFINITION: Final = "strawberry-definition"

Resolver = Callable[..., Any]


def tune(schema: GraphQLSchema) -> None:
    """Put every type of a schema that Strawberry made in order."""
    for named in schema.type_map.values():
        if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
            named.resolve_type = _type_name
        elif isinstance(named, GraphQLObjectType) and _DEFINITION in named.extensions:
            named.is_type_of = None
            named.extensions[PYTHON_CLASS] = named.extensions[_DEFINITION].origin
            for field in named.fields.values():
                _tune_field(field)
        elif isinstance(named, GraphQLEnumType) and _DEFINITION in named.extensions:
            members = named.extensions[_DEFINITION].wrapped_cls
            assert all(member.name == member.value for member in members), f"{named.name} is written by its values"
            named.extensions[PYTHON_CLASS] = members
        elif isinstance(named, GraphQLInputObjectType):
            python_class = named.extensions[_DEFINITION].origin
            named.extensions[PYTHON_CLASS] = python_class
            named.out_type = _maker(python_class)  # type: ignore[assignment]  # meant to be replaced
            _name_inputs(named.fields.values())


def _tune_field(field: GraphQLField) -> None:
    definition: StrawberryField = field.extensions[_DEFINITION]
    _name_inputs(field.args.values())
    if definition.base_resolver is None:
        field.extensions[ATTRIBUTE] = definition.python_name
        field.resolve = _reading(definition.python_name)
    else:
        function: Resolver = definition.base_resolver.wrapped_func  # type: ignore[assignment]  # no class methods here
        takes_info = definition.base_resolver.info_parameter is not None
        resolve = function if takes_info else _without_info(function)
        if definition.is_subscription:
            field.subscribe, field.resolve = resolve, _event
        else:
            field.resolve = resolve


def _name_inputs(inputs: Iterable[GraphQLArgument | GraphQLInputField]) -> None:
    """Give values their Python names. What may be left out is nullable, and says no more in the schema."""
    for value in inputs:
        definition = value.extensions[_DEFINITION]
        value.out_name = definition.python_name
        if value.default_value is None:
            value.default_value = Undefined
        elif value.default_value is not Undefined:
            value.default_value = definition.default


def _maker(python_class: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda values: python_class(**values)


def _reading(attribute: str) -> Callable[[Any, GraphQLResolveInfo[Any]], Any]:
    read = attrgetter(attribute)
    return lambda source, _info: read(source)


def _without_info(function: Resolver) -> Resolver:
    return lambda source, _info, **arguments: function(source, **arguments)


def _event(event: Any, _info: GraphQLResolveInfo[Any], **_arguments: Any) -> Any:
    """What a subscription tells is the value of its field."""
    return event.value if type(event) is SharedEvent else event


def _type_name(value: Any, info: GraphQLResolveInfo[Any], abstract_type: GraphQLAbstractType) -> str:
    name: str = type(value).__strawberry_definition__.name
    if not info.schema.is_sub_type(abstract_type, info.schema.type_map[name]):
        # Not the engine's own error, which would be taken for the client's mistake.
        raise TypeError(f"{name} is no member of {abstract_type.name}")
    return name
