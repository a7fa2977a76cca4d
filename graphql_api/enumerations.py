"""Enumerations of the schema: the domain's own, with descriptions for people who never see the code."""

from enum import StrEnum, unique

import strawberry

from domain.agent_budgets import AgentStatus
from domain.breakdowns import Dimension
from domain.budget_steps import Measure
from domain.budgets import BudgetPeriod, ScopeStatus
from domain.channels import ChannelKind
from domain.expenses import CacStatus, ExpenseChange, ExpenseKind
from domain.identity import GrantedRole
from domain.ledger import EntryType
from domain.margins import MarginDimension, MarginFlag
from domain.payments import TopUpOrigin, TopUpState
from domain.rates import ChargeType, RouteClass
from domain.refusals import BudgetScope, RefusalCode, ReservationState
from domain.tenants import TenantStatus
from domain.usage import Route, UsageKind
from domain.wallets import BalanceStatus, LotSource, Unit, WalletKind
from infra.job_outcomes import Outcome
from infra.queries.metering import Unmetered
from infra.services.callers import Role


@unique
class TaskVerdict(StrEnum):
    """What running work does next."""

    CONTINUE = "CONTINUE"
    ABORT = "ABORT"


@unique
class NamedKind(StrEnum):
    """Which of the customer's own things can be given a name."""

    AGENT = "AGENT"
    CAMPAIGN = "CAMPAIGN"
    CLIENT = "CLIENT"
    PROJECT = "PROJECT"
    ACCOUNT = "ACCOUNT"


@unique
class PriceDifferenceKind(StrEnum):
    """How our price of a model differs from the package's."""

    CHANGED = "CHANGED"
    NEW = "NEW"
    GONE = "GONE"


def _describe(enumeration: type[StrEnum], description: str, *, name: str | None = None, **values: str) -> None:
    """Make an enumeration part of the schema; each of its values needs a description."""
    strawberry.enum(enumeration, name=name, description=description)
    definition = enumeration.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values.pop(value.name)
    assert not values, f"{enumeration.__name__} has no {', '.join(values)}"


_describe(
    RefusalCode,
    "Why a request was refused. Each code has a type of its own with the figures.",
    INSUFFICIENT_FUNDS="A wallet does not hold what the request needs.",
    BUDGET_EXCEEDED="A budget has no room for the request.",
    SCOPE_PAUSED="The tenant, an agent role or a campaign is paused, inactive or suspended.",
    UNKNOWN_FEATURE="The rate card in force has no such feature.",
    UNPRICED_MODEL="The price list has no price for the model.",
    IDEMPOTENCY_KEY_REUSED="The idempotency key belongs to another request.",
    NOT_FOUND="There is no such thing, or it is another tenant's.",
    RESERVATION_ENDED="The reservation was settled or given back already.",
    INVALID_INPUT="Fields of the request cannot be taken as they are.",
    PLAN_LIMIT="The tenant's plan allows no more of this.",
    CONFLICT="It does not go with the state that something is in.",
)
_describe(
    Measure,
    "What the figures of a budget's step are.",
    name="BudgetMeasure",
    HELD="Spent and held together: what is compared with the cap before work may run.",
    SPENT="What was spent.",
)
_describe(
    WalletKind,
    "Where a wallet's money comes from.",
    PLATFORM="Comes with the plan, again each billing cycle.",
    METERED="Prepaid in US dollars; never expires.",
)
_describe(Unit, "What a wallet counts.", CREDIT="Credits, or pieces such as e-mail sends.", USD="US dollars.")
_describe(
    BalanceStatus,
    "How much of a wallet is used.",
    OK="Under 80 % used.",
    WARNING="80 to under 100 % used; a metered wallet also if it is under its low-balance threshold.",
    EXHAUSTED="100 % used, or below zero.",
)
_describe(
    LotSource,
    "Where a lot came from.",
    PLAN="Granted by the plan for a billing cycle.",
    TOP_UP="Bought.",
    ADJUSTMENT="Put in or taken back by an operator. What is below zero also sits on a lot of this source.",
)
_describe(
    EntryType,
    "The kinds of moves in a wallet.",
    name="LedgerEntryType",
    ALLOCATED="The plan granted it: granted and available rise.",
    TOPPED_UP="It was bought: granted and available rise.",
    ADJUSTED="An operator put it in or took it back: granted and available rise or fall.",
    RESERVED="Held for a reservation: from available to reserved.",
    RELEASED="Given back by a reservation: from reserved to available.",
    CONSUMED="Charged: from reserved to consumed.",
    EXPIRED="Its lot reached its end: from available to expired.",
)
_describe(
    ChargeType,
    "How a feature is charged.",
    FIXED="A fixed amount per unit of quantity, whatever the work cost.",
    COST_PLUS="By what the provider charged for it.",
    PER_UNIT="Per unit that was done, such as an e-mail sent.",
    PER_RESULT="Per result that was found; what was not found is not charged.",
    BUNDLED="Several features of one task under one charge; either alone costs the same.",
    FREE="Recorded, not charged.",
)
_describe(
    RouteClass,
    "What the tenant's own provider key does for a feature.",
    COPYWRITING="An own key is always used.",
    ENRICHMENT="An own key is used on unlimited plans only.",
    OTHER="As copywriting.",
)
_describe(
    Route,
    "On whose provider key a call runs.",
    MANAGED="Ours: charged as the rate card says.",
    BYOK="The tenant's own key: the metered part is not charged.",
    FREE="Nothing is charged.",
)
_describe(
    ReservationState,
    "Where a reservation stands.",
    HELD="Open: its amounts are held.",
    CONSUMED="Settled: what the work cost was charged, the rest given back.",
    RELEASED="Given back by its caller.",
    EXPIRED="Overdue, and given back. A consume that arrives later is still settled.",
)
_describe(
    BudgetScope,
    "What a budget or a pause is about.",
    TENANT="The whole tenant.",
    AGENT="One agent role.",
    CAMPAIGN="One campaign.",
    TASK="One reservation. Only in refusals: such a cap is set with scope AGENT and period TASK.",
    TAG="Everything that carries one tag, addressed as key=value.",
)
_describe(
    BudgetPeriod,
    "Over what a budget counts.",
    MONTH="A calendar month in the tenant's time zone; each starts at zero.",
    TOTAL="For ever.",
    TASK="One reservation.",
)
_describe(
    ScopeStatus,
    "Whether a scope may spend.",
    ACTIVE="It may.",
    PAUSED="Stopped by a person or by a budget, with a reason.",
    INACTIVE="Taken out of use.",
)
_describe(
    TenantStatus,
    "Whether a tenant may spend.",
    ACTIVE="It may.",
    SUSPENDED="It is refused everything until it is resumed; what it has spent is still settled.",
    CLOSED="It is over for good; its books stay readable.",
)
_describe(
    TopUpState,
    "Where a top-up stands.",
    PENDING="Ordered; no money has come in yet.",
    PAID="Money came in, but not as ordered: a person must look at it.",
    CREDITED="Paid, and in the wallet.",
    FAILED="The payment failed.",
    EXPIRED="The checkout was left unpaid for too long.",
    PARTIALLY_REFUNDED="A part of it was paid back, and taken out of the wallet.",
    REFUNDED="All of it was paid back, and taken out of the wallet.",
    DISPUTED="The payer disputes it, or has won the dispute: it was taken out of the wallet.",
)
_describe(
    TopUpOrigin,
    "Who started a top-up.",
    CHECKOUT="A person, at the checkout.",
    AUTO_RECHARGE="The wallet itself, when it ran low.",
)
_describe(
    UsageKind,
    "What happened.",
    LLM="A call of a language model.",
    TOOL="A call of a tool: provider is the tool, operation its method.",
    API="A call of a paid service.",
    DATA_QUERY="A query of public data.",
)
_describe(
    ChannelKind,
    "What a channel is.",
    SLACK="An incoming webhook of Slack.",
    EMAIL="An e-mail address.",
    WEBHOOK="A URL that takes signed messages (Standard Webhooks).",
)
_describe(
    GrantedRole,
    "What a key, or a person of an identity provider, may do in the tenant.",
    name="TenantRole",
    ADMIN="Everything that the tenant may do, its budgets, plan and keys included.",
    SERVICE="A worker: reserves, consumes and records.",
    MEMBER="Reads.",
)
_describe(
    Role,
    "What whoever asks may do.",
    OPERATOR="Runs this installation, and acts on any tenant that the header Purser-Tenant names.",
    ADMIN="Everything that the tenant may do, its budgets, plan and keys included.",
    MEMBER="Reads.",
    SERVICE="A worker: reserves, consumes and records.",
)
_describe(
    PriceDifferenceKind,
    "How our price of a model differs from the package's.",
    CHANGED="Both have one, and they are not the same.",
    NEW="Our list has none.",
    GONE="The package has it no more.",
)
_describe(
    TaskVerdict,
    "What running work does next.",
    CONTINUE="It may go on.",
    ABORT="It must stop: its reservation has ended, something is paused, or its task cap is reached.",
)
_describe(
    Outcome,
    "How a run of a job ended.",
    name="JobOutcome",
    RUNNING="It runs.",
    DONE="It did all there was to do.",
    UNFINISHED="Its time ran out, or something could not be done yet; the next run goes on.",
    FAILED="An error ended it; the next run does what is left.",
)
_describe(
    NamedKind,
    "Which of your own things can be given a name.",
    AGENT="An agent role.",
    CAMPAIGN="A campaign.",
    CLIENT="A client of yours.",
    PROJECT="A project.",
    ACCOUNT="An account.",
)
_describe(
    AgentStatus,
    "Where an agent role stands.",
    ACTIVE="It may spend.",
    WARNING="It may spend, and what it has spent in the month is at or above the first threshold of its cap (80 % unless "
    "set).",
    PAUSED="Stopped by a person or by its budget.",
    INACTIVE="Taken out of use.",
)
_describe(
    Dimension,
    "What usage can be grouped by. DAY, WEEK and MONTH make a series: every period of the top groups.",
    name="UsageDimension",
    PROVIDER="Who was called.",
    MODEL="The model.",
    OPERATION="The operation.",
    FEATURE="The feature of the rate card.",
    KIND="What happened: LLM, TOOL, API or DATA_QUERY; null for charges of work that reported no calls.",
    AGENT_ROLE="The agent's role.",
    CAMPAIGN="The campaign.",
    CLIENT="The client; that of the campaign where the usage names none itself.",
    PROJECT="The project.",
    RESEARCH="The research.",
    ACCOUNT="The account.",
    SESSION="The session.",
    TAG="A tag, as key=value. Usage with several tags counts under each of them; totals count it once.",
    ROUTE="On whose provider key it ran.",
    DAY="The day in the tenant's time zone, such as 2026-11-21.",
    WEEK="The week from Monday in the tenant's time zone, by its Monday.",
    MONTH="The month in the tenant's time zone, such as 2026-11.",
)
_describe(
    ExpenseKind,
    "What an expense went to.",
    ADWORDS="Google Ads.",
    META_ADS="Ads on Facebook and Instagram.",
    LINKEDIN_ADS="Ads on LinkedIn.",
    OTHER_ADS="Ads elsewhere.",
    AGENCY="An agency's fees.",
    LABOR="Hours of people: hours times an hourly rate.",
    SOFTWARE="Software and subscriptions.",
    CONTENT="Production of content.",
    EVENT="An event.",
    OTHER="Anything else.",
)
_describe(
    ExpenseChange,
    "How a version of an expense came to be.",
    ADDED="It was entered.",
    CHANGED="It was changed.",
    DELETED="It was deleted; the facts are the last ones.",
)
_describe(
    CacStatus,
    "Whether the cost of acquisition can be told.",
    OK="It can.",
    NO_EXPENSES="No expense was entered.",
    MIXED_CURRENCIES="The expenses are in several currencies, and nothing is converted.",
    NO_CUSTOMERS="No customer was won.",
)
_describe(
    MarginDimension,
    "By what margins can be grouped.",
    FEATURE="The feature of the rate card.",
    PROVIDER="Who was called.",
    TENANT="The tenant, by its slug.",
    MONTH="The calendar month in the tenant's time zone.",
)
_describe(
    MarginFlag,
    "What is wrong with a margin.",
    NEGATIVE="It cost more than it brought in.",
    BELOW_TARGET="It brought in less than it should.",
)
_describe(
    Unmetered,
    "Why nobody was charged for a call that has to be paid.",
    GIVEN_UP="Its reservation was released, expired and was not settled, or takes capacity, which is never settled.",
    SETTLED_FOR_NOTHING="Its reservation was settled, and nothing was charged: its quantity was 0, or the tenant has no wallet for "
    "what it cost.",
    UNPRICED="Its price is not known yet: publish it, then re-rate.",
    NO_FEATURE="It names no feature.",
    NO_RATE="Its feature has no rate that charges single calls, or the tenant has no wallet for it.",
)
