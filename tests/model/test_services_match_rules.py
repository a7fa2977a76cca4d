"""The same random histories through the rules alone and through the services on PostgreSQL.

The services get them in batches of random size, from several processes; the rules decide one command after the other.
Answers, balances, lots, entries with their hashes, reservations, counters, pauses, usage and events must be the same.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from domain import decisions, reservations
from domain.adjustments import Adjusted
from domain.budgets import Scope, ScopeKey, ScopeKind
from domain.cycles import Allocation
from domain.decisions import Answer, Command
from domain.ledger import Entry
from domain.recharges import RechargeState
from domain.tenants import Tenant
from domain.usage import Amendment, UsageEvent
from domain.wallets import Lot
from infra import deciding
from infra.application import Application, open_application
from infra.catalog.publications import Publication, PublicationKind, addition_of
from infra.reservation_rows import RESERVATION_COLUMNS, reservation_of
from infra.services.reservations import expire_due
from infra.settings import DeploymentMode, Settings
from infra.tenant_rows import TENANT_COLUMNS, tenant_of
from infra.top_up_rows import RECHARGE_COLUMNS, TOP_UP_COLUMNS, recharge_of, top_up_of
from tests.domain.builders import CATALOG, Bookkeeper, cycle_lot, empty_wallet, figures, tenant
from tests.infra.builders import Clock, audit, entry_of
from tests.model.commands import CYCLE, START, WALLET_KEYS, Historian, Step

pytestmark = pytest.mark.usefixtures("cycle_lots")

# Known only when a part of the history is over: what happened before is re-rated by it.
PUBLISHED: Final = [
    Publication(
        PublicationKind.PRICE,
        None,
        {
            "provider": "openai",
            "model": model,
            "input": figure,
            "output": "8",
            "effective_from": "2026-01-01T00:00:00Z",
        },
        START + timedelta(minutes=minutes),
    )
    for model, figure, minutes in (("gpt-99", "3", 40), ("gpt-4o", "20", 90), ("gpt-4o", "0.5", 180))
]
TENANT_SCOPE: Final = ScopeKey(ScopeKind.TENANT, "")


@pytest.fixture
def cycle_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lots of a cycle have the same ids on both sides: they are in the draws that hashes cover."""
    monkeypatch.setattr(deciding, "new_id", cycle_lot)


def of_seed(seed: int) -> Tenant:
    """A tenant whose plan and own keys vary with the seed."""
    own_keys = ("openai", "leadmagic") if seed % 2 else ()
    return tenant(zone=ZoneInfo("UTC"), unlimited=seed % 3 == 0, own_keys=own_keys, cycle=CYCLE)


class Rules:
    """The rules alone, one command after the other, doing what the group commit does around them."""

    def __init__(self, of: Tenant, *, own_keys_allowed: bool) -> None:
        self.keeper = Bookkeeper(of=of, own_keys_allowed=own_keys_allowed)
        self.keeper.catalog = CATALOG.with_additions(map(addition_of, PUBLISHED))
        self.keeper.wallets = {key: empty_wallet(key) for key in WALLET_KEYS}
        self.keeper.scopes[TENANT_SCOPE] = Scope(TENANT_SCOPE)

    def decide(self, command: Command, now: datetime) -> Answer:
        """What overdue reservations hold goes back before work is refused for lack of room; ids are registered."""
        keeper = self.keeper
        keeper.open(now, command)
        decision = decisions.decide(keeper.books(now), command, now)
        if reservations.lacks_room(decision.answer) and keeper.expire_overdue(now, command):
            decision = decisions.decide(keeper.books(now), command, now)
        keeper.apply(decision.changes)
        return comparable(decision.answer)


def comparable(answer: Answer) -> Answer:
    """An answer without the lots that are used up, which are not read again, and without when an overdraft began,
    which decides nothing."""
    if isinstance(answer, Adjusted | RechargeState):
        wallet = answer.wallet
        lots = [lot._replace(granted_at=START) if lot.id == wallet.id else lot for lot in wallet.lots if lot.is_open]
        return replace(answer, wallet=wallet._replace(lots=tuple(lots)))
    return answer


@asynccontextmanager
async def processes(
    settings: Settings, url: str, of: Tenant, clock: Clock, sizes: tuple[int, ...]
) -> AsyncIterator[list[Application]]:
    """Processes on one database with one tenant, each with its largest batch."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_application(settings, url, clock=clock, largest_batch=size))
            for size in sizes
        ]
        execute = opened[0].writers.execute
        await execute(
            "INSERT INTO tenant (id, slug, name, region, plan, unlimited_plan, own_key_providers, created_at,"
            " cycle_start, cycle_end) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            *(of.id, of.slug, of.name, of.region, of.plan, of.unlimited_plan, list(of.own_key_providers), START),
            *CYCLE,
        )
        await execute("INSERT INTO scope (tenant_id, kind, id, status) VALUES ($1, 'TENANT', '', 'ACTIVE')", of.id)
        for published in PUBLISHED:
            await execute(
                "INSERT INTO publication (kind, body, actor, published_at) VALUES ($1, $2, 'model', $3)",
                *(published.kind, json.dumps(published.body), published.published_at),
            )
        for wallet in map(empty_wallet, WALLET_KEYS):
            await execute(
                "INSERT INTO wallet (tenant_id, id, key, kind, unit, bucket_type, head_hash, low_balance)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                *(of.id, wallet.id, wallet.key, wallet.kind, wallet.unit, wallet.bucket_type, wallet.head_hash),
                wallet.low_balance,
            )
        yield opened


async def play(
    rules: Rules, applications: list[Application], clock: Clock, steps: list[Step], random: Random, largest_run: int
) -> None:
    """Both sides, run by run: what is decided in one run is decided at its last moment."""
    place = 0
    while place < len(steps):
        run = steps[place : place + random.randint(1, largest_run)]
        place += len(run)
        clock.now = run[-1].at
        application = random.choice(applications)
        waiting: list[tuple[Step, Any]] = []
        for step in run:
            if step.command is not None:
                waiting.append((step, application.group_commit.submit(step.command)))
                continue
            await settle(rules, waiting)
            rules.keeper.open(clock.now)
            assert await expire_due(application, rules.keeper.tenant.id) == len(rules.keeper.expire_overdue(clock.now))
        await settle(rules, waiting)


async def settle(rules: Rules, waiting: list[tuple[Step, Any]]) -> None:
    """Every answer of the services is that of the rules."""
    for step, answer in waiting:
        assert step.command is not None
        answered, at = await answer
        assert comparable(answered) == rules.decide(step.command, at), step
    waiting.clear()


async def compare(rules: Rules, application: Application) -> None:
    """Every row says what the rules say."""
    keeper = rules.keeper
    fetch = application.across_tenants.fetch
    wallets = await fetch(
        "SELECT key, granted, available, reserved, consumed, expired, sequence, head_hash FROM wallet"
    )
    assert {row[0]: (tuple(row[1:6]), row[6], row[7]) for row in wallets} == {
        key: (figures(wallet), wallet.sequence, wallet.head_hash) for key, wallet in keeper.wallets.items()
    }
    lots = await fetch(
        "SELECT id, source, granted, available, reserved, consumed, expired, granted_at, expires_at, wallet_id FROM lot"
    )
    assert {row[9]: {} for row in lots} | {
        wallet_id: {row[0]: lot_facts(Lot(*row[:9]), wallet_id) for row in lots if row[9] == wallet_id}
        for wallet_id in {row[9] for row in lots}
    } == {
        wallet_id: {lot.id: lot_facts(lot, wallet_id) for lot in kept.values()}
        for wallet_id, kept in keeper.lots.items()
        if kept
    }
    entries = [entry_of(row) for row in await fetch("SELECT * FROM ledger_entry ORDER BY wallet_id, sequence")]
    assert entries == sorted(keeper.entries, key=place_of)
    held = await fetch(f"SELECT {RESERVATION_COLUMNS} FROM reservation r")
    assert {found.id: found for _, found in map(reservation_of, held)} == keeper.reservations
    tasks = await fetch("SELECT feature, key, reservation_id FROM task")
    assert {(row[0], row[1]): row[2] for row in tasks} == keeper.tasks
    counters = await fetch("SELECT scope, scope_id, period_key, spent, held FROM budget_counter")
    assert {tuple(row[:3]): tuple(row[3:]) for row in counters} == {
        tuple(key): (counter.spent, counter.held) for key, counter in keeper.counters.items()
    }
    budgets = await fetch("SELECT scope, scope_id, period, cap, thresholds FROM budget")
    assert {tuple(row[:3]): (row[3], tuple(row[4])) for row in budgets} == {
        tuple(key): (budget.cap, budget.thresholds) for key, budget in keeper.budgets.items()
    }
    scopes = await fetch("SELECT kind, id, status, pause_reason, pause_period_key, pause_cap FROM scope")
    assert {tuple(row[:2]): tuple(row[2:]) for row in scopes} == {
        tuple(scope.key): (scope.status, scope.pause_reason, scope.pause_period_key, scope.pause_cap)
        for scope in keeper.registered().values()
    }
    keys = await fetch("SELECT operation, key, request_hash, result_id FROM idempotency_key")
    assert {(row[0], row[1]): (row[2], row[3]) for row in keys} == {
        (operation, key): tuple(used) for (operation, key), used in keeper.used_keys.items()
    }
    usage = await fetch("SELECT id, occurred_at, cost, route, feature, reservation_id, charges FROM usage_event")
    assert {row[0]: (*row[1:6], json.loads(row[6] or "[]")) for row in usage} == {
        event.id: usage_facts(event) for event in keeper.usage
    }
    amendments = await fetch("SELECT id, occurred_at, event_id, cost, counted, unpriced, charges FROM usage_amendment")
    assert sorted([(*row[:6], json.loads(row[6] or "[]")) for row in amendments], key=str) == sorted(
        [amendment_facts(amendment) for amendment in keeper.amendments], key=str
    )
    recorded = await fetch("SELECT source, event_id FROM usage_key")
    assert {tuple(row) for row in recorded} == keeper.recorded
    tenants = await fetch(f"SELECT {TENANT_COLUMNS} FROM tenant")
    assert [tenant_of(row) for row in tenants] == [keeper.tenant]
    allocations = await fetch("SELECT wallet_key, cycle_start, amount FROM allocation ORDER BY cycle_start")
    assert {row[0]: Allocation(*row) for row in allocations} == keeper.allocations
    top_ups = await fetch(f"SELECT {TOP_UP_COLUMNS} FROM top_up")
    assert {top_up.id: top_up for _, top_up in map(top_up_of, top_ups)} == keeper.top_ups
    recharges = await fetch(f"SELECT {RECHARGE_COLUMNS} FROM auto_recharge")
    assert {recharge.wallet_key: recharge for _, recharge in map(recharge_of, recharges)} == keeper.recharges
    thresholds = await fetch("SELECT key, low_balance FROM wallet")
    assert dict(map(tuple, thresholds)) == {key: wallet.low_balance for key, wallet in keeper.wallets.items()}
    told = await fetch("SELECT type, payload FROM outbox")
    # In any order: this clock may stand still from one batch to the next.
    assert sorted([(row[0], sorted(json.loads(row[1]).items())) for row in told], key=str) == sorted(
        [(event.type.value, sorted(event.payload)) for event in keeper.events], key=str
    )


def lot_facts(lot: Lot, wallet_id: object) -> tuple[Any, ...]:
    """A lot as it is compared; when an overdraft began decides nothing."""
    return (lot.source, figures(lot), None if lot.id == wallet_id else lot.granted_at, lot.expires_at)


def usage_facts(event: UsageEvent) -> tuple[Any, ...]:
    return (
        event.occurred_at,
        event.priced.cost,
        event.route,
        event.feature,
        event.reservation_id,
        [list(charge) for charge in event.charges],
    )


def amendment_facts(fact: Amendment) -> tuple[Any, ...]:
    charges = [list(charge) for charge in fact.charges]
    return (fact.id, fact.occurred_at, fact.event_id, fact.cost, fact.counted, fact.unpriced, charges)


def place_of(entry: Entry) -> tuple[Any, ...]:
    return (entry.wallet_id, entry.sequence)


async def match(settings: Settings, url: str, seed: int, length: int, sizes: tuple[int, ...], largest_run: int) -> None:
    """One history on both sides."""
    of = of_seed(seed)
    clock = Clock(START)
    rules = Rules(of, own_keys_allowed=settings.deployment_mode is DeploymentMode.SELF_HOSTED)
    async with processes(settings, url, of, clock, sizes) as applications:
        steps = Historian(of.id).history(seed, length)
        await play(rules, applications, clock, steps, Random(seed), largest_run)
        await compare(rules, applications[0])
        await audit(applications[0])
    rules.keeper.audit()


@pytest.mark.parametrize("deployment_mode", [DeploymentMode.SELF_HOSTED])
@pytest.mark.parametrize("largest_run", [1, 4, 40])
@pytest.mark.parametrize("seed", range(5))
async def test_a_random_history_is_the_same_by_rules_and_by_services_in_batches(
    settings: Settings, database_url: str, seed: int, largest_run: int
) -> None:
    await match(settings, database_url, 100 * largest_run + seed, 300, (256, 3), largest_run)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("deployment_mode", [None, DeploymentMode.SELF_HOSTED])
@pytest.mark.parametrize("seed", range(20))
async def test_a_long_random_history_is_the_same_by_rules_and_by_services(
    settings: Settings, database_url: str, seed: int
) -> None:
    await match(settings, database_url, 10_000 + seed, 2_000, (256, 1, 2, 7, 64), 2 + seed * seed)
