"""Scopes: the customer's own things that were seen, with their names, and with their status as it counts now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain import budgets
from domain.budgets import (
    Budget,
    BudgetBook,
    BudgetKey,
    BudgetPeriod,
    Scope,
    ScopeKey,
    ScopeKind,
    ScopeStatus,
)
from domain.funds import METERED_EMPTY
from domain.ids import NIL
from domain.periods import TOTAL, month_key
from domain.refusals import BudgetScope
from domain.tenants import TenantStatus
from infra.application import Application
from infra.queries.tenants import zone_of

_BY_KEY: Final = """
SELECT s.kind, s.id, s.name, s.status, s.pause_reason, s.pause_period_key, s.pause_cap
FROM unnest($2::text[], $3::text[]) AS asked (kind, id)
JOIN scope s ON s.tenant_id = $1 AND s.kind = asked.kind AND s.id = asked.id"""
# A pause counts while the cap that made it is in force, so that cap comes along.
_REGISTERED: Final = """
SELECT s.kind, s.id, s.name, s.client, c.name, s.status, s.pause_reason, s.pause_period_key, s.pause_cap,
    coalesce(own.cap, preset.cap)
FROM scope s
LEFT JOIN scope c ON c.tenant_id = s.tenant_id AND c.kind = 'CLIENT' AND c.id = s.client
LEFT JOIN budget own ON own.tenant_id = s.tenant_id AND own.scope = s.kind AND own.scope_id = s.id
    AND own.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
LEFT JOIN budget preset ON preset.tenant_id = $2 AND preset.scope = s.kind AND preset.scope_id = s.id
    AND preset.period = CASE s.pause_period_key WHEN 'TOTAL' THEN 'TOTAL' ELSE 'MONTH' END
WHERE s.tenant_id = $1"""
_MANY: Final = f"{_REGISTERED} AND (s.kind, s.id) IN (SELECT * FROM unnest($3::text[], $4::text[]))"
_PAGE: Final = f"{_REGISTERED} AND s.kind = $3 AND s.id > $4 ORDER BY s.id LIMIT $5"
_RANK: Final = "array_position(ARRAY['TENANT', 'AGENT', 'CAMPAIGN'], s.kind)"
_STOPPED: Final = f"""
{_REGISTERED} AND s.kind IN ('TENANT', 'AGENT', 'CAMPAIGN') AND s.status <> 'ACTIVE'
    AND (s.status = 'PAUSED' OR s.pause_reason = $3)
    AND ({_RANK}, s.id) > (coalesce(array_position(ARRAY['TENANT', 'AGENT', 'CAMPAIGN'], $4), 0), $5)
ORDER BY {_RANK}, s.id LIMIT $6"""
_PIECE: Final = 200
_STATUS: Final = "SELECT status FROM tenant WHERE id = $1"


@dataclass(frozen=True, slots=True)
class RegisteredScope:
    """One of the customer's own things: what people call it, whose campaign it is and what people call that client, and
    whether it may spend now. `pause_reason` None: it may."""

    key: ScopeKey
    name: str | None
    client: str | None
    client_name: str | None
    status: ScopeStatus
    pause_reason: str | None


@dataclass(frozen=True, slots=True)
class ScopePage:
    """Some scopes of a kind by id, and whether there are others after them (next) and before them (previous)."""

    scopes: tuple[RegisteredScope, ...]
    has_next: bool
    has_previous: bool


async def get_many(application: Application, tenant_id: UUID, keys: Sequence[ScopeKey]) -> list[Scope | None]:
    """Scopes in the order asked; None for those that the tenant does not have."""
    kinds, ids = [key.kind.value for key in keys], [key.id for key in keys]
    found: dict[ScopeKey, Scope] = {}
    for kind, identifier, name, status, *pause in await application.readers.of(tenant_id).fetch(
        _BY_KEY, tenant_id, kinds, ids
    ):
        key = ScopeKey(ScopeKind(kind), identifier)
        found[key] = Scope(key, name, ScopeStatus(status), *pause)
    return [found.get(key) for key in keys]


async def registered(
    application: Application, tenant_id: UUID, keys: Sequence[ScopeKey]
) -> list[RegisteredScope | None]:
    """Scopes as they stand now, in the order asked; None for those that the tenant does not have."""
    kinds, ids = [key.kind.value for key in keys], [key.id for key in keys]
    found = {scope.key: scope for scope in await _read(application, tenant_id, _MANY, kinds, ids)}
    return [found.get(key) for key in keys]


async def page(application: Application, tenant_id: UUID, kind: ScopeKind, first: int, after: str | None) -> ScopePage:
    """The first scopes of a kind with ids after this one."""
    found = await _read(application, tenant_id, _PAGE, kind.value, after or "", first + 1)
    return ScopePage(tuple(found[:first]), len(found) > first, after is not None)


async def stopped(application: Application, tenant_id: UUID, first: int) -> list[RegisteredScope]:
    """What may not spend now: the tenant, then agent roles, then campaigns. What people took out of use is left out, what
    an empty prepaid wallet did is not."""
    found = await _stopped(application, tenant_id, first)
    status = TenantStatus(await application.readers.of(tenant_id).fetchval(_STATUS, tenant_id))
    if status is not TenantStatus.ACTIVE:
        whole = ScopeKey(ScopeKind.TENANT, "")
        reason = f"tenant_{status.lower()}"
        of_tenant = RegisteredScope(whole, None, None, None, ScopeStatus.PAUSED, reason)
        found = [of_tenant, *[scope for scope in found if scope.key != whole]]
    return found[:first]


async def _stopped(application: Application, tenant_id: UUID, first: int) -> list[RegisteredScope]:
    """By pieces: an empty wallet may have stopped ten thousand campaigns, of which a page shows twenty."""
    found: list[RegisteredScope] = []
    after = ("", "")
    while len(found) < first:
        read = await _read(application, tenant_id, _STOPPED, METERED_EMPTY, *after, _PIECE)
        found += [scope for scope in read if scope.status is not ScopeStatus.ACTIVE]
        if len(read) < _PIECE:
            break
        after = (read[-1].key.kind.value, read[-1].key.id)
    return found


def is_current(scope: Scope, cap_in_force: int | None, month: str) -> bool:
    """Whether a scope's pause still counts in this month ("2026-11"). `cap_in_force`: nano-dollars, of the budget that
    paused it; None where there is none any more."""
    in_force: dict[BudgetKey, Budget] = {}
    if cap_in_force is not None:
        period = BudgetPeriod.TOTAL if scope.pause_period_key == TOTAL else BudgetPeriod.MONTH
        key = BudgetKey(BudgetScope(scope.key.kind.value), scope.key.id, period)
        in_force[key] = Budget(key, cap_in_force)
    return budgets.is_current(BudgetBook(month, in_force, {}, {}, {}), scope)


async def _read(application: Application, tenant_id: UUID, statement: str, *arguments: Any) -> list[RegisteredScope]:
    month = month_key(application.clock(), await zone_of(application, tenant_id))
    rows = await application.readers.of(tenant_id).fetch(statement, tenant_id, NIL, *arguments)
    return [_registered(row, month) for row in rows]


def _registered(row: asyncpg.Record, month: str) -> RegisteredScope:
    kind, identifier, name, client, client_name, status, reason, period_key, pause_cap, cap_in_force = row
    scope = Scope(ScopeKey(ScopeKind(kind), identifier), name, ScopeStatus(status), reason, period_key, pause_cap)
    counts = scope.status is not ScopeStatus.ACTIVE and is_current(scope, cap_in_force, month)
    stands = scope.status if counts else ScopeStatus.ACTIVE
    return RegisteredScope(scope.key, name, client, client_name, stands, reason if counts else None)
