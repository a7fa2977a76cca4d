"""Documents: a request's text, parsed, checked and validated once, and then kept.

Workers send the same few texts again and again, and to prepare one anew costs more than a reserve. Only short texts
are kept, and a bounded number of them.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails, GroupedFieldSet, collect_fields
from graphql.execution.values import VariableValues

from graphql_api import limits
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.planned_execution import Plans
from graphql_api.reading import VariableReader
from graphql_api.validation import RULES

MOST_KEPT: Final = 256
LONGEST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a valid document, with all that can be known of it before it is executed.

    `root_fields` and `plans` are None where directives decide anew for each request what is selected.
    """

    node: OperationDefinitionNode
    root_type: GraphQLObjectType
    fragment_nodes: dict[str, FragmentDefinitionNode]
    fragments: dict[str, FragmentDetails]
    cost: limits.Cost
    variables: VariableReader
    root_fields: GroupedFieldSet | None
    plans: Plans | None


# The operations of a document by name; None: the only one.
Prepared = Mapping[str | None, Operation]


class InvalidDocumentError(Exception):
    """A document does not fit the schema; `found` says where."""

    def __init__(self, found: Sequence[GraphQLError]) -> None:
        super().__init__()
        self.found = found


class Documents:
    """The documents of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept: OrderedDict[str, Prepared] = OrderedDict()

    def prepared(self, query: str) -> Prepared:
        """The document of a text. Raises GraphQLError or InvalidDocumentError where it cannot be executed."""
        prepared = self._kept.get(query)
        if prepared is not None:
            self._kept.move_to_end(query)
            return prepared
        try:
            prepared = self._prepare(query)
        except RecursionError as error:
            raise RequestError(ErrorCode.TOO_COMPLEX, "the request is nested too deeply") from error
        if len(query) <= LONGEST_KEPT:
            self._kept[query] = prepared
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return prepared

    def _prepare(self, query: str) -> Prepared:
        document = _parse(query)
        limits.check_shape(document)
        found = validate(self._schema, document, RULES)
        if found:
            raise InvalidDocumentError(found)
        nodes = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        varies = "@" in query
        operations: dict[str | None, Operation] = {}
        for node in nodes:
            operation = self._operation(document, node, varies=varies)
            if node.name is not None:
                operations[node.name.value] = operation
            if len(nodes) == 1:
                operations[None] = operation
        return operations

    def _operation(self, document: DocumentNode, node: OperationDefinitionNode, *, varies: bool) -> Operation:
        root_type = self._schema.get_root_type(node.operation)
        if root_type is None:
            raise bad_input(f"there is nothing of the kind {node.operation.value} here")
        cost = limits.Cost(self._schema, document, node)
        if not cost.depends_on_variables:
            cost.check({})
        fragment_nodes = limits.fragments_of(document)
        fragments = {name: FragmentDetails(fragment) for name, fragment in fragment_nodes.items()}
        root_fields = None
        if not varies:
            collected = collect_fields(self._schema, fragments, VariableValues({}, {}), root_type, node)
            root_fields = collected.grouped_field_set
        reader = VariableReader(self._schema, node)
        return Operation(node, root_type, fragment_nodes, fragments, cost, reader, root_fields, None if varies else {})


def _parse(query: str) -> DocumentNode:
    try:
        return parse(query, max_tokens=limits.MOST_TOKENS)
    except GraphQLSyntaxError as error:
        if "tokens" in error.message and "aborted" in error.message:
            message = f"a request has at most {limits.MOST_TOKENS} tokens: send values as variables"
            raise RequestError(ErrorCode.TOO_COMPLEX, message) from error
        raise
