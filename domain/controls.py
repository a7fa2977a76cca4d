"""Controls: what people decide about budgets and pauses, and what follows from it.

A raised or removed cap lets work through at once: a pause that the old cap made is lifted in the same
step and workers are told to queue again (PRODUCT.md 6 and 9).
"""

from dataclasses import dataclass
from datetime import datetime

from domain import budgets, funds
from domain.admission import closed
from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.books import Books, Changes, Decision, Event, Named, Request, Seen, paused, resumed
from domain.budgets import Budget, BudgetKey, BudgetPeriod, Counter, CounterKey, Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.periods import TOTAL
from domain.refusals import BudgetScope, FieldProblem, NotFound, Refusal

MANUAL_PAUSE = "manual_pause"
DEACTIVATED = "deactivated"
MOST_THRESHOLDS = 10
HIGHEST_THRESHOLD = 100_000


@dataclass(frozen=True, slots=True)
class SetBudget:
    """Cap what a scope may cost in a period (nano-dollars)."""

    request: Request
    budget: Budget


@dataclass(frozen=True, slots=True)
class RemoveBudget:
    """Let a scope spend without this cap; its counter runs on."""

    request: Request
    key: BudgetKey


@dataclass(frozen=True, slots=True)
class PauseScope:
    """A person stops a tenant, an agent role or a campaign."""

    request: Request
    key: ScopeKey
    reason: str = MANUAL_PAUSE


@dataclass(frozen=True, slots=True)
class ResumeScope:
    """A person lets it work again, whoever paused or deactivated it."""

    request: Request
    key: ScopeKey


@dataclass(frozen=True, slots=True)
class DeactivateScope:
    """A person takes an agent role or a campaign out of use; an agent role then counts no more towards the plan."""

    request: Request
    key: ScopeKey
    reason: str = DEACTIVATED


@dataclass(frozen=True, slots=True)
class NameScope:
    """A person names an agent role, a campaign, a client, a project or an account; None takes the name away. `client`:
    whose campaign it is; None leaves that as it was."""

    request: Request
    key: ScopeKey
    name: str | None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class ResetBudgets:
    """Resume those of these scopes that a budget paused and whose pause has ended by itself."""

    request: Request
    keys: tuple[ScopeKey, ...]


@dataclass(frozen=True, slots=True)
class BudgetsReset:
    """The scopes that were resumed."""

    keys: tuple[ScopeKey, ...]


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget with its newest counter and the scope that it is about; `budget` None: no cap."""

    key: BudgetKey
    budget: Budget | None
    counter: Counter
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class ScopeState:
    """A scope as it stands."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class ScopeNamed:
    """What was named."""

    key: ScopeKey


def budget_problems(key: BudgetKey, budget: Budget | None) -> tuple[FieldProblem, ...]:
    """Which budgets there can be: TENANT (no id, MONTH), AGENT (role, MONTH; or TASK, with or without a role),
    CAMPAIGN (id, TOTAL or MONTH), TAG ("key=value", MONTH or TOTAL)."""
    found: list[FieldProblem] = []
    periods = {
        BudgetScope.TENANT: (BudgetPeriod.MONTH,),
        BudgetScope.AGENT: (BudgetPeriod.MONTH, BudgetPeriod.TASK),
        BudgetScope.CAMPAIGN: (BudgetPeriod.TOTAL, BudgetPeriod.MONTH),
        BudgetScope.TAG: (BudgetPeriod.MONTH, BudgetPeriod.TOTAL),
    }
    if key.scope is BudgetScope.TASK:
        found.append(FieldProblem("scope", "a task cap is set with scope AGENT and period TASK"))
        return tuple(found)
    if key.period not in periods[key.scope]:
        allowed = " or ".join(periods[key.scope])
        found.append(FieldProblem("period", f"a budget of scope {key.scope} has the period {allowed}"))
    if key.scope is BudgetScope.TENANT:
        if key.scope_id:
            found.append(FieldProblem("scopeId", "the tenant's own budget has no scopeId: leave it out"))
    elif not key.scope_id:
        if key.period is not BudgetPeriod.TASK:
            found.append(FieldProblem("scopeId", f"name the {key.scope.lower()} that the budget is for"))
    elif key.scope is BudgetScope.TAG:
        name, equals, value = key.scope_id.partition("=")
        if not equals or not is_identifier(name) or not is_identifier(value):
            found.append(FieldProblem("scopeId", "a tag is addressed as key=value"))
    elif not is_identifier(key.scope_id):
        found.append(FieldProblem("scopeId", IDENTIFIER_RULE))
    return (*found, *_figure_problems(budget))


def scope_problems(key: ScopeKey, reason: str) -> tuple[FieldProblem, ...]:
    """What is wrong with the address of a pause."""
    found: list[FieldProblem] = []
    if key.kind not in budgets.SCOPE_KINDS.values():
        found.append(FieldProblem("scope", "only TENANT, AGENT and CAMPAIGN can be paused"))
    elif key.kind is ScopeKind.TENANT:
        if key.id:
            found.append(FieldProblem("scopeId", "the tenant itself has no scopeId: leave it out"))
    elif not is_identifier(key.id):
        found.append(FieldProblem("scopeId", IDENTIFIER_RULE))
    if not is_identifier(reason):
        found.append(FieldProblem("reason", IDENTIFIER_RULE))
    elif reason in budgets.PAUSE_REASONS.values() or reason == funds.METERED_EMPTY:
        found.append(FieldProblem("reason", "this reason is Purser's own: use another"))
    return tuple(found)


def deactivation_problems(key: ScopeKey, reason: str) -> tuple[FieldProblem, ...]:
    """What is wrong with the address of a deactivation."""
    if key.kind is ScopeKind.TENANT:
        return (FieldProblem("scope", "only AGENT and CAMPAIGN can be deactivated; an operator suspends a tenant"),)
    return scope_problems(key, reason)


def naming_problems(key: ScopeKey, name: str | None, client: str | None) -> tuple[FieldProblem, ...]:
    """What is wrong with a name, or with what is to carry it."""
    found: list[FieldProblem] = []
    if key.kind is ScopeKind.TENANT:
        found.append(FieldProblem("kind", "an operator renames a tenant: renameTenant"))
    elif not is_identifier(key.id):
        found.append(FieldProblem("id", IDENTIFIER_RULE))
    if name is not None and not is_identifier(name):
        found.append(FieldProblem("name", IDENTIFIER_RULE))
    if client is not None and key.kind is not ScopeKind.CAMPAIGN:
        found.append(FieldProblem("client", "only a campaign has a client: leave it out"))
    elif client is not None and not is_identifier(client):
        found.append(FieldProblem("client", IDENTIFIER_RULE))
    return tuple(found)


def set_budget(books: Books, command: SetBudget) -> Decision[BudgetState | Refusal]:
    """Put the cap in force and lift, or carry over, the pause that the old one made."""
    return _changed(books, command.budget.key, command.budget)


def remove_budget(books: Books, command: RemoveBudget) -> Decision[BudgetState | Refusal]:
    """Take the tenant's own cap away; an operator's default applies again."""
    if command.key not in books.book.budgets:
        return Decision(NotFound("budget"))
    return _changed(books, command.key, None)


def pause_scope(books: Books, command: PauseScope, now: datetime) -> Decision[ScopeState | Refusal]:
    """Pause by hand; it lasts until a person resumes. A scope that was never seen is registered, an agent role within
    the plan; one that is not in use stays so."""
    known = books.book.scopes.get(command.key)
    if known is None and command.key.kind is ScopeKind.AGENT:
        full = funds.agents_limit(books, command.key.id, now)
        if full is not None:
            return Decision(full)
    scope = known or Scope(command.key)
    if scope.status is ScopeStatus.INACTIVE:
        return Decision(ScopeState(scope))
    after = Scope(scope.key, scope.name, ScopeStatus.PAUSED, command.reason)
    if after == scope:
        return Decision(ScopeState(scope))
    return Decision(ScopeState(after), Changes(scopes=(after,), events=(paused(after),)))


def deactivate_scope(books: Books, command: DeactivateScope) -> Decision[ScopeState | Refusal]:
    """Take out of use by hand; it lasts until a person resumes."""
    scope = books.book.scopes.get(command.key)
    if scope is None:
        return Decision(NotFound("scope"))
    after = Scope(scope.key, scope.name, ScopeStatus.INACTIVE, command.reason)
    if after == scope:
        return Decision(ScopeState(scope))
    return Decision(ScopeState(after), Changes(scopes=(after,), events=(paused(after),)))


def name_scope(books: Books, command: NameScope, now: datetime) -> Decision[ScopeNamed | Refusal]:
    """Name one of the customer's own things, or take its name away. What was never seen is registered: an agent role
    within the plan, a campaign while there is balance."""
    if command.key not in books.book.scopes:
        refusal = funds.may_activate(books, command.key, now)
        if refusal is not None:
            return Decision(refusal)
    client = () if command.client is None else (Seen(ScopeKey(ScopeKind.CLIENT, command.client)),)
    named = Named(command.key, command.name, command.client)
    return Decision(ScopeNamed(command.key), Changes(seen=client, names=(named,)))


def resume_scope(books: Books, command: ResumeScope, now: datetime) -> Decision[ScopeState | Refusal]:
    """Resume by hand, whoever paused or deactivated it. A campaign is not activated while the prepaid wallet is empty,
    nor an agent role beyond the plan."""
    scope = books.book.scopes.get(command.key)
    if scope is None:
        return Decision(NotFound("scope"))
    if scope.status is ScopeStatus.ACTIVE:
        return Decision(ScopeState(scope))
    # A pause may have registered a campaign; a paused agent role counts already.
    if scope.status is ScopeStatus.INACTIVE or scope.key.kind is ScopeKind.CAMPAIGN:
        refusal = funds.may_activate(books, scope.key, now)
        if refusal is not None:
            return Decision(refusal)
    after = budgets.resumed(scope)
    return Decision(ScopeState(after), Changes(scopes=(after,), events=(resumed(scope),)))


def reset_budgets(books: Books, command: ResetBudgets) -> Decision[BudgetsReset]:
    """Resume what budgets paused in a month that is over, or under a cap that was raised or removed since, and tell workers
    to queue its work again. Such a pause stops nobody any more, so this only tidies. What people paused or deactivated
    stays, as do a tenant that is not active and a total budget that is used up."""
    if closed(books.tenant) is not None:
        return Decision(BudgetsReset(()))
    found = [books.book.scopes.get(key) for key in command.keys]
    ended = [scope for scope in found if scope is not None and _has_ended(books, scope)]
    return Decision(
        BudgetsReset(tuple([scope.key for scope in ended])),
        Changes(
            scopes=tuple([budgets.resumed(scope) for scope in ended]),
            events=tuple([resumed(scope) for scope in ended]),
        ),
    )


def budget_state(books: Books, key: BudgetKey, budget: Budget | None, scope: Scope | None) -> BudgetState:
    """A budget as it is answered. A task cap has no counter: its own shows zero."""
    period = TOTAL if key.period is BudgetPeriod.TOTAL else books.book.month
    if key.period is BudgetPeriod.TASK:
        return BudgetState(key, budget, Counter(CounterKey(key.scope, key.scope_id, BudgetPeriod.TASK), 0, 0), None)
    return BudgetState(key, budget, books.book.counter(CounterKey(key.scope, key.scope_id, period)), scope)


def scope_of(books: Books, key: BudgetKey) -> Scope | None:
    """The scope that a budget pauses; tags and task caps pause none."""
    if key.scope not in budgets.PAUSE_REASONS or key.period is BudgetPeriod.TASK:
        return None
    return books.book.scopes.get(ScopeKey(ScopeKind(key.scope.value), key.scope_id))


def _changed(books: Books, key: BudgetKey, budget: Budget | None) -> Decision[BudgetState | Refusal]:
    in_force = budget or books.book.defaults.get(key)
    scope = scope_of(books, key)
    scopes: tuple[Scope, ...] = ()
    events: tuple[Event, ...] = ()
    if scope is not None and scope.paused_by_budget and _made_by(scope, key):
        after = _after(books, scope, in_force)
        if after != scope:
            scopes = (after,)
            events = (resumed(scope),) if after.status is ScopeStatus.ACTIVE else ()
            scope = after
    state = budget_state(books, key, in_force, scope)
    return Decision(state, Changes(budgets=((key, budget),), scopes=scopes, events=events))


def _figure_problems(budget: Budget | None) -> tuple[FieldProblem, ...]:
    found: list[FieldProblem] = []
    if budget is not None and budget.cap < 0:
        found.append(FieldProblem("cap", "must not be negative"))
    if budget is not None:
        fits = all(0 < threshold <= HIGHEST_THRESHOLD for threshold in budget.thresholds)
        if not fits or not 0 < len(budget.thresholds) <= MOST_THRESHOLDS:
            found.append(FieldProblem("thresholds", f"1 to {MOST_THRESHOLDS} percents above 0 and up to 1000"))
    return tuple(found)


def _has_ended(books: Books, scope: Scope) -> bool:
    """Whether a budget paused it, and neither the period nor the cap would do so now."""
    if not scope.paused_by_budget or scope.pause_period_key is None:
        return False
    counter = CounterKey(BudgetScope(scope.key.kind.value), scope.key.id, scope.pause_period_key)
    in_force = books.book.budget(budgets.budget_key(counter))
    return _after(books, scope, in_force).status is ScopeStatus.ACTIVE


def _made_by(scope: Scope, key: BudgetKey) -> bool:
    return (scope.pause_period_key == TOTAL) == (key.period is BudgetPeriod.TOTAL)


def _after(books: Books, scope: Scope, budget: Budget | None) -> Scope:
    """A scope that this budget paused, under the new cap: it stays paused unless the cap was raised above what is spent."""
    assert scope.pause_period_key is not None
    assert scope.pause_cap is not None
    counter = books.book.counter(CounterKey(BudgetScope(scope.key.kind.value), scope.key.id, scope.pause_period_key))
    month_is_over = scope.pause_period_key not in (TOTAL, books.book.month)
    if budget is None or month_is_over or budget.cap > max(scope.pause_cap, counter.spent):
        return budgets.resumed(scope)
    return Scope(scope.key, scope.name, ScopeStatus.PAUSED, scope.pause_reason, scope.pause_period_key, budget.cap)
