"""Limits: how much one request may ask for.

Three bounds, from cheap to exact. The parser stops at a number of tokens. Depth, fields and aliases are counted on the
parsed document, introspection left out. The cost of an operation counts each field once for every object that it would
be read from, before anything is executed: a list is as long as its `first`, its `top` or its `inputs` say, else five. Reports
cost what they read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
)

from graphql_api.errors import ErrorCode, RequestError

MOST_BYTES: Final = 4_000_000
# Over a websocket come subscriptions only, which carry no batches.
MOST_BYTES_OF_MESSAGE: Final = 100_000
MOST_TOKENS: Final = 5_000
MOST_SELECTIONS: Final = 500
MOST_ALIASES: Final = 30
GREATEST_DEPTH: Final = 12
GREATEST_COST: Final = 100_000
SECONDS: Final = 30.0
SECONDS_FOR_BODY: Final = 30.0

USUAL_LENGTH: Final = 5
# What sums over usage cost beside the fields of their answer.
REPORTS: Final = (
    "usageBreakdown",
    "tenantUsage",
    "campaignCosts",
    "campaignCostsList",
    "accountCosts",
    "margins",
    "metering",
    "unmetered",
    "priceDifferences",
)
COST_OF_REPORT: Final = 5_000
# What plays a month again is the only one of its request.
BACK_TESTS: Final = ("backTest", "backTestMargins")
COST_OF_BACK_TEST: Final = 60_000
# The arguments that say how long a list is, and the fields of an answer whose length one of them has said already.
LENGTHS: Final = ("first", "top", "inputs")
PARTS: Final = ("edges", "rows")

Variables = Mapping[str, Any]


def check_shape(document: DocumentNode) -> None:
    """Refuse documents that are too deep, or have too many fields or aliases, before validation compares them with each
    other. Cycles of fragments are left to validation."""
    shape = _Shape(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            shape.measure(definition.selection_set)
    if shape.selections > MOST_SELECTIONS:
        raise _too_complex(f"a request selects at most {MOST_SELECTIONS} fields, this one has {shape.selections}")
    if shape.aliases > MOST_ALIASES:
        raise _too_complex(f"a request has at most {MOST_ALIASES} aliases, this one has {shape.aliases}")


class _Shape:
    def __init__(self, document: DocumentNode) -> None:
        self.aliases = 0
        self.selections = 0
        self._fragments = fragments_of(document)
        self._depths: dict[str, int] = {}

    def measure(self, selections: SelectionSetNode) -> int:
        """The depth below a selection set, introspection left out."""
        deepest = 0
        self.selections += len(selections.selections)
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                self.aliases += selection.alias is not None
                below = selection.selection_set
                depth = 1 if below is None or selection.name.value.startswith("__") else 1 + self.measure(below)
            elif isinstance(selection, InlineFragmentNode):
                depth = self.measure(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                depth = self._depth_of(selection.name.value)
            else:
                depth = 0
            deepest = max(deepest, depth)
        if deepest > GREATEST_DEPTH:
            raise _too_complex(f"a request nests at most {GREATEST_DEPTH} levels")
        return deepest

    def _depth_of(self, name: str) -> int:
        fragment = self._fragments.get(name)
        if fragment is None:
            return 0
        if name not in self._depths:
            self._depths[name] = 0
            self._depths[name] = self.measure(fragment.selection_set)
        return self._depths[name]


class Cost:
    """The cost of an operation of a valid document."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._operation = operation
        self._fragments = fragments_of(document)
        self.depends_on_variables = any(
            isinstance(argument.value, VariableNode)
            for field in _fields(document)
            for argument in field.arguments or ()
            if argument.name.value in LENGTHS
        )

    def check(self, variables: Variables) -> None:
        """Refuse an operation that would read too much."""
        root = self._schema.get_root_type(self._operation.operation)
        cost = 0 if root is None else self._of(self._operation.selection_set, root, variables, {})
        if cost > GREATEST_COST:
            raise _too_complex(
                f"the request would read up to {cost} fields, {GREATEST_COST} are allowed: ask for shorter pages"
            )

    def _of(
        self,
        selections: SelectionSetNode,
        parent: GraphQLNamedType,
        variables: Variables,
        known: dict[tuple[str, str], int],
    ) -> int:
        cost = 0
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                cost += _own_cost(selection.name.value)
                field = _field(parent, selection.name.value)
                if field is not None and selection.selection_set is not None:
                    below = self._of(selection.selection_set, get_named_type(field.type), variables, known)
                    cost += below * _length(selection, field, variables)
            elif isinstance(selection, InlineFragmentNode):
                named = selection.type_condition
                within = parent if named is None else self._schema.type_map[named.name.value]
                cost += self._of(selection.selection_set, within, variables, known)
            elif isinstance(selection, FragmentSpreadNode):
                cost += self._of_fragment(selection.name.value, variables, known)
        return cost

    def _of_fragment(self, name: str, variables: Variables, known: dict[tuple[str, str], int]) -> int:
        fragment = self._fragments[name]
        within = fragment.type_condition.name.value
        if (name, within) not in known:
            known[name, within] = self._of(fragment.selection_set, self._schema.type_map[within], variables, known)
        return known[name, within]


def _own_cost(name: str) -> int:
    """What a field costs beside the fields of its answer."""
    if name in BACK_TESTS:
        return COST_OF_BACK_TEST
    return COST_OF_REPORT if name in REPORTS else 1


def _length(node: FieldNode, field: GraphQLField, variables: Variables) -> int:
    """How many objects a field is taken to answer with."""
    for name in LENGTHS:
        if name in field.args:
            return _length_argument(node, name, field.args[name].default_value, variables)
    if node.name.value not in PARTS and isinstance(get_nullable_type(field.type), GraphQLList):
        return USUAL_LENGTH
    return 1


def _length_argument(node: FieldNode, name: str, default: object, variables: Variables) -> int:
    given: object = default
    for argument in node.arguments or ():
        if argument.name.value == name:
            value = argument.value
            if isinstance(value, VariableNode):
                given = variables.get(value.name.value, default)
            elif isinstance(value, IntValueNode):
                given = int(value.value[:10])
            elif isinstance(value, ListValueNode):
                given = value.values
    if given is None:
        given = default
    if isinstance(given, int):
        return max(given, 1)
    return max(len(given), 1) if isinstance(given, list | tuple) else USUAL_LENGTH


def _field(parent: GraphQLNamedType, name: str) -> GraphQLField | None:
    fields: dict[str, GraphQLField] = getattr(parent, "fields", {})
    return fields.get(name)


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    """The fragments that a document defines, by name."""
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def _fields(document: DocumentNode) -> Iterator[FieldNode]:
    waiting = [
        definition.selection_set
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while waiting:
        for selection in waiting.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection
            below = None if isinstance(selection, FragmentSpreadNode) else selection.selection_set  # type: ignore[attr-defined]  # fields and inline fragments have one
            if below is not None:
                waiting.append(below)


def _too_complex(message: str) -> RequestError:
    return RequestError(ErrorCode.TOO_COMPLEX, message)
