"""Re-rating: what a later price makes of what happened, in wallets, budgets and on the events themselves."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from domain.attribution import Attribution
from domain.books import NO_CHANGES, EventType, Operation
from domain.budgets import ScopeKey, ScopeKind
from domain.decisions import decide
from domain.holds import ModelName
from domain.money import LARGEST_STORED, format_amount
from domain.refusals import ReservationState
from domain.rerating import Rerate, Rerated, wallet_keys
from domain.usage import Usage, UsageKind
from tests.domain.builders import (
    BLOG_WRITER,
    GPT_4O,
    Bookkeeper,
    acme,
    agent_month,
    campaign_total,
    capped,
    held,
    later,
    nano,
    number,
    request,
    spent,
    tenant,
    tenant_month,
    tokens_of,
    unpriced,
    wallet_with,
)

GPT_99: Final = ModelName("openai", "gpt-99")
# A million input tokens cost as many dollars as the price says.
MILLION: Final = tokens_of(GPT_99, 1_000_000)
OF_4O: Final = tokens_of(GPT_4O, 1_000_000)
SINCE: Final = datetime(2026, 5, 1, tzinfo=UTC)


def charges(rerated: Rerated) -> dict[str, str]:
    return {key: format_amount(amount) for key, amount in rerated.charges}


def counts(rerated: Rerated) -> tuple[int, int, int, int, int]:
    """Corrected, priced, unpriced, held, unfit."""
    corrected, priced, left, open_, unfit, _, _ = rerated
    return corrected, priced, left, open_, unfit


def cost(keeper: Bookkeeper, index: int = -1) -> str | None:
    """What an event costs by now."""
    event = keeper.amended[keeper.usage[index].id]
    return None if event.priced.cost is None else format_amount(event.priced.cost)


def test_a_call_that_had_no_price_is_charged_what_it_cost_instead_of_its_hold() -> None:
    keeper = Bookkeeper(acme())
    work = keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    assert keeper.balance("metered") == ("48.7", "0", "1.3")
    assert keeper.counter(tenant_month()) == ("1", "0")
    keeper.publish(GPT_99, "0.4", at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert (counts(rerated), format_amount(rerated.cost), charges(rerated)) == (
        (1, 1, 0, 0, 0),
        "0.4",
        {"metered": "-0.78"},
    )
    assert keeper.balance("metered")[0] == "49.48"
    assert keeper.counter(tenant_month()) == ("0.4", "0")
    after = keeper.reservations[held(work).id]
    assert (after.cost_usd, after.charges, after.recorded.unpriced) == (nano("0.4"), (("metered", nano("0.52")),), 0)
    event = keeper.amended[keeper.usage[0].id]
    assert [(key, format_amount(amount)) for key, amount, _ in event.charges] == [("metered", "0.52")]
    assert (event.priced, event.counted) == ((nano("0.4"), keeper.amendments[1].price_effective_from), None)
    assert keeper.moves("metered")[-1] == ("ADJUSTED", "0.78")
    entry = keeper.entries[-1]
    assert (entry.voucher.reservation_id, entry.voucher.reference, entry.voucher.note) == (
        after.id,
        "rerate",
        "re-rated",
    )
    assert keeper.rerate(at=later(20)) == Rerated()
    keeper.audit()


def test_a_call_dearer_than_its_hold_goes_below_zero() -> None:
    keeper = Bookkeeper([wallet_with("metered", "2")])
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    keeper.publish(GPT_99, "3", at=later(5))
    assert charges(keeper.rerate(at=later(10))) == {"metered": "2.6"}
    assert keeper.balance("metered") == ("-1.9", "0", "3.9")
    assert keeper.told()[-1] is EventType.BALANCE_EMPTY
    keeper.audit()


def test_the_provisional_charge_stays_until_the_last_call_has_its_price() -> None:
    keeper = Bookkeeper(acme())
    another = MILLION._replace(model="gpt-98")
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), spent("0.1"), MILLION, another)
    assert keeper.balance("metered")[2] == "1.3"
    keeper.publish(GPT_99, "0.2", at=later(5))
    first = keeper.rerate(at=later(10))
    assert (counts(first), charges(first)) == ((1, 1, 1, 0, 0), {})
    work = next(iter(keeper.reservations.values()))
    assert (work.cost_usd, work.recorded.unpriced, work.charges) == (None, 1, (("metered", nano("1.3")),))
    assert keeper.counter(tenant_month()) == ("0.3", "0"), "the first stood for both of them"
    keeper.audit()
    keeper.publish(ModelName("openai", "gpt-98"), "0.3", at=later(15))
    assert charges(keeper.rerate(at=later(20))) == {"metered": "-0.52"}
    work = keeper.reservations[work.id]
    assert (work.cost_usd, work.charges) == (nano("0.6"), (("metered", nano("0.78")),))
    assert keeper.counter(tenant_month()) == ("0.6", "0")
    keeper.audit()


def test_the_last_call_above_the_provisional_charge_is_charged_in_full() -> None:
    keeper = Bookkeeper(acme())
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION, MILLION)
    keeper.publish(GPT_99, "2", at=later(5))
    first, second = (event.id for event in keeper.usage)
    assert charges(keeper.rerate(first, at=later(10))) == {"metered": "1.3"}
    assert charges(keeper.rerate(second, at=later(11))) == {"metered": "2.6"}
    assert keeper.balance("metered")[2] == "5.2"
    keeper.audit()


def test_corrections_that_make_up_for_each_other_beside_a_provisional_charge_leave_it_alone() -> None:
    keeper = Bookkeeper(acme())
    cheaper, dearer = ModelName("openai", "gpt-97"), ModelName("openai", "gpt-98")
    for model in (cheaper, dearer):
        keeper.publish(model, "0.2", at=later(-60))
    calls = [tokens_of(model, 1_000_000) for model in (cheaper, dearer, GPT_99)]
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), *calls)
    keeper.publish(cheaper, "0.1", at=later(5))
    keeper.publish(dearer, "0.3", at=later(5))
    before = len(keeper.amendments)
    assert charges(keeper.rerate(at=later(10))) == {}
    assert [fact.event_id for fact in keeper.amendments[before:]] == [event.id for event in keeper.usage[:2]]
    keeper.audit()


def test_the_wallets_of_a_correction_are_those_of_the_card_that_charged_the_event() -> None:
    keeper = Bookkeeper(acme())
    keeper.record(MILLION, MILLION, feature="llm_call")
    keeper.record(MILLION)
    assert [wallet_keys(keeper.catalog, event) for event in keeper.usage] == [("metered",), ("metered",), ()]
    keeper.publish(GPT_99, "0", at=later(5))
    assert counts(keeper.rerate(at=later(10))) == (3, 3, 0, 0, 0)
    assert keeper.moves("metered")[1:] == []


def test_a_corrected_price_counts_from_its_dates_on_and_both_ways() -> None:
    keeper = Bookkeeper(acme())
    keeper.consume(held(keeper.reserve("llm_call", model=GPT_4O, cost="3")), OF_4O)
    assert keeper.balance("metered")[2] == "3.25"
    keeper.publish(GPT_4O, "9", since=later(1), at=later(2))
    assert keeper.rerate(at=later(10)) == Rerated(), "the price of later is not the one of then"
    keeper.publish(GPT_4O, "4", since=SINCE, at=later(20))
    assert charges(keeper.rerate(at=later(30))) == {"metered": "1.95"}
    keeper.publish(GPT_4O, "1", since=SINCE, at=later(40))
    assert charges(keeper.rerate(at=later(50))) == {"metered": "-3.9"}
    assert keeper.balance("metered") == ("48.7", "0", "5.2")
    assert keeper.counter(tenant_month()) == ("1", "0")
    assert cost(keeper) == "1"
    keeper.audit()


def test_an_event_under_a_reservation_keeps_its_moment_whenever_it_says_that_it_happened() -> None:
    keeper = Bookkeeper(acme())
    early = OF_4O._replace(occurred_at=datetime(2026, 10, 3, tzinfo=UTC))
    keeper.consume(held(keeper.reserve("llm_call", model=GPT_4O, cost="3")), early)
    keeper.publish(GPT_4O, "5", since=datetime(2026, 11, 1, tzinfo=UTC), at=later(5))
    keeper.record(early, at=later(6))
    assert charges(keeper.rerate(at=later(10))) == {"metered": "3.25"}
    assert [cost(keeper, 0), cost(keeper, 1)] == ["5", "2.5"]
    assert keeper.counter(tenant_month()) == ("5", "0")
    assert keeper.counter(tenant_month(), "2026-10") == ("2.5", "0")


def test_what_was_given_back_shares_a_lot_and_is_spent_like_an_adjustment() -> None:
    keeper = Bookkeeper(acme())
    for _ in range(3):
        keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    keeper.publish(GPT_99, "0", at=later(5))
    for event in keeper.usage:
        keeper.rerate(event.id, at=later(10))
    lots = [lot for lot in keeper.wallets["metered"].lots if lot.source.value == "ADJUSTMENT"]
    assert [(format_amount(lot.granted), lot.expires_at) for lot in lots] == [("3.9", None)]
    assert [cost(keeper, index) for index in range(3)] == ["0", "0", "0"]
    assert all(work.charges == () for work in keeper.reservations.values())
    keeper.audit()


def test_a_fixed_charge_does_not_depend_on_prices() -> None:
    keeper = Bookkeeper(acme())
    keeper.consume(held(keeper.reserve("blog_post", model=GPT_4O, attribution=BLOG_WRITER)), OF_4O)
    keeper.publish(GPT_4O, "4", since=SINCE, at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert (format_amount(rerated.cost), charges(rerated)) == ("1.5", {})
    assert keeper.balance("credits")[2] == "2"
    assert keeper.counter(agent_month()) == keeper.counter(campaign_total()) == ("4", "0")
    assert next(iter(keeper.reservations.values())).cost_usd == nano("4")
    keeper.audit()


def test_an_own_key_is_never_charged_and_its_cost_still_counts() -> None:
    keeper = Bookkeeper(acme(), of=tenant(own_keys=["openai"]), own_keys_allowed=True)
    keeper.consume(held(keeper.reserve("llm_call", model=GPT_4O, cost="3")), OF_4O)
    keeper.record(OF_4O._replace(own_key=True), feature="llm_call")
    keeper.publish(GPT_4O, "4", since=SINCE, at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert (rerated.corrected, charges(rerated)) == (2, {})
    assert keeper.counter(tenant_month()) == ("8", "0")
    assert keeper.balance("metered")[2] == "0"
    keeper.audit()


def test_an_event_alone_is_charged_by_the_card_of_its_recording() -> None:
    keeper = Bookkeeper(acme())
    keeper.record(MILLION, feature="llm_call")
    keeper.record(MILLION)
    keeper.record(MILLION, feature="blog_post")
    assert keeper.balance("metered")[2] == "0"
    keeper.publish(GPT_99, "2", at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert (counts(rerated), charges(rerated)) == ((3, 3, 0, 0, 0), {"metered": "2.6"})
    assert keeper.counter(tenant_month()) == ("6", "0")
    keeper.publish(GPT_99, "1", since=SINCE, at=later(15))
    assert charges(keeper.rerate(at=later(20))) == {"metered": "-1.3"}
    keeper.audit()


def test_an_event_alone_without_a_wallet_or_a_card_is_corrected_in_its_cost() -> None:
    keeper = Bookkeeper()
    keeper.record(MILLION, feature="llm_call", at=datetime(2019, 1, 1, tzinfo=UTC))
    keeper.record(MILLION, feature="llm_call")
    keeper.publish(GPT_99, "2", since=datetime(2019, 1, 1, tzinfo=UTC), at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert (counts(rerated), charges(rerated)) == ((2, 2, 0, 0, 0), {})
    assert keeper.counter(tenant_month(), "2019-01") == ("2", "0")


def test_work_without_the_wallet_of_its_rate_is_corrected_in_its_cost() -> None:
    keeper = Bookkeeper()
    work = held(keeper.reserve("llm_call", model=ModelName("ollama", "llama3.2")))
    keeper.consume(work, MILLION)
    keeper.publish(GPT_99, "2", at=later(5))
    assert (keeper.rerate(at=later(10)).corrected, charges(keeper.rerate(at=later(10)))) == (1, {})
    keeper.audit()


@pytest.mark.parametrize("ended", [ReservationState.RELEASED, ReservationState.EXPIRED])
def test_work_that_was_given_up_costs_what_it_cost_and_is_not_charged(ended: ReservationState) -> None:
    keeper = Bookkeeper(acme())
    work = held(keeper.reserve("llm_call", cost="1", ttl=60))
    keeper.record(MILLION, under=work)
    keeper.publish(GPT_99, "0.5", at=later(1))
    assert counts(keeper.rerate(at=later(2))) == (0, 0, 0, 1, 0), "open work is settled first"
    if ended is ReservationState.RELEASED:
        keeper.release(work, at=later(3))
    else:
        keeper.expire_overdue(later(61))
    rerated = keeper.rerate(at=later(70))
    assert (counts(rerated), charges(rerated)) == ((1, 1, 0, 0, 0), {})
    assert keeper.counter(tenant_month()) == ("0.5", "0")
    keeper.audit()
    if ended is ReservationState.EXPIRED:
        keeper.consume(work, at=later(80))
        assert keeper.balance("metered")[2] == "0.65", "a late consume charges what it costs by now"
        keeper.audit()


def test_an_event_that_came_between_expiry_and_consume_stands_alone() -> None:
    keeper = Bookkeeper(acme())
    work = held(keeper.reserve("llm_call", cost="1", ttl=60))
    keeper.expire_overdue(later(61))
    keeper.record(MILLION, under=work, feature="llm_call", at=later(62))
    keeper.consume(work, spent("0.1"), at=later(63))
    keeper.publish(GPT_99, "2", at=later(64))
    assert charges(keeper.rerate(at=later(65))) == {"metered": "2.6"}
    assert next(iter(keeper.reservations.values())).cost_usd == nano("0.1")
    keeper.audit()


def test_what_no_list_priced_is_left_alone() -> None:
    keeper = Bookkeeper(acme())
    keeper.record(spent("2")._replace(provider="openai", model="gpt-99"), Usage(UsageKind.TOOL, "search"))
    keeper.publish(GPT_99, "5", at=later(5))
    keeper.publish(ModelName("search"), "5", at=later(5))
    assert keeper.rerate(at=later(10)) == Rerated()
    assert keeper.rerate(number(9_999), at=later(10)) == Rerated(), "no such event"


def test_without_a_price_an_event_keeps_what_it_has() -> None:
    keeper = Bookkeeper(acme())
    keeper.record(unpriced(), OF_4O)
    keeper.publish(GPT_4O, "5", since=SINCE, at=later(5))
    assert counts(keeper.rerate(at=later(10))) == (1, 0, 1, 0, 0)
    (withdrawn,) = [price for price in keeper.catalog.prices.at(later(10)) if price.model == "gpt-4o"]
    keeper.catalog = Bookkeeper().catalog
    assert withdrawn.effective_from == SINCE
    assert counts(keeper.rerate(at=later(20))) == (1, 0, 1, 0, 0), "back to what it was"
    tool = Bookkeeper(acme())
    tool.publish(ModelName("search"), "0", at=later(1))
    tool.record(Usage(UsageKind.TOOL, "search"), at=later(2))
    tool.catalog = Bookkeeper().catalog
    assert tool.rerate(at=later(3)) == Rerated(), "a price that is gone is no price of 0"


def test_one_event_twice_in_a_command_is_corrected_once() -> None:
    keeper = Bookkeeper(acme())
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    keeper.publish(GPT_99, "2", at=later(5))
    event = keeper.usage[0].id
    assert keeper.rerate(event, event, at=later(10)).corrected == 1
    keeper.audit()


def test_corrections_of_one_wallet_that_go_both_ways_are_each_booked() -> None:
    keeper = Bookkeeper([wallet_with("metered", "4")])
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION._replace(model="gpt-98"))
    keeper.publish(GPT_99, "2", at=later(5))
    keeper.publish(ModelName("openai", "gpt-98"), "0", at=later(5))
    before = len(keeper.entries)
    assert charges(keeper.rerate(at=later(10))) == {}
    assert keeper.moves("metered", before) == [("ADJUSTED", "1.3"), ("RESERVED", "1.3"), ("CONSUMED", "1.3")]
    keeper.audit()


def test_a_budget_that_a_correction_uses_up_pauses_its_scope() -> None:
    keeper = Bookkeeper(acme(), budgets=[capped(agent_month(), "5")])
    keeper.record(MILLION, attribution=BLOG_WRITER)
    keeper.publish(GPT_99, "5", at=later(5))
    keeper.rerate(at=later(10))
    scope = keeper.scopes[ScopeKey(ScopeKind.AGENT, "blog-writer")]
    assert scope.pause_reason == "monthly_budget_exceeded"
    assert keeper.told()[-1] is EventType.SCOPE_PAUSED


def test_a_month_that_was_another_before_the_time_zone_changed_is_found() -> None:
    keeper = Bookkeeper(acme())
    keeper.publish(GPT_99, "5", at=later(-60))
    late = datetime(2026, 10, 31, 20, tzinfo=UTC)
    keeper.record(MILLION._replace(occurred_at=late))
    assert keeper.counter(tenant_month(), "2026-10") == ("5", "0")
    keeper.set_cycle(zone=ZoneInfo("Asia/Kolkata"), at=later(1))
    keeper.tenant = tenant(zone=ZoneInfo("Asia/Kolkata"))
    keeper.publish(GPT_99, "1", since=SINCE, at=later(5))
    keeper.rerate(at=later(10))
    assert keeper.counter(tenant_month(), "2026-10") == ("1", "0")
    keeper.audit()


def test_what_the_books_cannot_hold_is_left_as_it_is() -> None:
    keeper = Bookkeeper(acme())
    huge = tokens_of(GPT_99, 10**12)
    keeper.record(huge, huge, feature="llm_call")
    keeper.record(huge, attribution=Attribution(campaign="spring"))
    dear = format_amount(LARGEST_STORED // 2 // 10**6)
    keeper.publish(GPT_99, dear, at=later(5))
    rerated = keeper.rerate(at=later(10))
    assert counts(rerated) == (2, 2, 0, 0, 1)
    keeper.audit()
    keeper.publish(GPT_99, "1000000000", since=SINCE, at=later(15))
    assert counts(keeper.rerate(at=later(20))) == (0, 0, 0, 0, 3)


def test_the_same_command_again_changes_nothing() -> None:
    keeper = Bookkeeper(acme())
    keeper.consume(held(keeper.reserve("llm_call", cost="1")), MILLION)
    keeper.publish(GPT_99, "2", at=later(5))
    event = keeper.usage[0].id
    command = Rerate(request(Operation.RERATE_USAGE, ""), ((number(800), event),), number(900))
    keeper.decide(command, later(10))
    assert decide(keeper.books(later(11)), command, later(11)).changes == NO_CHANGES
