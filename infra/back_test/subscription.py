"""Subscription: the plan, cycle, anchor day and time zone that held when a month began, and the cycles that begin in it.

Each cycle was told of when it was granted. The audit log tells which plan, day and zone were chosen, and with which ones the
tenant was made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import orjson

from domain.books import Operation
from domain.catalog import Catalog
from domain.cycles import Allocation
from domain.periods import Cycle
from domain.subscriptions import SetCycle, holds_at_once
from infra.back_test.facts import CycleBegan, Decided, Fact, PlanChosen
from infra.back_test.opening import Opening
from infra.transaction import Connection

T = TypeVar("T")

_BEGAN: Final = """
SELECT payload, created_at FROM outbox
WHERE tenant_id = $1 AND type = 'cycle.started' AND created_at < $2 ORDER BY created_at, id"""
_ALLOCATIONS: Final = """
SELECT DISTINCT ON (wallet_key) wallet_key, cycle_start, amount FROM allocation
WHERE tenant_id = $1 AND cycle_start < $2 ORDER BY wallet_key, cycle_start DESC"""
_MADE: Final = f"""
SELECT details FROM audit_event WHERE tenant_id = $1 AND operation = '{Operation.CREATE_TENANT}' ORDER BY id LIMIT 1"""


async def read(connection: Connection, opening: Opening, decided: Sequence[Fact], catalog: Catalog) -> None:
    """Put what the tenant was subscribed to into the opening, and the cycles of the month among its facts."""
    tenant, start = opening.tenant, opening.start
    began = [(at, _began(payload)) for payload, at in await connection.fetch(_BEGAN, tenant.id, opening.end)]
    opening.facts.extend([Fact(at, cycle) for at, cycle in began if at >= start])
    for key, cycle_start, amount in await connection.fetch(_ALLOCATIONS, tenant.id, start):
        # What an upgrade granted later in the same cycle is part of the amount.
        later = opening.granted[key, cycle_start.isoformat()]
        opening.allocations[key] = Allocation(key, cycle_start, amount - later)
    made: dict[str, Any] = orjson.loads(await connection.fetchval(_MADE, tenant.id) or "{}")
    since, last = next(((at, cycle) for at, cycle in reversed(began) if at < start), (None, None))
    opening.tenant = replace(tenant, cycle=None if last is None else last.cycle, next_plan=None)
    chosen = [fact for fact in decided if fact.at < start and (since is None or fact.at >= since)]
    _subscribe(opening, made.get("plan", tenant.plan) if last is None else last.plan, chosen, catalog)
    cycles = [
        (fact.at, fact.what.command)
        for fact in decided
        if isinstance(fact.what, Decided) and isinstance(fact.what.command, SetCycle)
    ]
    zones = [(at, command.zone) for at, command in cycles if command.zone is not None]
    days = [(at, command.anchor_day) for at, command in cycles if command.anchor_day is not None]
    # Of tenants from before back-tests it is not kept with which zone and day they were made: "UTC unless set" (PRODUCT.md 1).
    zone, next_zone = _held(zones, start, since, ZoneInfo(made.get("timeZone", "UTC")) if zones else tenant.zone)
    day, next_day = _held(days, start, since, made.get("anchorDay", 1) if days else tenant.cycle_anchor_day)
    opening.tenant = replace(
        opening.tenant, zone=zone, next_zone=next_zone, cycle_anchor_day=day, next_anchor_day=next_day
    )


def _subscribe(opening: Opening, key: str, chosen: Iterable[Fact], catalog: Catalog) -> None:
    """The plan of the running cycle, and what was chosen since."""
    tenant = opening.tenant
    for at, what in chosen:
        if isinstance(what, PlanChosen):
            plan, current = (catalog.plan(tenant.region, name, at) for name in (what.plan, key))
            if plan is not None and holds_at_once(plan, current, tenant.cycle):
                key = plan.key
    plan = catalog.plan(tenant.region, key, opening.start) or catalog.plan(tenant.region, key, opening.end)
    if plan is not None and key != tenant.plan:
        opening.tenant = replace(tenant, plan=key, unlimited_plan=plan.unlimited)


def _began(payload: str) -> CycleBegan:
    told = orjson.loads(payload)
    return CycleBegan(told["plan"], Cycle(datetime.fromisoformat(told["start"]), datetime.fromisoformat(told["end"])))


def _held(
    chosen: Iterable[tuple[datetime, T]], start: datetime, since: datetime | None, first: T
) -> tuple[T, T | None]:
    """What held when the month began, and what was to hold from the next cycle on: what was decided since the running one
    was granted. Before the first one all holds at once."""
    held, coming = first, None
    for at, value in chosen:
        if at < start:
            if since is None or at < since:
                held = value
            else:
                coming = value
    return held, coming
