"""Budgets: caps on provider cost in US dollars, and the pauses that follow from them.

Levels are checked in the order of document 003: tenant month, agent role month, campaign, task; then
free tags. A request is refused if spent + held + requested > cap. Only admission bounds a budget: a
settlement may pass the cap. Counters run without caps too, and are keyed by period, so a new month
starts at zero with nobody resetting anything (PRODUCT.md 6). Amounts are nano-dollars.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from domain.attribution import Attribution
from domain.money import percent
from domain.periods import TOTAL
from domain.refusals import BudgetExceeded, BudgetScope, ScopePaused


class BudgetPeriod(StrEnum):
    """A calendar month, for ever, or one reservation."""

    MONTH = "MONTH"
    TOTAL = "TOTAL"
    TASK = "TASK"


class ScopeKind(StrEnum):
    """The customer's own things that Purser registers when it first sees them. The first three can be paused."""

    TENANT = "TENANT"
    AGENT = "AGENT"
    CAMPAIGN = "CAMPAIGN"
    CLIENT = "CLIENT"
    PROJECT = "PROJECT"
    ACCOUNT = "ACCOUNT"


class ScopeStatus(StrEnum):
    """Only an active scope may spend."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    INACTIVE = "INACTIVE"


# The scopes that can be paused, as what they are registered as.
SCOPE_KINDS: Final = {
    BudgetScope.TENANT: ScopeKind.TENANT,
    BudgetScope.AGENT: ScopeKind.AGENT,
    BudgetScope.CAMPAIGN: ScopeKind.CAMPAIGN,
}


class BudgetKey(NamedTuple):
    """What a budget is addressed by; the tenant's scope has the empty id."""

    scope: BudgetScope
    scope_id: str
    period: BudgetPeriod


class CounterKey(NamedTuple):
    """A budget's counter in one period: "2026-11" or "TOTAL"."""

    scope: BudgetScope
    scope_id: str
    period_key: str


class ScopeKey(NamedTuple):
    """A registered thing; the tenant's own has the empty id."""

    kind: ScopeKind
    id: str


DEFAULT_THRESHOLDS: Final = (8_000, 10_000)
TASK_OF_ANY_ROLE: Final = BudgetKey(BudgetScope.AGENT, "", BudgetPeriod.TASK)

PAUSE_REASONS: Final = {
    BudgetScope.CAMPAIGN: "budget_exceeded",
    BudgetScope.AGENT: "monthly_budget_exceeded",
    BudgetScope.TENANT: "tenant_monthly_budget_exceeded",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap. `thresholds` are hundredths of a percent at which people are told."""

    key: BudgetKey
    cap: int
    thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS


class Counter(NamedTuple):
    """What was spent and what is held in one period."""

    key: CounterKey
    spent: int
    held: int


@dataclass(frozen=True, slots=True)
class Scope:
    """A registered thing with its status. A budget's pause carries the period and the cap that it was made for
    (`pause_period_key`, `pause_cap`) and counts only while both are current."""

    key: ScopeKey
    name: str | None = None
    status: ScopeStatus = ScopeStatus.ACTIVE
    pause_reason: str | None = None
    pause_period_key: str | None = None
    pause_cap: int | None = None

    @property
    def paused_by_budget(self) -> bool:
        """Whether a budget paused it, and not a person."""
        return self.status is ScopeStatus.PAUSED and self.pause_period_key is not None


@dataclass(frozen=True, slots=True)
class BudgetBook:
    """What the rules look at: caps (`defaults` are the operator's, by role), counters and scopes of one tenant, and
    the calendar month that is current for it."""

    month: str
    budgets: Mapping[BudgetKey, Budget]
    defaults: Mapping[BudgetKey, Budget]
    counters: Mapping[CounterKey, Counter]
    scopes: Mapping[ScopeKey, Scope]

    def budget(self, key: BudgetKey) -> Budget | None:
        """The cap in force: the tenant's own, else the operator's default."""
        return self.budgets.get(key) or self.defaults.get(key)

    def counter(self, key: CounterKey) -> Counter:
        """The counter, at zero before anything was counted."""
        return self.counters.get(key) or Counter(key, 0, 0)


class Level(NamedTuple):
    """One counter with the cap in force on it (None: no cap)."""

    counter: Counter
    budget: Budget | None


class TaskRoom(NamedTuple):
    """The cap of one reservation (None: no cap), what it has spent and what it holds already."""

    cap: int | None
    spent: int = 0
    held: int = 0


NO_TASK_CAP: Final = TaskRoom(None)


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A budget that stands at or above its first threshold."""

    scope: BudgetScope
    scope_id: str | None
    used_percent: int
    cap: int
    spent: int
    held: int


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """A refusal, and the scope as it is paused by it (None: nothing is paused)."""

    refusal: BudgetExceeded | ScopePaused
    paused: Scope | None = None


@lru_cache(maxsize=4_096)
def counter_keys(attribution: Attribution, month: str) -> tuple[CounterKey, ...]:
    """The counters that spend with this attribution moves, in the order in which their caps are checked."""
    keys = [CounterKey(BudgetScope.TENANT, "", month)]
    if attribution.agent_role is not None:
        keys.append(CounterKey(BudgetScope.AGENT, attribution.agent_role, month))
    if attribution.campaign is not None:
        keys.append(CounterKey(BudgetScope.CAMPAIGN, attribution.campaign, TOTAL))
        keys.append(CounterKey(BudgetScope.CAMPAIGN, attribution.campaign, month))
    for name, value in attribution.tags:
        keys.append(CounterKey(BudgetScope.TAG, f"{name}={value}", month))
        keys.append(CounterKey(BudgetScope.TAG, f"{name}={value}", TOTAL))
    return tuple(keys)


def scope_keys(attribution: Attribution) -> tuple[ScopeKey, ...]:
    """The scopes whose pauses stop work with this attribution."""
    keys = [ScopeKey(ScopeKind.TENANT, "")]
    if attribution.agent_role is not None:
        keys.append(ScopeKey(ScopeKind.AGENT, attribution.agent_role))
    if attribution.campaign is not None:
        keys.append(ScopeKey(ScopeKind.CAMPAIGN, attribution.campaign))
    return tuple(keys)


def levels(book: BudgetBook, attribution: Attribution, month: str) -> tuple[Level, ...]:
    """Every level that spend with this attribution counts in, in the order in which caps are checked."""
    return tuple([_level(book, key) for key in counter_keys(attribution, month)])


@lru_cache(maxsize=16_384)
def budget_key(counter: CounterKey) -> BudgetKey:
    """The budget that a counter counts for."""
    period = BudgetPeriod.TOTAL if counter.period_key == TOTAL else BudgetPeriod.MONTH
    return BudgetKey(counter.scope, counter.scope_id, period)


def task_cap(book: BudgetBook, agent_role: str | None) -> int | None:
    """The cap of one reservation: that of its agent role, else that of any role; the tenant's before the operator's
    defaults."""
    role = None if agent_role is None else BudgetKey(BudgetScope.AGENT, agent_role, BudgetPeriod.TASK)
    for caps in (book.budgets, book.defaults):
        if caps:
            found = (None if role is None else caps.get(role)) or caps.get(TASK_OF_ANY_ROLE)
            if found is not None:
                return found.cap
    return None


def admit(
    book: BudgetBook, attribution: Attribution, counted: Sequence[Level], requested: int, task: TaskRoom = NO_TASK_CAP
) -> BudgetRefusal | None:
    """Decide whether provider cost may be held: None if every level (those of the attribution) has room.

    A request that costs nothing (local models) passes caps and the pauses of budgets, not those of people.
    """
    before_task = 1 + (attribution.agent_role is not None) + 2 * (attribution.campaign is not None)
    for level in counted[:before_task]:
        refusal = _admit_level(book, level, requested)
        if refusal is not None:
            return refusal
    if task.cap is not None and requested and task.spent + task.held + requested > task.cap:
        role = attribution.agent_role
        return BudgetRefusal(
            BudgetExceeded(BudgetScope.TASK, role, task.cap, task.spent, task.held, requested, retryable=False)
        )
    for level in counted[before_task:]:
        refusal = _admit_level(book, level, requested)
        if refusal is not None:
            return refusal
    return None


def pause_of(book: BudgetBook, key: ScopeKey, requested: int) -> ScopePaused | None:
    """Why a scope may not spend now, or None. A budget's pause counts while its period and its cap are current, and
    never against work that costs nothing."""
    scope = book.scopes.get(key)
    if scope is None or scope.status is ScopeStatus.ACTIVE:
        return None
    refusal = ScopePaused(BudgetScope(key.kind.value), key.id or None, scope.pause_reason or scope.status.lower())
    if scope.paused_by_budget and (requested == 0 or not is_current(book, scope)):
        return None
    return refusal


def is_current(book: BudgetBook, scope: Scope) -> bool:
    """Whether a budget's pause still counts: same period, same cap."""
    if scope.pause_period_key is None:
        return True
    counter_key = CounterKey(BudgetScope(scope.key.kind.value), scope.key.id, scope.pause_period_key)
    budget = book.budget(budget_key(counter_key))
    return budget is not None and budget.cap == scope.pause_cap and scope.pause_period_key in (TOTAL, book.month)


def settle(counted: Iterable[Level], spent: int, held: int) -> tuple[Counter, ...]:
    """The counters with this much more spent, and this much more (or, negative, less) held."""
    return tuple(
        [Counter(key, spent_before + spent, held_before + held) for (key, spent_before, held_before), _ in counted]
    )


def pauses_after(book: BudgetBook, counters: Iterable[Counter]) -> tuple[Scope, ...]:
    """The scopes that a settlement pauses: those whose cap in a current period it has just reached.

    `book` holds the counters before the settlement, `counters` are those after it.
    """
    paused: dict[ScopeKey, Scope] = {}
    for counter in counters:
        key = counter.key
        budget = book.budget(budget_key(key))
        if budget is None or key.scope not in PAUSE_REASONS or key.period_key not in (TOTAL, book.month):
            continue
        if book.counter(key).spent < budget.cap <= counter.spent:
            scope = _pause(book, key, budget.cap)
            if scope is not None:
                paused.setdefault(scope.key, scope)
    return tuple(paused.values())


def warnings(counted: Iterable[Level]) -> tuple[BudgetWarning, ...]:
    """The budgets whose spend stands at or above their first threshold."""
    found: list[BudgetWarning] = []
    for (key, spent, held), budget in counted:
        if budget is None:
            continue
        used = used_percent(spent, budget.cap)
        if budget.thresholds and used >= min(budget.thresholds):
            found.append(BudgetWarning(key.scope, key.scope_id or None, used, budget.cap, spent, held))
    return tuple(found)


def prompt_notice(counted: Iterable[Level]) -> str | None:
    """What to prepend to the agent's system prompt while its role's month stands at 80 to 99 % (document 003)."""
    for (key, spent, _), budget in counted:
        if key.scope is not BudgetScope.AGENT or budget is None:
            continue
        used = used_percent(spent, budget.cap)
        if DEFAULT_THRESHOLDS[0] <= used < DEFAULT_THRESHOLDS[1]:
            return (
                f"⚠️ BUDGET NOTICE: You have used {used // 100}% of your monthly token budget for this client.\n"
                "You are approaching your limit. For this task:\n"
                "- Be concise in your responses\n"
                "- Skip optional research or elaboration steps\n"
                "- Focus only on the core deliverable\n"
                "- Avoid making unnecessary tool calls\n"
            )
    return None


def used_percent(spent: int, cap: int) -> int:
    """Hundredths of a percent of a cap; a cap of 0 is used up."""
    return percent(spent, cap) if cap > 0 else DEFAULT_THRESHOLDS[1]


def resumed(scope: Scope) -> Scope:
    """The scope, active again."""
    return Scope(scope.key, scope.name)


def _level(book: BudgetBook, key: CounterKey) -> Level:
    budget = budget_key(key)
    return Level(book.counters.get(key) or Counter(key, 0, 0), book.budgets.get(budget) or book.defaults.get(budget))


def _admit_level(book: BudgetBook, level: Level, requested: int) -> BudgetRefusal | None:
    (key, spent, held), budget = level
    if key.scope in PAUSE_REASONS:
        pause = pause_of(book, ScopeKey(SCOPE_KINDS[key.scope], key.scope_id), requested)
        if pause is not None:
            return BudgetRefusal(pause)
    if budget is None or requested == 0 or spent + held + requested <= budget.cap:
        return None
    alone = spent + requested > budget.cap
    refusal = BudgetExceeded(key.scope, key.scope_id or None, budget.cap, spent, held, requested, retryable=not alone)
    paused = None
    whole = requested > budget.cap
    if alone and not whole and key.scope in PAUSE_REASONS and key.period_key in (TOTAL, book.month):
        paused = _pause(book, key, budget.cap)
    return BudgetRefusal(refusal, paused)


def _pause(book: BudgetBook, key: CounterKey, cap: int) -> Scope | None:
    """The scope paused by a budget; None where a person's pause (or a current budget's) stands already."""
    scope_key = ScopeKey(SCOPE_KINDS[key.scope], key.scope_id)
    scope = book.scopes.get(scope_key) or Scope(scope_key)
    if scope.status is not ScopeStatus.ACTIVE and (not scope.paused_by_budget or is_current(book, scope)):
        return None
    return Scope(scope_key, scope.name, ScopeStatus.PAUSED, PAUSE_REASONS[key.scope], key.period_key, cap)
