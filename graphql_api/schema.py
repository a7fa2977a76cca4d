"""The schema, put together from one file per noun, and made fit for execution."""

import strawberry
from graphql import GraphQLSchema, print_schema
from strawberry.schema.config import StrawberryConfig

from graphql_api import enumerations as _described  # noqa: F401  # registers the enumerations
from graphql_api.account_costs import AccountCostsQueries
from graphql_api.admissions import AdmissionMutations
from graphql_api.agent_budgets import AgentBudgetQueries
from graphql_api.alert_subscription import AlertSubscriptions
from graphql_api.alerts import AlertQueries
from graphql_api.api_keys import ApiKeyMutations, ApiKeyQueries
from graphql_api.audit_log import AuditLogQueries
from graphql_api.back_tests import BackTestQueries
from graphql_api.budgets import BudgetMutations, BudgetQueries
from graphql_api.campaign_costs import CampaignCostsQueries, CustomersWonMutations
from graphql_api.catalog import CatalogQueries
from graphql_api.channels import ChannelMutations, ChannelQueries
from graphql_api.expenses import ExpenseMutations, ExpenseQueries
from graphql_api.identity_providers import IdentityProviderMutations, IdentityProviderQueries
from graphql_api.job_runs import JobRunQueries
from graphql_api.margins import MarginQueries
from graphql_api.metering import MeteringQueries
from graphql_api.nodes import NodeQueries
from graphql_api.permissions import guard
from graphql_api.plans import PlanQueries
from graphql_api.price_differences import PriceDifferenceQueries
from graphql_api.provider_keys import ProviderKeyMutations, ProviderKeyQueries
from graphql_api.publications import PublicationMutations, PublicationQueries
from graphql_api.receipts import ReceiptQueries
from graphql_api.recharges import RechargeMutations
from graphql_api.rerating import RerateMutations
from graphql_api.reservations import ReservationQueries
from graphql_api.scalars import SCALARS
from graphql_api.scopes import ScopeMutations, ScopeQueries
from graphql_api.settlements import SettlementMutations
from graphql_api.spending import SpendingQueries
from graphql_api.subscriptions import SubscriptionMutations
from graphql_api.tenant_usage import TenantUsageQueries
from graphql_api.tenants import TenantMutations, TenantQueries
from graphql_api.topups import TopUpMutations, TopUpQueries
from graphql_api.tuning import tune
from graphql_api.usage import UsageMutations
from graphql_api.usage_breakdowns import UsageBreakdownQueries
from graphql_api.usage_events import UsageEventQueries
from graphql_api.usage_subscription import UsageSubscriptions
from graphql_api.viewer import ViewerQueries
from graphql_api.wallet_subscription import WalletSubscriptions
from graphql_api.wallets import WalletMutations, WalletQueries


@strawberry.type(description="What can be asked. Nothing here changes anything.")
class Query(
    WalletQueries,
    CatalogQueries,
    ReservationQueries,
    BudgetQueries,
    AgentBudgetQueries,
    UsageBreakdownQueries,
    UsageEventQueries,
    ReceiptQueries,
    SpendingQueries,
    PlanQueries,
    TopUpQueries,
    TenantQueries,
    TenantUsageQueries,
    BackTestQueries,
    ProviderKeyQueries,
    PublicationQueries,
    JobRunQueries,
    MarginQueries,
    MeteringQueries,
    AlertQueries,
    ChannelQueries,
    AuditLogQueries,
    ApiKeyQueries,
    IdentityProviderQueries,
    ExpenseQueries,
    CampaignCostsQueries,
    AccountCostsQueries,
    ScopeQueries,
    PriceDifferenceQueries,
    ViewerQueries,
    NodeQueries,
):
    """What can be asked."""


@strawberry.type(description="What can be done.")
class Mutation(
    AdmissionMutations,
    SettlementMutations,
    UsageMutations,
    WalletMutations,
    ScopeMutations,
    BudgetMutations,
    TopUpMutations,
    RechargeMutations,
    SubscriptionMutations,
    TenantMutations,
    ProviderKeyMutations,
    PublicationMutations,
    RerateMutations,
    ChannelMutations,
    ApiKeyMutations,
    IdentityProviderMutations,
    ExpenseMutations,
    CustomersWonMutations,
):
    """What can be done."""


@strawberry.type(description="What can be watched, over a websocket at the same address.")
class Subscription(WalletSubscriptions, UsageSubscriptions, AlertSubscriptions):
    """What can be watched."""


def create_schema() -> GraphQLSchema:
    """The schema as it is executed: tuned, and with a permission before every operation."""
    described = strawberry.Schema(Query, Mutation, Subscription, config=StrawberryConfig(scalar_map=SCALARS))
    schema: GraphQLSchema = described._schema  # noqa: SLF001  # Strawberry has no public name for it
    tune(schema)
    guard(schema)
    return schema


def export_schema() -> str:
    """The schema as text, for people and for the check that nothing breaks."""
    return print_schema(create_schema()) + "\n"
