"""Reading: variables turned into Python objects by functions that are put together once per document.

They take what is plainly right and give up on anything else; the engine then reads the same value anew, slower, and
says what is wrong with it, or takes it where GraphQL is more lenient than we are here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource

from graphql_api.tuning import PYTHON_CLASS

Read = Callable[[Any], Any]


class NotPlainError(Exception):
    """Left to the engine."""


class VariableReader:
    """Reads the variables of one operation."""

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._readers: list[tuple[str, GraphQLVariableSignature, Read]] = []
        for definition in operation.variable_definitions or ():
            signature = get_variable_signature(schema, definition)
            assert isinstance(signature, GraphQLVariableSignature), "the document is valid"
            self._readers.append((signature.name, signature, _reader(signature.type)))

    def read(self, given: Mapping[str, Any]) -> VariableValues | None:
        """The variables as the engine wants them; None: let the engine read them."""
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        try:
            for name, signature, read in self._readers:
                if name in given:
                    value = given[name]
                    sources[name] = VariableValueSource(signature, value)
                    coerced[name] = read(value)
                elif signature.default is not None or isinstance(signature.type, GraphQLNonNull):
                    return None
                else:
                    sources[name] = VariableValueSource(signature)
        except Exception:  # noqa: BLE001  # whatever it is, the engine meets it again and says it
            return None
        return VariableValues(sources, coerced)


def _reader(of: GraphQLInputType) -> Read:
    if isinstance(of, GraphQLNonNull):
        return _present(of.of_type)
    read = _present(of)
    return lambda value: None if value is None else read(value)


def _present(of: GraphQLInputType) -> Read:
    """A reader of what is not null."""
    if isinstance(of, GraphQLList):
        return _list_reader(_reader(of.of_type))
    if isinstance(of, GraphQLInputObjectType):
        return _object_reader(of)
    if of is GraphQLString:
        return _text
    return of.coerce_input_value  # type: ignore[union-attr]  # scalars and enumerations are what is left


def _text(value: Any) -> str:
    if type(value) is not str:
        raise NotPlainError
    return value


def _list_reader(read_item: Read) -> Read:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            raise NotPlainError
        return [read_item(item) for item in value]

    return read


def _object_reader(of: GraphQLInputObjectType) -> Read:
    fields = {name: (field.out_name or name, _reader(field.type)) for name, field in of.fields.items()}
    make = of.extensions[PYTHON_CLASS]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise NotPlainError
        arguments = {}
        for name, part in value.items():
            python_name, read_part = fields[name]
            arguments[python_name] = read_part(part)
        return make(**arguments)

    return read
