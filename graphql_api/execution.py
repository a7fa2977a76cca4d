"""Execution: from the text of a request to its answer."""

import asyncio
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any, Final

from graphql import GraphQLError, GraphQLSchema, OperationType, default_field_resolver, default_type_resolver
from graphql.execution.collect_fields import collect_fields
from graphql.execution.values import VariableValues, get_variable_values

from graphql_api import errors, limits
from graphql_api.documents import Documents, InvalidDocumentError, Operation
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.planned_execution import PlannedExecutor

MOST_ERRORS: Final = 20

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
            operation = self._documents.prepared(query).get(operation_name)
            if operation is None:
                raise bad_input("operationName must name one of the document's operations")
            if operation.cost.depends_on_variables:
                operation.cost.check(variables)
            async with asyncio.timeout(limits.SECONDS):
                data, found = await self._execute(operation, variables, context)
        except TimeoutError:
            return _failed([_late()])
        except GraphQLError as error:
            return _failed([error])
        except InvalidDocumentError as error:
            return _failed(error.found)
        except Exception as error:  # noqa: BLE001  # masked, and logged in full
            return _failed([errors.internal(error)])
        return {"data": data, "errors": errors.formatted(found)} if found else {"data": data}

    async def _execute(
        self, operation: Operation, variables: dict[str, Any], context: object
    ) -> tuple[dict[str, Any] | None, Sequence[GraphQLError]]:
        values: VariableValues | list[GraphQLError] = operation.variables.read(variables) or get_variable_values(
            self._schema, operation.node.variable_definitions or (), variables, MOST_ERRORS
        )
        if isinstance(values, list):
            return None, values
        executor = PlannedExecutor(
            self._schema,
            operation.fragment_nodes,
            operation.fragments,
            None,
            context,
            operation.node,
            values,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
        )
        executor.plans = operation.plans
        fields = operation.root_fields
        if fields is None:
            collected = collect_fields(self._schema, operation.fragments, values, operation.root_type, operation.node)
            fields = collected.grouped_field_set
        serially = operation.node.operation is OperationType.MUTATION
        data: dict[str, Any] | None = None
        try:
            executing = executor.execute_root_grouped_field_set(operation.root_type, None, fields, serially, None)
            data = await executing if isawaitable(executing) else executing
        except GraphQLError as error:
            executor.collected_errors.add(error, None)
        return data, executor.collected_errors.errors


def _late() -> RequestError:
    return RequestError(
        ErrorCode.TIMEOUT,
        f"The request took longer than {limits.SECONDS:.0f} seconds and its outcome is unknown: "
        "send it again with the same idempotency key.",
    )


def _failed(found: Sequence[GraphQLError]) -> Answer:
    return {"data": None, "errors": errors.formatted(found)}
