"""Postings: a large batch leaves the books that its events would have left one by one."""

from random import Random

import pytest

from domain import decisions
from domain.attribution import NOBODY, Attribution
from domain.books import Operation
from domain.postings import Posted, Sums, recorded_at_of
from domain.recordings import Record, Reported, rate
from domain.usage import Usage, UsageKind
from tests.domain.builders import (
    BLOG_WRITER,
    GPT_4O,
    NOW,
    Bookkeeper,
    acme,
    campaign_total,
    later,
    nano,
    request,
    spent,
    tokens_of,
    unpriced,
)

CALLS = (spent("0.002"), tokens_of(GPT_4O, 1_000, 200), unpriced(), Usage(UsageKind.API, "leadmagic", results=2))
PLACES = (
    NOBODY,
    BLOG_WRITER,
    Attribution(campaign="summer", client="c", tags=(("env", "prod"),)),
    Attribution(account="a"),
)


def reported(books: Bookkeeper, seed: int) -> tuple[Reported, ...]:
    random = Random(seed)
    events: list[Reported] = []
    for number in range(60):
        at = later(-random.randrange(40 * 24 * 3600))
        call = random.choice(CALLS)._replace(source="test", event_id=f"e{number}", occurred_at=at)
        feature = random.choice((None, "llm_call", "email_find", "blog_post"))
        events.append(Reported(books.fresh_id(at), call, feature, None, random.choice(PLACES)))
    return tuple(events)


def bookkeeper() -> Bookkeeper:
    books = Bookkeeper(acme())
    books.set_budget(campaign_total("spring"), "0.01")
    return books


@pytest.mark.parametrize("seed", range(10))
def test_what_is_posted_together_comes_to_what_is_recorded_apart(seed: int) -> None:
    apart, together = bookkeeper(), bookkeeper()
    asked = request(Operation.RECORD_USAGE, "")
    events = reported(apart, seed)
    expected = apart.decide(Record(asked, events)).changes
    sums = Sums()
    for event in events:
        sums.add(rate(together.books(), event, NOW))
    post = sums.post(asked, NOW, sums.named())
    assert sums.quarters() == {tally.at for tally in post.tallies}
    decision = decisions.decide(together.books(), post, NOW)
    changes = decision.changes
    assert decision.answer == Posted(fits=True)
    assert {counter.key: counter for counter in changes.counters} == {c.key: c for c in expected.counters}
    assert {w.key: (w.available, w.consumed) for w in changes.wallets} == {
        w.key: (w.available, w.consumed) for w in expected.wallets
    }
    assert set(changes.seen) == set(expected.seen)
    assert changes.scopes == expected.scopes
    assert sorted(changes.events, key=str) == sorted(expected.events, key=str)
    assert changes.usage == ()
    assert {recorded_at_of(entry.voucher.reference) for entry in changes.entries} == {NOW}
    counted = changes.counted_batch
    assert counted is not None
    assert counted.recorded_at == NOW
    book = together.books().book
    assert {step.counter: (step.before, step.after) for step in counted.steps} == {
        counter.key: (book.counter(counter.key).spent, counter.spent) for counter in changes.counters
    }
    assert {step.cap for step in counted.steps if step.counter.scope_id == "spring"} == {nano("0.01"), None}


def test_other_references_are_no_batch() -> None:
    assert recorded_at_of("plan:professional") is None


def test_what_the_books_cannot_hold_is_not_posted_at_all() -> None:
    books = bookkeeper()
    sums = Sums()
    dear = spent("1000000")._replace(source="test", occurred_at=NOW)
    for number in range(9_300):
        call = dear._replace(event_id=f"e{number}")
        sums.add(rate(books.books(), Reported(books.fresh_id(NOW), call, None, None, NOBODY), NOW))
    decision = decisions.decide(books.books(), sums.post(request(Operation.RECORD_USAGE, ""), NOW, ()), NOW)
    assert decision.answer == Posted(fits=False)
    assert decision.changes.counters == ()
    assert nano("1000000") * 9_300 > 2**63
