"""Permissions are declared for every operation; what is declared for nobody is refused. Who may do what stands in
permissions.csv (test_permission_matrix)."""

from types import SimpleNamespace
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLObjectType, GraphQLSchema

from graphql_api.execution import Engine
from graphql_api.permissions import ALLOWED, WITHOUT_TENANT, guard
from graphql_api.schema import create_schema
from graphql_api.tuning import tune
from infra.services.callers import Caller, Role

pytestmark = pytest.mark.anyio


def roots(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root is not None]


def test_every_operation_has_a_permission_and_every_permission_an_operation() -> None:
    operations = {f"{root.name}.{name}" for root in roots(create_schema()) for name in root.fields}
    assert operations == ALLOWED.keys()
    assert operations >= WITHOUT_TENANT


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
