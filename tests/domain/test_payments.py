"""Payments: whatever comes twice, late and out of order, what is known in the end is the same."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money
from domain.payments import (
    NOTHING_KNOWN,
    Dispute,
    DisputeStatus,
    Outcome,
    PaymentFacts,
    Refund,
    RefundStatus,
    TopUp,
    TopUpOrigin,
    TopUpState,
    disputed,
    joined,
    refunded,
    state_of,
    to_take_back,
)
from tests.domain.builders import NOW, nano, number

PRICE = Money(10_000, "USD")

# One payment's story: an id stands for one refund or dispute of one amount, and what came in is one sum.
outcomes = st.sampled_from(Outcome)
refunds = st.lists(
    st.builds(
        lambda place, status: Refund(f"re_{place}", (place + 1) * 1_500, status),
        st.integers(0, 3),
        st.sampled_from(RefundStatus),
    ),
    max_size=4,
).map(tuple)
disputes = st.lists(
    st.builds(
        lambda place, status: Dispute(f"dp_{place}", (place + 1) * 2_500, status),
        st.integers(0, 2),
        st.sampled_from(DisputeStatus),
    ),
    max_size=3,
).map(tuple)
facts = st.builds(
    lambda outcome, refunded_at_least, refunds, disputes: PaymentFacts(
        outcome,
        received=PRICE if outcome is Outcome.PAID else None,
        refunded_at_least=refunded_at_least,
        refunds=refunds,
        disputes=disputes,
    ),
    outcomes,
    st.sampled_from([0, 0, 1_500, 4_500, 10_000]),
    refunds,
    disputes,
)


def order(facts: PaymentFacts = NOTHING_KNOWN, *, credited: str = "0", taken_back: str = "0") -> TopUp:
    """A hundred dollars of metered balance for a hundred dollars."""
    return TopUp(
        number(1),
        "metered",
        nano("100"),
        PRICE,
        None,
        TopUpOrigin.CHECKOUT,
        "tester",
        NOW,
        facts=facts,
        credited=nano(credited),
        taken_back=nano(taken_back),
    )


def counts(known: PaymentFacts) -> tuple[object, ...]:
    """What decides about money."""
    return known.outcome, known.received, known.refunded_at_least, known.refunds, known.disputes


def told(*messages: PaymentFacts) -> PaymentFacts:
    known = NOTHING_KNOWN
    for message in messages:
        known = joined(known, message)
    return known


@given(facts, facts, facts)
def test_joining_is_commutative_associative_and_idempotent_in_all_that_counts(
    first: PaymentFacts, second: PaymentFacts, third: PaymentFacts
) -> None:
    first, second, third = told(first), told(second), told(third)
    assert counts(joined(first, second)) == counts(joined(second, first))
    assert counts(joined(joined(first, second), third)) == counts(joined(first, joined(second, third)))
    assert joined(first, first) == first
    assert joined(first, NOTHING_KNOWN) == joined(NOTHING_KNOWN, first) == first


@given(st.lists(facts, max_size=6), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_messages_ends_in_the_same_place(
    messages: list[PaymentFacts], random: object
) -> None:
    again = messages + messages[::2]
    random.shuffle(again)  # type: ignore[attr-defined]
    assert counts(told(*again)) == counts(told(*messages))
    one, other = order(told(*messages), credited="100"), order(told(*again), credited="100")
    assert (to_take_back(one), state_of(one)) == (to_take_back(other), state_of(other))


def test_what_goes_with_the_further_outcome_counts_and_nothing_is_forgotten() -> None:
    declined = PaymentFacts(Outcome.FAILED, payment_id="pi_1", failure="card_declined")
    came = PaymentFacts(Outcome.PAID, "cs_1", "pi_2", PRICE, card=("cus", "pm"))
    for messages in permutations([declined, came, PaymentFacts(session_id="cs_1")]):
        known = told(*messages)
        assert (known.outcome, known.session_id, known.payment_id) == (Outcome.PAID, "cs_1", "pi_2")
        assert (known.received, known.card, known.failure) == (PRICE, ("cus", "pm"), "card_declined")


def test_of_two_attempts_that_came_as_far_the_newer_is_the_payment() -> None:
    first, second = (PaymentFacts(Outcome.FAILED, payment_id=name, failure=name) for name in ("pi_1", "pi_2"))
    assert told(first, second).payment_id == "pi_2"
    assert told(first, second).failure == "pi_2"


def test_a_refund_is_in_the_state_that_is_furthest_and_told_once() -> None:
    pending, done, failed = (Refund("re_1", 4_000, status) for status in RefundStatus)
    for messages in permutations([pending, done, failed]):
        known = told(*[PaymentFacts(refunds=(refund,)) for refund in messages])
        assert known.refunds == (failed,)
        assert refunded(known) == 0
    assert refunded(told(PaymentFacts(refunds=(pending,)))) == 4_000
    assert refunded(told(PaymentFacts(refunds=(pending, done)))) == 4_000


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (NOTHING_KNOWN, 0),
        (PaymentFacts(refunded_at_least=3_000), 3_000),
        (PaymentFacts(refunded_at_least=3_000, refunds=(Refund("a", 3_000, RefundStatus.PENDING),)), 3_000),
        (PaymentFacts(refunded_at_least=5_000, refunds=(Refund("a", 3_000, RefundStatus.SUCCEEDED),)), 5_000),
        (PaymentFacts(refunded_at_least=3_000, refunds=(Refund("a", 5_000, RefundStatus.SUCCEEDED),)), 5_000),
        # The sum counted the one that failed: only the other went back.
        (PaymentFacts(refunded_at_least=5_000, refunds=(Refund("a", 3_000, RefundStatus.FAILED),)), 2_000),
        # The sum was told before both, and one failed since.
        (
            PaymentFacts(
                refunded_at_least=5_000,
                refunds=(Refund("a", 3_000, RefundStatus.FAILED), Refund("b", 2_000, RefundStatus.SUCCEEDED)),
            ),
            2_000,
        ),
        (PaymentFacts(refunds=(Refund("a", 3_000, RefundStatus.FAILED),)), 0),
    ],
)
def test_a_sum_of_refunds_bounds_those_that_are_told_one_by_one(known: PaymentFacts, expected: int) -> None:
    assert refunded(known) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (DisputeStatus.INQUIRY, 0),
        (DisputeStatus.OPEN, 7_000),
        (DisputeStatus.WON, 0),
        (DisputeStatus.LOST, 7_000),
    ],
)
def test_open_and_lost_disputes_take_money_and_inquiries_and_won_ones_do_not(
    status: DisputeStatus, expected: int
) -> None:
    known = told(PaymentFacts(Outcome.PAID, received=PRICE, disputes=(Dispute("dp", 7_000, status),)))
    assert disputed(known) == expected
    assert to_take_back(order(known, credited="100")) == nano("70" if expected else "0")


def test_a_dispute_stands_where_it_came_furthest_whatever_the_order_of_its_messages() -> None:
    steps = [Dispute("dp", 7_000, status) for status in DisputeStatus]
    for reached, expected in ((2, 7_000), (3, 7_000), (4, 0)):
        for messages in permutations(steps[:reached]):
            assert disputed(told(*[PaymentFacts(disputes=(step,)) for step in messages])) == expected


@pytest.mark.parametrize(
    ("returned", "expected"),
    [(1, "0.01"), (3_333, "33.33"), (9_999, "99.99"), (10_000, "100"), (12_000, "100")],
)
def test_what_is_taken_back_is_in_proportion_and_never_more_than_all(returned: int, expected: str) -> None:
    known = PaymentFacts(Outcome.PAID, received=PRICE, refunded_at_least=returned)
    assert to_take_back(order(known, credited="100")) == nano(expected)


def test_a_share_of_credits_is_rounded_down() -> None:
    known = PaymentFacts(Outcome.PAID, refunded_at_least=1)
    bundle = replace(order(known), amount=nano("50"), price=Money(3, "INR"))
    assert to_take_back(bundle) == 0
    assert to_take_back(replace(bundle, credited=nano("50"))) == nano("16.666666666")


REFUND = Refund("re_1", 10_000, RefundStatus.SUCCEEDED)
PART = Refund("re_2", 4_000, RefundStatus.PENDING)


@pytest.mark.parametrize(
    ("known", "credited", "expected"),
    [
        (NOTHING_KNOWN, "0", TopUpState.PENDING),
        (PaymentFacts(Outcome.REQUIRES_ACTION), "0", TopUpState.PENDING),
        (PaymentFacts(Outcome.FAILED), "0", TopUpState.FAILED),
        (PaymentFacts(Outcome.EXPIRED), "0", TopUpState.EXPIRED),
        (PaymentFacts(Outcome.PAID), "0", TopUpState.PAID),
        (PaymentFacts(Outcome.PAID), "100", TopUpState.CREDITED),
        (PaymentFacts(Outcome.PAID, refunds=(PART,)), "100", TopUpState.PARTIALLY_REFUNDED),
        (PaymentFacts(Outcome.PAID, refunds=(REFUND,)), "100", TopUpState.REFUNDED),
        (
            PaymentFacts(Outcome.PAID, refunds=(REFUND._replace(status=RefundStatus.FAILED),)),
            "100",
            TopUpState.CREDITED,
        ),
        (PaymentFacts(Outcome.PAID, refunded_at_least=10_000), "100", TopUpState.REFUNDED),
        (PaymentFacts(Outcome.PAID, disputes=(Dispute("d", 1, DisputeStatus.INQUIRY),)), "100", TopUpState.CREDITED),
        (PaymentFacts(Outcome.PAID, disputes=(Dispute("d", 1, DisputeStatus.OPEN),)), "100", TopUpState.DISPUTED),
        (PaymentFacts(Outcome.PAID, disputes=(Dispute("d", 1, DisputeStatus.LOST),)), "100", TopUpState.DISPUTED),
        (PaymentFacts(Outcome.PAID, disputes=(Dispute("d", 1, DisputeStatus.WON),)), "100", TopUpState.CREDITED),
        (
            PaymentFacts(Outcome.PAID, refunds=(PART,), disputes=(Dispute("d", 1, DisputeStatus.WON),)),
            "100",
            TopUpState.PARTIALLY_REFUNDED,
        ),
    ],
)
def test_the_state_follows_from_what_is_known_and_booked(
    known: PaymentFacts, credited: str, expected: TopUpState
) -> None:
    assert state_of(order(known, credited=credited)) is expected


def test_only_a_pending_order_waits_for_money() -> None:
    for state in TopUpState:
        assert replace(order(), state=state).is_open == (state is TopUpState.PENDING)


def test_an_order_keeps_what_is_told_of_its_payment() -> None:
    known = order(PaymentFacts(session_id="cs_1")).with_facts(PaymentFacts(Outcome.PAID, received=PRICE))
    assert known.facts == PaymentFacts(Outcome.PAID, "cs_1", received=PRICE)
