"""The demo's past: what its tenants did from the first of last month on, booked day by day, each day at its own time.

Every start books what is missing up to now, so that a demo that was off for a while has no gap. Nothing is written by hand:
it is reserved, consumed, recorded, topped up and adjusted by the services, which may refuse it as they would anybody.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from domain.admission import Wish
from domain.attribution import Attribution
from domain.books import Operation
from domain.money import NANO
from domain.payments import Outcome, PaymentFacts
from domain.reservations import Granted
from domain.topups import Ordered, StartTopUp
from domain.wallets import METERED_KEY, LotSource
from infra.application import Application
from infra.demo import campaigns
from infra.demo.past import PastClock
from infra.demo.people import DEMO_TENANTS
from infra.demo.schedule import SOURCE, Facts, Item, items
from infra.demo.work import Paid
from infra.identifiers import new_id
from infra.services import alerts, reservations, settlements, topups, usage, wallets
from infra.services.callers import Caller, Refused, Role
from infra.services.commands import request_of, start
from infra.services.usage import ReportedUsage

ACTOR: Final = "key:demo-service"
TOPPED_UP_ON: Final = 10
CREDITS_BOUGHT_ON: Final = 12
ADJUSTED_ON: Final = 4
CORRECTED_ON: Final = 8
BONUS_ON: Final = 24
BONUS_LASTS: Final = timedelta(days=90)
ALERTS_OF_DAYS: Final = timedelta(days=3)
_BOOKED: Final = """
SELECT t.slug, k.event_id FROM tenant t JOIN usage_key k ON k.tenant_id = t.id
WHERE t.slug = ANY($1::text[]) AND k.source = $2 AND k.event_id = ANY($3::text[])"""


def beginning(now: datetime) -> date:
    """The first of last month."""
    return (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be booked, in order. `first`: nothing was booked before."""

    items: list[Item]
    first: bool


async def missing(past: Application, now: datetime) -> Work:
    """The work that is not booked yet. A piece of it is booked by its first call."""
    found = items(beginning(now), now)
    slugs, names = [tenant.slug for tenant in DEMO_TENANTS], [item.event_id for item in found]
    rows = await past.across_tenants.fetch(_BOOKED, slugs, SOURCE, names)
    booked = {(slug, event_id) for slug, event_id in rows}
    return Work([item for item in found if (item.tenant, item.event_id) not in booked], first=not booked)


async def play(past: Application, clock: PastClock, tenant_ids: dict[str, UUID], work: Sequence[Item]) -> None:
    """Do this work, each day of it at the moment of its last piece."""
    for day, of_day in groupby(work, key=lambda item: item.at.date()):
        done = list(of_day)
        clock.now = done[-1].at
        # All at once: what waits together shares a commit.
        await asyncio.gather(_act(past, tenant_ids, day), *_works(past, tenant_ids, done))


async def raise_alerts(past: Application, clock: PastClock, now: datetime) -> None:
    """What people would have been told at the end of each of the last days."""
    day = (now - ALERTS_OF_DAYS).date()
    while (end := datetime.combine(day, time(23, 45), UTC)) < now:
        clock.now = end
        await alerts.check_alerts(past, end)
        day += timedelta(days=1)


def _works(past: Application, tenant_ids: dict[str, UUID], done: Sequence[Item]) -> Iterator[Awaitable[None]]:
    for slug, tenant_id in tenant_ids.items():
        caller = Caller(tenant_id, Role.SERVICE, ACTOR)
        of_tenant = [(item, item.facts()) for item in done if item.tenant == slug]
        recorded = [
            ReportedUsage(call, item.feature, attribution=facts.attribution)
            for item, facts in of_tenant
            if item.paid is Paid.RECORDED
            for call in facts.usage
        ]
        if recorded:
            yield _record(past, caller, recorded)
        for item, facts in of_tenant:
            if item.paid is Paid.RESERVED:
                yield _reserve_and_consume(past, caller, item, facts)


async def _record(past: Application, caller: Caller, recorded: Sequence[ReportedUsage]) -> None:
    report = await usage.record_usage(past, caller, recorded)
    assert not report.rejected, report.rejected


async def _reserve_and_consume(past: Application, caller: Caller, item: Item, facts: Facts) -> None:
    wish = Wish(item.feature, NANO, item.model, attribution=facts.attribution)
    key = f"demo:{item.id}"
    granted = await reservations.reserve(past, caller, key, wish)
    # Who has changed budgets or used the credits up stops this work as well.
    if isinstance(granted, Granted):
        await settlements.consume(past, caller, f"{key}:done", granted.reservation.id, None, facts.usage)


async def _act(past: Application, tenant_ids: dict[str, UUID], day: date) -> None:
    """What people and operators did on a day beside the agents' work. Each has its key."""
    acme = tenant_ids["acme"]
    await campaigns.enter_day(past, Caller(acme, Role.ADMIN, "key:demo-admin"), day)
    operator = Caller(acme, Role.OPERATOR, "key:demo-operator")
    if day.day == TOPPED_UP_ON:
        for tenant in DEMO_TENANTS:
            if tenant.monthly:
                await _top_up(past, tenant_ids[tenant.slug], f"metered-{day}", METERED_KEY, amount=tenant.monthly)
    if day.day == CREDITS_BOUGHT_ON:
        await _top_up(past, acme, f"credits-{day}", "credits", bundle="credits_50")
    if day.day == BONUS_ON:
        expires_at = datetime.combine(day, time(), UTC) + BONUS_LASTS
        await wallets.credit(past, acme, "credits", 15 * NANO, LotSource.TOP_UP, f"demo:bonus:{day}", expires_at)
    if day.day == ADJUSTED_ON:
        note = "Goodwill: two drafts were delivered a day late"
        await wallets.adjust_wallet(past, operator, f"demo:goodwill:{day}", "credits", 5 * NANO, note)
    if day.day == CORRECTED_ON:
        note = "Taken back: the same goodwill was granted twice in chat"
        await wallets.adjust_wallet(past, operator, f"demo:correction:{day}", "credits", -2 * NANO, note)
    if day.weekday() == 2:  # Wednesdays
        await _give_up(past, Caller(acme, Role.SERVICE, ACTOR), day)


async def _top_up(
    past: Application,
    tenant_id: UUID,
    key: str,
    wallet_key: str,
    *,
    bundle: str | None = None,
    amount: int | None = None,
) -> None:
    """An order that was paid at once. No payment rail is asked: there was none then."""
    admin = Caller(tenant_id, Role.ADMIN, "key:demo-admin")
    request = request_of(admin, Operation.START_TOP_UP, f"demo:{key}", (wallet_key, bundle, amount))
    order = StartTopUp(request, new_id(past.clock()), wallet_key, bundle, amount)
    ordered = await start(past, Ordered, order, ())
    if not isinstance(ordered, Refused):
        paid = PaymentFacts(Outcome.PAID, payment_id=f"pi_demo_{ordered.top_up.id.hex}", received=ordered.top_up.price)
        await topups.settle(past, tenant_id, ordered.top_up.id, paid)


async def _give_up(past: Application, caller: Caller, day: date) -> None:
    """A draft that nobody wanted any more: held, and given back."""
    attribution = Attribution(campaign="spring", client="northwind-bikes", agent_role="blog-writer")
    granted = await reservations.reserve(
        past, caller, f"demo:given-up:{day}", Wish("blog_post", attribution=attribution)
    )
    if not isinstance(granted, Refused):
        identifier = granted.reservation.id
        await reservations.release(past, caller, f"demo:given-up:{day}:released", identifier, "the brief was withdrawn")
