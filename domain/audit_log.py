"""Audit log: what people decided, told so that it can be read years later: who, about what, with which figures.

It tells of decisions, not of work: a reservation or a charge stands on the ledger, and what Purser does by itself (a cycle
that starts, a pause that a budget makes or ends) in its events. It never holds a secret, nor what a credit is worth, the
markup or a margin: tenants' admins read it.
"""

from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from domain import ids
from domain.adjustments import Adjusted, AdjustWallet
from domain.books import Request
from domain.budgets import BudgetKey, ScopeKey
from domain.controls import DeactivateScope, NameScope, PauseScope, RemoveBudget, ResumeScope, SetBudget
from domain.decisions import Answer, Command
from domain.money import format_amount
from domain.recharges import RechargeState, SetAutoRecharge
from domain.rerating import Rerate, Rerated
from domain.subscriptions import ChangePlan, SetCycle
from domain.tenancy import CloseTenant, RenameTenant, ResumeTenant, SuspendTenant
from domain.topups import Ordered, StartTopUp

# What is decided beside the commands.
SET_DEFAULT_BUDGET: Final = "setDefaultBudget"
SET_PROVIDER_KEY: Final = "setProviderKey"
REMOVE_PROVIDER_KEY: Final = "removeProviderKey"

Detail: TypeAlias = tuple[str, str | int | bool | None]

# Commands that people decide: the others are work, payments and jobs.
DECIDED_BY_PEOPLE: Final = frozenset(
    {
        AdjustWallet,
        SetBudget,
        RemoveBudget,
        PauseScope,
        ResumeScope,
        DeactivateScope,
        NameScope,
        ChangePlan,
        SetCycle,
        RenameTenant,
        SuspendTenant,
        ResumeTenant,
        CloseTenant,
        StartTopUp,
        SetAutoRecharge,
        Rerate,
    }
)


class AuditEvent(NamedTuple):
    """One decision. `tenant_id`: whom it concerns, NIL for all. `role`: the key's, None where none is known. `subject`:
    `kind:id`, such as `wallet:credits`. `details`: what was asked for, under the names that the API has for it; amounts are
    decimals."""

    tenant_id: UUID
    actor: str
    role: str | None
    operation: str
    subject: str
    details: tuple[Detail, ...] = ()
    idempotency_key: str | None = None


def event_by(request: Request, subject: str, *details: Detail) -> AuditEvent:
    """A decision that was asked for by this request."""
    tenant_id, actor, operation, key, _, role = request
    return AuditEvent(tenant_id, actor, role, operation.value, subject, details, key or None)


def event_of(command: Command, answer: Answer) -> AuditEvent | None:
    """What the log says of a command that was granted; None for one that people do not decide, or that changed nothing."""
    match command, answer:
        case AdjustWallet(), Adjusted():
            amount = ("amount", format_amount(command.amount))
            return event_by(command.request, _wallet(command.wallet_key), amount, ("note", command.note))
        case StartTopUp(), Ordered(top_up):
            order: list[Detail] = [("walletKey", top_up.wallet_key), ("amount", format_amount(top_up.amount))]
            return event_by(
                command.request, f"top_up:{ids.public('top_up', top_up.id)}", *order, ("bundle", top_up.bundle)
            )
        case SetAutoRecharge(), RechargeState(_, recharge):
            figures: list[Detail] = [
                ("enabled", recharge.enabled),
                ("threshold", format_amount(recharge.threshold)),
                ("amount", format_amount(recharge.amount)),
                ("monthlyLimit", None if recharge.monthly_limit is None else format_amount(recharge.monthly_limit)),
            ]
            return event_by(command.request, _wallet(command.wallet_key), *figures)
        case Rerate(), Rerated():
            corrected = ("events", answer.corrected)
            return event_by(command.request, "usage", corrected) if answer.corrected else None
        case _:
            return _of_budget_or_scope(command) or _of_tenant(command)


def _of_budget_or_scope(command: Command) -> AuditEvent | None:
    match command:
        case SetBudget(request, budget):
            thresholds = " ".join(format_percent(threshold) for threshold in budget.thresholds)
            cap = ("cap", format_amount(budget.cap))
            return event_by(request, budget_subject(budget.key), _period(budget.key), cap, ("thresholds", thresholds))
        case RemoveBudget(request, key):
            return event_by(request, budget_subject(key), _period(key))
        case PauseScope(request, key, reason) | DeactivateScope(request, key, reason):
            return event_by(request, _scope(key), ("reason", reason))
        case ResumeScope(request, key):
            return event_by(request, _scope(key))
        case NameScope(request, key, name, client):
            return event_by(request, _scope(key), ("name", name), ("client", client))
        case _:
            return None


def _of_tenant(command: Command) -> AuditEvent | None:
    match command:
        case ChangePlan(request, plan):
            return event_by(request, "tenant", ("plan", plan))
        case SetCycle(request, anchor_day, zone):
            time_zone = None if zone is None else str(zone)
            return event_by(request, "tenant", ("anchorDay", anchor_day), ("timeZone", time_zone))
        case RenameTenant(request, name):
            return event_by(request, "tenant", ("name", name))
        case SuspendTenant(request) | ResumeTenant(request) | CloseTenant(request):
            return event_by(request, "tenant")
        case _:
            return None


def budget_subject(key: BudgetKey) -> str:
    """What a budget is about: `campaign:spring`; the tenant has no id, nor has the cap of every role's tasks."""
    return _place(key.scope.value, key.scope_id)


def format_percent(hundredths: int) -> str:
    """Hundredths of a percent as people write them: 8050 is 80.5."""
    return f"{hundredths // 100}.{hundredths % 100:02d}".rstrip("0").rstrip(".")


def _scope(key: ScopeKey) -> str:
    return _place(key.kind.value, key.id)


def _place(kind: str, identifier: str) -> str:
    return f"{kind.lower()}:{identifier}" if identifier else kind.lower()


def _wallet(key: str) -> str:
    return f"wallet:{key}"


def _period(key: BudgetKey) -> Detail:
    return "period", key.period.value
