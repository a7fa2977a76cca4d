"""Tool schemas: what a GraphQL document takes and answers, as JSON Schema.

A tool for agents is one GraphQL document. What its variables mean and what its fields say is written in the GraphQL
schema already; here it is put into the form that agents read, so that neither can differ from what is executed.
"""

from collections.abc import Iterable
from typing import Any, Final

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    InlineFragmentNode,
    ObjectFieldNode,
    OperationDefinitionNode,
    SelectionSetNode,
    TypeInfo,
    TypeInfoVisitor,
    Undefined,
    VariableNode,
    Visitor,
    ast_from_value,
    get_named_type,
    is_abstract_type,
    type_from_ast,
    value_from_ast_untyped,
    visit,
)

JsonSchema = dict[str, Any]

_STRING: Final = {"type": "string"}
_DECIMAL: Final = {"type": "string", "pattern": r"^-?[0-9]{1,30}(\.[0-9]{1,9})?$"}
_SCALARS: Final[dict[str, JsonSchema]] = {
    "ID": _STRING,
    "String": _STRING,
    "Int": {"type": "integer"},
    "Float": {"type": "number"},
    "Boolean": {"type": "boolean"},
    "Amount": _DECIMAL,
    "UsdAmount": _DECIMAL,
    "Count": {"type": "string", "pattern": "^[0-9]+$"},
    "DateTime": {"type": "string", "format": "date-time"},
    "Date": {"type": "string", "format": "date"},
}
# Of these an agent needs to be told how they are written.
_EXPLAINED: Final = ("Amount", "UsdAmount", "Count", "DateTime", "Date")


def input_schema(schema: GraphQLSchema, document: DocumentNode) -> JsonSchema:
    """What the document's variables take: an object that has them as its properties and no others. Each is described as
    the argument or input field that it is put into."""
    places = _Places(TypeInfo(schema))
    visit(document, TypeInfoVisitor(places.type_info, places))
    properties: JsonSchema = {}
    required: list[str] = []
    for variable in _operation(document).variable_definitions or ():
        name = variable.variable.name.value
        of = type_from_ast(schema, variable.type)
        assert of is not None, "the document is valid"
        properties[name] = _taken(of, places.descriptions.get(name))
        if variable.default_value is not None:
            properties[name]["default"] = value_from_ast_untyped(variable.default_value)
        elif isinstance(of, GraphQLNonNull):
            required.append(name)
        elif (default := places.defaults.get(name)) is not None:
            properties[name]["default"] = default
    return _object(properties, required) | {"additionalProperties": False}


def output_schema(schema: GraphQLSchema, document: DocumentNode) -> JsonSchema:
    """What the document answers, if it answers without errors."""
    operation = _operation(document)
    root = schema.get_root_type(operation.operation)
    assert root is not None, "the document is valid"
    return _selected(schema, root, operation.selection_set)


class _Places(Visitor):
    """Where variables are put: what is said there of what belongs in that place, and what stands there otherwise."""

    def __init__(self, type_info: TypeInfo) -> None:
        super().__init__()
        self.type_info = type_info
        self.descriptions: dict[str, str | None] = {}
        self.defaults: dict[str, Any] = {}

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._note(node, self.type_info.get_argument())

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
        parent = get_named_type(self.type_info.get_parent_input_type())
        assert isinstance(parent, GraphQLInputObjectType), "the document is valid"
        self._note(node, parent.fields[node.name.value])

    def _note(self, node: ArgumentNode | ObjectFieldNode, place: GraphQLArgument | GraphQLInputField | None) -> None:
        if isinstance(node.value, VariableNode):
            assert place is not None, "the document is valid"
            self.descriptions[node.value.name.value] = place.description
            self.defaults[node.value.name.value] = _default(place)


def _taken(of: GraphQLType, description: str | None) -> JsonSchema:
    """An argument of this type. What may be null may as well be left out, which is all that is shown."""
    if isinstance(of, GraphQLNonNull):
        return _taken(of.of_type, description)
    if isinstance(of, GraphQLList):
        return _described({"type": "array", "items": _taken(of.of_type, None)}, description)
    if isinstance(of, GraphQLEnumType):
        values = [f"{name}: {value.description}" for name, value in of.values.items()]
        return _described({"type": "string", "enum": list(of.values)}, description, *values)
    if isinstance(of, GraphQLInputObjectType):
        properties: JsonSchema = {}
        for name, field in of.fields.items():
            properties[name] = _taken(field.type, field.description)
            if (default := _default(field)) is not None:
                properties[name]["default"] = default
        required = [
            name
            for name, field in of.fields.items()
            if isinstance(field.type, GraphQLNonNull) and _default(field) is None
        ]
        return _described(_object(properties, required) | {"additionalProperties": False}, description, of.description)
    named = get_named_type(of)
    explained = named.description if named.name in _EXPLAINED else None
    return _described(_SCALARS[named.name], description, explained)


def _answered(schema: GraphQLSchema, of: GraphQLType, node: FieldNode) -> JsonSchema:
    """A field's value of this type."""
    if isinstance(of, GraphQLNonNull):
        return _present(schema, of.of_type, node)
    shape = _present(schema, of, node)
    if "enum" in shape:
        return shape | {"type": ["string", "null"], "enum": [*shape["enum"], None]}
    if "anyOf" in shape:
        return shape | {"anyOf": [*shape["anyOf"], {"type": "null"}]}
    return shape | {"type": [shape["type"], "null"]}


def _present(schema: GraphQLSchema, of: GraphQLType, node: FieldNode) -> JsonSchema:
    if isinstance(of, GraphQLList):
        return {"type": "array", "items": _answered(schema, of.of_type, node)}
    if isinstance(of, GraphQLEnumType):
        return {"type": "string", "enum": list(of.values)}
    if node.selection_set is None:
        return dict(_SCALARS[get_named_type(of).name])
    if is_abstract_type(of):
        shapes = [_selected(schema, possible, node.selection_set) for possible in schema.get_possible_types(of)]
        return {"anyOf": shapes}
    assert isinstance(of, GraphQLObjectType), "what has fields is an object"
    return _selected(schema, of, node.selection_set)


def _selected(schema: GraphQLSchema, of: GraphQLObjectType, selections: SelectionSetNode) -> JsonSchema:
    """An object of this type, with what is selected of it. All of it is always there."""
    properties: JsonSchema = {}
    for node in _fields(schema, of, selections):
        shown = node.name.value if node.alias is None else node.alias.value
        if node.name.value == "__typename":
            properties[shown] = {"type": "string", "const": of.name}
            continue
        field = of.fields[node.name.value]
        properties[shown] = _described(_answered(schema, field.type, node), field.description)
    return _object(properties, properties)


def _fields(schema: GraphQLSchema, of: GraphQLObjectType, selections: SelectionSetNode) -> Iterable[FieldNode]:
    """The fields that are selected of an object of this type, those in inline fragments included."""
    for selection in selections.selections:
        if isinstance(selection, FieldNode):
            yield selection
            continue
        assert isinstance(selection, InlineFragmentNode), "tools use no named fragments"
        assert selection.type_condition is not None, "their fragments are for a type"
        within = schema.type_map[selection.type_condition.name.value]
        if within is of or (is_abstract_type(within) and schema.is_sub_type(within, of)):
            yield from _fields(schema, of, selection.selection_set)


def _default(place: GraphQLArgument | GraphQLInputField) -> Any:
    """What stands in a place if nothing is put into it, as JSON; None if nothing does."""
    if place.default_value is Undefined or place.default_value is None:
        return None
    written = ast_from_value(place.default_value, place.type)
    return None if written is None else value_from_ast_untyped(written)


def _object(properties: JsonSchema, required: Iterable[str]) -> JsonSchema:
    shape: JsonSchema = {"type": "object", "properties": properties}
    return shape | {"required": names} if (names := list(required)) else shape


def _described(shape: JsonSchema, *sentences: str | None) -> JsonSchema:
    description = " ".join(sentence for sentence in sentences if sentence)
    return shape | {"description": description} if description else dict(shape)


def _operation(document: DocumentNode) -> OperationDefinitionNode:
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode), "a tool is one operation"
    return operation
