"""Who may do what: every operation against every role; what is declared for nobody is refused."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema

from domain.ids import NIL
from graphql_api.errors import RequestError
from graphql_api.execution import Engine
from graphql_api.permissions import ALLOWED, WITHOUT_TENANT, guard
from graphql_api.schema import create_schema
from graphql_api.tuning import tune
from infra.services.callers import Caller, Role

pytestmark = pytest.mark.anyio

ONE = UUID(int=1)
READS = {"wallet", "wallets", "rateCard", "providers", "prices", "reservation", "previewReservation", "checkTask"} | {
    "budgets",
    "node",
    "tenant",
    "plans",
    "planFit",
    "topUp",
    "topUps",
    "bundles",
    "usageBreakdown",
    "usageEvents",
    "sessionTotals",
    "spendAgainstCap",
    "agentBudgets",
    "alerts",
    "alertRaised",
    "expenses",
    "campaignCosts",
    "campaignCostsList",
    "accountCosts",
    "walletBalance",
    "usageRecorded",
}
PEOPLES_READS = {"providerKeys"}
ADMINS_READS = {"channels", "auditLog", "apiKeys"}
WORKERS_READS = {"providerSecret"}
WORK = {"reserve", "consume", "release", "extend", "reserveMany", "releaseMany", "recordUsage"}
ADMINISTRATION = {"setBudget", "removeBudget", "pauseScope", "resumeScope", "setProviderKey", "removeProviderKey"} | {
    "deactivateScope",
    "nameScope",
    "addChannel",
    "removeChannel",
    "testChannel",
    "createApiKey",
    "rotateApiKey",
    "revokeApiKey",
    "addExpense",
    "changeExpense",
    "deleteExpense",
    "recordCustomersWon",
    "startTopUp",
    "setAutoRecharge",
    "changePlan",
    "setCycle",
}
OPERATION = {"adjustWallet", "setDefaultBudget", "tenants", "createTenant"} | {
    "renameTenant",
    "suspendTenant",
    "resumeTenant",
    "closeTenant",
    "rateCards",
    "publishRateCard",
    "publishPrice",
    "publishProvider",
    "publishPlan",
    "publishBundle",
    "rerateUsage",
    "tenantUsage",
    "tenantSpending",
    "jobRuns",
    "identityProviders",
    "setIdentityProvider",
    "removeIdentityProvider",
    "margins",
    "metering",
    "unmetered",
}
WITHOUT_A_TENANT = {
    "tenants",
    "jobRuns",
    "tenantSpending",
    "providers",
    "plans",
    "createTenant",
    "setDefaultBudget",
} | {"auditLog"}
MAY = {
    Role.MEMBER: READS | PEOPLES_READS,
    Role.SERVICE: READS | WORKERS_READS | WORK,
    Role.ADMIN: READS | PEOPLES_READS | ADMINS_READS | WORK | ADMINISTRATION,
    Role.OPERATOR: READS | PEOPLES_READS | ADMINS_READS | WORK | ADMINISTRATION | OPERATION,
}


def roots(schema: GraphQLSchema) -> list[GraphQLObjectType]:
    return [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root is not None]


def test_every_operation_has_a_permission_and_every_permission_an_operation() -> None:
    operations = {f"{root.name}.{name}" for root in roots(create_schema()) for name in root.fields}
    assert operations == ALLOWED.keys()
    assert {name.partition(".")[2] for name in operations} == MAY[Role.OPERATOR] | WORKERS_READS


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_what_it_is_for_and_nothing_else(role: Role) -> None:
    fields = [(name, field) for root in roots(create_schema()) for name, field in root.fields.items()]
    assert {name for name, field in fields if may_use(role, field)} == MAY[role]


async def test_an_operator_who_names_no_tenant_may_do_only_what_needs_none() -> None:
    operations = {
        f"{root.name}.{name}": field for root in roots(create_schema()) for name, field in root.fields.items()
    }
    assert operations.keys() >= WITHOUT_TENANT
    assert {name.partition(".")[2] for name in WITHOUT_TENANT} >= WITHOUT_A_TENANT
    allowed = {name for name, field in operations.items() if may_use(Role.OPERATOR, field, NIL)}
    assert allowed == WITHOUT_TENANT


def may_use(role: Role, field: GraphQLField, tenant_id: UUID = ONE) -> bool:
    """Call it with nonsense and without an application: it is refused at the door, or fails behind it."""
    info: Any = SimpleNamespace(context=SimpleNamespace(caller=Caller(tenant_id, role, "key:x")))
    resolve = field.subscribe or field.resolve
    assert resolve is not None
    try:
        answer = resolve(None, info, **dict.fromkeys(argument.out_name or "" for argument in field.args.values()))
    except RequestError as error:
        return error.extensions not in ({"code": "FORBIDDEN"}, {"code": "TENANT_REQUIRED"})
    except AttributeError:
        return True
    answer.close()
    return True


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
