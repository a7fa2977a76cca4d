"""Validation: the rules of GraphQL, with errors that name the field in which a value is wrong."""

from typing import Any, Final

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLInputType,
    StringValueNode,
    ValidationRule,
    ValueNode,
    ValuesOfCorrectTypeRule,
    specified_rules,
)
from graphql.language.visitor import SKIP, VisitorAction
from graphql.utilities import validate_input_literal
from typing_extensions import override


class NamedValuesRule(ValuesOfCorrectTypeRule):
    """As the rule of GraphQL, but an error says where: "input.quantity: an amount is ..."."""

    argument = ""

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self.argument = node.name.value

    @override
    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> VisitorAction:
        def report(error: GraphQLError, path: list[str | int]) -> None:
            place = ".".join(map(str, (self.argument, *path)))
            self.report_error(GraphQLError(f"{place}: {error.message}", error.nodes or node))

        if input_type:
            validate_input_literal(node, input_type, report)
        return SKIP


class NoNulRule(ValidationRule):
    """PostgreSQL stores no NUL, so no string may hold one."""

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        if "\0" in node.value:
            self.report_error(GraphQLError("a string holds the character NUL (U+0000), which cannot be stored", node))


# Made once: a rule made anew is another rule, and whatever is kept for its rules would never be found again.
RULES: Final = (
    *(rule for rule in specified_rules if rule is not ValuesOfCorrectTypeRule),
    NamedValuesRule,
    NoNulRule,
)
