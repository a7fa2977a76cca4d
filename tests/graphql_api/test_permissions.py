"""Who may do what: every operation against every role; what is declared for nobody is refused."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLObjectType, GraphQLSchema

from graphql_api.execution import Engine
from graphql_api.permissions import ALLOWED, guard
from graphql_api.schema import create_schema
from graphql_api.tuning import tune
from infra.services.callers import Caller, Role

pytestmark = pytest.mark.anyio

READS = {"wallet", "wallets", "rateCard", "providers", "prices", "reservation", "previewReservation", "checkTask"} | {
    "budgets",
    "node",
}
WORK = {"reserve", "consume", "release", "extend", "reserveMany", "releaseMany", "recordUsage"}
ADMINISTRATION = {"setBudget", "removeBudget", "pauseScope", "resumeScope"}
OPERATION = {"adjustWallet", "setDefaultBudget"}
MAY = {
    Role.MEMBER: READS,
    Role.SERVICE: READS | WORK,
    Role.ADMIN: READS | WORK | ADMINISTRATION,
    Role.OPERATOR: READS | WORK | ADMINISTRATION | OPERATION,
}


def roots(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root is not None]


def test_every_operation_has_a_permission_and_every_permission_an_operation() -> None:
    operations = {f"{root.name}.{name}" for root in roots(create_schema()) for name in root.fields}
    assert operations == ALLOWED.keys()
    assert {name.partition(".")[2] for name in operations} == MAY[Role.OPERATOR]


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_what_it_is_for_and_nothing_else(role: Role) -> None:
    schema = create_schema()
    allowed: set[str] = set()
    for root in roots(schema):
        for name, field in root.fields.items():
            assert field.resolve is not None
            info: Any = SimpleNamespace(context=SimpleNamespace(caller=Caller(UUID(int=1), role, "key:x")))
            try:
                awaitable = field.resolve(None, info, **dict.fromkeys(("key", "public_id", "reservation_id"), "x"))
                awaitable.close()
                allowed.add(name)
            except TypeError:  # it got past the check, and has other arguments
                allowed.add(name)
            except AttributeError:  # it got past the check, and there is no application
                allowed.add(name)
            except Exception as error:
                assert "needs a key of role" in str(error), error
    assert allowed == MAY[role]


async def test_a_forbidden_operation_says_so_and_does_nothing() -> None:
    context = SimpleNamespace(caller=Caller(UUID(int=1), Role.MEMBER, "key:x"))
    query = 'mutation { release(input: {idempotencyKey: "k", reservationId: "r"}) { __typename } }'
    answer = await Engine(create_schema()).answer(query, {}, None, context)
    assert answer == {
        "data": None,
        "errors": [
            {
                "message": "release needs a key of role ADMIN or OPERATOR or SERVICE; this one's is MEMBER",
                "locations": [{"line": 1, "column": 12}],
                "path": ["release"],
                "extensions": {"code": "FORBIDDEN"},
            }
        ],
    }


def test_an_operation_without_a_permission_is_no_schema() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def secrets(self) -> str:
            return "all of them"

    schema = strawberry.Schema(Query)._schema
    tune(schema)
    with pytest.raises(AssertionError, match=r"Query\.secrets needs a permission"):
        guard(schema)
