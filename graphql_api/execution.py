"""Execution: from the text of a request to its answer.

A document is parsed, checked and validated once and then kept, because workers send the same few texts again and
again: doing it anew costs more than a reserve. Only short texts are kept, and a bounded number of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    Visitor,
    parse,
    validate,
    visit,
)
from graphql.execution import Executor

from graphql_api import errors, limits
from graphql_api.errors import ErrorCode, RequestError, bad_input

MOST_KEPT: Final = 256
LONGEST_KEPT: Final = 10_000

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that may be executed: its operations by name (None: the only one), each with its cost."""

    document: DocumentNode
    costs: Mapping[str | None, limits.Cost]


class Engine:
    """Executes requests against one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept: OrderedDict[str, Prepared] = OrderedDict()

    async def answer(
        self, query: str, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> Answer:
        """The response to one request. Raises nothing but cancellation: whatever goes wrong is in `errors`."""
        try:
            async with asyncio.timeout(limits.SECONDS):
                result = self._execute(self._prepared(query), variables, operation_name, context)
                if isawaitable(result):
                    result = await result
        except TimeoutError:
            return _failed([_late()])
        except GraphQLError as error:
            return _failed([error])
        except _InvalidDocumentError as error:
            return _failed(error.found)
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            return _failed([errors.internal(error)])
        if result.errors:
            return {"data": result.data, "errors": errors.formatted(result.errors)}
        return {"data": result.data}

    def _execute(
        self, prepared: Prepared, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> Any:
        cost = prepared.costs.get(operation_name)
        if cost is None:
            raise bad_input("operationName must name one of the document's operations")
        if cost.depends_on_variables:
            cost.check(variables)
        executor = Executor.build(self._schema, prepared.document, None, context, variables, operation_name)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        return executor.execute_operation()

    def _prepared(self, query: str) -> Prepared:
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
        if "\\u" in query or "\0" in query:
            visit(document, _NulFinder())
        found = validate(self._schema, document)
        if found:
            raise _InvalidDocumentError(found)
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


class _InvalidDocumentError(Exception):
    def __init__(self, found: Sequence[GraphQLError]) -> None:
        super().__init__()
        self.found = found


class _NulFinder(Visitor):
    def enter_string_value(self, node: StringValueNode, *_: object) -> None:
        if "\0" in node.value:
            raise RequestError(
                ErrorCode.BAD_USER_INPUT, "a string holds the character NUL (U+0000), which cannot be stored", node
            )


def _parse(query: str) -> DocumentNode:
    try:
        return parse(query, max_tokens=limits.MOST_TOKENS)
    except GraphQLSyntaxError as error:
        if "tokens" in error.message and "aborted" in error.message:
            raise RequestError(
                ErrorCode.TOO_COMPLEX,
                f"a request has at most {limits.MOST_TOKENS} tokens: send values as variables",
            ) from error
        raise


def _late() -> RequestError:
    return RequestError(
        ErrorCode.TIMEOUT,
        f"The request took longer than {limits.SECONDS:.0f} seconds and its outcome is unknown: "
        "send it again with the same idempotency key.",
    )


def _failed(found: Sequence[GraphQLError]) -> Answer:
    return {"data": None, "errors": errors.formatted(found)}
