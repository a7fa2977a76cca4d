"""Permissions: which role may use which operation. What does not stand here cannot be used by anybody.

Queries change nothing, previews included, so every key may ask them.
"""

from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

from graphql_api.errors import ErrorCode, RequestError
from infra.services.callers import Role

EVERYBODY: Final = frozenset(Role)
WORKERS: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.SERVICE})
ADMINS: Final = frozenset({Role.OPERATOR, Role.ADMIN})
OPERATORS: Final = frozenset({Role.OPERATOR})

ALLOWED: Final = {
    "Query.wallet": EVERYBODY,
    "Query.wallets": EVERYBODY,
    "Query.rateCard": EVERYBODY,
    "Query.providers": EVERYBODY,
    "Query.prices": EVERYBODY,
    "Query.reservation": EVERYBODY,
    "Query.previewReservation": EVERYBODY,
    "Query.checkTask": EVERYBODY,
    "Query.budgets": EVERYBODY,
    "Query.node": EVERYBODY,
    "Mutation.reserve": WORKERS,
    "Mutation.consume": WORKERS,
    "Mutation.release": WORKERS,
    "Mutation.extend": WORKERS,
    "Mutation.reserveMany": WORKERS,
    "Mutation.releaseMany": WORKERS,
    "Mutation.recordUsage": WORKERS,
    "Mutation.pauseScope": ADMINS,
    "Mutation.resumeScope": ADMINS,
    "Mutation.setBudget": ADMINS,
    "Mutation.removeBudget": ADMINS,
    "Mutation.adjustWallet": OPERATORS,
    "Mutation.setDefaultBudget": OPERATORS,
}

Resolver = Callable[..., Any]


def guard(schema: GraphQLSchema) -> None:
    """Put the check before every operation of a schema. Fails for one without a declared permission."""
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for name in {} if root is None else root.fields:
            assert root is not None
            _guard_field(root, name)


def _guard_field(root: GraphQLObjectType, name: str) -> None:
    roles = ALLOWED.get(f"{root.name}.{name}")
    assert roles is not None, f"{root.name}.{name} needs a permission in {__name__}"
    field = root.fields[name]
    resolve = field.resolve
    assert resolve is not None
    if roles != EVERYBODY:
        field.resolve = _checked(resolve, roles, name)


def _checked(resolve: Resolver, roles: frozenset[Role], name: str) -> Resolver:
    def resolve_if_allowed(source: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        role = info.context.caller.role
        if role not in roles:
            allowed = " or ".join(sorted(roles))
            raise RequestError(ErrorCode.FORBIDDEN, f"{name} needs a key of role {allowed}; this one's is {role}")
        return resolve(source, info, **arguments)

    return resolve_if_allowed
