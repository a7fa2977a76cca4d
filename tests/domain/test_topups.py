"""Top-ups: what is paid is credited once, and what goes back to the payer comes out again, whatever the messages do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import topups
from domain.books import NO_CHANGES, Event, EventType, Operation
from domain.ids import public
from domain.ledger import EntryType
from domain.money import Money
from domain.payments import (
    Dispute,
    DisputeStatus,
    Outcome,
    PaymentFacts,
    Refund,
    RefundStatus,
    TopUp,
    TopUpOrigin,
    TopUpState,
)
from domain.refusals import BudgetScope, FieldProblem, NotFound, ScopePaused, invalid
from domain.tenants import TenantStatus
from domain.topups import SettleTopUp, StartTopUp
from domain.versions import Versions
from domain.wallets import LotSource
from tests.domain.builders import (
    CATALOG,
    CYCLE_END,
    NOW,
    Bookkeeper,
    acme,
    empty_wallet,
    figures,
    held,
    later,
    nano,
    number,
    ordered,
    paid,
    request,
    spent,
    tenant,
    wallet_with,
)

HUNDRED = Money(10_000, "USD")
NEXT_CYCLE_END = datetime(2027, 1, 1, tzinfo=UTC)
bundle = CATALOG.bundle("india", "credits_50", NOW)
assert bundle is not None
FIFTY = bundle
FIFTY_PRICE = Money(FIFTY.price, FIFTY.currency)


def refund(amount: int, name: str = "re_1", status: RefundStatus = RefundStatus.SUCCEEDED) -> PaymentFacts:
    return PaymentFacts(refunds=(Refund(name, amount, status),))


def dispute(amount: int, status: DisputeStatus) -> PaymentFacts:
    return PaymentFacts(disputes=(Dispute("dp_1", amount, status),))


def prepaid(*facts: PaymentFacts) -> tuple[Bookkeeper, TopUp]:
    """A metered wallet at 50 dollars, and an order of a hundred of which this was told."""
    books = Bookkeeper(acme())
    top_up = ordered(books.start_top_up(amount="100"))
    for known in facts:
        top_up = books.settle_top_up(top_up, known)
    return books, top_up


# ---- orders ----------------------------------------------------------------------------------------------------


def test_an_order_of_metered_dollars_costs_as_many_dollars_and_credits_nothing_yet() -> None:
    books, top_up = prepaid()
    assert (top_up.wallet_key, top_up.amount, top_up.price) == ("metered", nano("100"), HUNDRED)
    assert (top_up.origin, top_up.actor, top_up.created_at) == (TopUpOrigin.CHECKOUT, "tester", NOW)
    assert (top_up.state, top_up.bundle, top_up.credited) == (TopUpState.PENDING, None, 0)
    assert books.top_ups == {top_up.id: top_up}
    assert (books.balance("metered"), books.events) == (("50", "0", "0"), [])


def test_an_order_of_a_bundle_has_the_bundles_amount_and_the_regions_price() -> None:
    top_up = ordered(Bookkeeper(acme()).start_top_up("credits", bundle="credits_50"))
    assert (top_up.amount, top_up.price, top_up.bundle) == (nano("50"), FIFTY_PRICE, "credits_50")
    assert top_up.price.currency == "INR"


def test_a_retry_of_an_order_answers_with_the_order_as_it_stands() -> None:
    books = Bookkeeper(acme())
    first = ordered(books.start_top_up(amount="100", key="k"))
    books.settle_top_up(first, paid(HUNDRED))
    again = ordered(books.start_top_up(amount="100", key="k", at=later(60)))
    assert (again.id, again.state) == (first.id, TopUpState.CREDITED)
    assert len(books.top_ups) == 1


@pytest.mark.parametrize(
    ("wallet_key", "bought", "refusal"),
    [
        ("no_such_wallet", {"amount": "10"}, NotFound("wallet")),
        ("credits", {"bundle": "credits_5000000"}, NotFound("bundle credits_5000000 for wallet credits")),
        ("metered", {"bundle": "credits_50"}, NotFound("bundle credits_50 for wallet metered")),
        ("email_sends", {"bundle": "credits_50"}, NotFound("bundle credits_50 for wallet email_sends")),
        (
            "credits",
            {"amount": "10"},
            invalid("amount", "only metered dollars are sold by the amount: choose a bundle (query bundles)"),
        ),
    ],
)
def test_what_is_not_sold_for_a_wallet_is_refused(
    wallet_key: str, bought: dict[str, str], refusal: NotFound | object
) -> None:
    books = Bookkeeper(acme())
    before = books.money()
    answer = books.start_top_up(wallet_key, amount=bought.get("amount"), bundle=bought.get("bundle"))
    assert answer == refusal
    assert books.money() == before


@pytest.mark.parametrize("change", [{"region": "middle_east"}, {"withdrawn": True}, {"effective_from": later(1)}])
def test_a_bundle_of_another_region_or_withdrawn_or_not_yet_sold_is_refused(change: dict[str, object]) -> None:
    catalog = replace(CATALOG, bundles=Versions([replace(FIFTY, **change)]))  # type: ignore[arg-type]
    books = Bookkeeper(acme(), catalog=catalog)
    assert books.start_top_up("credits", bundle="credits_50") == NotFound("bundle credits_50 for wallet credits")


@pytest.mark.parametrize(
    ("bundle", "amount", "fits"),
    [
        ("credits_50", None, True),
        (None, "1", True),
        (None, "12.34", True),
        (None, "100000", True),
        (None, None, False),
        ("credits_50", "1", False),
    ],
)
def test_an_order_names_a_bundle_or_an_amount(bundle: str | None, amount: str | None, fits: bool) -> None:
    command = StartTopUp(
        request(Operation.START_TOP_UP, "k"), number(1), "metered", bundle, None if amount is None else nano(amount)
    )
    one = FieldProblem("amount", "give either a bundle (query bundles) or, for metered dollars, an amount")
    assert topups.problems(command) == (() if fits else (one,))


@pytest.mark.parametrize("amount", ["0", "-5", "0.99", "1.001", "100000.01", "5.000000001"])
def test_a_payment_is_in_whole_cents_and_neither_tiny_nor_huge(amount: str) -> None:
    command = StartTopUp(request(Operation.START_TOP_UP, "k"), number(1), "metered", None, nano(amount))
    problem = FieldProblem("amount", "must be 1 to 100000 dollars in whole cents")
    assert topups.problems(command) == (problem,)
    assert topups.payment_problems("autoRecharge.amount", nano(amount)) == (
        replace(problem, path="autoRecharge.amount"),
    )


def test_the_page_on_which_an_order_is_paid_is_kept_while_there_is_something_to_pay() -> None:
    books, top_up = prepaid()
    top_up = books.settle_top_up(top_up, PaymentFacts(session_id="cs_1"), checkout_url="https://pay/1")
    assert (top_up.checkout_url, top_up.facts.session_id) == ("https://pay/1", "cs_1")
    assert books.settle_top_up(top_up, PaymentFacts(payment_id="pi_1")).checkout_url == "https://pay/1"
    assert books.settle_top_up(top_up, paid(HUNDRED)).checkout_url is None
    assert books.settle_top_up(top_up, PaymentFacts(), checkout_url="https://pay/2").checkout_url is None


def test_word_of_an_order_that_is_not_there_is_refused() -> None:
    command = SettleTopUp(request(Operation.SETTLE_TOP_UP, ""), number(9), paid(HUNDRED), number(10))
    decision = Bookkeeper(acme()).decide(command)
    assert (decision.answer, decision.changes) == (NotFound("top-up"), NO_CHANGES)


# ---- credit ----------------------------------------------------------------------------------------------------


def test_what_is_paid_becomes_a_lot_that_carries_the_orders_id() -> None:
    books, top_up = prepaid(paid(HUNDRED))
    assert (top_up.state, top_up.credited, top_up.credited_at) == (TopUpState.CREDITED, nano("100"), NOW)
    assert books.balance("metered") == ("150", "0", "0")
    entry = books.entries[-1]
    assert (entry.type, entry.voucher.reference) == (EntryType.TOPPED_UP, public("top_up", top_up.id))
    (lot,) = [lot for lot in books.wallets["metered"].lots if lot.id == top_up.id]
    assert (lot.source, lot.granted_at, lot.expires_at) == (LotSource.TOP_UP, NOW, None)
    payload = (
        ("topUp", public("top_up", top_up.id)),
        ("wallet", "metered"),
        ("amount", nano("100")),
        ("takenBack", 0),
        ("state", "CREDITED"),
        ("failure", None),
    )
    assert books.events == [Event(EventType.TOP_UP_CREDITED, payload)]
    books.audit()


def test_fifty_messages_that_it_is_paid_credit_once_and_tell_once() -> None:
    books, top_up = prepaid(*[paid(HUNDRED)] * 50)
    assert books.balance("metered") == ("150", "0", "0")
    assert books.told() == [EventType.TOP_UP_CREDITED]
    assert books.decide(
        SettleTopUp(request(Operation.SETTLE_TOP_UP, ""), top_up.id, paid(HUNDRED), number(99))
    ).changes == (NO_CHANGES)


def test_money_that_came_in_outweighs_a_failure_before_and_after() -> None:
    failed, gone = PaymentFacts(Outcome.FAILED, failure="card_declined"), PaymentFacts(Outcome.EXPIRED)
    books, top_up = prepaid(failed, gone, paid(HUNDRED), failed, gone)
    assert (top_up.state, top_up.facts.failure) == (TopUpState.CREDITED, "card_declined")
    assert books.balance("metered") == ("150", "0", "0")
    assert books.told() == [EventType.TOP_UP_FAILED, EventType.TOP_UP_FAILED, EventType.TOP_UP_CREDITED]


@pytest.mark.parametrize("received", [Money(9_999, "USD"), Money(10_001, "USD"), Money(10_000, "INR"), None])
def test_money_other_than_ordered_is_credited_to_nobody_and_a_person_is_told_once(received: Money | None) -> None:
    odd = PaymentFacts(Outcome.PAID, received=received)
    books, top_up = prepaid(odd, odd, refund(5_000), dispute(10_000, DisputeStatus.OPEN))
    assert (top_up.state, top_up.credited, top_up.taken_back) == (TopUpState.PAID, 0, 0)
    assert books.balance("metered") == ("50", "0", "0")
    assert books.told() == [EventType.TOP_UP_UNMATCHED]


def test_a_payment_whose_sum_is_told_later_is_credited_then() -> None:
    books, top_up = prepaid(PaymentFacts(Outcome.PAID), paid(HUNDRED))
    assert top_up.state is TopUpState.CREDITED
    assert books.told() == [EventType.TOP_UP_UNMATCHED, EventType.TOP_UP_CREDITED]


def test_a_failure_is_told_once_with_its_reason_and_credits_nothing() -> None:
    failed = PaymentFacts(Outcome.FAILED, failure="card_declined")
    books, top_up = prepaid(failed, failed)
    assert top_up.state is TopUpState.FAILED
    (event,) = books.events
    assert event.type is EventType.TOP_UP_FAILED
    assert dict(event.payload)["failure"] == "card_declined"
    assert books.balance("metered") == ("50", "0", "0")


def test_the_cards_owner_is_asked_once_and_may_still_pay() -> None:
    waits = PaymentFacts(Outcome.REQUIRES_ACTION)
    books, top_up = prepaid(waits, waits)
    assert (top_up.state, books.told()) == (TopUpState.PENDING, [EventType.TOP_UP_NEEDS_ACTION])
    books.settle_top_up(top_up, paid(HUNDRED))
    assert books.told() == [EventType.TOP_UP_NEEDS_ACTION, EventType.TOP_UP_CREDITED]


def test_a_debt_is_filled_first_and_its_end_is_told() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    books.record(spent("100"), feature="llm_call")
    assert books.balance("metered") == ("-129", "0", "130")
    for _ in range(2):
        books.settle_top_up(ordered(books.start_top_up(amount="100")), paid(HUNDRED))
    assert books.balance("metered") == ("71", "0", "130")
    assert EventType.DEBT_REPAID in books.told()
    assert books.told().count(EventType.DEBT_REPAID) == 1
    books.audit()


# ---- expiry ----------------------------------------------------------------------------------------------------


def test_bought_credits_expire_with_the_cycle_in_which_they_are_credited() -> None:
    books = Bookkeeper(acme())
    top_up = ordered(books.start_top_up("credits", bundle="credits_50", at=NOW))
    books.settle_top_up(top_up, paid(FIFTY_PRICE), at=CYCLE_END + timedelta(days=2))
    (lot,) = books.wallets["credits"].lots[:1]
    assert (lot.id, lot.expires_at) == (top_up.id, NEXT_CYCLE_END)
    assert books.moves("credits", since=7) == [("EXPIRED", "300"), ("TOPPED_UP", "50")]
    books.book_expired_lots(NEXT_CYCLE_END)
    assert books.balance("credits") == ("0", "0", "0")
    books.audit()


def test_credits_of_one_cycle_expire_at_its_very_end() -> None:
    books = Bookkeeper(acme())
    books.settle_top_up(
        ordered(books.start_top_up("credits", bundle="credits_50")),
        paid(FIFTY_PRICE),
        at=CYCLE_END - timedelta(microseconds=1),
    )
    assert books.wallets["credits"].lots[0].expires_at == CYCLE_END


def test_bought_dollars_never_expire() -> None:
    books, _ = prepaid(paid(HUNDRED))
    books.book_expired_lots(later(days=4_000))
    assert books.balance("metered") == ("150", "0", "0")


# ---- refunds and disputes --------------------------------------------------------------------------------------


def test_a_refund_in_part_takes_its_share_and_a_second_one_the_rest() -> None:
    books, top_up = prepaid(paid(HUNDRED), refund(2_500))
    assert (top_up.state, top_up.taken_back) == (TopUpState.PARTIALLY_REFUNDED, nano("25"))
    assert books.balance("metered") == ("125", "0", "0")
    top_up = books.settle_top_up(top_up, refund(7_500, "re_2"))
    assert (top_up.state, top_up.taken_back) == (TopUpState.REFUNDED, nano("100"))
    assert books.balance("metered") == ("50", "0", "0")
    assert books.told() == [EventType.TOP_UP_CREDITED, EventType.TOP_UP_TAKEN_BACK, EventType.TOP_UP_TAKEN_BACK]
    assert books.moves("metered", since=8) == [("ADJUSTED", "-25"), ("ADJUSTED", "-75")]
    books.audit()


def test_a_refund_takes_from_its_own_lot_first() -> None:
    books, top_up = prepaid(paid(HUNDRED), refund(4_000))
    assert [figures(lot) for lot in books.wallets["metered"].lots] == [
        (nano("50"), nano("50"), 0, 0, 0),
        (nano("60"), nano("60"), 0, 0, 0),
    ]
    entry = books.entries[-1]
    assert (entry.voucher.reference, entry.voucher.note) == (public("top_up", top_up.id), "refunded")
    assert [draw.lot_id for draw in entry.draws] == [top_up.id]


def test_a_refund_larger_than_what_is_left_makes_a_debt() -> None:
    books, top_up = prepaid(paid(HUNDRED))
    books.record(spent("100"), feature="llm_call")
    assert books.balance("metered") == ("20", "0", "130")
    top_up = books.settle_top_up(top_up, refund(10_000))
    assert (top_up.state, books.balance("metered")) == (TopUpState.REFUNDED, ("-80", "0", "130"))
    books.adjust("metered", "80")
    assert books.balance("metered") == ("0", "0", "130")
    assert books.told()[-1] is EventType.DEBT_REPAID
    books.audit()


def test_what_is_held_is_not_taken_but_owed() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    top_up = books.settle_top_up(ordered(books.start_top_up(amount="100")), paid(HUNDRED))
    work = held(books.reserve("llm_call", cost="70"))
    books.settle_top_up(top_up, refund(10_000))
    assert books.balance("metered") == ("-90", "91", "0")
    books.release(work)
    assert books.balance("metered") == ("1", "0", "0")
    books.audit()


def test_a_refund_that_is_told_before_its_payment_is_taken_when_the_payment_is_credited() -> None:
    books, top_up = prepaid(refund(10_000))
    assert top_up.state is TopUpState.PENDING
    top_up = books.settle_top_up(top_up, paid(HUNDRED))
    assert (top_up.state, top_up.credited, top_up.taken_back) == (TopUpState.REFUNDED, nano("100"), nano("100"))
    assert books.moves("metered", since=7) == [("TOPPED_UP", "100"), ("ADJUSTED", "-100")]
    assert books.told() == [EventType.TOP_UP_CREDITED, EventType.TOP_UP_TAKEN_BACK]
    books.audit()


def test_a_refund_that_failed_is_given_back() -> None:
    books, top_up = prepaid(paid(HUNDRED), refund(10_000))
    top_up = books.settle_top_up(top_up, refund(10_000, status=RefundStatus.FAILED))
    assert (top_up.state, top_up.taken_back) == (TopUpState.CREDITED, 0)
    assert books.balance("metered") == ("150", "0", "0")
    books.audit()


def test_a_dispute_takes_and_a_won_one_gives_back_in_a_lot_of_its_own() -> None:
    books, top_up = prepaid(paid(HUNDRED), dispute(10_000, DisputeStatus.INQUIRY))
    assert top_up.state is TopUpState.CREDITED
    top_up = books.settle_top_up(top_up, dispute(10_000, DisputeStatus.OPEN))
    assert (top_up.state, books.balance("metered")) == (TopUpState.DISPUTED, ("50", "0", "0"))
    assert books.entries[-1].voucher.note == "disputed"
    for _ in range(2):
        top_up = books.settle_top_up(top_up, dispute(10_000, DisputeStatus.WON), at=later(days=30))
    assert (top_up.state, books.balance("metered")) == (TopUpState.CREDITED, ("150", "0", "0"))
    entry = books.entries[-1]
    assert (entry.type, entry.amount, entry.voucher.note) == (EntryType.ADJUSTED, nano("100"), "came back")
    lot = books.wallets["metered"].lots[-1]
    assert (lot.source, lot.granted_at, lot.expires_at) == (LotSource.TOP_UP, later(days=30), None)
    assert lot.id != top_up.id
    books.audit()


def test_credits_that_come_back_expire_with_the_cycle_in_which_they_do() -> None:
    books = Bookkeeper(acme())
    top_up = books.settle_top_up(ordered(books.start_top_up("credits", bundle="credits_50")), paid(FIFTY_PRICE))
    books.settle_top_up(top_up, dispute(FIFTY.price, DisputeStatus.OPEN))
    books.settle_top_up(top_up, dispute(FIFTY.price, DisputeStatus.WON), at=later(days=20))
    (lot,) = [lot for lot in books.wallets["credits"].lots if lot.available]
    assert (lot.available, lot.expires_at) == (nano("50"), NEXT_CYCLE_END)
    books.audit()


def test_a_lost_dispute_stays_taken() -> None:
    steps = (DisputeStatus.INQUIRY, DisputeStatus.OPEN, DisputeStatus.LOST, DisputeStatus.OPEN)
    books, top_up = prepaid(paid(HUNDRED), *[dispute(10_000, status) for status in steps])
    assert (top_up.state, books.balance("metered")) == (TopUpState.DISPUTED, ("50", "0", "0"))


def test_a_lost_dispute_may_still_be_won_by_an_appeal() -> None:
    books, top_up = prepaid(paid(HUNDRED), dispute(10_000, DisputeStatus.LOST), dispute(10_000, DisputeStatus.WON))
    assert (top_up.state, books.balance("metered")) == (TopUpState.CREDITED, ("150", "0", "0"))


def test_a_refund_and_a_dispute_together_never_take_more_than_was_credited() -> None:
    books, top_up = prepaid(paid(HUNDRED), refund(6_000), dispute(10_000, DisputeStatus.OPEN))
    assert (top_up.taken_back, books.balance("metered")) == (nano("100"), ("50", "0", "0"))
    books.settle_top_up(top_up, dispute(10_000, DisputeStatus.WON))
    assert books.balance("metered") == ("90", "0", "0")
    books.audit()


def test_a_refund_of_credits_that_have_expired_is_a_debt() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    top_up = books.settle_top_up(ordered(books.start_top_up("credits", bundle="credits_50")), paid(FIFTY_PRICE))
    books.settle_top_up(top_up, refund(FIFTY.price), at=CYCLE_END)
    assert books.balance("credits") == ("-50", "0", "0")
    books.audit()


# ---- suspended tenants -----------------------------------------------------------------------------------------


def test_a_suspended_tenant_orders_nothing() -> None:
    books = Bookkeeper(acme(), of=tenant(status=TenantStatus.SUSPENDED))
    assert books.start_top_up(amount="100") == ScopePaused(BudgetScope.TENANT, None, "tenant_suspended")
    assert books.top_ups == {}


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_money_that_a_suspended_or_closed_tenant_paid_is_credited_and_refunded(status: TenantStatus) -> None:
    books, top_up = prepaid()
    books.tenant = replace(books.tenant, status=status)
    books.settle_top_up(top_up, paid(HUNDRED))
    assert books.balance("metered") == ("150", "0", "0")
    books.settle_top_up(top_up, refund(10_000))
    assert books.balance("metered") == ("50", "0", "0")


# ---- any history -----------------------------------------------------------------------------------------------

messages = st.one_of(
    st.sampled_from(Outcome).map(
        lambda outcome: PaymentFacts(outcome, received=FIFTY_PRICE if outcome is Outcome.PAID else None)
    ),
    st.builds(
        lambda place, status: refund((place + 1) * FIFTY.price // 4, f"re_{place}", status),
        st.integers(0, 2),
        st.sampled_from(RefundStatus),
    ),
    st.builds(dispute, st.just(FIFTY.price), st.sampled_from(DisputeStatus)),
    st.sampled_from([PaymentFacts(refunded_at_least=FIFTY.price // 3), PaymentFacts(session_id="cs_1")]),
)


@settings(max_examples=200)
@given(st.lists(messages, max_size=8), st.randoms(use_true_random=False), st.integers(0, 60))
def test_any_order_of_messages_ends_in_the_same_state_credit_and_balance(
    told: list[PaymentFacts], random: object, days: int
) -> None:
    shuffled = told + told[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    ends = []
    for history in (told, shuffled):
        books = Bookkeeper([wallet_with("metered", "1")])
        books.wallets["credits"] = empty_wallet()
        top_up = ordered(books.start_top_up("credits", bundle="credits_50"))
        for place, known in enumerate(history):
            before = books.top_ups[top_up.id]
            top_up = books.settle_top_up(top_up, known, at=later(days=days * place // 8))
            assert not before.credited or top_up.credited == before.credited
            books.audit()
        ends.append((top_up.state, top_up.credited, top_up.taken_back))
        assert books.told().count(EventType.TOP_UP_CREDITED) == (1 if top_up.credited else 0)
        assert books.wallets["credits"].granted == top_up.credited - top_up.taken_back
    assert ends[0] == ends[1]


def test_a_second_payment_of_an_order_is_told_and_its_refund_takes_no_credit() -> None:
    books, top_up = prepaid(paid(HUNDRED, payment_id="pi_1"))
    again = books.settle_top_up(top_up, paid(HUNDRED, payment_id="pi_2"))
    assert again == top_up
    assert [event.type for event in books.events] == [EventType.TOP_UP_CREDITED, EventType.TOP_UP_UNMATCHED]
    given_back = replace(refund(10_000), payment_id="pi_2")
    assert books.settle_top_up(top_up, given_back) == top_up
    assert books.balance("metered") == ("150", "0", "0")
    assert len(books.events) == 2
    books.audit()


def test_money_that_does_not_match_is_given_back_by_a_person() -> None:
    books, top_up = prepaid(paid(Money(9_000, "USD")))
    assert top_up.state is TopUpState.PAID
    assert books.settle_top_up(top_up, refund(4_000)).state is TopUpState.PAID
    assert books.settle_top_up(top_up, refund(5_000, "re_2")).state is TopUpState.REFUNDED
    assert books.balance("metered") == ("50", "0", "0")
