"""Controls: the caps, pauses and own keys that held when a month began, and what was decided about them in it.

The audit log tells of every decision since the tenant was made. What holds today is taken back by what was decided since; a
pause that nobody decided stands in the messages to workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from domain.audit_log import REMOVE_PROVIDER_KEY, SET_DEFAULT_BUDGET, SET_PROVIDER_KEY
from domain.books import EventType, Operation, Request
from domain.budgets import Budget, BudgetKey, BudgetPeriod, Scope, ScopeKey, ScopeKind, ScopeStatus
from domain.catalog import Catalog
from domain.controls import DeactivateScope, PauseScope, RemoveBudget, ResumeScope, SetBudget
from domain.funds import METERED_EMPTY
from domain.ids import NIL
from domain.money import parse_amount
from domain.refusals import BudgetScope
from domain.subscriptions import SetCycle
from domain.tenancy import CloseTenant, ResumeTenant, SuspendTenant
from domain.tenants import TenantStatus
from infra.back_test import subscription
from infra.back_test.facts import Control, Decided, DefaultCap, Fact, OwnKey, PlanChosen, Stopped, What
from infra.back_test.opening import Opening
from infra.transaction import Connection

_DECISIONS: Final = """
SELECT occurred_at, operation, subject, details FROM audit_event
WHERE tenant_id = $1 AND operation = ANY($2) ORDER BY occurred_at, id"""
_BUDGETS: Final = "SELECT scope, scope_id, period, cap FROM budget WHERE tenant_id = $1"
# Without a period they are about the tenant's account, of which the audit log tells.
_MESSAGES: Final = """
SELECT type, payload, created_at FROM outbox
WHERE tenant_id = $1 AND type IN ('scope.paused', 'scope.resumed') AND payload ? 'period' AND created_at < $2
ORDER BY created_at, id"""
_DECIDED: Final = [
    Operation.SET_BUDGET.value,
    Operation.REMOVE_BUDGET.value,
    Operation.PAUSE_SCOPE.value,
    Operation.RESUME_SCOPE.value,
    Operation.DEACTIVATE_SCOPE.value,
    Operation.CHANGE_PLAN.value,
    Operation.SET_CYCLE.value,
    Operation.SUSPEND_TENANT.value,
    Operation.RESUME_TENANT.value,
    Operation.CLOSE_TENANT.value,
    SET_PROVIDER_KEY,
    REMOVE_PROVIDER_KEY,
]
_TENANT_STATUS: Final = {
    SuspendTenant: TenantStatus.SUSPENDED,
    ResumeTenant: TenantStatus.ACTIVE,
    CloseTenant: TenantStatus.CLOSED,
}


async def read(connection: Connection, opening: Opening, default_caps: Sequence[Fact], catalog: Catalog) -> None:
    """Put what held at the opening into it, and what was decided in the month among its facts. `default_caps` are the
    operator's decisions, of all time."""
    tenant_id = opening.tenant.id
    rows = await connection.fetch(_DECISIONS, tenant_id, _DECIDED)
    decided = [fact for row in rows for fact in _facts(tenant_id, *row)]
    budgets = {key: Budget(key, cap) for key, cap in await _budgets(connection, tenant_id)}
    defaults = {key: Budget(key, cap) for key, cap in await _budgets(connection, NIL)}
    opening.budgets = _as_of(budgets, decided, opening.start)
    opening.defaults = _as_of(defaults, default_caps, opening.start)
    opening.tenant = replace(
        opening.tenant,
        status=_status(opening.tenant.status, decided, opening.start),
        own_key_providers=_own_keys(opening.tenant.own_key_providers, decided, opening.start),
    )
    await subscription.read(connection, opening, decided, catalog)
    deactivated = {
        (fact.what.command.key, fact.at)
        for fact in decided
        if isinstance(fact.what, Decided) and isinstance(fact.what.command, DeactivateScope)
    }
    in_month = [fact for fact in (*decided, *default_caps) if opening.start <= fact.at < opening.end]
    for kind, payload, at in await connection.fetch(_MESSAGES, tenant_id, opening.end):
        scope = _scope(orjson.loads(payload), at, deactivated)
        if at >= opening.start:
            if kind == EventType.SCOPE_PAUSED:
                in_month.append(Fact(at, Stopped(scope)))
        elif kind == EventType.SCOPE_PAUSED:
            opening.scopes[scope.key] = scope
        else:
            opening.scopes[scope.key] = Scope(scope.key)
    opening.facts = sorted([*opening.facts, *in_month], key=lambda fact: (fact.at, fact.rank))


async def default_caps(connection: Connection) -> list[Fact]:
    """What operators decided about default caps, of all time. They belong to no tenant."""
    rows = await connection.fetch(_DECISIONS, NIL, [SET_DEFAULT_BUDGET])
    return [fact for row in rows for fact in _facts(NIL, *row)]


async def _budgets(connection: Connection, tenant_id: UUID) -> list[tuple[BudgetKey, int]]:
    rows = await connection.fetch(_BUDGETS, tenant_id)
    return [
        (BudgetKey(BudgetScope(scope), scope_id, BudgetPeriod(period)), cap) for scope, scope_id, period, cap in rows
    ]


def _facts(tenant_id: UUID, at: datetime, operation: str, subject: str, text: str) -> Iterator[Fact]:
    """What the audit log tells of a decision, as the decision that it was."""
    kind, _, identifier = subject.partition(":")
    details: dict[str, Any] = orjson.loads(text)
    if operation in (SET_PROVIDER_KEY, REMOVE_PROVIDER_KEY):
        yield Fact(at, OwnKey(identifier, operation == SET_PROVIDER_KEY))
        return
    if operation == Operation.CHANGE_PLAN:
        yield Fact(at, PlanChosen(details["plan"]))
        return
    if operation == SET_DEFAULT_BUDGET:
        cap = details["cap"]
        yield Fact(at, DefaultCap(_budget_key(kind, identifier, details), None if cap is None else parse_amount(cap)))
        return
    request = Request(tenant_id, "", Operation(operation), "", b"")
    command: Control
    match request.operation:
        case Operation.SET_BUDGET:
            command = SetBudget(request, Budget(_budget_key(kind, identifier, details), parse_amount(details["cap"])))
        case Operation.REMOVE_BUDGET:
            command = RemoveBudget(request, _budget_key(kind, identifier, details))
        case Operation.PAUSE_SCOPE:
            command = PauseScope(request, ScopeKey(ScopeKind(kind.upper()), identifier), details["reason"])
        case Operation.DEACTIVATE_SCOPE:
            command = DeactivateScope(request, ScopeKey(ScopeKind(kind.upper()), identifier), details["reason"])
        case Operation.RESUME_SCOPE:
            command = ResumeScope(request, ScopeKey(ScopeKind(kind.upper()), identifier))
        case Operation.SET_CYCLE:
            name = details["timeZone"]
            command = SetCycle(request, details["anchorDay"], None if name is None else ZoneInfo(name))
        case Operation.SUSPEND_TENANT:
            command = SuspendTenant(request)
        case Operation.RESUME_TENANT:
            command = ResumeTenant(request)
        case _:
            assert request.operation is Operation.CLOSE_TENANT
            command = CloseTenant(request)
    yield Fact(at, Decided(command))


def _budget_key(kind: str, identifier: str, details: Mapping[str, Any]) -> BudgetKey:
    return BudgetKey(BudgetScope(kind.upper()), identifier, BudgetPeriod(details["period"]))


def _scope(payload: Mapping[str, Any], at: datetime, deactivated: AbstractSet[tuple[ScopeKey, datetime]]) -> Scope:
    """A scope as its message tells of it."""
    key = ScopeKey(ScopeKind(payload["scope"]), payload["scopeId"] or "")
    in_use = (key, at) not in deactivated and payload["reason"] != METERED_EMPTY
    status = ScopeStatus.PAUSED if in_use else ScopeStatus.INACTIVE
    return Scope(key, None, status, payload["reason"], payload["period"], payload["cap"])


def _as_of(today: dict[BudgetKey, Budget], decided: Sequence[Fact], start: datetime) -> dict[BudgetKey, Budget]:
    """The caps that held at a moment: today's, but for those about which something was decided since."""
    then = dict(today)
    caps = [(fact.at, *cap) for fact in decided if (cap := _cap(fact.what)) is not None]
    for key in {key for at, key, _ in caps if at >= start}:
        before = [cap for at, capped, cap in caps if capped == key and at < start]
        then.pop(key, None)
        if before and before[-1] is not None:
            then[key] = Budget(key, before[-1])
    return then


def _cap(what: What) -> tuple[BudgetKey, int | None] | None:
    match what:
        case DefaultCap(key, cap):
            return key, cap
        case Decided(SetBudget(_, budget)):
            return budget.key, budget.cap
        case Decided(RemoveBudget(_, key)):
            return key, None
        case _:
            return None


def _status(today: TenantStatus, decided: Sequence[Fact], start: datetime) -> TenantStatus:
    statuses = [
        (fact.at, _TENANT_STATUS[type(fact.what.command)])
        for fact in decided
        if isinstance(fact.what, Decided) and type(fact.what.command) in _TENANT_STATUS
    ]
    if all(at < start for at, _ in statuses):
        return today
    return next((status for at, status in reversed(statuses) if at < start), TenantStatus.ACTIVE)


def _own_keys(today: frozenset[str], decided: Sequence[Fact], start: datetime) -> frozenset[str]:
    then = set(today)
    changes = [(fact.at, fact.what) for fact in decided if isinstance(fact.what, OwnKey)]
    for at, key in reversed(changes):
        if at < start:
            break
        # Setting a key anew changes nothing that counts, so what was set before is looked up.
        earlier = [known.is_set for moment, known in changes if known.provider == key.provider and moment < start]
        was_set = earlier[-1] if earlier else not key.is_set
        then = then | {key.provider} if was_set else then - {key.provider}
    return frozenset(then)
