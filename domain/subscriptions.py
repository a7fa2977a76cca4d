"""Subscriptions: what a plan grants each cycle, and how a tenant changes plan, anchor day and time zone.

A cycle is granted once, whenever it is first looked at: by the job, or by the first command after it began. Cycles that
were missed are not granted afterwards (the credits would have expired). An upgrade holds at once and grants the
difference; a downgrade, a new anchor and a new zone hold from the next cycle (documents 002 and 004).
"""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Final
from uuid import UUID

from domain import ids, ledger
from domain.books import NO_CHANGES, Books, Changes, Decision, Event, EventType, Request
from domain.catalog import Catalog
from domain.cycles import Allocation
from domain.ledger import Entry, EntryType, Voucher
from domain.periods import Cycle
from domain.plans import Plan
from domain.refusals import FieldProblem, Refusal, no_plan
from domain.tenants import Tenant, TenantStatus, running_cycle
from domain.wallets import BucketType, LotSource, Wallet

_GRANTED: Final = "plan:"


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """Subscribe to another plan of the tenant's region. The lots that it makes have `lot_id` and the ids after it."""

    request: Request
    plan: str
    lot_id: UUID


@dataclass(frozen=True, slots=True)
class SetCycle:
    """Move the day on which cycles start (1 to 31), or the time zone; None leaves it."""

    request: Request
    anchor_day: int | None
    zone: tzinfo | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The tenant as it is subscribed now."""

    tenant: Tenant


def cycle_problems(anchor_day: int | None) -> tuple[FieldProblem, ...]:
    """What is wrong with an anchor day."""
    if anchor_day is None or 1 <= anchor_day <= 31:
        return ()
    return (FieldProblem("anchorDay", "must be 1 to 31; a month that is shorter starts on its last day"),)


def granted_for(reference: str) -> str | None:
    """The start of the cycle for which a plan's grant was booked (ISO 8601, UTC), by its entry's reference; None: it is no
    plan's grant."""
    if not reference.startswith(_GRANTED):
        return None
    return reference.removeprefix(_GRANTED).partition(":")[2]


def holds_at_once(plan: Plan, current: Plan | None, cycle: Cycle | None) -> bool:
    """Whether a plan that is chosen now holds now: one that costs no less, and any before the first cycle. Else it holds from
    the next cycle on."""
    return current is None or plan.price >= current.price or cycle is None


def coming_plan(books: Books, now: datetime) -> Plan:
    """The plan that the running cycle is granted by, in the version of the cycle's start."""
    tenant = books.tenant
    key = tenant.next_plan or tenant.plan
    return granting(books.catalog, tenant.region, key, running_cycle(tenant, now), now)


def granting(catalog: Catalog, region: str, key: str, cycle: Cycle, now: datetime) -> Plan:
    """The version of a plan that grants a cycle: that of its start, else (a plan that is newer) that of now."""
    plan = catalog.plan(region, key, cycle.start) or catalog.plan(region, key, now)
    assert plan is not None, f"{region}/{key}: plans that tenants have stay"
    return plan


def begun(tenant: Tenant, plan: Plan, cycle: Cycle) -> Tenant:
    """The tenant in a cycle that was granted by this plan: what was to hold from it on holds."""
    return replace(
        tenant,
        plan=plan.key,
        unlimited_plan=plan.unlimited,
        cycle_anchor_day=tenant.next_anchor_day or tenant.cycle_anchor_day,
        zone=tenant.next_zone or tenant.zone,
        cycle=cycle,
        next_plan=None,
        next_anchor_day=None,
        next_zone=None,
    )


def start_cycle(books: Books, lot_id: UUID, actor: str, now: datetime) -> Changes:
    """Grant the running cycle, unless it was. Credits expire at its end; capacity keeps what is taken and only changes
    its ceiling. The books hold the wallets that the plan fills or filled; the lots have `lot_id` and the ids after it."""
    tenant = books.tenant
    cycle = running_cycle(tenant, now)
    if cycle == tenant.cycle or tenant.status is TenantStatus.CLOSED:
        return NO_CHANGES
    plan = coming_plan(books, now)
    wallets: list[Wallet] = []
    entries: list[Entry] = []
    allocations: list[Allocation] = []
    given = dict(plan.allocations)
    for index, key in enumerate(sorted(given.keys() | books.allocations.keys())):
        wallet, amount = books.wallets[key], given.get(key, 0)
        before = books.allocations.get(key)
        step = amount - (before.amount if before is not None and _is_capacity(wallet) else 0)
        voucher = Voucher(actor, now, None, _reference(plan, cycle))
        posting = _grant(wallet, step, cycle, ids.following(lot_id, index), voucher)
        wallets.append(posting.wallet)
        entries.extend(posting.entries)
        allocations.append(Allocation(key, cycle.start, amount))
    told = Event(
        EventType.CYCLE_STARTED,
        (("plan", plan.key), ("start", cycle.start.isoformat()), ("end", cycle.end.isoformat())),
    )
    return Changes(
        wallets=tuple(wallets),
        entries=tuple(entries),
        events=(told,),
        tenant=begun(tenant, plan, cycle),
        allocations=tuple(allocations),
    )


def change_plan(books: Books, command: ChangePlan, now: datetime) -> Decision[Subscribed | Refusal]:
    """A plan that costs no less holds at once, and grants what it has more than what this cycle was granted; a cheaper
    one from the next cycle. The present plan again takes a change back that was to come."""
    tenant = books.tenant
    plan = books.catalog.plan(tenant.region, command.plan, now)
    if plan is None or (plan.withdrawn and plan.key != tenant.plan):
        return Decision(no_plan(command.plan, tenant.region))
    current = books.catalog.plan(tenant.region, tenant.plan, now)
    if plan.key == tenant.plan:
        return _subscribed(replace(tenant, next_plan=None))
    if not holds_at_once(plan, current, tenant.cycle):
        return _subscribed(replace(tenant, next_plan=plan.key))
    upgraded = replace(tenant, plan=plan.key, unlimited_plan=plan.unlimited, next_plan=None)
    cycle = tenant.cycle
    if cycle is None:
        return _subscribed(upgraded)
    request = command.request
    voucher = Voucher(request.actor, now, None, _reference(plan, cycle), "upgrade", request.idempotency_key)
    wallets: list[Wallet] = []
    entries: list[Entry] = []
    allocations: list[Allocation] = []
    for index, (key, amount) in enumerate(plan.allocations):
        before = books.allocations.get(key)
        step = amount - (0 if before is None else before.amount)
        if step > 0:
            posting = _grant(books.wallets[key], step, cycle, ids.following(command.lot_id, index), voucher)
            wallets.append(posting.wallet)
            entries.extend(posting.entries)
            allocations.append(Allocation(key, cycle.start, amount))
    changes = Changes(wallets=tuple(wallets), entries=tuple(entries), tenant=upgraded, allocations=tuple(allocations))
    return Decision(Subscribed(upgraded), changes)


def set_cycle(books: Books, command: SetCycle) -> Decision[Subscribed | Refusal]:
    """Anchor and zone hold from the start of the next cycle; before the first one, at once."""
    tenant = books.tenant
    if tenant.cycle is None:
        return _subscribed(
            replace(
                tenant,
                cycle_anchor_day=command.anchor_day or tenant.cycle_anchor_day,
                zone=command.zone or tenant.zone,
            )
        )
    anchor_day = command.anchor_day or tenant.next_anchor_day
    zone = command.zone or tenant.next_zone
    return _subscribed(
        replace(
            tenant,
            next_anchor_day=None if anchor_day == tenant.cycle_anchor_day else anchor_day,
            next_zone=None if zone == tenant.zone else zone,
        )
    )


def _grant(wallet: Wallet, step: int, cycle: Cycle, lot_id: UUID, voucher: Voucher) -> ledger.Posting:
    """Credit what is due, or lower a ceiling."""
    assert step >= 0 or _is_capacity(wallet), "only a ceiling is lowered"
    posting = ledger.expire_due(wallet, voucher)
    if step < 0:
        return posting.then(ledger.take_back(posting.wallet, -step, voucher))
    if step == 0:
        return posting
    expires_at = None if _is_capacity(wallet) else cycle.end
    lot = ledger.new_lot(lot_id, LotSource.PLAN, voucher.at, expires_at)
    return posting.then(ledger.grant(posting.wallet, EntryType.ALLOCATED, lot, step, voucher))


def _reference(plan: Plan, cycle: Cycle) -> str:
    return f"{_GRANTED}{plan.key}:{cycle.start.isoformat()}"


def _subscribed(tenant: Tenant) -> Decision[Subscribed | Refusal]:
    return Decision(Subscribed(tenant), Changes(tenant=tenant))


def _is_capacity(wallet: Wallet) -> bool:
    return wallet.bucket_type is BucketType.CAPACITY
