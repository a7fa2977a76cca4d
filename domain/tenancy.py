"""Tenancy: what an operator decides about a tenant as a whole. Nothing is ever deleted.

A suspended tenant is refused everything with the reason; what it has already spent is still settled, and money that was
paid for it is still credited. A closed one stays closed, and gets no further cycles.

An operator may rename either and adjust its wallets: the books of a tenant that left are still put right. Either also
reads what is its own, and takes its provider keys back; it has no page to pay on.
"""

from dataclasses import dataclass, replace

from domain.attribution import IDENTIFIER_RULE, is_identifier
from domain.books import Books, Changes, Decision, Event, EventType, Request
from domain.refusals import BudgetScope, Conflict, FieldProblem, Refusal
from domain.tenants import Tenant, TenantStatus


@dataclass(frozen=True, slots=True)
class RenameTenant:
    """Give a tenant another name to show; its slug stays."""

    request: Request
    name: str


@dataclass(frozen=True, slots=True)
class SuspendTenant:
    """Refuse a tenant everything until it is resumed."""

    request: Request


@dataclass(frozen=True, slots=True)
class ResumeTenant:
    """Let a suspended tenant work again."""

    request: Request


@dataclass(frozen=True, slots=True)
class CloseTenant:
    """End a tenant for good; its books stay readable."""

    request: Request


@dataclass(frozen=True, slots=True)
class TenantState:
    """The tenant as it stands."""

    tenant: Tenant


def name_problems(name: str) -> tuple[FieldProblem, ...]:
    """What is wrong with a tenant's name."""
    return () if is_identifier(name) else (FieldProblem("name", IDENTIFIER_RULE),)


def rename_tenant(books: Books, command: RenameTenant) -> Decision[TenantState | Refusal]:
    """The name is for people only: nothing else refers to it."""
    return _changed(replace(books.tenant, name=command.name))


def suspend_tenant(books: Books) -> Decision[TenantState | Refusal]:
    """Suspend; workers are told to drain."""
    if books.tenant.status is TenantStatus.CLOSED:
        return Decision(Conflict("The tenant is closed: it cannot be suspended any more."))
    return _moved(books.tenant, TenantStatus.SUSPENDED, EventType.SCOPE_PAUSED)


def resume_tenant(books: Books) -> Decision[TenantState | Refusal]:
    """Resume; workers are told to queue again."""
    if books.tenant.status is TenantStatus.CLOSED:
        return Decision(Conflict("The tenant is closed for good: create another one."))
    return _moved(books.tenant, TenantStatus.ACTIVE, EventType.SCOPE_RESUMED)


def close_tenant(books: Books) -> Decision[TenantState | Refusal]:
    """Close; workers are told to drain."""
    return _moved(books.tenant, TenantStatus.CLOSED, EventType.SCOPE_PAUSED)


def _moved(tenant: Tenant, status: TenantStatus, told: EventType) -> Decision[TenantState | Refusal]:
    if tenant.status is status:
        return Decision(TenantState(tenant))
    reason = None if status is TenantStatus.ACTIVE else f"tenant_{status.lower()}"
    event = Event(told, (("scope", BudgetScope.TENANT.value), ("scopeId", None), ("reason", reason)))
    after = replace(tenant, status=status)
    return Decision(TenantState(after), Changes(tenant=after, events=(event,)))


def _changed(tenant: Tenant) -> Decision[TenantState | Refusal]:
    return Decision(TenantState(tenant), Changes(tenant=tenant))
