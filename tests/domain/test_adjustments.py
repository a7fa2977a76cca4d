"""Adjustments and grants: what comes into a wallet, until when, and what is taken back."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from domain import adjustments
from domain.adjustments import Adjusted, AdjustWallet, Grant
from domain.books import EventType, Operation
from domain.refusals import FieldProblem, NotFound, invalid
from domain.wallets import LotSource
from tests.domain.builders import (
    CYCLE_END,
    NOW,
    Bookkeeper,
    acme,
    empty_wallet,
    held,
    later,
    nano,
    number,
    request,
    spent,
    tenant,
    wallet_with,
)


def grant(
    books: Bookkeeper,
    wallet_key: str,
    amount: str,
    source: LotSource = LotSource.PLAN,
    *,
    lot_id: UUID | None = None,
    expires_at: datetime | None = CYCLE_END,
    at: datetime = NOW,
) -> object:
    asked = request(Operation.GRANT, books.key())
    command = Grant(asked, wallet_key, nano(amount), source, expires_at, "invoice-1", lot_id or books.fresh_id())
    return books.decide(command, at).answer


def test_an_adjustment_is_a_lot_of_its_own_with_who_and_why() -> None:
    books = Bookkeeper(acme())
    answer = books.adjust("credits", "12.5")
    assert isinstance(answer, Adjusted)
    assert answer.wallet == books.wallets["credits"]
    assert books.balance("credits") == ("312.5", "0", "0")
    entry = books.entries[-1]
    assert (entry.type.value, entry.amount, entry.voucher.actor, entry.voucher.note) == (
        "ADJUSTED",
        nano("12.5"),
        "tester",
        "a reason",
    )
    lot = books.wallets["credits"].lots[0]
    assert (lot.source, lot.granted_at, lot.expires_at) == (LotSource.ADJUSTMENT, NOW, CYCLE_END)
    books.audit()


@pytest.mark.parametrize(
    ("wallet_key", "expires_at"), [("credits", CYCLE_END), ("metered", None), ("lead_storage", None)]
)
def test_credits_expire_with_their_cycle_metered_money_and_capacity_never(
    wallet_key: str, expires_at: datetime | None
) -> None:
    books = Bookkeeper(acme())
    assert adjustments.expiry(books.books(), books.wallets[wallet_key], NOW) == expires_at


def test_the_cycle_is_that_of_the_tenants_anchor_and_zone() -> None:
    books = Bookkeeper(acme(), of=tenant(anchor_day=25, zone=ZoneInfo("Asia/Kolkata")))
    books.adjust("credits", "1")
    assert books.wallets["credits"].lots[0].expires_at == datetime(2026, 11, 24, 18, 30, tzinfo=UTC)


def test_taking_back_draws_in_burn_order_and_goes_below_zero_if_need_be() -> None:
    books = Bookkeeper([wallet_with("credits", "3")])
    books.adjust("credits", "-5")
    assert books.balance("credits") == ("-2", "0", "0")
    assert books.moves("credits", since=1) == [("ADJUSTED", "-5")]
    assert books.wallets["credits"].granted == nano("-2")
    books.audit()


def test_what_is_held_is_not_taken_back() -> None:
    books = Bookkeeper([wallet_with("credits", "3")])
    work = held(books.reserve("blog_post"))
    books.adjust("credits", "-3")
    assert books.balance("credits") == ("-2", "2", "0")
    books.release(work)
    assert books.balance("credits") == ("0", "0", "0")
    assert [event.type for event in books.events] == [EventType.DEBT_REPAID]
    books.audit()


def test_an_adjustment_first_books_what_has_expired() -> None:
    books = Bookkeeper([wallet_with("credits", "3")])
    books.adjust("credits", "-1", at=CYCLE_END)
    assert books.moves("credits", since=1) == [("EXPIRED", "3"), ("ADJUSTED", "-1")]
    assert books.balance("credits") == ("-1", "0", "0")


def test_a_wallet_that_does_not_exist_is_not_adjusted_or_credited() -> None:
    books = Bookkeeper()
    assert books.adjust("credits", "1") == NotFound("wallet")
    assert grant(books, "credits", "1") == NotFound("wallet")
    assert books.entries == []


@pytest.mark.parametrize("amount", ["1000000000", "-1000000000"])
def test_what_a_wallet_cannot_hold_is_refused_in_either_direction(amount: str) -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    for _ in range(4):
        assert isinstance(books.adjust("metered", amount), Adjusted)
    before = books.money()
    assert books.adjust("metered", amount) == invalid("amount", "the wallet cannot hold that much")
    assert books.money() == before


@pytest.mark.parametrize(("source", "entry_type"), [(LotSource.PLAN, "ALLOCATED"), (LotSource.TOP_UP, "TOPPED_UP")])
def test_a_plan_allocates_and_a_payment_tops_up(source: LotSource, entry_type: str) -> None:
    books = Bookkeeper()
    books.wallets["credits"] = empty_wallet()
    answer = grant(books, "credits", "100", source, lot_id=number(5))
    assert isinstance(answer, Adjusted)
    assert books.moves("credits") == [(entry_type, "100")]
    (lot,) = answer.wallet.lots
    assert (lot.id, lot.source, lot.granted, lot.granted_at, lot.expires_at) == (
        number(5),
        source,
        nano("100"),
        NOW,
        CYCLE_END,
    )
    assert books.entries[0].voucher.reference == "invoice-1"
    books.audit()


def test_a_top_up_repays_the_debt_first_and_tells_of_it() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    books.record(spent("2"), feature="llm_call")
    books.events.clear()
    grant(books, "metered", "1.5", LotSource.TOP_UP, expires_at=None)
    assert books.events == []
    grant(books, "metered", "1.5", LotSource.TOP_UP, expires_at=None)
    assert books.balance("metered") == ("1.4", "0", "2.6")
    (event,) = books.events
    payload = (("wallet", "metered"), ("available", nano("1.4")))
    assert (event.type, event.payload) == (EventType.DEBT_REPAID, payload)
    books.audit()


def test_a_new_cycles_grant_first_books_the_old_cycles_end() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    grant(books, "credits", "300", expires_at=later(days=40), at=CYCLE_END)
    assert books.moves("credits", since=1) == [("EXPIRED", "300"), ("ALLOCATED", "300")]
    assert books.balance("credits") == ("300", "0", "0")


@pytest.mark.parametrize(
    ("amount", "note", "problems"),
    [
        (1, "refund", ()),
        (-1, "n" * 1_000, ()),
        (0, "refund", (FieldProblem("amount", "must not be 0"),)),
        (1, " ", (FieldProblem("note", "say why, in 1 to 1000 characters without NUL"),)),
        (1, "n" * 1_001, (FieldProblem("note", "say why, in 1 to 1000 characters without NUL"),)),
        (1, "a\0", (FieldProblem("note", "say why, in 1 to 1000 characters without NUL"),)),
        (1, "\ud800", (FieldProblem("note", "say why, in 1 to 1000 characters without NUL"),)),
    ],
)
def test_an_adjustment_needs_an_amount_and_a_reason(amount: int, note: str, problems: tuple[FieldProblem, ...]) -> None:
    command = AdjustWallet(request(Operation.ADJUST_WALLET, "k"), "credits", amount, note, number(1))
    assert adjustments.problems(command) == problems
