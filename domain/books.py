"""Books: what a decision about one tenant may look at, and what it changes.

A decision is a function of a `Books` value and a command. A batch is a fold: the changes of one decision
are part of the books that the next one sees.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from domain.attribution import Attribution
from domain.budget_steps import CountedBatch
from domain.budgets import Budget, BudgetBook, BudgetKey, Counter, Scope, ScopeKey, ScopeKind
from domain.catalog import Catalog
from domain.cycles import Allocation
from domain.holds import Reservation, TaskKey
from domain.ledger import Entry
from domain.payments import AutoRecharge, TopUp
from domain.tenants import Tenant
from domain.usage import Amendment, UsageEvent
from domain.wallets import Wallet


class Operation(StrEnum):
    """What is asked for; idempotency keys are unique per tenant and operation."""

    RESERVE = "reserve"
    CONSUME = "consume"
    RELEASE = "release"
    EXTEND = "extend"
    GRANT = "grant"
    ADJUST_WALLET = "adjustWallet"
    EXPIRE_LOTS = "expireLots"
    SET_BUDGET = "setBudget"
    REMOVE_BUDGET = "removeBudget"
    PAUSE_SCOPE = "pauseScope"
    RESUME_SCOPE = "resumeScope"
    RESET_BUDGETS = "resetBudgets"
    DEACTIVATE_SCOPE = "deactivateScope"
    NAME_SCOPE = "nameScope"
    RECORD_USAGE = "recordUsage"
    CREATE_TENANT = "createTenant"
    CHANGE_PLAN = "changePlan"
    SET_CYCLE = "setCycle"
    RENAME_TENANT = "renameTenant"
    SUSPEND_TENANT = "suspendTenant"
    RESUME_TENANT = "resumeTenant"
    CLOSE_TENANT = "closeTenant"
    START_TOP_UP = "startTopUp"
    SETTLE_TOP_UP = "settleTopUp"
    SET_AUTO_RECHARGE = "setAutoRecharge"
    RECHARGE = "recharge"
    RERATE_USAGE = "rerateUsage"
    PUBLISH_RATE_CARD = "publishRateCard"
    PUBLISH_PRICE = "publishPrice"
    PUBLISH_PROVIDER = "publishProvider"
    PUBLISH_PLAN = "publishPlan"
    PUBLISH_BUNDLE = "publishBundle"
    ADD_CHANNEL = "addChannel"
    REMOVE_CHANNEL = "removeChannel"
    TEST_CHANNEL = "testChannel"
    CREATE_API_KEY = "createApiKey"
    ROTATE_API_KEY = "rotateApiKey"
    REVOKE_API_KEY = "revokeApiKey"
    SET_IDENTITY_PROVIDER = "setIdentityProvider"
    REMOVE_IDENTITY_PROVIDER = "removeIdentityProvider"
    ADD_EXPENSE = "addExpense"
    CHANGE_EXPENSE = "changeExpense"
    DELETE_EXPENSE = "deleteExpense"
    IMPORT_EXPENSES = "importExpenses"
    RECORD_CUSTOMERS_WON = "recordCustomersWon"


class Request(NamedTuple):
    """Who asks for what under which key. `hash` covers everything that the client sent but the key. `role`: the caller's;
    None: Purser's own."""

    tenant_id: UUID
    actor: str
    operation: Operation
    idempotency_key: str
    hash: bytes
    role: str | None = None


class Used(NamedTuple):
    """An idempotency key that was granted before: the request's hash, and the id of what it made."""

    hash: bytes
    result_id: UUID | None


class EventType(StrEnum):
    """What others must hear of, through the outbox."""

    SCOPE_PAUSED = "scope.paused"  # workers drain the scope's queue
    SCOPE_RESUMED = "scope.resumed"  # workers requeue its work
    DEBT_REPAID = "wallet.debt_repaid"  # work that waited for funds is requeued
    USAGE_UNPRICED = "usage.unpriced"  # a model was used that has no price
    CYCLE_STARTED = "cycle.started"  # credits were granted: work that waited for them is requeued
    BALANCE_LOW = "wallet.low"  # a prepaid wallet fell below its threshold: people are told, and it may recharge
    BALANCE_EMPTY = "wallet.empty"  # nothing can be paid from a prepaid wallet: campaigns are deactivated
    TOP_UP_CREDITED = "top_up.credited"  # work that waited for funds is requeued
    TOP_UP_FAILED = "top_up.failed"  # a card was declined, or a checkout left
    TOP_UP_NEEDS_ACTION = "top_up.needs_action"  # the bank wants the card's owner to confirm
    TOP_UP_UNMATCHED = "top_up.unmatched"  # money came in that is not what was ordered: a person looks at it
    TOP_UP_TAKEN_BACK = "top_up.taken_back"  # a refund or a dispute took credit out again
    AUTO_RECHARGE_DISABLED = "auto_recharge.disabled"  # after repeated declines
    ALERT_RAISED = "alert.raised"  # people are told


@dataclass(frozen=True, slots=True)
class Event:
    """One message to the outside, in the same commit as what it tells of; amounts in it are nano-units."""

    type: EventType
    payload: tuple[tuple[str, str | int | None], ...]


@dataclass(frozen=True, slots=True)
class Books:
    """One tenant's state as far as a batch needs it.

    wallets: by key. recorded: (source, event id) of usage that is known already. own_keys_allowed: whether the
    deployment lets tenants bring their own provider keys at all. agents: the agent roles that are registered and not
    inactive, None where no command asks. allocations: by wallet key, the plan's last one. recharges: by wallet key.
    usage: the events that are to be re-rated, as they are with their amendments.
    """

    tenant: Tenant
    catalog: Catalog
    own_keys_allowed: bool
    wallets: Mapping[str, Wallet]
    book: BudgetBook
    reservations: Mapping[UUID, Reservation]
    tasks: Mapping[TaskKey, UUID]
    used_keys: Mapping[tuple[Operation, str], Used]
    recorded: AbstractSet[tuple[str, str]] = frozenset()
    agents: AbstractSet[str] | None = None
    allocations: Mapping[str, Allocation] = field(default_factory=dict)
    top_ups: Mapping[UUID, TopUp] = field(default_factory=dict)
    recharges: Mapping[str, AutoRecharge] = field(default_factory=dict)
    usage: Mapping[UUID, UsageEvent] = field(default_factory=dict)


class Seen(NamedTuple):
    """A customer's own id that usage named: registered when first seen. A campaign knows its client."""

    key: ScopeKey
    client: str | None = None


class Named(NamedTuple):
    """What a person calls one of the customer's own things (None: it has no name any more), and whose campaign it is
    (None: as it was)."""

    key: ScopeKey
    name: str | None
    client: str | None = None


class Changes(NamedTuple):
    """What a decision writes: the new state of whatever it touched, and facts to append."""

    wallets: tuple[Wallet, ...] = ()
    entries: tuple[Entry, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    tasks: tuple[tuple[TaskKey, UUID | None], ...] = ()
    counters: tuple[Counter, ...] = ()
    scopes: tuple[Scope, ...] = ()
    budgets: tuple[tuple[BudgetKey, Budget | None], ...] = ()
    seen: tuple[Seen, ...] = ()
    names: tuple[Named, ...] = ()
    usage: tuple[UsageEvent, ...] = ()
    amendments: tuple[Amendment, ...] = ()
    events: tuple[Event, ...] = ()
    used_keys: tuple[tuple[Operation, str, Used], ...] = ()
    tenant: Tenant | None = None
    allocations: tuple[Allocation, ...] = ()
    top_ups: tuple[TopUp, ...] = ()
    recharges: tuple[AutoRecharge, ...] = ()
    counted_batch: CountedBatch | None = None


NO_CHANGES = Changes()

Answer_co = TypeVar("Answer_co", covariant=True)


class Decision(NamedTuple, Generic[Answer_co]):
    """What the caller is told, and what is written."""

    answer: Answer_co
    changes: Changes = NO_CHANGES


def seen(attribution: Attribution) -> tuple[Seen, ...]:
    """The customer's ids in an attribution that are registered."""
    found: list[Seen] = []
    if attribution.agent_role is not None:
        found.append(Seen(ScopeKey(ScopeKind.AGENT, attribution.agent_role)))
    if attribution.campaign is not None:
        found.append(Seen(ScopeKey(ScopeKind.CAMPAIGN, attribution.campaign), attribution.client))
    if attribution.client is not None:
        found.append(Seen(ScopeKey(ScopeKind.CLIENT, attribution.client)))
    if attribution.project is not None:
        found.append(Seen(ScopeKey(ScopeKind.PROJECT, attribution.project)))
    if attribution.account is not None:
        found.append(Seen(ScopeKey(ScopeKind.ACCOUNT, attribution.account)))
    return tuple(found)


def paused(scope: Scope) -> Event:
    """Tells workers to drain what they have queued for a scope."""
    return Event(EventType.SCOPE_PAUSED, _about(scope))


def resumed(scope: Scope) -> Event:
    """Tells workers to queue again what waited for a scope."""
    return Event(EventType.SCOPE_RESUMED, _about(scope))


def _about(scope: Scope) -> tuple[tuple[str, str | int | None], ...]:
    return (
        ("scope", scope.key.kind.value),
        ("scopeId", scope.key.id or None),
        ("reason", scope.pause_reason),
        ("period", scope.pause_period_key),
        ("cap", scope.pause_cap),
    )
