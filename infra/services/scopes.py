"""Scopes: what people name, pause and resume."""

from domain import controls
from domain.books import Operation
from domain.budgets import ScopeKey
from domain.controls import (
    DEACTIVATED,
    MANUAL_PAUSE,
    DeactivateScope,
    NameScope,
    PauseScope,
    ResumeScope,
    ScopeNamed,
    ScopeState,
)
from infra.application import Application
from infra.services.callers import Caller, Refused
from infra.services.commands import request_of, start


async def pause_scope(
    application: Application, caller: Caller, idempotency_key: str, key: ScopeKey, reason: str | None = None
) -> ScopeState | Refused:
    """Stop the tenant, an agent role or a campaign until a person resumes it."""
    request = request_of(caller, Operation.PAUSE_SCOPE, idempotency_key, (key, reason))
    command = PauseScope(request, key, reason or MANUAL_PAUSE)
    return await start(application, ScopeState, command, controls.scope_problems(key, command.reason))


async def resume_scope(
    application: Application, caller: Caller, idempotency_key: str, key: ScopeKey
) -> ScopeState | Refused:
    """Let it work again, whoever paused it."""
    request = request_of(caller, Operation.RESUME_SCOPE, idempotency_key, key)
    return await start(application, ScopeState, ResumeScope(request, key), controls.scope_problems(key, MANUAL_PAUSE))


async def deactivate_scope(
    application: Application, caller: Caller, idempotency_key: str, key: ScopeKey, reason: str | None = None
) -> ScopeState | Refused:
    """Take an agent role or a campaign out of use until a person resumes it."""
    request = request_of(caller, Operation.DEACTIVATE_SCOPE, idempotency_key, (key, reason))
    command = DeactivateScope(request, key, reason or DEACTIVATED)
    problems = controls.deactivation_problems(key, command.reason)
    return await start(application, ScopeState, command, problems)


async def name_scope(
    application: Application,
    caller: Caller,
    idempotency_key: str,
    key: ScopeKey,
    name: str | None,
    client: str | None = None,
) -> ScopeNamed | Refused:
    """Name an agent role, a campaign, a client, a project or an account (None takes the name away); say whose campaign
    it is (None leaves that as it was)."""
    request = request_of(caller, Operation.NAME_SCOPE, idempotency_key, (key, name, client))
    command = NameScope(request, key, name, client)
    return await start(application, ScopeNamed, command, controls.naming_problems(key, name, client))
