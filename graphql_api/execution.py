"""Execution: from the text of a request to its answer."""

import asyncio
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema
from graphql.execution import Executor

from graphql_api import errors, limits
from graphql_api.documents import Documents, InvalidDocumentError, Prepared
from graphql_api.errors import ErrorCode, RequestError, bad_input

Answer = dict[str, Any]


class Engine:
    """Executes requests against one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._documents = Documents(schema)

    async def answer(
        self, query: str, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> Answer:
        """The response to one request. Raises nothing but cancellation: whatever goes wrong is in `errors`."""
        try:
            prepared = self._documents.prepared(query)
            async with asyncio.timeout(limits.SECONDS):
                result = self._execute(prepared, variables, operation_name, context)
                if isawaitable(result):
                    result = await result
        except TimeoutError:
            return _failed([_late()])
        except GraphQLError as error:
            return _failed([error])
        except InvalidDocumentError as error:
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


def _late() -> RequestError:
    return RequestError(
        ErrorCode.TIMEOUT,
        f"The request took longer than {limits.SECONDS:.0f} seconds and its outcome is unknown: "
        "send it again with the same idempotency key.",
    )


def _failed(found: Sequence[GraphQLError]) -> Answer:
    return {"data": None, "errors": errors.formatted(found)}
