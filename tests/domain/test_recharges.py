"""Recharges: one order at a time, further apart after declines, off after three, and never over the month's limit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import recharges
from domain.books import Event, EventType, Operation
from domain.money import NANO, Money
from domain.payments import AutoRecharge, Outcome, PaymentFacts, TopUp, TopUpOrigin, TopUpState
from domain.recharges import SetAutoRecharge
from domain.refusals import BudgetScope, Conflict, FieldProblem, NotFound, Refusal, ScopePaused, invalid
from domain.tenants import TenantStatus
from tests.domain.builders import (
    NOW,
    Bookkeeper,
    acme,
    held,
    later,
    nano,
    ordered,
    paid,
    request,
    spent,
    tenant,
    wallet_with,
)

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
PRICE = Money(10_000, "USD")
DECLINED = PaymentFacts(Outcome.FAILED, failure="card_declined")
SWITCHED_OFF = Conflict("Auto-recharge is switched off.")
ENOUGH = Conflict("The balance is not below the threshold.")
IN_FLIGHT = Conflict("A recharge is being paid already.")
TOO_SOON = Conflict("The card was declined: the next attempt comes later.")
LIMIT = Conflict("The month's limit is reached.")


def low(balance: str = "10", *, monthly_limit: str | None = None) -> Bookkeeper:
    """A metered wallet below the default threshold that buys a hundred dollars at a time; nothing was told yet."""
    books = Bookkeeper([wallet_with("metered", balance)])
    assert isinstance(books.set_auto_recharge(amount="100", monthly_limit=monthly_limit), AutoRecharge)
    books.events.clear()
    return books


def setting(books: Bookkeeper) -> AutoRecharge:
    return books.recharges["metered"]


def is_due(books: Bookkeeper, at: datetime = NOW) -> bool:
    found = setting(books)
    ordered_before = found.month_amount if found.month == books.books(at).book.month else 0
    return recharges._why_not(found, books.wallets["metered"], ordered_before, at) is None


def decline(books: Bookkeeper, at: datetime = NOW, known: PaymentFacts = DECLINED) -> TopUp:
    return books.settle_top_up(ordered(books.recharge(at=at)), known, at=at)


# ---- figures ---------------------------------------------------------------------------------------------------


def test_a_recharge_is_at_fifty_dollars_unless_said_otherwise() -> None:
    books = Bookkeeper([wallet_with("metered", "50")])
    answer = books.set_auto_recharge(amount="100")
    assert answer == AutoRecharge("metered", enabled=True, threshold=nano("50"), amount=nano("100"), monthly_limit=None)
    assert books.wallets["metered"].low_balance == nano("50")
    assert books.events == []


def test_the_threshold_is_also_that_of_the_low_balance_alert() -> None:
    books = low()
    books.set_auto_recharge(threshold="5")
    assert books.wallets["metered"].low_balance == nano("5")
    assert setting(books).amount == nano("100")
    books.set_auto_recharge(enabled=False)
    assert (setting(books).threshold, setting(books).enabled) == (nano("5"), False)
    books.audit()


def test_enabling_it_when_the_balance_is_low_already_tells_at_once() -> None:
    books = Bookkeeper([wallet_with("metered", "10")])
    books.set_auto_recharge(enabled=False, amount="100")
    assert books.events == []
    books.set_auto_recharge()
    payload = (("wallet", "metered"), ("available", nano("10")), ("threshold", nano("50")))
    assert books.events == [Event(EventType.BALANCE_LOW, payload)]
    assert is_due(books)


def test_raising_the_threshold_above_the_balance_tells_at_once() -> None:
    books = Bookkeeper([wallet_with("metered", "60")])
    books.set_auto_recharge(amount="100")
    assert books.events == []
    books.set_auto_recharge(threshold="60.01")
    assert books.told() == [EventType.BALANCE_LOW]


@pytest.mark.parametrize(
    ("figures", "refusal"),
    [
        ({"wallet_key": "no_such_wallet", "amount": "1"}, NotFound("wallet")),
        (
            {"wallet_key": "credits", "amount": "1"},
            invalid("walletKey", "only the metered wallet can recharge itself"),
        ),
        ({}, invalid("amount", "say how many dollars a recharge buys")),
        (
            {"amount": "100", "monthly_limit": "99.99"},
            invalid("monthlyLimit", "must be at least the amount of one recharge"),
        ),
        (
            {"amount": "100", "has_card": False},
            invalid("enabled", "no card is kept yet: pay one top-up by card first (startTopUp)"),
        ),
    ],
)
def test_figures_that_make_no_sense_are_refused(figures: dict[str, object], refusal: Refusal) -> None:
    books = Bookkeeper(acme())
    before = books.money()
    assert books.set_auto_recharge(**figures) == refusal  # type: ignore[arg-type]
    assert books.money() == before


def test_it_can_be_prepared_without_a_card_and_limited_to_one_a_month() -> None:
    books = Bookkeeper(acme())
    answer = books.set_auto_recharge(enabled=False, has_card=False, amount="100", monthly_limit="100")
    assert isinstance(answer, AutoRecharge)
    assert (answer.enabled, answer.monthly_limit) == (False, nano("100"))


def test_a_limit_stays_where_it_is_kept_and_goes_where_none_is_given() -> None:
    books = low(monthly_limit="300")
    books.set_auto_recharge(enabled=False, keeps_limit=True)
    assert setting(books).monthly_limit == nano("300")
    assert books.set_auto_recharge(amount="400", keeps_limit=True) == invalid(
        "monthlyLimit", "must be at least the amount of one recharge"
    )
    books.set_auto_recharge()
    assert setting(books).monthly_limit is None


@pytest.mark.parametrize(
    ("threshold", "monthly_limit", "problems"),
    [
        (None, None, ()),
        (0, 1, ()),
        (1_000_000 * NANO, None, ()),
        (-1, None, (FieldProblem("threshold", "must be 0 to 1000000 dollars"),)),
        (1_000_000 * NANO + 1, None, (FieldProblem("threshold", "must be 0 to 1000000 dollars"),)),
        (None, 0, (FieldProblem("monthlyLimit", "must be more than 0; leave it out for no limit"),)),
    ],
)
def test_thresholds_and_limits_have_bounds(
    threshold: int | None, monthly_limit: int | None, problems: tuple[FieldProblem, ...]
) -> None:
    asked = request(Operation.SET_AUTO_RECHARGE, "k")
    command = SetAutoRecharge(asked, "metered", True, threshold, None, monthly_limit, True)
    assert recharges.problems(command) == problems


# ---- when one is due -------------------------------------------------------------------------------------------


def test_a_low_wallet_orders_its_amount_once() -> None:
    books = low()
    top_up = ordered(books.recharge())
    assert (top_up.amount, top_up.price, top_up.bundle) == (nano("100"), PRICE, None)
    assert (top_up.origin, top_up.state, top_up.wallet_key) == (
        TopUpOrigin.AUTO_RECHARGE,
        TopUpState.PENDING,
        "metered",
    )
    assert (setting(books).in_flight, setting(books).month_amount) == (top_up.id, nano("100"))
    for _ in range(50):
        assert books.recharge() == IN_FLIGHT
    assert len(books.top_ups) == 1
    assert not is_due(books)
    books.audit()


def test_nothing_is_due_without_a_setting_or_a_wallet() -> None:
    assert Bookkeeper(acme()).recharge() == NotFound("auto-recharge")
    books = low()
    del books.wallets["metered"]
    assert books.recharge() == NotFound("auto-recharge")


def test_nothing_is_due_while_it_is_switched_off_or_there_is_enough() -> None:
    books = low()
    books.set_auto_recharge(enabled=False)
    assert books.recharge() == SWITCHED_OFF
    books.set_auto_recharge(threshold="10")
    assert books.recharge() == ENOUGH
    books.set_auto_recharge(threshold="10.01")
    assert ordered(books.recharge()).is_open


def test_what_is_held_counts_as_gone() -> None:
    books = low("60")
    held(books.reserve("llm_call", cost="10"))
    assert books.told() == [EventType.BALANCE_LOW]
    assert ordered(books.recharge()).is_open


def test_a_paid_recharge_fills_the_wallet_and_the_next_may_come() -> None:
    books = low()
    top_up = books.settle_top_up(ordered(books.recharge()), paid(PRICE))
    assert top_up.state is TopUpState.CREDITED
    assert books.balance("metered") == ("110", "0", "0")
    assert (setting(books).in_flight, setting(books).month_amount) == (None, nano("100"))
    assert books.recharge() == ENOUGH
    books.record(spent("50"), feature="llm_call")
    assert ordered(books.recharge()).id != top_up.id
    books.audit()


def test_the_threshold_is_told_at_its_crossing_only() -> None:
    books = Bookkeeper([wallet_with("metered", "100")])
    books.record(spent("30"), feature="llm_call")
    assert books.events == []
    books.record(spent("10"), feature="llm_call")
    payload = (("wallet", "metered"), ("available", nano("48")), ("threshold", nano("50")))
    assert books.events == [Event(EventType.BALANCE_LOW, payload)]
    books.record(spent("10"), feature="llm_call")
    assert len(books.events) == 1
    books.adjust("metered", "15")
    books.record(spent("1"), feature="llm_call")
    assert books.told() == [EventType.BALANCE_LOW] * 2


def test_a_balance_at_the_threshold_is_not_low() -> None:
    books = low("50")
    assert not is_due(books)
    assert books.recharge() == ENOUGH


# ---- declines --------------------------------------------------------------------------------------------------


def test_after_a_decline_the_next_attempt_comes_later_and_later() -> None:
    books = low()
    decline(books)
    assert (setting(books).declines, setting(books).retry_at) == (1, later(3_600))
    assert setting(books).in_flight is None
    assert books.recharge(at=later(3_599)) == TOO_SOON
    assert is_due(books, later(3_600))
    decline(books, later(3_600))
    assert (setting(books).declines, setting(books).retry_at) == (2, later(7 * 3_600))
    assert books.recharge(at=later(7 * 3_600 - 1)) == TOO_SOON
    books.audit()


def declined_three_times(known: PaymentFacts = DECLINED) -> Bookkeeper:
    books = low()
    for seconds in (0, 3_600, 7 * 3_600):
        decline(books, later(seconds), known)
    return books


def test_after_three_declines_it_is_switched_off_with_the_reason_and_told() -> None:
    books = declined_three_times()
    after = setting(books)
    assert (after.enabled, after.disabled_reason, after.declines, after.retry_at) == (False, "card_declined", 3, None)
    payload = (("wallet", "metered"), ("reason", "card_declined"), ("declines", 3))
    assert books.events[-1] == Event(EventType.AUTO_RECHARGE_DISABLED, payload)
    assert books.told() == [EventType.TOP_UP_FAILED] * 3 + [EventType.AUTO_RECHARGE_DISABLED]
    assert books.recharge(at=later(days=9)) == Conflict("Auto-recharge is switched off: card_declined.")
    books.audit()


def test_an_attempt_that_was_left_counts_as_a_decline_with_its_state_as_the_reason() -> None:
    books = declined_three_times(PaymentFacts(Outcome.EXPIRED))
    assert setting(books).disabled_reason == "expired"


def test_a_person_who_switches_it_on_again_forgets_the_declines() -> None:
    books = declined_three_times()
    books.set_auto_recharge(at=later(days=1))
    assert (setting(books).declines, setting(books).disabled_reason, setting(books).enabled) == (0, None, True)
    assert ordered(books.recharge(at=later(days=1))).is_open


def test_the_same_decline_told_again_counts_once() -> None:
    books = low()
    top_up = decline(books)
    for known in (DECLINED, PaymentFacts(Outcome.EXPIRED), DECLINED):
        books.settle_top_up(top_up, known, at=later(60))
    assert (setting(books).declines, setting(books).retry_at) == (1, later(3_600))
    assert setting(books).month_amount == 0
    books.audit()


def test_a_success_forgets_earlier_declines() -> None:
    books = low()
    decline(books)
    books.settle_top_up(ordered(books.recharge(at=later(3_600))), paid(PRICE), at=later(3_600))
    assert (setting(books).declines, setting(books).retry_at) == (0, None)


def test_a_recharge_that_waits_for_the_cards_owner_stays_in_flight() -> None:
    books = low()
    top_up = books.settle_top_up(ordered(books.recharge()), PaymentFacts(Outcome.REQUIRES_ACTION))
    assert (top_up.state, setting(books).in_flight) == (TopUpState.PENDING, top_up.id)
    assert books.told() == [EventType.TOP_UP_NEEDS_ACTION]
    assert books.recharge(at=later(days=1)) == IN_FLIGHT
    books.settle_top_up(top_up, paid(PRICE), at=later(days=1))
    assert (books.balance("metered")[0], setting(books).in_flight) == ("110", None)


def test_money_that_is_not_what_was_ordered_switches_it_off_instead_of_charging_again() -> None:
    books = low()
    top_up = books.settle_top_up(ordered(books.recharge()), paid(Money(9_000, "USD"), payment_id="pi_1"))
    assert (top_up.state, top_up.credited) == (TopUpState.PAID, 0)
    assert (setting(books).enabled, setting(books).disabled_reason) == (False, "unmatched")
    assert [event.type for event in books.events] == [EventType.TOP_UP_UNMATCHED, EventType.AUTO_RECHARGE_DISABLED]
    assert not is_due(books, later(days=60))


def test_a_success_after_the_failure_is_credited_and_counts_while_another_is_in_flight() -> None:
    books = low()
    first = decline(books)
    second = ordered(books.recharge(at=later(3_600)))
    assert setting(books).month_amount == nano("100")
    first = books.settle_top_up(first, paid(PRICE), at=later(3_601))
    assert (first.state, books.balance("metered")[0]) == (TopUpState.CREDITED, "110")
    assert (setting(books).in_flight, setting(books).declines) == (second.id, 0)
    assert setting(books).month_amount == nano("200")
    books.settle_top_up(second, paid(PRICE), at=later(3_602))
    assert (setting(books).in_flight, setting(books).month_amount) == (None, nano("200"))
    books.audit()


def test_a_late_success_does_not_switch_on_what_was_switched_off() -> None:
    books = declined_three_times()
    first = min(books.top_ups.values(), key=lambda top_up: top_up.created_at)
    books.settle_top_up(first, paid(PRICE), at=later(days=1))
    assert (setting(books).enabled, setting(books).disabled_reason) == (False, "card_declined")
    assert books.balance("metered")[0] == "110"


def test_money_other_than_ordered_ends_the_flight_too() -> None:
    books = low()
    top_up = books.settle_top_up(ordered(books.recharge()), paid(Money(1, "USD")))
    assert (top_up.state, setting(books).in_flight) == (TopUpState.PAID, None)


def test_orders_at_the_checkout_leave_a_recharge_alone() -> None:
    books = low()
    flying = ordered(books.recharge())
    before = setting(books)
    by_hand = ordered(books.start_top_up(amount="100"))
    books.settle_top_up(by_hand, DECLINED)
    books.settle_top_up(by_hand, paid(PRICE))
    assert setting(books) == before
    assert before.in_flight == flying.id


# ---- the month's limit -----------------------------------------------------------------------------------------


def test_the_months_limit_is_never_passed_and_a_new_month_starts_at_nothing() -> None:
    books = low(monthly_limit="250")
    for _ in range(2):
        books.settle_top_up(ordered(books.recharge()), paid(PRICE))
        books.record(spent("100"), feature="llm_call")
    assert setting(books).month_amount == nano("200")
    assert books.recharge() == LIMIT
    assert books.recharge(at=DECEMBER - timedelta(seconds=1)) == LIMIT
    top_up = ordered(books.recharge(at=DECEMBER))
    assert (setting(books).month, setting(books).month_amount) == ("2026-12", nano("100"))
    books.settle_top_up(top_up, DECLINED, at=DECEMBER)
    assert setting(books).month_amount == 0
    books.audit()


def test_a_limit_that_is_met_exactly_is_not_passed() -> None:
    books = low(monthly_limit="200")
    for _ in range(2):
        books.settle_top_up(ordered(books.recharge()), paid(PRICE))
        books.record(spent("100"), feature="llm_call")
    assert books.recharge() == LIMIT


def test_what_was_declined_does_not_count_towards_the_limit() -> None:
    books = low(monthly_limit="100")
    decline(books)
    assert ordered(books.recharge(at=later(3_600))).is_open


def test_an_order_of_last_month_that_fails_now_leaves_this_months_count_alone() -> None:
    books = low(monthly_limit="100")
    old = ordered(books.recharge(at=DECEMBER - timedelta(hours=2)))
    books.settle_top_up(old, DECLINED, at=DECEMBER)
    assert (setting(books).month, setting(books).month_amount) == ("2026-11", nano("100"))
    new = ordered(books.recharge(at=DECEMBER + timedelta(hours=1)))
    assert (setting(books).month, setting(books).month_amount) == ("2026-12", nano("100"))
    assert setting(books).in_flight == new.id
    books.audit()


# ---- suspended tenants -----------------------------------------------------------------------------------------


def test_a_suspended_tenant_recharges_nothing_and_sets_nothing() -> None:
    books = low()
    books.tenant = replace(books.tenant, status=TenantStatus.SUSPENDED)
    suspended = ScopePaused(BudgetScope.TENANT, None, "tenant_suspended")
    assert books.recharge() == suspended
    assert books.set_auto_recharge() == suspended
    assert books.top_ups == {}
    fresh = Bookkeeper(acme(), of=tenant(status=TenantStatus.SUSPENDED))
    assert fresh.set_auto_recharge(amount="100") == suspended


def test_a_recharge_that_is_paid_after_the_tenant_was_suspended_is_credited() -> None:
    books = low()
    top_up = ordered(books.recharge())
    books.suspend_tenant()
    books.settle_top_up(top_up, paid(PRICE))
    assert books.balance("metered")[0] == "110"


# ---- any history -----------------------------------------------------------------------------------------------

outcomes = st.sampled_from(
    [DECLINED, paid(PRICE), PaymentFacts(Outcome.EXPIRED), PaymentFacts(Outcome.REQUIRES_ACTION)]
)
steps = st.one_of(
    st.just("recharge"),
    st.just("recharge"),
    st.tuples(st.integers(0, 3), outcomes),
    st.sampled_from(["spend", "enable"]),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(steps, st.integers(0, 200)), max_size=25))
def test_whatever_happens_one_is_in_flight_and_the_month_stays_within_its_limit(
    history: list[tuple[object, int]],
) -> None:
    books = low(monthly_limit="300")
    now = NOW
    for step, hours in history:
        now += timedelta(hours=hours)
        orders = list(books.top_ups.values())
        if step == "recharge":
            answer = books.recharge(at=now)
            flying = [order for order in orders if order.is_open]
            assert isinstance(answer, Conflict) or not flying, "never two in flight"
            assert setting(books).month_amount <= nano("300")
        elif step == "spend":
            books.record(spent("80"), feature="llm_call", at=now)
        elif step == "enable":
            books.set_auto_recharge(monthly_limit="300", at=now)
        elif isinstance(step, tuple) and orders:
            books.settle_top_up(orders[-1 - step[0] % len(orders)], step[1], at=now)
        books.audit()
        flights = [order.id for order in books.top_ups.values() if order.is_open]
        assert flights == ([] if setting(books).in_flight is None else [setting(books).in_flight])
        assert setting(books).declines < 3 or not setting(books).enabled


def test_an_order_that_is_no_longer_wanted_is_no_decline() -> None:
    books = low()
    top_up = decline(books, known=PaymentFacts(Outcome.EXPIRED, failure=recharges.WITHDRAWN))
    assert top_up.state is TopUpState.EXPIRED
    found = setting(books)
    assert (found.in_flight, found.declines, found.retry_at, found.month_amount) == (None, 0, None, 0)
    assert is_due(books)
