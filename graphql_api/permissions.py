"""Permissions: which role may use which operation. What does not stand here cannot be used by anybody.

Queries change nothing, previews included, so every key may ask them; but a tenant's own provider keys are read in clear
by workers alone.

An operator's key acts on the tenant that it names, and on none if it names none: only what needs no tenant is open then.
"""

from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

from domain.ids import NIL
from graphql_api.errors import ErrorCode, RequestError
from infra.services.callers import Caller, Role

TENANT_REQUIRED: Final = "an operator's key names the tenant that it acts on in the header Purser-Tenant"

EVERYBODY: Final = frozenset(Role)
WORKERS: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.SERVICE})
ADMINS: Final = frozenset({Role.OPERATOR, Role.ADMIN})
OPERATORS: Final = frozenset({Role.OPERATOR})
PEOPLE: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.MEMBER})
SERVICES: Final = frozenset({Role.SERVICE})

ALLOWED: Final = {
    "Query.viewer": EVERYBODY,
    "Query.wallet": EVERYBODY,
    "Query.wallets": EVERYBODY,
    "Query.rateCard": EVERYBODY,
    "Query.providers": EVERYBODY,
    "Query.prices": EVERYBODY,
    "Query.reservation": EVERYBODY,
    "Query.previewReservation": EVERYBODY,
    "Query.checkTask": EVERYBODY,
    "Query.budgets": EVERYBODY,
    "Query.defaultBudgets": OPERATORS,
    "Query.pauses": EVERYBODY,
    "Query.scopeNames": EVERYBODY,
    "Query.usageBreakdown": EVERYBODY,
    "Query.usageEvents": EVERYBODY,
    "Query.sessionTotals": EVERYBODY,
    "Query.receipt": EVERYBODY,
    "Query.spendAgainstCap": EVERYBODY,
    "Query.agentBudgets": EVERYBODY,
    "Query.backTest": PEOPLE,
    "Query.backTestMargins": OPERATORS,
    "Query.tenantUsage": OPERATORS,
    "Query.tenantSpending": OPERATORS,
    "Query.margins": OPERATORS,
    "Query.metering": OPERATORS,
    "Query.unmetered": OPERATORS,
    "Query.node": EVERYBODY,
    "Query.tenant": EVERYBODY,
    "Query.tenants": OPERATORS,
    "Query.plans": EVERYBODY,
    "Query.planFit": EVERYBODY,
    "Query.topUp": EVERYBODY,
    "Query.topUps": EVERYBODY,
    "Query.bundles": EVERYBODY,
    "Query.acceptsPayments": EVERYBODY,
    "Query.alerts": EVERYBODY,
    "Query.alertKinds": EVERYBODY,
    "Query.expenses": EVERYBODY,
    "Query.campaignCosts": EVERYBODY,
    "Query.campaignCostsList": EVERYBODY,
    "Query.accountCosts": EVERYBODY,
    "Query.channels": ADMINS,
    "Query.auditLog": ADMINS,
    "Query.apiKeys": ADMINS,
    "Query.identityProviders": OPERATORS,
    "Query.providerKeys": PEOPLE,
    "Query.providerSecret": SERVICES,
    "Mutation.reserve": WORKERS,
    "Mutation.consume": WORKERS,
    "Mutation.release": WORKERS,
    "Mutation.extend": WORKERS,
    "Mutation.reserveMany": WORKERS,
    "Mutation.releaseMany": WORKERS,
    "Mutation.recordUsage": WORKERS,
    "Mutation.pauseScope": ADMINS,
    "Mutation.resumeScope": ADMINS,
    "Mutation.deactivateScope": ADMINS,
    "Mutation.nameScope": ADMINS,
    "Mutation.setBudget": ADMINS,
    "Mutation.removeBudget": ADMINS,
    "Mutation.setProviderKey": ADMINS,
    "Mutation.removeProviderKey": ADMINS,
    "Mutation.addChannel": ADMINS,
    "Mutation.removeChannel": ADMINS,
    "Mutation.testChannel": ADMINS,
    "Mutation.createApiKey": ADMINS,
    "Mutation.rotateApiKey": ADMINS,
    "Mutation.revokeApiKey": ADMINS,
    "Mutation.setIdentityProvider": OPERATORS,
    "Mutation.removeIdentityProvider": OPERATORS,
    "Mutation.addExpense": ADMINS,
    "Mutation.changeExpense": ADMINS,
    "Mutation.deleteExpense": ADMINS,
    "Mutation.recordCustomersWon": ADMINS,
    "Mutation.startTopUp": ADMINS,
    "Mutation.setAutoRecharge": ADMINS,
    "Mutation.changePlan": ADMINS,
    "Mutation.setCycle": ADMINS,
    "Mutation.createTenant": OPERATORS,
    "Mutation.renameTenant": OPERATORS,
    "Mutation.suspendTenant": OPERATORS,
    "Mutation.resumeTenant": OPERATORS,
    "Mutation.closeTenant": OPERATORS,
    "Query.rateCards": OPERATORS,
    "Query.jobRuns": OPERATORS,
    "Query.priceDifferences": OPERATORS,
    "Mutation.publishRateCard": OPERATORS,
    "Mutation.publishPrice": OPERATORS,
    "Mutation.publishProvider": OPERATORS,
    "Mutation.publishPlan": OPERATORS,
    "Mutation.publishBundle": OPERATORS,
    "Mutation.rerateUsage": OPERATORS,
    "Mutation.adjustWallet": OPERATORS,
    "Mutation.setDefaultBudget": OPERATORS,
    "Subscription.walletBalance": EVERYBODY,
    "Subscription.usageRecorded": EVERYBODY,
    "Subscription.alertRaised": EVERYBODY,
}
# The operations that an operator may use without naming a tenant. What holds for a tenant alone is then left out of the
# catalog, `plans` are those of every region, and `alerts` the operators' own.
WITHOUT_TENANT: Final = frozenset(
    {
        "Query.viewer",
        "Query.acceptsPayments",
        "Query.tenants",
        "Query.providers",
        "Query.plans",
        "Query.jobRuns",
        "Query.defaultBudgets",
        "Query.rateCard",
        "Query.prices",
        "Query.priceDifferences",
        "Mutation.createTenant",
        "Mutation.setDefaultBudget",
    }
    | {"Query.rateCards", "Mutation.publishRateCard", "Mutation.publishPrice", "Mutation.publishProvider"}
    | {"Mutation.publishPlan", "Mutation.publishBundle", "Mutation.rerateUsage", "Query.tenantSpending"}
    | {"Query.auditLog", "Query.margins", "Query.metering", "Query.unmetered", "Query.alerts", "Query.alertKinds"}
)

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
    needs_tenant = f"{root.name}.{name}" not in WITHOUT_TENANT
    if field.subscribe is not None:
        field.subscribe = _checked(field.subscribe, roles, name, needs_tenant=needs_tenant)
        return
    assert field.resolve is not None
    field.resolve = _checked(field.resolve, roles, name, needs_tenant=needs_tenant)


def tenant_required() -> RequestError:
    """An operator asks for what is a tenant's, and names none."""
    return RequestError(ErrorCode.TENANT_REQUIRED, TENANT_REQUIRED)


def check(caller: Caller, roles: frozenset[Role], name: str, *, needs_tenant: bool) -> None:
    """Raises where this caller may not use what is called so."""
    if caller.role not in roles:
        allowed = " or ".join(sorted(roles))
        raise RequestError(ErrorCode.FORBIDDEN, f"{name} needs a key of role {allowed}; this one's is {caller.role}")
    if needs_tenant and caller.tenant_id == NIL:
        raise tenant_required()


def _checked(resolve: Resolver, roles: frozenset[Role], name: str, *, needs_tenant: bool) -> Resolver:
    def resolve_if_allowed(source: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        check(info.context.caller, roles, name, needs_tenant=needs_tenant)
        return resolve(source, info, **arguments)

    return resolve_if_allowed
