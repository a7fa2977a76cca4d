"""What the books cannot hold is refused with the field that is too large, and loses nothing else."""

import pytest

from domain import recordings
from domain.adjustments import Grant
from domain.books import Operation
from domain.budgets import Counter
from domain.holds import Reservation
from domain.money import LARGEST_STORED
from domain.refusals import InsufficientFunds, InvalidInput, ReservationState, invalid
from domain.reservations import may_continue
from domain.usage import Usage, UsageKind
from domain.wallets import LotSource
from tests.domain.builders import (
    BLOG_WRITER,
    Bookkeeper,
    acme,
    agent_month,
    counter_key,
    held,
    later,
    nano,
    number,
    request,
    selling,
    sold,
    spent,
    task_cap,
    tenant,
    tenant_month,
)

MESSAGE = "is more than the books can hold"


def full() -> Bookkeeper:
    """The tenant's month has room for one dollar more."""
    books = Bookkeeper(acme())
    key = counter_key(tenant_month())
    books.counters[key] = Counter(key, LARGEST_STORED - nano("1"), 0)
    return books


def test_a_reserve_that_no_counter_could_hold_names_its_estimate() -> None:
    books = full()
    assert books.reserve("llm_call", cost="2") == invalid("estimate", MESSAGE)
    work = held(books.reserve("llm_call", cost="0.5"))
    assert books.extend(work, cost="0.6") == invalid("estimate", MESSAGE)


def test_a_consume_that_no_counter_could_hold_names_what_is_too_large_and_can_be_corrected() -> None:
    books = full()
    work = held(books.reserve("llm_call", cost="0.5"))
    assert books.consume(work, spent("2")) == invalid("usage", MESSAGE)
    assert books.consume(work, spent("2"), quantity="1") == invalid("quantity", MESSAGE)
    assert held(books.consume(work, spent("0.7"))).state is ReservationState.CONSUMED


def test_an_adjustment_that_no_wallet_could_hold_names_the_amount() -> None:
    books = Bookkeeper(acme())
    answers = [books.adjust("credits", "-1000000000") for _ in range(12)]
    assert isinstance(answers[-1], InvalidInput)
    assert [field.path for field in answers[-1].fields] == ["amount"]


def test_a_grant_that_no_wallet_could_hold_names_the_amount() -> None:
    books = Bookkeeper(acme())
    asked = request(Operation.GRANT, "g")
    grant = Grant(asked, "metered", LARGEST_STORED, LotSource.TOP_UP, None, "invoice", number(7))
    assert books.decide(grant).answer == invalid("amount", MESSAGE)


def test_a_plan_that_no_wallet_could_hold_is_not_taken() -> None:
    small, vast = sold("small", 1, credits="1"), sold("vast", 2, credits="1000000000")
    books = Bookkeeper(of=tenant(plan="small"), catalog=selling(small, vast))
    books.start_cycle()
    books.wallets["credits"] = books.wallets["credits"]._replace(available=LARGEST_STORED - nano("1"))
    assert books.change_plan("vast") == invalid("amount", MESSAGE)
    assert books.tenant.plan == "small"


def test_an_extension_of_a_leg_whose_wallet_is_not_there_is_refused() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    del books.wallets["metered"]
    assert books.extend(work, cost="1") == InsufficientFunds("metered", nano("1.3"), 0)


def test_an_event_that_the_books_cannot_hold_is_rejected_and_its_neighbours_are_kept() -> None:
    books = full()
    recorded = books.record(spent("2"), spent("0.5"), spent("0.6"))
    assert [event.priced.cost for event in recorded.events] == [nano("0.5")]
    assert [problem for _, problem in recorded.rejected] == [recordings.TOO_MUCH] * 2


def test_an_event_under_a_reservation_that_the_books_cannot_hold_is_rejected() -> None:
    books = full()
    work = held(books.reserve("llm_call", cost="0.5"))
    recorded = books.record(spent("2"), spent("0.1"), under=work)
    assert [event.priced.cost for event in recorded.events] == [nano("0.1")]
    assert len(recorded.rejected) == 1


def test_units_that_a_wallet_could_not_hold_are_rejected() -> None:
    books = Bookkeeper(acme())
    sends = Usage(kind=UsageKind.API, units=nano("1000000000"), cost=0)
    recorded = books.record(*[sends] * 12, feature="email_send")
    assert (len(recorded.events), len(recorded.rejected)) == (9, 3)
    books.audit()


def test_a_task_that_was_settled_once_is_not_charged_again_by_the_retry_that_still_ran() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", task="t", ttl=1))
    books.expire_overdue(later(1))
    retry = held(books.reserve("blog_post", task="t", at=later(1)))
    assert charged(books.consume(work, at=later(2))) == {"credits": nano("2")}
    assert charged(books.consume(retry, at=later(3))) == {}
    assert books.tasks == {work.task: work.id}
    books.audit()


def test_a_task_that_its_retry_settled_is_not_charged_again_when_the_expired_one_comes_late() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", task="t", ttl=1))
    books.expire_overdue(later(1))
    retry = held(books.reserve("blog_post", task="t", at=later(1)))
    assert charged(books.consume(retry, at=later(2))) == {"credits": nano("2")}
    assert charged(books.consume(work, at=later(3))) == {}
    assert books.tasks == {work.task: retry.id}
    books.audit()


def test_real_cost_is_charged_for_a_task_that_was_settled_before() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", task="t", ttl=1, cost="1"))
    books.expire_overdue(later(1))
    retry = held(books.reserve("llm_call", task="t", cost="1", at=later(1)))
    books.consume(work, spent("1"), at=later(2))
    assert charged(books.consume(retry, spent("1"), at=later(3))) == {"metered": nano("1.3")}


@pytest.mark.parametrize(("running", "expected"), [(None, False), ("0.01", False)])
def test_a_task_is_aborted_by_what_was_recorded_under_it(running: str | None, expected: bool) -> None:
    books = Bookkeeper(acme())
    books.set_budget(task_cap("blog-writer"), "0.1")
    work = held(books.reserve("llm_call", cost="0.05", attribution=BLOG_WRITER))
    books.record(spent("0.5"), under=work)
    now = books.reservations[work.id]
    assert may_continue(books.books(), now, None if running is None else nano(running), None) is expected
    assert books.counter(agent_month()) == ("0.5", "0")


def charged(answer: Reservation | object) -> dict[str, int]:
    assert isinstance(answer, Reservation)
    return dict(answer.charges)
