"""The load: tenants with every rule on, callers that reserve and consume, and the check of all that they were told.

Every command passes a tenant, an agent role, a campaign (month and total), a task cap and a tag, all capped so high
that none refuses, and draws on wallets of three lots.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final
from uuid import UUID

from domain.admission import Wish
from domain.attribution import Attribution
from domain.budgets import Budget, BudgetKey, BudgetPeriod
from domain.controls import BudgetState
from domain.holds import Estimate, ModelName
from domain.money import NANO
from domain.prices import Tokens
from domain.refusals import BudgetScope
from domain.reservations import Granted
from domain.settlements import Consumed
from domain.usage import Usage
from domain.wallets import METERED_KEY, LotSource
from infra.application import Application
from infra.services import budgets, reservations, settlements, tenants, wallets
from infra.services.callers import Caller, Role
from infra.services.tenants import TenantOrder

MODEL: Final = ModelName("openai", "gpt-4o-mini")
ESTIMATE: Final = Estimate(tokens=Tokens(1_000, 500))
USED: Final = Usage(tokens=Tokens(900, 400))
# 900 tokens at 0.15 and 400 at 0.60 dollars a million; charged with the rate card's markup of 1.3.
COST: Final = 900 * 150 + 400 * 600
CHARGE: Final = COST * 13 // 10
ATTRIBUTION: Final = Attribution(campaign="spring", agent_role="writer", tags=(("team", "north"),))
SENDS: Final = "email_sends"
# The first lot is soon used up, so that draws move on to the next.
LOTS: Final = (NANO, 1_000_000 * NANO, 1_000_000 * NANO)
CAP: Final = 1_000_000 * NANO
BUDGETS: Final = (
    BudgetKey(BudgetScope.TENANT, "", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.AGENT, "writer", BudgetPeriod.TASK),
    BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.MONTH),
    BudgetKey(BudgetScope.CAMPAIGN, "spring", BudgetPeriod.TOTAL),
    BudgetKey(BudgetScope.TAG, "team=north", BudgetPeriod.MONTH),
)
COUNTERS_OF_A_TENANT: Final = 6

_WALLETS: Final = "SELECT tenant_id, key, granted, available, reserved, consumed FROM wallet WHERE tenant_id = ANY($1)"
_COUNTERS: Final = "SELECT tenant_id, spent, held FROM budget_counter WHERE tenant_id = ANY($1)"
_STATES: Final = """
SELECT tenant_id, count(*), count(*) FILTER (WHERE state = 'CONSUMED') FROM reservation
WHERE tenant_id = ANY($1) GROUP BY tenant_id"""
_USAGE: Final = "SELECT tenant_id, count(*) FROM usage_event WHERE tenant_id = ANY($1) GROUP BY tenant_id"


@dataclass(frozen=True, slots=True)
class Workload:
    """Callers of one feature on one tenant, or on many: each takes a random one for each pair of commands."""

    name: str
    callers: int
    feature: str
    tenants: Sequence[UUID]


@dataclass(slots=True)
class Told:
    """What callers were answered, to be compared with the books: settled pairs by tenant, and by tenant and wallet."""

    pairs: Counter[UUID] = field(default_factory=Counter)
    sends: Counter[UUID] = field(default_factory=Counter)


async def make_tenants(application: Application, count: int, prefix: str) -> list[UUID]:
    """Tenants with funded wallets and a cap on every level."""
    plan = application.catalog.plans_of("india", application.clock())[0]
    kept = tuple((key, amount) for key, amount in plan.allocations if key == SENDS)
    plan = replace(plan, allocations=kept)

    async def make(number: int) -> UUID:
        slug = f"{prefix}-{number}"
        tenant_id = await tenants.set_up(
            application, TenantOrder(slug, slug, plan.region, plan.key, metered=True), plan
        )
        caller = Caller(tenant_id, Role.ADMIN, "key:bench")
        for lot, amount in enumerate(LOTS):
            for key in (METERED_KEY, SENDS):
                await wallets.credit(application, tenant_id, key, amount, LotSource.TOP_UP, f"lot {lot}")
        for budget in BUDGETS:
            state = await budgets.set_budget(application, caller, f"{budget}", Budget(budget, CAP))
            assert isinstance(state, BudgetState), state
        return tenant_id

    return list(await asyncio.gather(*[make(number) for number in range(count)]))


async def drive(
    application: Application, workload: Workload, seconds: float, run: str, told: Told
) -> tuple[int, float, list[float]]:
    """Callers that reserve and consume until the time is over; the commands they sent, the time until the last was
    answered, and each command's latency, sorted. `run` makes the idempotency keys of this stretch its own."""
    latencies: list[float] = []
    wish = Wish(workload.feature, model=MODEL, estimate=ESTIMATE, attribution=ATTRIBUTION)
    started = perf_counter()
    deadline = started + seconds

    async def call(number: int) -> None:
        chance = random.Random(f"{run}-{number}")
        pair = 0
        before = perf_counter()
        while before < deadline:
            pair += 1
            tenant_id = chance.choice(workload.tenants)
            caller = Caller(tenant_id, Role.SERVICE, "key:bench")
            key = f"{run}-{number}-{pair}"
            granted = await reservations.reserve(application, caller, key, wish)
            between = perf_counter()
            assert isinstance(granted, Granted), granted
            consumed = await settlements.consume(application, caller, key, granted.reservation.id, None, [USED])
            after = perf_counter()
            assert isinstance(consumed, Consumed), consumed
            assert consumed.reservation.cost_usd == COST, consumed
            latencies.append(between - before)
            latencies.append(after - between)
            told.pairs[tenant_id] += 1
            told.sends[tenant_id] += workload.feature == "email_send"
            before = after

    await asyncio.gather(*[call(number) for number in range(workload.callers)])
    return len(latencies), perf_counter() - started, sorted(latencies)


async def check(application: Application, tenant_ids: Sequence[UUID], told: Told) -> None:
    """The books hold exactly what callers were told: nothing more, nothing less, nothing still held."""
    fetch = application.across_tenants.fetch
    for tenant_id, key, granted, available, reserved, consumed in await fetch(_WALLETS, tenant_ids):
        expected = told.pairs[tenant_id] * CHARGE if key == METERED_KEY else told.sends[tenant_id] * NANO
        assert (reserved, consumed, available) == (0, expected, granted - expected), (tenant_id, key, consumed)
    counters: Counter[UUID] = Counter()
    for tenant_id, spent, held in await fetch(_COUNTERS, tenant_ids):
        assert (spent, held) == (told.pairs[tenant_id] * COST, 0), (tenant_id, spent, held)
        counters[tenant_id] += 1
    made = {row[0]: (row[1], row[2]) for row in await fetch(_STATES, tenant_ids)}
    used = {row[0]: row[1] for row in await fetch(_USAGE, tenant_ids)}
    for tenant_id, pairs in told.pairs.items():
        assert counters[tenant_id] == COUNTERS_OF_A_TENANT, (tenant_id, counters[tenant_id])
        assert made[tenant_id] == (pairs, pairs), (tenant_id, made[tenant_id])
        assert used[tenant_id] == pairs, (tenant_id, used[tenant_id])
