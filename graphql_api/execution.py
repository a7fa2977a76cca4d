"""Execution: from the text of a request to its answer.

A document is parsed, checked and validated once and then kept, because workers send the same few texts again and
again: doing it anew costs more than a reserve. Only short texts are kept, and a bounded number of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLFormattedError,
    GraphQLSchema,
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
        self, query: str, variables: dict[str, Any] | None, operation_name: str | None, context: object
    ) -> Answer:
        """The response to one request. Never raises but for cancellation: whatever goes wrong is in `errors`."""
        try:
            async with asyncio.timeout(limits.SECONDS):
                prepared = self._kept.get(query) or self._prepare(query)
                result = self._execute(prepared, variables or {}, operation_name, context)
                if isawaitable(result):
                    result = await result
        except GraphQLError as error:
            return {"errors": errors.formatted([error])}
        except TimeoutError:
            late = RequestError(
                ErrorCode.TIMEOUT,
                f"The request took longer than {limits.SECONDS:.0f} seconds and its outcome is unknown: "
                "send it again with the same idempotency key.",
            )
            return {"data": None, "errors": errors.formatted([late])}
        except Exception as error:  # noqa: BLE001  # masked and logged
            return {"data": None, "errors": errors.formatted([errors.internal(error)])}
        return _response(result)

    def _execute(
        self, prepared: Prepared, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> Any:
        cost = prepared.costs.get(operation_name)
        if cost is None:
            raise bad_input(
                "operationName must name one of the document's operations"
                if operation_name is None
                else f"the document has no operation {operation_name[:80]!r}"
            )
        if cost.depends_on_variables:
            cost.check(variables)
        executor = Executor.build(self._schema, prepared.document, None, context, variables, operation_name)
        if isinstance(executor, list):
            return ExecutionResult(None, executor)
        return executor.execute_operation()

    def _prepare(self, query: str) -> Prepared:
        try:
            document = parse(query, max_tokens=limits.MOST_TOKENS, no_location=False)
            limits.check_shape(document)
        except RecursionError as error:
            raise RequestError(ErrorCode.TOO_COMPLEX, "the request is nested too deeply") from error
        if "\\u" in query or "\0" in query:
            visit(document, _NulFinder())
        found = validate(self._schema, document)
        if found:
            raise _Invalid(found)
        prepared = Prepared(document, self._costs(document))
        if len(query) <= LONGEST_KEPT:
            self._kept[query] = prepared
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return prepared

    def _costs(self, document: DocumentNode) -> dict[str | None, limits.Cost]:
        costs: dict[str | None, limits.Cost] = {}
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        for operation in operations:
            cost = limits.Cost(self._schema, document, operation)
            if not cost.depends_on_variables:
                cost.check({})
            if operation.operation is OperationType.SUBSCRIPTION:
                raise bad_input("subscriptions need a websocket")
            if operation.name is not None:
                costs[operation.name.value] = cost
            if len(operations) == 1:
                costs[None] = cost
        return costs
