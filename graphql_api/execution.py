"""Execution: from the text of a request to its answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, Final, cast

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
)
from graphql.execution.collect_fields import GroupedFieldSet, collect_fields
from graphql.execution.values import VariableValues, get_variable_values

from graphql_api import errors, limits
from graphql_api.documents import Documents, InvalidDocumentError, Operation
from graphql_api.errors import ErrorCode, RequestError, bad_input
from graphql_api.planned_execution import PlannedExecutor
from graphql_api.shared_events import SharedEvent

MOST_ERRORS: Final = 20

Answer = dict[str, Any]


class Engine:
    """Executes requests against one schema, each for so many seconds at most."""

    def __init__(self, schema: GraphQLSchema, seconds: float = limits.SECONDS) -> None:
        self.schema = schema
        self._seconds = seconds
        self._documents = Documents(schema)

    async def answer(
        self, query: str, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> Answer:
        """The response to one request. Raises nothing but cancellation: whatever goes wrong is in `errors`."""
        try:
            operation = self._operation(query, variables, operation_name)
            if _is_subscription(operation):
                raise bad_input("subscriptions need a websocket (protocol graphql-transport-ws) at this address")
            executor = self._executor(operation, variables, context)
            async with asyncio.timeout(self._seconds):
                return await self._execute(operation, executor, self._root_fields(operation, executor))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered
            return failed(error)

    async def follow(
        self, query: str, variables: dict[str, Any], operation_name: str | None, context: object
    ) -> AsyncGenerator[str, None] | Answer:
        """The responses to one subscription as JSON, which has begun when this returns; one response with `errors` where
        it cannot begin. The responses raise what ends them from within: `failed` says it."""
        try:
            operation = self._operation(query, variables, operation_name)
            if not _is_subscription(operation):
                raise bad_input("a websocket takes subscriptions only: send queries and mutations by POST")
            executor = self._executor(operation, variables, context)
            fields = self._root_fields(operation, executor)
            if not fields:
                raise bad_input("the subscription selects nothing")
            async with asyncio.timeout(self._seconds):
                beginning = create_source_event_stream(executor)
                events = await beginning if isawaitable(beginning) else beginning
        except Exception as error:  # noqa: BLE001  # whatever it is, it is answered
            return failed(error)
        if isinstance(events, ExecutionResult):
            return _failed(events.errors or ())
        return self._responses(operation, executor, fields, cast("AsyncGenerator[object, None]", events))

    async def _responses(
        self,
        operation: Operation,
        executor: PlannedExecutor,
        fields: GroupedFieldSet,
        events: AsyncGenerator[object, None],
    ) -> AsyncGenerator[str, None]:
        (details,) = fields.values()
        plan = executor.plan(operation.root_type.fields[details[0].node.name.value].type, details)
        async with aclosing(events):
            async for event in events:
                shared = event.answers if plan is not None and isinstance(event, SharedEvent) else {}
                if plan not in shared:
                    of_event = cast("PlannedExecutor", executor.build_per_event_executor(event))
                    async with asyncio.timeout(self._seconds):
                        answer = await self._execute(operation, of_event, fields)
                    shared[plan] = orjson.dumps(answer).decode()
                yield shared[plan]

    def _operation(self, query: str, variables: dict[str, Any], operation_name: str | None) -> Operation:
        operation = self._documents.prepared(query).get(operation_name)
        if operation is None:
            raise bad_input("operationName must name one of the document's operations")
        if operation.cost.depends_on_variables:
            operation.cost.check(variables)
        return operation

    def _executor(self, operation: Operation, variables: dict[str, Any], context: object) -> PlannedExecutor:
        values: VariableValues | list[GraphQLError] = operation.variables.read(variables) or get_variable_values(
            self.schema, operation.node.variable_definitions or (), variables, MOST_ERRORS
        )
        if isinstance(values, list):
            raise InvalidDocumentError(values)
        executor = PlannedExecutor(
            self.schema,
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
        return executor

    def _root_fields(self, operation: Operation, executor: PlannedExecutor) -> GroupedFieldSet:
        if operation.root_fields is not None:
            return operation.root_fields
        values = executor.variable_values
        return collect_fields(
            self.schema, operation.fragments, values, operation.root_type, operation.node
        ).grouped_field_set

    async def _execute(self, operation: Operation, executor: PlannedExecutor, fields: GroupedFieldSet) -> Answer:
        serially = operation.node.operation is OperationType.MUTATION
        data: dict[str, Any] | None = None
        try:
            executing = executor.execute_root_grouped_field_set(
                operation.root_type, executor.root_value, fields, serially, None
            )
            data = await executing if isawaitable(executing) else executing
        except GraphQLError as error:
            executor.collected_errors.add(error, None)
        found = executor.collected_errors.errors
        return {"data": data, "errors": errors.formatted(found)} if found else {"data": data}


def failed(error: Exception) -> Answer:
    """The response to a request that ended by an error: what is unexpected is masked, and logged in full."""
    match error:
        case TimeoutError():
            return _failed([_late()])
        case GraphQLError():
            return _failed([error])
        case InvalidDocumentError():
            return _failed(error.found)
        case _:
            return _failed([GraphQLError("it failed", original_error=error)])


def _is_subscription(operation: Operation) -> bool:
    return operation.node.operation is OperationType.SUBSCRIPTION


def _late() -> RequestError:
    return RequestError(
        ErrorCode.TIMEOUT,
        "The request took too long and its outcome is unknown: send it again with the same idempotency key.",
    )


def _failed(found: Sequence[GraphQLError]) -> Answer:
    return {"data": None, "errors": errors.formatted(found)}
