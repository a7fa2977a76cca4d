"""Subscriptions: an upgrade holds at once and grants the difference; everything else waits for the next cycle."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books import NO_CHANGES, EventType
from domain.cycles import Allocation
from domain.periods import SHORTEST_CYCLE, Cycle
from domain.refusals import BudgetScope, FieldProblem, ScopePaused, no_plan
from domain.subscriptions import Subscribed, coming_plan, cycle_problems
from domain.tenants import Tenant, TenantStatus
from tests.domain.builders import CATALOG as DOCUMENTS
from tests.domain.builders import NOW, Bookkeeper, held, later, nano, selling, sold, tenant

NOVEMBER = Cycle(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
KOLKATA = ZoneInfo("Asia/Kolkata")
SMALL = sold("small", 100, agents=10, credits="100", lead_storage="10")
MIDDLE = sold("middle", 200, credits="200", lead_storage="10")
LARGE = replace(sold("large", 300, credits="300", lead_storage="25", email_sends="1000"), unlimited=True)
SPARE = sold("spare", 300, credits="50", lead_storage="5", enrich_leads="9")
GONE = sold("gone", 400, withdrawn=True, credits="400")
LATER = sold("later", 500, since=DECEMBER, credits="500")
ABROAD = replace(sold("abroad", 600, credits="600"), region="middle_east")
CATALOG = selling(SMALL, MIDDLE, LARGE, SPARE, GONE, LATER, ABROAD)


def subscribed(plan: str = "small", *, anchor_day: int = 1) -> Bookkeeper:
    books = Bookkeeper(of=tenant(plan=plan, anchor_day=anchor_day), catalog=CATALOG)
    books.start_cycle()
    return books


def changed(answer: object) -> Tenant:
    assert isinstance(answer, Subscribed), answer
    return answer.tenant


# ---- plans -----------------------------------------------------------------------------------------------------


def test_an_upgrade_holds_at_once_and_grants_the_difference_until_the_same_end() -> None:
    books = subscribed()
    after = changed(books.change_plan("large", at=later(60)))
    assert (after.plan, after.unlimited_plan, after.next_plan, after.cycle) == ("large", True, None, NOVEMBER)
    assert books.tenant == after
    assert books.moves("credits") == [("ALLOCATED", "100"), ("ALLOCATED", "200")]
    assert {lot.expires_at for lot in books.wallets["credits"].lots} == {NOVEMBER.end}
    assert books.balance("lead_storage") == ("25", "0", "0")
    assert books.balance("email_sends") == ("1000", "0", "0")
    assert {lot.expires_at for lot in books.wallets["lead_storage"].lots} == {None}
    assert books.allocations["credits"] == Allocation("credits", NOVEMBER.start, nano("300"))
    entry = books.entries[-1]
    assert (entry.voucher.reference, entry.voucher.note) == ("plan:large:2026-11-01T00:00:00+00:00", "upgrade")
    assert len({lot.id for wallet in books.wallets.values() for lot in wallet.lots}) == 5
    books.audit()


def test_an_upgrade_fills_a_debt_and_tells_of_it() -> None:
    books = subscribed()
    books.adjust("credits", "-130")
    books.change_plan("large")
    assert books.balance("credits") == ("170", "0", "0")
    assert books.told() == [EventType.CYCLE_STARTED, EventType.DEBT_REPAID]


def test_the_next_cycle_after_an_upgrade_grants_the_whole_plan() -> None:
    books = subscribed()
    books.change_plan("large")
    books.start_cycle(DECEMBER)
    assert books.balance("credits") == ("300", "0", "0")
    assert books.balance("lead_storage") == ("25", "0", "0")
    books.audit()


def test_a_downgrade_waits_for_the_next_cycle() -> None:
    books = subscribed("large")
    before = books.money()[:7]
    after = changed(books.change_plan("small"))
    assert (after.plan, after.next_plan, after.unlimited_plan) == ("large", "small", True)
    assert books.money()[2:4] == before[2:4]
    assert books.balance("credits") == ("300", "0", "0")
    assert coming_plan(books.books(), DECEMBER) is SMALL
    books.start_cycle(DECEMBER)
    assert (books.tenant.plan, books.tenant.next_plan, books.tenant.unlimited_plan) == ("small", None, False)
    assert books.balance("credits") == ("100", "0", "0")
    assert books.balance("lead_storage") == ("10", "0", "0")
    assert books.balance("email_sends") == ("0", "0", "0")
    assert books.allocations["email_sends"] == Allocation("email_sends", DECEMBER, 0)
    books.audit()


def test_the_present_plan_again_takes_a_downgrade_back() -> None:
    books = subscribed("large")
    books.change_plan("small")
    after = changed(books.change_plan("large"))
    assert (after.plan, after.next_plan) == ("large", None)
    books.start_cycle(DECEMBER)
    assert books.balance("credits") == ("300", "0", "0")


def test_up_and_down_and_up_again_grants_nothing_twice() -> None:
    books = subscribed()
    for plan in ("large", "small", "large", "small", "middle", "large"):
        books.change_plan(plan)
    assert books.balance("credits") == ("300", "0", "0")
    assert books.balance("email_sends") == ("1000", "0", "0")
    assert books.moves("credits") == [("ALLOCATED", "100"), ("ALLOCATED", "200")]
    books.audit()


def test_steps_up_grant_their_differences() -> None:
    books = subscribed()
    books.change_plan("middle")
    books.consume(held(books.reserve("blog_post", "75")))
    books.change_plan("large")
    assert books.moves("credits")[0::3] == [("ALLOCATED", "100"), ("CONSUMED", "150")]
    assert books.balance("credits") == ("150", "0", "150")
    assert books.wallets["credits"].granted == nano("300")
    books.audit()


@given(st.lists(st.sampled_from(["small", "middle", "large", "spare"]), max_size=12))
def test_no_way_through_the_plans_grants_more_than_the_largest_of_them(plans: list[str]) -> None:
    books = subscribed()
    seen = [SMALL]
    for plan in plans:
        books.change_plan(plan)
        current = CATALOG.plan("india", books.tenant.plan, NOW)
        assert current is not None
        seen.append(current)
        books.audit()
    for key, wallet in books.wallets.items():
        assert wallet.granted == max(plan.allocation(key) for plan in seen)
        assert books.allocations[key].amount == wallet.granted
    books.start_cycle(DECEMBER)
    coming = CATALOG.plan("india", books.tenant.plan, NOW)
    assert coming is not None
    for key, wallet in books.wallets.items():
        assert wallet.available == coming.allocation(key)
    books.audit()


def test_a_plan_of_the_same_price_holds_at_once_and_takes_nothing_until_the_next_cycle() -> None:
    books = subscribed("large")
    after = changed(books.change_plan("spare"))
    assert (after.plan, after.unlimited_plan) == ("spare", False)
    assert books.balance("credits") == ("300", "0", "0")
    assert books.balance("enrich_leads") == ("9", "0", "0")
    books.start_cycle(DECEMBER)
    assert books.balance("credits") == ("50", "0", "0")
    assert books.balance("lead_storage") == ("5", "0", "0")
    books.audit()


def test_before_the_first_cycle_every_plan_holds_at_once_and_grants_nothing() -> None:
    books = Bookkeeper(of=tenant(plan="large"), catalog=CATALOG)
    for plan in ("small", "large", "small"):
        assert changed(books.change_plan(plan)).plan == plan
    assert books.entries == []
    books.start_cycle()
    assert books.balance("credits") == ("100", "0", "0")


@pytest.mark.parametrize("plan", ["gone", "later", "abroad", "no_such_plan"])
def test_a_plan_that_is_not_sold_here_and_now_is_refused(plan: str) -> None:
    books = subscribed()
    before = books.money()
    assert books.change_plan(plan) == no_plan(plan, "india")
    assert books.money() == before


def test_who_has_a_withdrawn_plan_may_ask_for_it_again() -> None:
    books = subscribed("gone")
    books.change_plan("small")
    assert changed(books.change_plan("gone")).next_plan is None


def test_a_plan_that_can_be_found_no_more_is_left_at_once() -> None:
    books = Bookkeeper(of=tenant(plan="later", cycle=NOVEMBER), catalog=CATALOG)
    assert changed(books.change_plan("small")).plan == "small"


def test_an_upgrade_in_a_cycle_that_has_just_begun_is_counted_from_its_grant() -> None:
    books = subscribed()
    books.change_plan("large", at=DECEMBER)
    assert books.moves("credits") == [
        ("ALLOCATED", "100"),
        ("EXPIRED", "100"),
        ("ALLOCATED", "100"),
        ("ALLOCATED", "200"),
    ]
    assert books.balance("credits") == ("300", "0", "0")
    books.audit()


def test_the_plans_of_the_documents_grant_100_and_300_credits() -> None:
    books = Bookkeeper(of=tenant(plan="starter"), catalog=DOCUMENTS)
    books.start_cycle()
    assert books.balance("credits") == ("100", "0", "0")
    books.change_plan("professional")
    assert books.balance("credits") == ("300", "0", "0")
    books.audit()


# ---- anchors and zones -----------------------------------------------------------------------------------------


def test_a_new_anchor_holds_from_the_next_cycle() -> None:
    books = subscribed()
    after = changed(books.set_cycle(20))
    assert (after.cycle_anchor_day, after.next_anchor_day, after.cycle) == (1, 20, NOVEMBER)
    assert books.start_cycle(later(60)) == NO_CHANGES
    books.start_cycle(DECEMBER)
    assert (books.tenant.cycle_anchor_day, books.tenant.next_anchor_day) == (20, None)
    assert books.tenant.cycle == Cycle(DECEMBER, datetime(2026, 12, 20, tzinfo=UTC))
    assert books.wallets["credits"].lots[0].expires_at == datetime(2026, 12, 20, tzinfo=UTC)
    books.start_cycle(datetime(2026, 12, 20, tzinfo=UTC))
    assert books.tenant.cycle == Cycle(datetime(2026, 12, 20, tzinfo=UTC), datetime(2027, 1, 20, tzinfo=UTC))


@pytest.mark.parametrize("anchor_day", range(1, 32))
def test_the_first_cycle_under_a_new_anchor_is_at_least_half_a_month_long(anchor_day: int) -> None:
    books = subscribed()
    books.set_cycle(anchor_day)
    books.start_cycle(DECEMBER)
    cycle = books.tenant.cycle
    assert cycle is not None
    assert cycle.start == DECEMBER
    assert SHORTEST_CYCLE <= cycle.end - cycle.start < SHORTEST_CYCLE + timedelta(days=31)
    assert cycle.end.day == anchor_day


def test_a_new_zone_holds_from_the_next_cycle_for_months_too() -> None:
    books = subscribed()
    after = changed(books.set_cycle(zone=KOLKATA))
    assert (after.zone, after.next_zone) == (UTC, KOLKATA)
    books.start_cycle(DECEMBER)
    assert (books.tenant.zone, books.tenant.next_zone) == (KOLKATA, None)
    assert books.tenant.cycle == Cycle(DECEMBER, datetime(2026, 12, 31, 18, 30, tzinfo=UTC))


def test_of_anchor_and_zone_what_is_left_out_stays_as_it_was_to_be() -> None:
    books = subscribed()
    books.set_cycle(20)
    after = changed(books.set_cycle(zone=KOLKATA))
    assert (after.next_anchor_day, after.next_zone) == (20, KOLKATA)


def test_the_present_anchor_and_zone_again_take_a_change_back() -> None:
    books = subscribed()
    books.set_cycle(20, KOLKATA)
    after = changed(books.set_cycle(1, UTC))
    assert (after.next_anchor_day, after.next_zone) == (None, None)


def test_before_the_first_cycle_anchor_and_zone_hold_at_once() -> None:
    books = Bookkeeper(of=tenant(plan="small"), catalog=CATALOG)
    assert changed(books.set_cycle(20)).cycle_anchor_day == 20
    after = changed(books.set_cycle(zone=KOLKATA))
    assert (after.cycle_anchor_day, after.zone, after.next_zone) == (20, KOLKATA, None)


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_a_tenant_that_is_not_active_changes_neither_plan_nor_cycle(status: TenantStatus) -> None:
    books = subscribed()
    books.tenant = replace(books.tenant, status=status)
    refusal = ScopePaused(BudgetScope.TENANT, None, f"tenant_{status.lower()}")
    before = books.tenant, books.balance("credits"), len(books.entries), len(books.events)
    assert books.change_plan("large") == books.set_cycle(20) == refusal
    assert (books.tenant, books.balance("credits"), len(books.entries), len(books.events)) == before


@pytest.mark.parametrize(("anchor_day", "fits"), [(None, True), (1, True), (31, True), (0, False), (32, False)])
def test_an_anchor_is_a_day_of_the_month(anchor_day: int | None, fits: bool) -> None:
    problem = FieldProblem("anchorDay", "must be 1 to 31; a month that is shorter starts on its last day")
    assert cycle_problems(anchor_day) == (() if fits else (problem,))
