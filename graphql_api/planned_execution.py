"""Plans: how the result of a resolver becomes JSON, worked out once per document.

Most of what is selected are plain attributes. For these a plan is a few nested functions that read them and write
them down. It does exactly what the engine does for a result without errors and without further resolvers; where it
meets anything else it gives up, and the engine completes the same result in its own way. So a plan needs no handling
of errors, and decides nothing.
"""

from collections.abc import Awaitable, Callable
from operator import attrgetter
from typing import Any, Final

from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLUnionType,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers
from typing_extensions import override

from graphql_api.tuning import ATTRIBUTE, PYTHON_CLASS

Complete = Callable[[Any], Any]
Plans = dict[tuple[int, ...], Complete | None]

_MISSING: Final = object()


def _not_provided(*_: object) -> Any:
    raise NotImplementedError


_NO_HELPERS: Final = GraphQLResolveInfoHelpers(gather=_not_provided, track=_not_provided)


class NotPlainError(Exception):
    """Left to the engine."""


class PlannedExecutor(Executor[Any]):
    """The engine's executor, with plans for what is plain. `plans` are those of the document; None where its
    directives make each request another one."""

    plans: Plans | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # The engine's helpers hold the executor and it holds them: a cycle that only the garbage collector ends. No
        # resolver of ours uses them.
        self.async_helpers = _NO_HELPERS

    @override
    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: list[FieldDetails],
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Awaitable[Any] | Any:
        plan = self.plan(return_type, field_details_list)
        if plan is not None:
            try:
                return plan(result)
            except Exception:  # noqa: BLE001, S110  # whatever it is, the engine meets it again and says where
                pass
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def plan(self, return_type: GraphQLOutputType, details: list[FieldDetails]) -> Complete | None:
        """The plan of what is selected, the same for every request of the document; None if some of it is not plain."""
        plans = self.plans
        if plans is None:
            return None
        # The document keeps its nodes, and the schema its types: their identities stay.
        name = (id(return_type), *[id(detail.node) for detail in details])
        plan = plans.get(name, _MISSING)
        if plan is _MISSING:
            plan = plans[name] = self._completer(return_type, details)
        return plan  # type: ignore[return-value]  # it is not _MISSING any more

    def _completer(self, of: GraphQLOutputType, details: list[FieldDetails]) -> Complete | None:
        """A function that completes values of this type; None if some of it is not plain."""
        if isinstance(of, GraphQLNonNull):
            return self._present(of.of_type, details)
        complete = self._present(of, details)
        return None if complete is None else lambda value: None if value is None else complete(value)

    def _present(self, of: GraphQLOutputType, details: list[FieldDetails]) -> Complete | None:
        """A function that completes what must not be null."""
        if isinstance(of, GraphQLList):
            complete_item = self._completer(of.of_type, details)
            return None if complete_item is None else lambda items: [complete_item(item) for item in items]
        if isinstance(of, GraphQLObjectType):
            return self._of_object(of, details)
        if isinstance(of, GraphQLUnionType | GraphQLInterfaceType):
            return self._of_abstract(of, details)
        if isinstance(of, GraphQLEnumType) and PYTHON_CLASS in of.extensions:
            return attrgetter("_value_")
        return of.coerce_output_value  # type: ignore[union-attr]  # scalars are what is left

    def _of_object(self, of: GraphQLObjectType, details: list[FieldDetails]) -> Complete | None:
        parts: list[tuple[str, Complete, Complete]] = []
        for response_name, selected in self.collect_subfields(of, details).grouped_field_set.items():
            name = selected[0].node.name.value
            if name == "__typename":
                parts.append((response_name, _constant(of.name), _same))
                continue
            field = of.fields[name]
            complete = self._completer(field.type, selected) if ATTRIBUTE in field.extensions else None
            if complete is None:
                return None
            parts.append((response_name, attrgetter(field.extensions[ATTRIBUTE]), complete))
        return lambda value: {name: complete(read(value)) for name, read, complete in parts}

    def _of_abstract(self, of: GraphQLAbstractType, details: list[FieldDetails]) -> Complete:
        completers: dict[type, Complete] = {}
        for possible in self.schema.get_possible_types(of):
            complete = self._of_object(possible, details)
            if complete is not None:
                completers[possible.extensions[PYTHON_CLASS]] = complete
        return lambda value: completers[type(value)](value)


def _constant(value: str) -> Complete:
    return lambda _: value


def _same(value: Any) -> Any:
    return value
