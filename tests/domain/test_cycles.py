"""Cycles: what the plan grants each billing month, once, whenever it is first looked at."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.books import NO_CHANGES, Event, EventType
from domain.cycles import Allocation
from domain.periods import Cycle
from domain.subscriptions import granted_by
from domain.tenants import TenantStatus, cycle_is_due, running_cycle
from domain.wallets import LotSource
from tests.domain.builders import (
    NOW,
    Bookkeeper,
    held,
    later,
    nano,
    selling,
    sold,
    tenant,
    wallet_with,
)

NOVEMBER = Cycle(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
DECEMBER = Cycle(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
MARCH = datetime(2027, 3, 5, tzinfo=UTC)
SMALL = sold("small", 100, agents=10, credits="100", lead_storage="10")
LARGE = sold("large", 300, agents=25, credits="300", lead_storage="25", email_sends="1000")
CATALOG = selling(SMALL, LARGE)
FAR_EAST = ZoneInfo("Pacific/Kiritimati")
FAR_WEST = ZoneInfo("Pacific/Pago_Pago")


def subscribed(plan: str = "small", *, anchor_day: int = 1, zone: tzinfo = UTC, at: datetime = NOW) -> Bookkeeper:
    """A tenant in its first cycle; nothing was told yet."""
    books = Bookkeeper(of=tenant(plan=plan, anchor_day=anchor_day, zone=zone), catalog=CATALOG)
    books.start_cycle(at)
    books.events.clear()
    return books


def allocated(books: Bookkeeper) -> dict[str, tuple[datetime, int]]:
    return {key: (start, amount) for key, (_, start, amount) in books.allocations.items()}


# ---- the grant -------------------------------------------------------------------------------------------------


def test_the_first_cycle_grants_the_plan_until_its_end_and_capacity_for_ever() -> None:
    books = Bookkeeper(of=tenant(plan="small"), catalog=CATALOG)
    changes = books.start_cycle()
    assert books.tenant == replace(tenant(plan="small"), cycle=NOVEMBER)
    (general,), (storage,) = books.wallets["credits"].lots, books.wallets["lead_storage"].lots
    assert (general.source, general.available, general.expires_at) == (LotSource.PLAN, nano("100"), NOVEMBER.end)
    assert (storage.source, storage.available, storage.expires_at) == (LotSource.PLAN, nano("10"), None)
    assert general.id != storage.id
    assert [(entry.type.value, entry.voucher.reference) for entry in changes.entries] == [
        ("ALLOCATED", "plan:small:2026-11-01T00:00:00+00:00")
    ] * 2
    assert books.allocations == {
        "credits": Allocation("credits", NOVEMBER.start, nano("100")),
        "lead_storage": Allocation("lead_storage", NOVEMBER.start, nano("10")),
    }
    payload = (
        ("plan", "small"),
        ("start", "2026-11-01T00:00:00+00:00"),
        ("end", "2026-12-01T00:00:00+00:00"),
    )
    assert books.events == [Event(EventType.CYCLE_STARTED, payload)]
    books.audit()


def test_a_cycle_that_was_granted_is_not_granted_again() -> None:
    books = subscribed()
    before = books.money()
    for at in (NOW, later(1), NOVEMBER.end - timedelta(microseconds=1)):
        assert books.start_cycle(at) == NO_CHANGES
    assert books.money() == before
    assert books.events == []


def test_the_next_cycle_expires_what_is_unused_and_grants_anew() -> None:
    books = subscribed()
    books.consume(held(books.reserve("blog_post")))
    books.start_cycle(NOVEMBER.end)
    assert books.moves("credits", since=4) == [("EXPIRED", "98"), ("ALLOCATED", "100")]
    assert books.balance("credits") == ("100", "0", "2")
    assert books.tenant.cycle == DECEMBER
    assert books.start_cycle(NOVEMBER.end) == NO_CHANGES
    books.audit()


def test_whoever_comes_first_in_a_new_cycle_finds_it_granted() -> None:
    books = subscribed()
    books.reserve("blog_post", "50", at=NOVEMBER.end - timedelta(seconds=1000), ttl=1)
    work = held(books.reserve("blog_post", "50", at=NOVEMBER.end))
    assert work.created_at == NOVEMBER.end
    assert books.told() == [EventType.CYCLE_STARTED]
    books.audit()


def test_of_several_missed_months_only_the_current_one_is_granted_once() -> None:
    books = subscribed()
    books.start_cycle(MARCH)
    books.start_cycle(MARCH)
    start = datetime(2027, 3, 1, tzinfo=UTC)
    assert books.tenant.cycle == Cycle(start, datetime(2027, 4, 1, tzinfo=UTC))
    assert books.moves("credits", since=2) == [("EXPIRED", "100"), ("ALLOCATED", "100")]
    assert books.balance("lead_storage") == ("10", "0", "0")
    assert allocated(books) == {"credits": (start, nano("100")), "lead_storage": (start, nano("10"))}
    assert books.told() == [EventType.CYCLE_STARTED]


def test_a_metered_wallet_is_left_alone_by_cycles() -> None:
    books = Bookkeeper([wallet_with("metered", "50")], of=tenant(plan="small"), catalog=CATALOG)
    books.start_cycle()
    books.start_cycle(DECEMBER.start)
    assert books.moves("metered") == [("TOPPED_UP", "50")]


def test_a_debt_is_filled_by_the_next_cycle() -> None:
    books = subscribed()
    books.adjust("credits", "-130")
    books.start_cycle(NOVEMBER.end)
    assert books.balance("credits") == ("70", "0", "0")
    books.audit()


def test_a_wallet_that_the_plan_gives_nothing_is_allocated_nothing() -> None:
    books = Bookkeeper(of=tenant(plan="none"), catalog=selling(sold("none", 1, credits="0")))
    assert books.start_cycle().entries == ()
    assert allocated(books) == {"credits": (NOVEMBER.start, 0)}


# ---- capacity --------------------------------------------------------------------------------------------------


def ceiling(after: str, taken: int = 4) -> Bookkeeper:
    """Ten places of which some are taken; from December the plan has another ceiling."""
    new = sold("small", 100, since=DECEMBER.start, credits="100", lead_storage=after)
    books = Bookkeeper(of=tenant(plan="small"), catalog=selling(SMALL, new))
    books.start_cycle()
    for place in range(taken):
        held(books.reserve("store_lead", task=f"lead-{place}"))
    books.events.clear()
    books.start_cycle(DECEMBER.start)
    books.audit()
    return books


def test_a_ceiling_is_raised_and_what_is_taken_stays_taken() -> None:
    books = ceiling("25")
    assert books.balance("lead_storage") == ("21", "4", "0")
    assert books.wallets["lead_storage"].granted == nano("25")


def test_an_unchanged_ceiling_moves_nothing() -> None:
    books = ceiling("10")
    assert books.balance("lead_storage") == ("6", "4", "0")
    assert books.moves("lead_storage") == [("ALLOCATED", "10")] + [("RESERVED", "1")] * 4


def test_a_lowered_ceiling_takes_what_is_free() -> None:
    books = ceiling("5")
    assert books.balance("lead_storage") == ("1", "4", "0")
    assert books.moves("lead_storage")[-1] == ("ADJUSTED", "-5")


def test_a_ceiling_below_what_is_taken_is_a_debt_until_places_are_given_back() -> None:
    books = ceiling("2")
    assert books.balance("lead_storage") == ("-2", "4", "0")
    for place, available in enumerate(["-1", "0", "1", "2"]):
        work = next(found for found in books.reservations.values() if found.task and found.task.key == f"lead-{place}")
        books.release(work, at=DECEMBER.start)
        assert books.balance("lead_storage")[0] == available
    assert books.told() == [EventType.CYCLE_STARTED, EventType.DEBT_REPAID]
    books.audit()


def test_a_plan_without_a_capacity_bucket_closes_it_and_another_opens_it_again() -> None:
    none = sold("small", 100, since=DECEMBER.start, credits="100")
    again = sold("small", 100, since=JANUARY, credits="100", lead_storage="3")
    books = Bookkeeper(of=tenant(plan="small"), catalog=selling(SMALL, none, again))
    books.start_cycle()
    held(books.reserve("store_lead", task="lead"))
    books.start_cycle(DECEMBER.start)
    assert books.balance("lead_storage") == ("-1", "1", "0")
    books.start_cycle(JANUARY)
    assert books.balance("lead_storage") == ("2", "1", "0")
    assert books.wallets["lead_storage"].granted == nano("3")
    books.audit()


# ---- holds across the boundary ---------------------------------------------------------------------------------


def test_what_comes_back_to_an_expired_lot_is_released_and_expired_at_once() -> None:
    books = subscribed()
    work = held(books.reserve("blog_post", "5"))
    books.start_cycle(DECEMBER.start)
    assert books.balance("credits") == ("100", "10", "0")
    books.release(work, at=DECEMBER.start)
    assert books.moves("credits")[-2:] == [("RELEASED", "10"), ("EXPIRED", "10")]
    assert books.balance("credits") == ("100", "0", "0")
    books.audit()


def test_what_was_held_before_the_boundary_may_be_consumed_after_it() -> None:
    books = subscribed()
    work = held(books.reserve("blog_post", "5", ttl=7 * 86_400, at=DECEMBER.start - timedelta(hours=1)))
    books.consume(work, quantity="2", at=DECEMBER.start)
    assert books.moves("credits", since=3) == [
        ("EXPIRED", "90"),
        ("ALLOCATED", "100"),
        ("CONSUMED", "4"),
        ("RELEASED", "6"),
        ("EXPIRED", "6"),
    ]
    assert books.balance("credits") == ("100", "0", "4")
    books.audit()


def test_an_overdue_hold_of_the_old_cycle_adds_nothing_to_the_new_one() -> None:
    books = subscribed()
    books.reserve("blog_post", "5", ttl=60)
    books.start_cycle(DECEMBER.start)
    books.expire_overdue(DECEMBER.start)
    assert books.balance("credits") == ("100", "0", "0")
    books.audit()


# ---- plan versions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [UTC, FAR_EAST, FAR_WEST])
def test_a_version_published_in_mid_cycle_holds_from_the_next_cycle(zone: tzinfo) -> None:
    new = sold("small", 100, since=later(1), credits="400", lead_storage="40")
    books = Bookkeeper(of=tenant(plan="small", zone=zone), catalog=selling(SMALL, new))
    books.start_cycle()
    assert books.start_cycle(later(60)) == NO_CHANGES
    assert books.balance("credits")[0] == "100"
    books.start_cycle(later(days=15))
    assert books.balance("credits")[0] == "400"
    assert books.balance("lead_storage")[0] == "40"


def test_a_cycle_that_is_granted_late_is_granted_by_the_version_of_its_start() -> None:
    new = sold("small", 100, since=DECEMBER.start + timedelta(days=5), credits="400", lead_storage="40")
    books = Bookkeeper(of=tenant(plan="small"), catalog=selling(SMALL, new))
    books.start_cycle()
    books.start_cycle(DECEMBER.start + timedelta(days=9))
    assert books.balance("credits")[0] == "100"


def test_a_plan_that_is_first_sold_in_mid_cycle_grants_that_cycle() -> None:
    books = Bookkeeper(of=tenant(plan="new"), catalog=selling(sold("new", 1, since=NOW, credits="7")))
    books.start_cycle()
    assert books.balance("credits")[0] == "7"
    assert books.tenant.cycle == NOVEMBER


def test_who_has_a_withdrawn_plan_keeps_it() -> None:
    gone = sold("small", 100, since=later(1), withdrawn=True, credits="100", lead_storage="10")
    books = Bookkeeper(of=tenant(plan="small"), catalog=selling(SMALL, gone))
    books.start_cycle()
    books.start_cycle(DECEMBER.start)
    assert books.balance("credits")[0] == "100"


# ---- who gets cycles -------------------------------------------------------------------------------------------


def test_a_closed_tenant_gets_no_further_cycle_and_a_suspended_one_does() -> None:
    books = subscribed()
    books.suspend_tenant()
    assert cycle_is_due(books.tenant, DECEMBER.start)
    books.start_cycle(DECEMBER.start)
    assert books.balance("credits")[0] == "100"
    books.close_tenant()
    assert not cycle_is_due(books.tenant, JANUARY)
    assert books.start_cycle(JANUARY) == NO_CHANGES
    fresh = Bookkeeper(of=tenant(plan="small", status=TenantStatus.CLOSED), catalog=CATALOG)
    assert fresh.start_cycle() == NO_CHANGES


def test_a_cycle_is_due_from_its_first_moment() -> None:
    assert not cycle_is_due(tenant(), NOW)
    granted = tenant(cycle=NOVEMBER)
    assert not cycle_is_due(granted, NOVEMBER.end - timedelta(microseconds=1))
    assert cycle_is_due(granted, NOVEMBER.end)
    assert running_cycle(granted, NOW) == NOVEMBER
    assert running_cycle(granted, NOVEMBER.end) == DECEMBER


# ---- month ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "anchor_day", "at", "start", "end"),
    [
        (UTC, 31, "2027-02-28T00:00", "2027-02-28T00:00", "2027-03-31T00:00"),
        (UTC, 31, "2028-02-29T00:00", "2028-02-29T00:00", "2028-03-31T00:00"),
        (UTC, 29, "2028-02-29T12:00", "2028-02-29T00:00", "2028-03-29T00:00"),
        (FAR_EAST, 31, "2027-02-27T10:00", "2027-02-27T10:00", "2027-03-30T10:00"),
        (FAR_WEST, 31, "2027-02-28T11:00", "2027-02-28T11:00", "2027-03-31T11:00"),
        (FAR_EAST, 1, "2026-12-31T10:00", "2026-12-31T10:00", "2027-01-31T10:00"),
        (ZoneInfo("Europe/Berlin"), 15, "2027-03-20T00:00", "2027-03-14T23:00", "2027-04-14T22:00"),
        (ZoneInfo("America/Havana"), 8, "2026-03-08T05:00", "2026-03-08T05:00", "2026-04-08T04:00"),
    ],
)
def test_cycles_begin_where_the_tenants_month_ends(
    zone: tzinfo, anchor_day: int, at: str, start: str, end: str
) -> None:
    moment, first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (at, start, end))
    books = subscribed(zone=zone, anchor_day=anchor_day, at=moment)
    assert books.tenant.cycle == Cycle(first, last)
    assert books.wallets["credits"].lots[0].expires_at == last
    before = subscribed(zone=zone, anchor_day=anchor_day, at=first - timedelta(microseconds=1))
    assert before.tenant.cycle is not None
    assert before.tenant.cycle.end == first
    before.start_cycle(first)
    assert before.tenant.cycle == Cycle(first, last)
    before.audit()


# ---- any history -----------------------------------------------------------------------------------------------

zones = st.sampled_from([UTC, FAR_EAST, FAR_WEST, ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")])
steps = st.one_of(
    st.just("look"),
    st.tuples(st.integers(1, 31), st.none() | zones),
    st.sampled_from(["small", "large"]),
    st.sampled_from(["store", "write", "give_back"]),
)


@settings(max_examples=150)
@given(st.integers(1, 31), zones, st.lists(st.tuples(steps, st.integers(0, 40 * 24)), max_size=15))
def test_no_history_grants_a_cycle_twice_or_leaves_a_gap(
    anchor_day: int, zone: tzinfo, history: list[tuple[object, int]]
) -> None:
    books = subscribed(anchor_day=anchor_day, zone=zone)
    now, cycles = NOW, [books.tenant.cycle]
    for step, hours in history:
        now += timedelta(hours=hours)
        if step == "look":
            books.start_cycle(now)
        elif isinstance(step, tuple):
            books.set_cycle(step[0], step[1], at=now)
        elif step in ("small", "large"):
            books.change_plan(str(step), at=now)
        elif step == "give_back":
            for found in [found for found in books.reservations.values() if found.feature == "store_lead"][:2]:
                books.release(found, at=now)
        else:
            books.reserve("store_lead" if step == "store" else "blog_post", ttl=60, at=now)
        books.audit()
        if books.tenant.cycle != cycles[-1]:
            cycles.append(books.tenant.cycle)
    for before, after in pairwise(cycles):
        assert before is not None
        assert after is not None
        assert before.end <= after.start, "cycles do not overlap"
    for cycle in cycles:
        assert cycle is not None
        reference = f":{cycle.start.isoformat()}"
        granted = [
            entry.amount
            for entry in books.entries
            if entry.voucher.reference.endswith(reference)
            and entry.type.value == "ALLOCATED"
            and entry.wallet_id == books.wallets["credits"].id
        ]
        assert sum(granted) in (nano("100"), nano("300")), "a cycle grants its largest plan once"
    granted_storage = books.wallets["lead_storage"].granted
    assert granted_storage == books.allocations["lead_storage"].amount, "a ceiling is what the plan says"


def test_a_grant_names_its_plan_and_other_entries_none() -> None:
    assert granted_by("plan:growth:2026-11-01T00:00:00+00:00") == "growth"
    assert granted_by("payment") is None
