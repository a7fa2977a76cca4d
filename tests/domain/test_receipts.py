"""A receipt's figures add up: calls to cost, charges to the ledger, budgets from where they stood to where they stand."""

from dataclasses import replace
from random import Random

import pytest

from domain import budget_steps, prices, receipt_lines, receipts
from domain.attribution import NOBODY
from domain.budget_steps import BudgetStep, Measure
from domain.budgets import CounterKey
from domain.holds import ModelName, Reservation
from domain.ledger import EntryType
from domain.money import NANO
from domain.prices import Price, PriceList, Tokens
from domain.receipt_lines import Explained, Line, cost_lines, explained
from domain.receipts import Asked, Receipt
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    InsufficientFunds,
    RefusalCode,
    UnknownFeature,
)
from domain.usage import Priced, Route, Usage, UsageEvent, UsageKind
from domain.wallets import Unit
from tests.domain.builders import (
    BEFORE,
    BLOG_WRITER,
    GPT_4O,
    NOW,
    Bookkeeper,
    acme,
    campaign_total,
    capped,
    counter_key,
    nano,
    spent,
    tenant,
    tenant_month,
    tokens_of,
    unpriced,
)

MINI = ModelName("openai", "gpt-4o-mini")


def bookkeeper() -> Bookkeeper:
    return Bookkeeper(acme(), budgets=[capped(campaign_total(), "10"), capped(tenant_month(), "100")])


def held(books: Bookkeeper, feature: str = "blog_post", **given: object) -> Reservation:
    reservation = books.reserve(feature, attribution=BLOG_WRITER, **given)  # type: ignore[arg-type]
    assert isinstance(reservation, Reservation)
    return reservation


def settled(books: Bookkeeper, reservation: Reservation, *calls: Usage, quantity: str | None = None) -> Reservation:
    found = books.consume(reservation, *calls, quantity=quantity)
    assert isinstance(found, Reservation)
    return found


def receipt(books: Bookkeeper, reservation: Reservation) -> Receipt:
    events = [event for event in books.amended.values() if event.reservation_id == reservation.id]
    card = books.catalog.rate_cards.version(reservation.rate_card)
    return receipts.of_reservation(reservation, explained(events, books.catalog.prices, reservation), card)


def amounts(found: Receipt, start: str) -> dict[str, str]:
    return {line.label: str(line.amount) for line in found.lines if line.label.startswith(start)}


def steps(found: Receipt, measure: Measure) -> dict[str, tuple[int, int, int | None]]:
    return {
        " ".join(step.counter): (step.before, step.after, step.cap) for step in found.steps if step.measure is measure
    }


def test_tokens_times_the_price_that_held_is_the_cost_and_the_budgets_moved_by_it() -> None:
    books = bookkeeper()
    books.record(spent("1"), attribution=BLOG_WRITER)
    work = held(books, "llm_call", model=GPT_4O, tokens=Tokens(1_000, 1_000))
    done = settled(books, work, tokens_of(GPT_4O, 900, 100))
    found = receipt(books, done)
    lines = {line.label: line for line in found.lines}
    read, written = lines["openai gpt-4o: input tokens"], lines["openai gpt-4o: output tokens"]
    assert (read.quantity, read.unit_price, read.per, read.amount) == (
        900 * NANO,
        nano("2.5"),
        1_000_000,
        nano("0.00225"),
    )
    assert (written.amount, written.unit) == (nano("0.001"), Unit.USD)
    assert read.price_effective_from is not None
    assert found.charges == done.charges
    assert found.total == (done.charges[0][1], Unit.USD)
    hold, cost = work.held_usd, nano("0.00325")
    assert steps(found, Measure.HELD)["TENANT  2026-11"] == (NANO, NANO + hold, nano("100"))
    assert steps(found, Measure.SPENT) == {
        "TENANT  2026-11": (NANO, NANO + cost, nano("100")),
        "AGENT blog-writer 2026-11": (NANO, NANO + cost, None),
        "CAMPAIGN spring TOTAL": (NANO, NANO + cost, nano("10")),
        "CAMPAIGN spring 2026-11": (NANO, NANO + cost, None),
    }
    assert books.counters[counter_key(campaign_total())].spent == NANO + cost
    assert "plus a markup" in found.rule


def test_an_extension_is_part_of_the_hold() -> None:
    books = bookkeeper()
    work = held(books, "llm_call", model=GPT_4O, tokens=Tokens(1_000, 1_000))
    longer = books.extend(work, cost="0.5")
    assert isinstance(longer, Reservation)
    assert longer.held_usd == work.held_usd + nano("0.5")
    assert steps(receipt(books, longer), Measure.HELD)["CAMPAIGN spring TOTAL"] == (0, longer.held_usd, nano("10"))


def test_what_is_held_is_no_charge_and_what_went_back_says_so() -> None:
    books = bookkeeper()
    work = held(books)
    before = receipt(books, work)
    assert before.charges == ()
    assert before.total is None
    assert amounts(before, "held in credits") == {"held in credits: SEO Blog Post, 2 each": str(nano("2"))}
    assert before.rule.startswith("Held for work that has not ended")
    released = books.release(work)
    assert isinstance(released, Reservation)
    after = receipt(books, released)
    assert after.rule.startswith("Released")
    assert (after.charges, steps(after, Measure.SPENT)) == ((), {})


def test_calls_recorded_before_the_consume_are_part_of_the_reckoning() -> None:
    books = bookkeeper()
    work = held(books, "llm_call", model=GPT_4O, cost="1")
    early = books.record(tokens_of(GPT_4O, 1_000), under=work)
    done = settled(books, books.reservations[work.id], tokens_of(GPT_4O, 0, 1_000))
    found = receipt(books, done)
    assert sum(line.amount for line in found.lines if line.unit_price is not None) == done.cost_usd
    (event,) = early.events
    (call,) = explained([event], books.catalog.prices, work)
    alone = receipts.of_event(call, done, (), books.catalog.rate_cards.version(work.rate_card))
    assert steps(alone, Measure.SPENT)["CAMPAIGN spring TOTAL"] == (0, nano("0.0025"), nano("10"))
    assert steps(found, Measure.SPENT)["CAMPAIGN spring TOTAL"] == (nano("0.0025"), nano("0.0125"), nano("10"))
    assert alone.rule.startswith("Recorded under its reservation")


def test_calls_too_many_to_be_shown_are_one_line_so_that_the_lines_add_up() -> None:
    books = bookkeeper()
    work = held(books, "llm_call", model=GPT_4O, cost="1")
    for cost in ("0.1", "0.2", "0.3"):
        books.record(spent(cost), under=work)
    done = settled(books, books.reservations[work.id], spent("0.4"))
    first, *_ = [event for event in books.amended.values() if event.reservation_id == done.id]
    found = receipts.of_reservation(done, [Explained(first, None)], None)
    assert [(line.label, line.quantity) for line in found.costs[1:]] == [
        ("3 further calls, not shown one by one", 3 * NANO)
    ]
    assert sum(line.amount for line in found.costs) == done.cost_usd == NANO


def test_a_call_under_a_reservation_says_whether_it_is_charged() -> None:
    books = bookkeeper()
    work, other = held(books, "llm_call", cost="1"), held(books, "llm_call", cost="1")
    (call,) = [Explained(event, None) for event in books.record(spent("0.1"), under=work).events]
    (kept,) = [Explained(event, None) for event in books.record(spent("0.1"), under=other).events]

    def told(of: Explained, reservation: Reservation) -> str:
        return receipts.of_event(of, books.reservations[reservation.id], (), None).rule

    assert told(call, work) == "Recorded under its reservation, whose consume will charge for it."
    books.release(work)
    assert told(call, work) == "Recorded under its reservation, which was released: nothing is charged for it."
    settled(books, books.reservations[other.id])
    assert told(kept, other) == "Recorded under its reservation, whose consume charged for it."
    (late,) = books.record(spent("0.1"), under=work).events
    assert receipts.of_event(Explained(late, None), None, (), None).rule == (
        "Recorded after its reservation had ended, so by itself."
    )
    # As before receipts were kept: without steps it is still no call of a large batch, and no call of the consume.
    without = call._replace(event=call.event._replace(steps=None))
    assert receipts.of_event(without, books.reservations[work.id], (), None).steps == ()
    assert "large batch" not in receipts.of_event(Explained(late._replace(steps=None), None), None, (), None).rule


def test_a_call_of_a_consume_shows_the_budgets_of_its_settlement() -> None:
    books = bookkeeper()
    done = settled(books, held(books), tokens_of(MINI, 100), tokens_of(MINI, 50))
    first, second = [event for event in books.amended.values() if event.reservation_id == done.id]
    card = books.catalog.rate_cards.version(done.rate_card)
    for event, charged in ((first, (("credits", nano("2")),)), (second, ())):
        (call,) = explained([event], books.catalog.prices, done)
        found = receipts.of_event(call, done, (), card)
        assert found.charges == charged
        assert set(found.steps) == {step for step in receipt(books, done).steps if step.measure is Measure.SPENT}
        assert found.rule.startswith("Settled by the consume")
        assert "a fixed amount" in found.rule


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (None, "Recorded without a feature: nothing is charged for it."),
        ("email_find", "Recorded without a reservation. Charged by the rate card: metered: "),
    ],
)
def test_a_call_without_a_reservation_has_steps_of_its_own(feature: str | None, told: str) -> None:
    books = bookkeeper()
    call = Usage(UsageKind.API, "leadmagic", results=3, cost=nano("0.03"))
    (event,) = books.record(call, feature=feature, attribution=BLOG_WRITER).events
    found = receipts.of_event(Explained(event, None), None, (), books.catalog.rate_cards.at(NOW, NOW))
    assert steps(found, Measure.SPENT)["TENANT  2026-11"] == (0, nano("0.03"), nano("100"))
    assert found.rule.startswith(told)
    assert found.charges == tuple((key, amount) for key, amount, _ in event.charges)


def test_a_call_of_a_large_batch_shows_the_steps_of_the_batch() -> None:
    books = bookkeeper()
    (event,) = books.record(spent("0.1"), feature="llm_call").events
    step = BudgetStep(counter_key(tenant_month()), Measure.SPENT, 1, 2, None)
    card = books.catalog.rate_cards.at(NOW, NOW)
    found = receipts.of_event(Explained(event._replace(steps=None), None), None, [step], card)
    assert found.steps == (step,)
    assert found.rule.startswith("Recorded in a large batch")


def test_a_call_of_a_large_batch_shows_no_budget_of_others() -> None:
    books = bookkeeper()
    (event,) = books.record(spent("0.1"), feature="llm_call", attribution=BLOG_WRITER).events
    others = [
        BudgetStep(CounterKey(BudgetScope.CAMPAIGN, campaign, period), Measure.SPENT, 1, 2, None)
        for campaign in ("autumn", "spring", "winter")
        for period in ("2026-09", "2026-11", "TOTAL")
    ]
    steps_of_it = budget_steps.concerning(event.attribution, event.occurred_at, others)
    assert [step.counter[1:] for step in steps_of_it] == [("spring", "TOTAL"), ("spring", "2026-11")]
    at_the_end = event.occurred_at.replace(day=30, hour=23)
    assert len(budget_steps.concerning(event.attribution, at_the_end, [*others, *months("2026-12")])) == 3


def test_the_entry_of_a_large_batch_shows_some_budgets_and_says_how_many_more() -> None:
    steps = [
        BudgetStep(CounterKey(BudgetScope.CAMPAIGN, f"c{n}", "TOTAL"), Measure.SPENT, 0, n, None) for n in range(150)
    ]
    capped_one = steps[-1]._replace(cap=NANO)
    entry = Receipt((), (), (), (), "Charged.")
    found = receipts.with_budgets(entry, [*steps[:-1], capped_one])
    assert found.steps == (capped_one, *steps[:99])
    assert found.rule == "Charged. 50 more budgets are in the receipts of its calls."
    assert receipts.with_budgets(entry, steps[:2]) == replace(entry, steps=tuple(steps[:2]))


def months(*keys: str) -> list[BudgetStep]:
    return [BudgetStep(CounterKey(BudgetScope.CAMPAIGN, "spring", key), Measure.SPENT, 1, 2, None) for key in keys]


def test_an_own_key_and_a_paid_task_explain_why_nothing_was_charged() -> None:
    books = Bookkeeper(acme(), of=tenant(own_keys=["openai"]), own_keys_allowed=True)
    done = settled(books, held(books, "llm_call", model=GPT_4O, cost="1"), tokens_of(GPT_4O, 10))
    found = receipt(books, done)
    assert found.total is None
    assert "own provider key" in found.rule
    again = bookkeeper()
    first = held(again, task="t-1")
    expired = again.expire_overdue(NOW.replace(hour=23))
    second = held(again, task="t-1", at=NOW.replace(hour=23))
    settled(again, second)
    late = again.consume(expired[0], at=NOW.replace(hour=23))
    assert isinstance(late, Reservation)
    assert late.id == first.id
    assert "paid by another reservation" in receipt(again, late).rule


def test_a_model_without_a_price_is_told_and_its_correction_explained() -> None:
    books = bookkeeper()
    work = held(books, "llm_call", model=GPT_4O, cost="1")
    done = settled(books, work, unpriced(), spent("0.2"), Usage(UsageKind.TOOL, "browser"))
    labels = {line.label: line.amount for line in receipt(books, done).lines}
    assert labels["openai gpt-99: has no price yet; budgets count what was left of the hold until it has one"] == nano(
        "0.8"
    )
    assert labels["openai gpt-4o: cost as it was reported or last corrected"] == nano("0.2")
    assert labels["browser: costs nothing"] == 0
    books.publish(ModelName("openai", "gpt-99"), "100")
    books.rerate()
    corrected = receipt(books, books.reservations[work.id])
    lines = {line.label: line for line in corrected.lines}
    assert lines["openai gpt-99: input tokens"].unit_price == nano("100")
    assert lines["openai gpt-99: input tokens"].amount == nano("0.1")
    assert corrected.charges == books.reservations[work.id].charges


def priced(tokens: Tokens, calls: int, price: Price) -> UsageEvent:
    usage = Usage(UsageKind.LLM, "acme", "m-1", calls=calls, tokens=tokens)
    cost = Priced(prices.cost(price, tokens, calls), price.effective_from)
    return UsageEvent(tenant().id, usage, NOW, NOW, None, None, NOBODY, Route.MANAGED, cost)


@pytest.mark.parametrize("seed", range(20))
def test_lines_add_up_to_the_cost_whatever_is_rounded(seed: int) -> None:
    random = Random(seed)
    read, write, cached, kept, thought = [random.choice([None, 0, random.randrange(10**10)]) for _ in range(5)]
    per_call = random.choice([None, random.randrange(1, 10**8)])
    price = Price("acme", "m-1", None, read or 1, write, cached, kept, thought, None, per_call, BEFORE, None, BEFORE)
    calls = [priced(Tokens(*[random.randrange(3_000) for _ in range(5)]), random.randrange(3), price) for _ in range(4)]
    found = explained(calls, PriceList([price]), None)
    assert {call.price for call in found} == {price}
    lines = cost_lines(found)
    assert sum(line.amount for line in lines) == sum(call.priced.cost or 0 for call in calls)
    assert all(
        line.amount == line.quantity // NANO * (line.unit_price or 0)
        for line in lines
        if line.per == 1 and line.unit_price
    )


def test_a_call_without_tokens_or_figures_costs_its_calls() -> None:
    price = Price("acme", "m-1", None, nano("1"), None, None, None, None, None, None, BEFORE, None, BEFORE)
    (line,) = cost_lines(explained([priced(Tokens(), 1, price)], PriceList([price]), None))
    assert line == Line("acme m-1: calls", NANO, 0, Unit.USD, 0, 1, BEFORE)


def test_a_price_that_does_not_give_the_cost_explains_nothing() -> None:
    price = Price("acme", "m-1", None, nano("1"), None, None, None, None, None, None, BEFORE, None, BEFORE)
    event = priced(Tokens(1_000_000), 1, price)
    wrong = event._replace(priced=Priced(1, BEFORE))
    nameless = event._replace(usage=event.usage._replace(provider=None))
    free = replace(price, operation="other")
    assert explained([wrong, nameless, wrong], PriceList([price, free]), None) == (
        Explained(wrong, None),
        Explained(nameless, None),
        Explained(wrong, None),
    )
    assert [line.label for line in cost_lines(explained([nameless], PriceList([price]), None))] == [
        "m-1: cost as it was reported or last corrected"
    ]


def test_an_operator_sees_markup_value_and_margin() -> None:
    books = bookkeeper()
    card = books.catalog.rate_cards.at(NOW, NOW)
    assert card is not None
    metered = receipt_lines.operator_lines(
        card, card.rates_of("llm_call"), (("metered", nano("1.3")),), NANO, Route.MANAGED
    )
    assert [(line.label, line.quantity, line.amount) for line in metered] == [
        ("for operators: cost x markup", card.markup, card.markup),
        ("for operators: gross margin", NANO, nano("0.3")),
    ]
    credits_of = receipt_lines.operator_lines(
        card, card.rates_of("blog_post"), (("credits", nano("2")),), nano("0.3"), Route.MANAGED
    )
    worth = 2 * card.credit_value
    assert [(line.label, line.amount) for line in credits_of] == [
        ("for operators: credits at their value", worth),
        ("for operators: gross margin", worth - nano("0.3")),
    ]
    assert receipt_lines.operator_lines(card, (), (), None, Route.BYOK) == ()
    # As margins have it: what is free costs us money, and what ran on the tenant's own key does not.
    for route, cost, margin in ((Route.FREE, NANO, worth - NANO), (Route.BYOK, NANO, worth), (Route.BYOK, None, worth)):
        *_, line = receipt_lines.operator_lines(card, (), (("credits", nano("2")),), cost, route)
        assert (line.label, line.amount) == ("for operators: gross margin", margin)


def test_work_that_was_given_up_cost_what_was_recorded_under_it() -> None:
    books = bookkeeper()
    work = held(books, "llm_call", cost="1")
    books.record(spent("0.1"), under=work)
    assert books.reservations[work.id].known_cost is None
    books.release(work)
    assert books.reservations[work.id].known_cost == nano("0.1")
    done = settled(books, held(books, "llm_call", cost="1"), spent("0.2"))
    assert done.known_cost == nano("0.2")


def test_entries_say_what_moved_and_why() -> None:
    books = bookkeeper()
    books.adjust("credits", "5")
    work = held(books)
    done = settled(books, work, tokens_of(MINI, 1_000))
    around = replace(receipt(books, done), for_operators=(Line("margin", NANO, 1, Unit.USD),))
    told = {
        entry.type: receipts.of_entry(entry, "credits", around)
        for entry in books.entries
        if entry.wallet_id == books.wallets["credits"].id
    }
    assert told[EntryType.CONSUMED].charges == (("credits", nano("2")),)
    assert [line.label for line in told[EntryType.CONSUMED].lines] == [
        "openai gpt-4o-mini: input tokens",
        "charged to credits",
        "margin",
    ]
    assert {step.measure for step in told[EntryType.CONSUMED].steps} == {Measure.SPENT}
    assert {step.measure for step in told[EntryType.RESERVED].steps} == {Measure.HELD}
    (adjusted,) = [entry for entry in books.entries if entry.type is EntryType.ADJUSTED]
    alone = receipts.of_entry(adjusted, "credits", None)
    assert (alone.lines, alone.charges, alone.steps) == (
        (Line("adjusted in credits", NANO, nano("5"), Unit.CREDIT),),
        (),
        (),
    )
    assert alone.rule == "An adjustment. Its reference: a reason."
    (event,) = books.record(spent("0.1"), feature="llm_call").events
    charge = books.entries[-1]
    assert charge.type is EntryType.CONSUMED
    of_charge = receipts.of_entry(charge, "metered", None)
    assert of_charge.charges == (("metered", event.charges[0][1]),)
    assert of_charge.rule.endswith("each has a receipt of its own.")
    reported = settled(books, held(books), spent("0.3"))
    lines = receipts.of_entry(books.entries[-1], "credits", receipt(books, reported)).lines
    assert sum(line.amount for line in lines if line.unit is Unit.USD) == nano("0.3")


def test_refusals_show_the_level_with_its_figures_and_what_was_asked() -> None:
    exceeded = BudgetExceeded(
        BudgetScope.CAMPAIGN, "spring", nano("10"), nano("9"), nano("0.5"), nano("0.6"), retryable=False
    )
    asked = Asked("llm_call", NANO, GPT_4O, BLOG_WRITER._replace(tags=(("team", "a"),)))
    found = receipts.of_refusal("reserve", exceeded.code, exceeded.message, exceeded, asked)
    (step,) = found.steps
    assert (step.before, step.after, step.cap, step.counter.scope_id) == (
        nano("9.5"),
        nano("9.5"),
        nano("10"),
        "spring",
    )
    assert [line.amount for line in found.lines] == [nano("9"), nano("0.5"), nano("0.6"), nano("0.1")]
    assert found.rule.endswith(
        "Asked for: 1 x llm_call, openai gpt-4o, campaign spring, agent role blog-writer, tag team=a."
    )
    assert "the first without room refuses" in found.rule
    short = InsufficientFunds("metered", nano("2"), nano("0.5"))
    poor = receipts.of_refusal("extend", short.code, short.message, short, None)
    assert [(line.amount, line.unit) for line in poor.lines] == [
        (nano("2"), Unit.USD),
        (nano("0.5"), Unit.USD),
        (nano("1.5"), Unit.USD),
    ]
    unknown = UnknownFeature("x")
    plain = receipts.of_refusal("reserve", RefusalCode.UNKNOWN_FEATURE, unknown.message, None, Asked("x", NANO))
    assert plain == Receipt(
        (), (), (), (), f"reserve was refused (UNKNOWN_FEATURE): {unknown.message} Asked for: 1 x x."
    )
