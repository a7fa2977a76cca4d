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
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from graphql_api import limits
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.validation import RULES

MOST_KEPT: Final = 256
LONGEST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that may be executed: its operations by name (None: the only one), each with its cost."""

    document: DocumentNode
    costs: Mapping[str | None, limits.Cost]


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
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        costs: dict[str | None, limits.Cost] = {}
        for operation in operations:
            if operation.operation is OperationType.SUBSCRIPTION:
                raise bad_input("subscriptions need a websocket")
            cost = limits.Cost(self._schema, document, operation)
            if not cost.depends_on_variables:
                cost.check({})
            if operation.name is not None:
                costs[operation.name.value] = cost
            if len(operations) == 1:
                costs[None] = cost
        return Prepared(document, costs)


def _parse(query: str) -> DocumentNode:
    try:
        return parse(query, max_tokens=limits.MOST_TOKENS)
    except GraphQLSyntaxError as error:
        if "tokens" in error.message and "aborted" in error.message:
            message = f"a request has at most {limits.MOST_TOKENS} tokens: send values as variables"
            raise RequestError(ErrorCode.TOO_COMPLEX, message) from error
        raise
