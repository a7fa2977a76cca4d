"""Settlements: what work is charged, in which order, and what becomes of usage that came late, alone or unpriced."""

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import recordings, settlements
from domain.attribution import NOBODY, Attribution
from domain.books import Event, EventType, Operation, Seen
from domain.budgets import ScopeKey, ScopeKind
from domain.holds import ModelName, Recorded, Reservation
from domain.money import format_amount
from domain.prices import Tokens
from domain.recordings import Record, Reported, new_events
from domain.refusals import (
    FieldProblem,
    InsufficientFunds,
    NotFound,
    Refusal,
    ReservationEnded,
    ReservationState,
    invalid,
)
from domain.settlements import Consume, Consumed
from domain.usage import Route, Usage, UsageKind
from domain.wallets import LotSource
from tests.domain.builders import (
    BLOG_WRITER,
    CYCLE_END,
    GPT_4O,
    LLAMA,
    NO_CARD,
    NOW,
    Bookkeeper,
    acme,
    agent_month,
    campaign_total,
    capped,
    empty_wallet,
    granted_lot,
    held,
    later,
    nano,
    number,
    request,
    spent,
    tag_month,
    tenant,
    tenant_month,
    tokens_of,
    unpriced,
    wallet_with,
)

LEADMAGIC = ModelName("leadmagic")
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def charges(answer: Reservation | Refusal) -> dict[str, str]:
    return {key: format_amount(amount) for key, amount in held(answer).charges}


def cost(answer: Reservation | Refusal) -> str | None:
    known = held(answer).cost_usd
    return None if known is None else format_amount(known)


# ---- consume ---------------------------------------------------------------------------------------------------


def test_a_deliverable_is_charged_its_credits_whatever_it_cost() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(
        held(books.reserve("blog_post", attribution=BLOG_WRITER)), spent("5"), spent("4"), at=later(9)
    )
    assert (charges(answer), cost(answer)) == ({"credits": "2"}, "9")
    assert (held(answer).state, held(answer).ended_at) == (ReservationState.CONSUMED, later(9))
    assert books.balance("credits") == ("298", "0", "2")
    assert books.balance("metered") == ("50", "0", "0")
    assert books.counter(tenant_month()) == ("9", "0")
    assert books.counter(agent_month()) == ("9", "0")
    assert books.moves("credits", since=8) == [("CONSUMED", "2")]


def test_a_deliverable_may_be_consumed_without_usage() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("blog_post")))
    assert (charges(answer), cost(answer)) == ({"credits": "2"}, "0")
    assert books.counter(tenant_month()) == ("0", "0")


def test_the_actual_quantity_is_charged_and_the_rest_comes_back() -> None:
    books = Bookkeeper(acme())
    less = books.consume(held(books.reserve("social_post", "5")), quantity="3")
    assert (charges(less), books.balance("credits")) == ({"credits": "3"}, ("297", "0", "3"))
    nothing = books.consume(held(books.reserve("social_post", "5")), quantity="0")
    assert (charges(nothing), books.balance("credits")) == ({}, ("297", "0", "3"))
    more = books.consume(held(books.reserve("social_post", "5")), quantity="7")
    assert (charges(more), books.balance("credits")) == ({"credits": "7"}, ("290", "0", "10"))
    assert books.moves("credits", since=13) == [("RESERVED", "2"), ("CONSUMED", "7")]


def test_cost_plus_is_charged_by_what_it_cost_without_the_floor() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("llm_call", model=GPT_4O)), tokens_of(GPT_4O, 100))
    assert (charges(answer), cost(answer)) == ({"metered": "0.000325"}, "0.00025")
    assert books.balance("metered") == ("49.999675", "0", "0.000325")


def test_cost_plus_rounds_up_once_over_all_events() -> None:
    books = Bookkeeper(acme())
    calls = [spent("0.000000001") for _ in range(10)]
    answer = books.consume(held(books.reserve("llm_call", cost="1")), *calls)
    assert (charges(answer), cost(answer)) == ({"metered": "0.000000013"}, "0.00000001")


def test_each_event_says_its_share_of_a_cost_plus_charge_and_the_shares_add_up() -> None:
    books = Bookkeeper(acme())
    books.consume(held(books.reserve("llm_call", cost="1")), *[spent("0.000000001") for _ in range(10)])
    shares = [amount for event in books.usage for _, amount, _ in event.charges]
    assert sum(shares) == 13
    assert shares == [2, 1, 1, 2, 1, 1, 2, 1, 1, 1]
    assert {number_ for event in books.usage for _, _, number_ in event.charges} == {3}


def test_an_event_that_cost_nothing_has_no_share_and_a_fixed_charge_goes_with_the_first_call() -> None:
    books = Bookkeeper(acme())
    books.consume(held(books.reserve("llm_call", cost="1")), spent("1"), spent("0"))
    books.consume(held(books.reserve("blog_post")), spent("1"), spent("2"))
    books.consume(held(books.reserve("llm_call", cost="1")), spent("0"))
    metered, post = (("metered", nano("1.3"), 3),), (("credits", nano("2"), 3),)
    assert [event.charges for event in books.usage] == [metered, (), post, (), ()]
    assert books.amendments == []


def test_a_charge_without_a_call_is_kept_with_the_attribution_of_its_reservation() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", model=GPT_4O, attribution=BLOG_WRITER))
    books.consume(work)
    (alone,) = books.amendments
    assert (alone.id, alone.reservation_id, alone.event_id) == (work.id, work.id, None)
    assert (alone.provider, alone.model, alone.feature, alone.attribution) == (
        "openai",
        "gpt-4o",
        "blog_post",
        BLOG_WRITER,
    )
    assert (alone.charges, alone.cost, alone.occurred_at) == ((("credits", nano("2"), 3),), 0, NOW)


def test_cost_plus_on_credits_is_converted_at_the_credits_value() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("profile_draft", cost="0.5")), spent("0.1"))
    assert charges(answer) == {"credits": "0.26"}


def test_a_cost_plus_charge_with_no_usage_at_all_is_invalid() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call"))
    before = books.money()
    assert books.consume(work) == invalid("usage", "this feature is charged by what it cost: report at least one call")
    assert books.money() == before


def test_of_a_thousand_looked_up_six_hundred_found_are_charged() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("email_find", "1000", model=LEADMAGIC))
    found = Usage(UsageKind.API, "leadmagic", calls=1_000, results=600)
    answer = books.consume(work, found)
    assert (charges(answer), cost(answer)) == ({"metered": "12"}, "12")
    assert books.balance("metered") == ("38", "0", "12")


def test_a_waterfall_is_one_reservation_and_charges_what_all_its_providers_found() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("email_find", "10"))
    books.record(Usage(UsageKind.API, "leadmagic", calls=10, results=6), under=work)
    tried = Usage(UsageKind.API, "prospeo", calls=4, results=1), Usage(UsageKind.API, "findymail", calls=3)
    answer = books.consume(work, *tried)
    assert (charges(answer), cost(answer)) == ({"metered": "0.14"}, "0.24")
    assert books.counter(tenant_month()) == ("0.24", "0")


def test_a_quantity_given_goes_before_the_results_reported() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("email_find", "10")), spent("0", results=6), quantity="5")
    assert charges(answer) == {"metered": "0.1"}


def test_without_results_or_quantity_a_lookup_is_charged_as_reserved() -> None:
    books = Bookkeeper(acme())
    assert charges(books.consume(held(books.reserve("email_find", "10")))) == {"metered": "0.2"}
    assert charges(books.consume(held(books.reserve("email_find", "10")), spent("0.1"))) == {"metered": "0.2"}


def test_a_lookup_that_found_nothing_is_charged_nothing_however_that_was_reported() -> None:
    books = Bookkeeper(acme())
    at_once = books.consume(held(books.reserve("email_find", "10")), spent("0.12", results=0))
    work = held(books.reserve("email_find", "10"))
    books.record(spent("0.12", results=0), under=work)
    before = books.consume(work)
    assert (charges(at_once), charges(before)) == ({}, {})
    assert books.balance("metered") == ("50", "0", "0")
    assert books.counter(tenant_month()) == ("0.24", "0")


def test_results_come_in_whole_numbers() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("email_find", "10"))
    assert books.consume(work, quantity="1.5") == invalid("quantity", "must be a whole number for this feature")


def test_an_ai_written_send_takes_its_bucket_credit_and_its_cost() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("email_send", model=GPT_4O)), tokens_of(GPT_4O, 1_000, 1_000))
    assert charges(answer) == {"email_sends": "1", "metered": "0.01625"}
    assert books.balance("email_sends") == ("9999", "0", "1")


def test_a_plain_send_that_turns_out_to_be_written_by_a_model_is_charged_for_it() -> None:
    books = Bookkeeper(acme())
    plain = books.consume(held(books.reserve("email_send")))
    written = books.consume(held(books.reserve("email_send")), tokens_of(GPT_4O, 1_000, 1_000))
    assert (charges(plain), charges(written)) == ({"email_sends": "1"}, {"email_sends": "1", "metered": "0.01625"})


def test_both_scores_under_one_task_are_charged_once() -> None:
    books = Bookkeeper(acme())
    one = held(books.reserve("ai_search_visibility_score", task="text"))
    other = held(books.reserve("brand_voice_score", task="text"))
    assert charges(books.consume(one, spent("0.05"))) == {"credits": "0.25"}
    assert books.consume(other) == ReservationEnded(ReservationState.CONSUMED)
    assert books.balance("credits") == ("299.75", "0", "0.25")


def test_a_free_feature_is_recorded_and_not_billed() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("rag_ingestion")), spent("0.5"))
    assert (charges(answer), cost(answer)) == ({}, "0.5")
    assert books.counter(tenant_month()) == ("0.5", "0")
    assert books.usage[0].route is Route.FREE


def test_a_local_model_costs_nothing_and_keeps_its_tokens() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("llm_call", model=LLAMA)), tokens_of(LLAMA, 5_000, 700))
    assert (charges(answer), cost(answer)) == ({}, "0")
    assert books.usage[0].usage.tokens == Tokens(5_000, 700)


def test_an_own_key_is_never_charged_its_cost_which_counts_to_budgets() -> None:
    books = Bookkeeper(acme(), of=tenant(own_keys=["openai"]), own_keys_allowed=True)
    answer = books.consume(held(books.reserve("email_send", model=GPT_4O)), tokens_of(GPT_4O, 10**6))
    assert (charges(answer), cost(answer)) == ({"email_sends": "1"}, "2.5")
    assert books.counter(tenant_month()) == ("2.5", "0")
    assert (books.usage[0].route, books.usage[0].charges) == (Route.BYOK, (("email_sends", nano("1"), 3),))


def test_on_an_own_key_cost_plus_may_be_consumed_without_usage() -> None:
    books = Bookkeeper(acme(), of=tenant(own_keys=["openai"]), own_keys_allowed=True)
    assert charges(books.consume(held(books.reserve("llm_call", model=GPT_4O)))) == {}


def test_calls_that_name_no_model_were_calls_of_the_reservations_model() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", model=ModelName("openai", "gpt-4o", "chat"), cost="1"))
    plain = Usage(tokens=Tokens(10**6))
    scraped = Usage(UsageKind.TOOL, operation="fetch")
    books.consume(work, plain, plain._replace(operation="draft"), scraped, spent("0.1"))
    names = [(event.usage.provider, event.usage.model, event.usage.operation) for event in books.usage]
    assert names[:3] == [("openai", "gpt-4o", "chat"), ("openai", "gpt-4o", "draft"), (None, None, "fetch")]
    assert held(books.reservations[work.id]).cost_usd == nano("5.1")


def test_prices_are_those_of_the_reservation() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", model=GPT_4O))
    answer = books.consume(work, tokens_of(GPT_4O, 10**6), at=later(days=5))
    assert cost(answer) == "2.5"
    assert books.usage[0].priced.effective_from == datetime(2026, 4, 1, tzinfo=UTC)


def test_events_are_kept_with_the_reservations_attribution_and_their_own_time() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", attribution=BLOG_WRITER))
    answer = books.decide(
        Consume(
            request(Operation.CONSUME, "k"),
            work.id,
            ((number(7, later(3)), spent("1")), (number(8, later(4)), spent("1")._replace(occurred_at=NOW))),
        ),
        later(5),
    ).answer
    assert isinstance(answer, Consumed)
    assert [event.attribution for event in answer.events] == [BLOG_WRITER, BLOG_WRITER]
    assert [event.occurred_at for event in answer.events] == [later(3), NOW]
    assert [event.recorded_at for event in answer.events] == [later(5), later(5)]
    assert {(event.feature, event.reservation_id) for event in answer.events} == {("blog_post", work.id)}
    assert answer.reservation.settled_events == (number(7, later(3)), number(8, later(4)))
    assert list(answer.events) == books.usage


def test_what_is_unknown_or_ended_is_not_consumed() -> None:
    books = Bookkeeper(acme())
    first, second = (held(books.reserve("blog_post")) for _ in range(2))
    books.release(first)
    books.consume(second)
    before = books.money()
    assert books.consume(first, spent("1")) == ReservationEnded(ReservationState.RELEASED)
    assert books.consume(second, spent("1")) == ReservationEnded(ReservationState.CONSUMED)
    assert books.consume(first._replace(id=UUID(int=1))) == NotFound("reservation")
    assert books.money() == before


# ---- spend is never lost ---------------------------------------------------------------------------------------


def test_a_settlement_above_the_hold_and_the_balance_becomes_debt_that_stops_the_next_admission() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    answer = books.consume(held(books.reserve("llm_call", cost="0.5")), spent("2"))
    assert charges(answer) == {"metered": "2.6"}
    assert books.balance("metered") == ("-1.6", "0", "2.6")
    assert books.reserve("llm_call", cost="0.000000001") == InsufficientFunds("metered", nano("0.01"), nano("-1.6"))
    books.adjust("metered", "1.61")
    assert books.told() == [EventType.BALANCE_EMPTY, EventType.DEBT_REPAID]
    assert held(books.reserve("llm_call", cost="0.000000001")).holds
    books.audit()


def test_a_settlement_may_pass_every_cap() -> None:
    books = Bookkeeper(acme(), budgets=[capped(tenant_month(), "1"), capped(campaign_total(), "2")])
    books.consume(held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER)), spent("30"))
    assert books.counter(tenant_month()) == ("30", "0")
    assert books.counter(campaign_total()) == ("30", "0")


def test_an_expired_reservation_is_still_settled() -> None:
    books = Bookkeeper([wallet_with("metered", "1.3")])
    work = held(books.reserve("llm_call", cost="1", task="t"))
    books.expire_overdue(later(900))
    other = held(books.reserve("llm_call", cost="1", at=later(900)))
    answer = books.consume(work, spent("1"), at=later(901))
    assert (held(answer).state, charges(answer)) == (ReservationState.CONSUMED, {"metered": "1.3"})
    assert books.balance("metered") == ("-1.3", "1.3", "1.3")
    assert books.counter(tenant_month()) == ("1", "1")
    assert books.tasks == {work.task: work.id}
    books.release(other)
    assert books.balance("metered") == ("0", "0", "1.3")
    books.audit()


def test_an_expired_reservation_that_is_settled_late_takes_its_task_back_and_keeps_it() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", task="t"))
    books.expire_overdue(later(900))
    retry = held(books.reserve("blog_post", task="t", at=later(900)))
    books.consume(work, at=later(901))
    assert books.tasks == {work.task: work.id}
    books.release(retry, at=later(902))
    assert books.tasks == {work.task: work.id}
    again = held(books.reserve("blog_post", task="t", at=later(903)))
    assert (again.id, again.state) == (work.id, ReservationState.CONSUMED)
    books.audit()


def test_a_charge_after_the_cycle_uses_what_was_held_before_and_expires_the_rest() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    work = held(books.reserve("social_post", "5"))
    books.consume(work, quantity="2", at=CYCLE_END)
    assert books.moves("credits", since=2) == [
        ("EXPIRED", "295"),
        ("CONSUMED", "2"),
        ("RELEASED", "3"),
        ("EXPIRED", "3"),
    ]
    assert books.balance("credits") == ("0", "0", "2")


def test_a_part_charge_uses_the_top_up_before_the_plan() -> None:
    plan = granted_lot(empty_wallet(), "3", number(1), expires_at=CYCLE_END)
    both = plan.then(granted_lot(plan.wallet, "2", number(2), LotSource.TOP_UP, expires_at=CYCLE_END))
    books = Bookkeeper([both])
    books.consume(held(books.reserve("social_post", "4")), quantity="3")
    lots = {lot.id: (lot.available, lot.consumed) for lot in books.wallets["credits"].lots}
    assert lots == {number(2): (0, nano("2")), number(1): (nano("2"), nano("1"))}


def test_what_has_expired_beside_an_untouched_leg_is_booked_on_the_way() -> None:
    books = Bookkeeper([wallet_with("email_sends", "5"), wallet_with("metered", "5")])
    work = held(books.reserve("email_send"))
    books.consume(work, at=CYCLE_END)
    assert books.moves("metered") == [("TOPPED_UP", "5")]
    assert books.balance("email_sends") == ("0", "0", "1")


def test_work_of_a_feature_without_its_wallet_counts_its_cost() -> None:
    books = Bookkeeper()
    work = held(books.reserve("llm_call", model=LLAMA))
    answer = books.consume(work, tokens_of(GPT_4O, 10**6))
    assert (charges(answer), cost(answer)) == ({}, "2.5")
    assert books.counter(tenant_month()) == ("2.5", "0")


# ---- what no price list knows ----------------------------------------------------------------------------------


def test_an_unpriced_call_takes_what_is_left_of_the_hold_and_the_cost_is_unknown() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    answer = books.consume(work, spent("0.4"), unpriced())
    assert (charges(answer), cost(answer)) == ({"metered": "1.3"}, None)
    assert books.balance("metered") == ("48.7", "0", "1.3")
    assert books.counter(tenant_month()) == ("1", "0")
    assert books.usage[1].priced.cost is None
    names = (("provider", "openai"), ("model", "gpt-99"), ("operation", None))
    assert books.events[1:] == [Event(EventType.USAGE_UNPRICED, names)]


def test_known_costs_above_the_hold_are_charged_in_full_beside_an_unpriced_call() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("llm_call", cost="1")), spent("3"), unpriced())
    assert (charges(answer), cost(answer)) == ({"metered": "3.9"}, None)
    assert books.counter(tenant_month()) == ("3", "0")


def test_an_unpriced_call_that_was_recorded_before_takes_the_rest_at_once() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.record(spent("0.4"), under=work)
    books.record(unpriced(), under=work)
    assert books.counter(tenant_month()) == ("1", "0")
    assert books.balance("metered") == ("48.7", "1.3", "0")
    answer = books.consume(work)
    assert (charges(answer), cost(answer)) == ({"metered": "1.3"}, None)
    assert books.counter(tenant_month()) == ("1", "0")


def test_an_unpriced_call_under_a_fixed_charge_takes_the_budgets_hold_and_no_more_credits() -> None:
    books = Bookkeeper(acme())
    answer = books.consume(held(books.reserve("blog_post")), unpriced())
    assert (charges(answer), cost(answer)) == ({"credits": "2"}, None)
    assert books.counter(tenant_month()) == ("0.6", "0")


def test_an_unpriced_call_after_expiry_is_neither_charged_nor_counted_because_nothing_is_left_of_the_hold() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.expire_overdue(later(900))
    answer = books.consume(work, unpriced(), at=later(901))
    assert (charges(answer), cost(answer)) == ({}, None)
    assert books.counter(tenant_month()) == ("0", "0")


def test_each_unpriced_model_is_told_of_once_per_command() -> None:
    books = Bookkeeper(acme())
    books.record(unpriced(), unpriced(), unpriced("anthropic"), Usage())
    told = [dict(event.payload)["provider"] for event in books.events]
    assert sorted(told, key=str) == [None, "anthropic", "openai"]


# ---- usage under a reservation ---------------------------------------------------------------------------------


def test_usage_moves_from_held_to_spent_and_its_excess_adds_to_spent_only() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    assert books.record(spent("0.4"), under=work).cost == nano("0.4")
    assert books.counter(agent_month()) == ("0.4", "0.6")
    books.record(spent("0.9"), spent("0.1"), under=work)
    assert books.counter(agent_month()) == ("1.4", "0")
    assert books.balance("metered") == ("48.7", "1.3", "0")
    left = books.reservations[work.id]
    assert (left.held_usd, left.remaining_usd) == (nano("1"), 0)
    assert left.recorded == Recorded(3, nano("1.4"), None, unpriced=0)
    books.audit()


def test_credits_are_charged_once_on_consume_over_all_events() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.record(spent("0.4"), under=work)
    answer = books.consume(work, spent("0.2"))
    assert (charges(answer), cost(answer)) == ({"metered": "0.78"}, "0.6")
    assert held(answer).recorded.events == 2
    assert books.counter(tenant_month()) == ("0.6", "0")
    assert [event.charges for event in books.usage] == [(), (("metered", nano("0.26"), 3),)]
    assert [amended.charges for amended in books.amendments] == [(("metered", nano("0.52"), 3),)], "the event before"


def test_an_event_counts_once_by_source_and_id_in_recording_and_in_consume() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    call = spent("0.4", source="worker", event_id="1")
    assert books.record(call, call, under=work).duplicates == 1
    assert books.record(call, under=work).duplicates == 1
    answer = books.consume(work, call, call, spent("0.1", source="worker", event_id="2"), spent("0.1"), spent("0.1"))
    assert cost(answer) == "0.7"
    assert len(books.usage) == 4


def test_a_consume_of_events_that_were_all_recorded_elsewhere_charges_nothing_more() -> None:
    books = Bookkeeper(acme())
    call = spent("0.4", source="worker", event_id="1")
    books.record(call)
    answer = books.consume(held(books.reserve("llm_call", cost="1")), call)
    assert (charges(answer), cost(answer)) == ({}, "0")
    assert books.counter(tenant_month()) == ("0.4", "0")


def test_the_budgets_of_usage_are_its_reservations_whatever_its_own_attribution_says() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    own = Attribution(campaign="autumn", client="umbrella")
    decided = books.decide(
        Record(
            request(Operation.RECORD_USAGE, ""),
            (Reported(number(9), spent("0.4", source="s", event_id="1"), None, work.id, own),),
        )
    )
    assert books.usage[0].attribution == own
    assert books.counter(campaign_total("spring")) == ("0.4", "0.6")
    assert books.counter(campaign_total("autumn")) == ("0", "0")
    assert decided.changes.seen == (
        Seen(ScopeKey(ScopeKind.CAMPAIGN, "autumn"), "umbrella"),
        Seen(ScopeKey(ScopeKind.CLIENT, "umbrella")),
    )


def test_usage_counts_in_its_reservations_month_and_not_in_that_of_its_arrival() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", ttl=7 * 24 * 3600, at=later(days=8)))
    books.record(spent("0.4"), under=work, at=DECEMBER)
    books.consume(work, spent("0.2"), at=DECEMBER)
    assert books.counter(tenant_month(), "2026-11") == ("0.6", "0")
    assert books.counter(tenant_month(), "2026-12") == ("0", "0")


def test_usage_under_a_reservation_that_does_not_exist_is_rejected_and_its_neighbours_are_kept() -> None:
    books = Bookkeeper(acme())
    good, bad = (spent("1", source="s", event_id=name) for name in "ab")
    answer = books.decide(
        Record(
            request(Operation.RECORD_USAGE, ""),
            (Reported(number(1), bad, None, UUID(int=5), NOBODY), Reported(number(2), good, None, None, NOBODY)),
        )
    ).answer
    assert isinstance(answer, recordings.Recording)
    assert answer.rejected == ((number(1), recordings.NO_SUCH_RESERVATION),)
    assert (answer.duplicates, [event.id for event in answer.events]) == (0, [number(2)])
    assert books.counter(tenant_month()) == ("1", "0")


# ---- usage alone -----------------------------------------------------------------------------------------------


def test_usage_without_a_reservation_is_spent_in_the_month_when_it_happened_in_the_tenants_zone() -> None:
    books = Bookkeeper(acme(), of=tenant(zone=ZoneInfo("Asia/Kolkata")))
    at = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    books.record(spent("1")._replace(occurred_at=at), attribution=BLOG_WRITER)
    books.record(spent("2")._replace(occurred_at=at.replace(minute=29)), attribution=BLOG_WRITER)
    assert books.counter(tenant_month(), "2026-11") == ("1", "0")
    assert books.counter(agent_month(), "2026-10") == ("2", "0")
    assert books.counter(campaign_total()) == ("3", "0")


def test_usage_without_a_feature_is_recorded_and_not_charged() -> None:
    books = Bookkeeper(acme())
    answer = books.record(tokens_of(GPT_4O, 10**6))
    assert (answer.cost, answer.events[0].feature, answer.events[0].charges) == (nano("2.5"), None, ())
    assert books.balance("metered") == ("50", "0", "0")


@pytest.mark.parametrize(
    ("feature", "call", "expected"),
    [
        ("llm_call", spent("2"), {"metered": "2.6"}),
        ("profile_draft", spent("1"), {"credits": "2.6"}),
        ("email_send", Usage(calls=3, cost=0), {"email_sends": "3"}),
        ("email_send", tokens_of(GPT_4O, 10**6)._replace(calls=2), {"email_sends": "2", "metered": "3.25"}),
        ("enrich_lead", Usage(units=nano("1.5"), cost=0), {"enrich_leads": "1.5"}),
        ("email_find", spent("0.2", results=6), {"metered": "0.12"}),
        ("email_find", spent("0.2"), {}),
        ("blog_post", spent("1"), {}),
        ("brand_voice_score", spent("1"), {}),
        ("store_lead", spent("0"), {}),
        ("rag_ingestion", spent("1"), {}),
        ("nothing_like_it", spent("1"), {}),
    ],
)
def test_usage_alone_is_charged_by_cost_unit_or_result_and_never_for_deliverables_or_capacity(
    feature: str, call: Usage, expected: dict[str, str]
) -> None:
    books = Bookkeeper(acme())
    (event,) = books.record(call, feature=feature).events
    assert {key: format_amount(amount) for key, amount, _ in event.charges} == expected
    for key in books.wallets:
        assert format_amount(books.wallets[key].consumed) == expected.get(key, "0")
    books.audit()


def test_usage_alone_is_charged_below_zero_if_need_be() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    books.record(spent("2"), feature="llm_call")
    assert books.balance("metered") == ("-1.6", "0", "2.6")
    assert books.moves("metered", since=1) == [("RESERVED", "2.6"), ("CONSUMED", "2.6")]


def test_a_batch_makes_one_pair_of_entries_per_wallet_whose_number_stands_on_each_event() -> None:
    books = Bookkeeper([wallet_with("metered", "10"), wallet_with("email_sends", "10")])
    books.record(spent("1"), spent("2"), feature="llm_call")
    assert books.moves("metered", since=2) == [("RESERVED", "3.9"), ("CONSUMED", "3.9")]
    assert [event.charges for event in books.usage] == [
        (("metered", nano("1.3"), 3),),
        (("metered", nano("2.6"), 3),),
    ]


def test_a_tenant_without_the_wallet_is_not_charged_on_it() -> None:
    books = Bookkeeper()
    (event,) = books.record(spent("2"), feature="llm_call").events
    assert (event.charges, books.counter(tenant_month())) == ((), ("2", "0"))


def test_without_a_card_in_force_usage_is_recorded_only() -> None:
    books = Bookkeeper(acme(), catalog=NO_CARD)
    (event,) = books.record(spent("2"), feature="llm_call").events
    assert (event.feature, event.charges) == ("llm_call", ())


@pytest.mark.parametrize(
    ("own_key", "allowed", "route", "expected"),
    [
        (True, True, Route.BYOK, ("50", "0", "0")),
        (True, False, Route.MANAGED, ("47.4", "0", "2.6")),
        (False, True, Route.MANAGED, ("47.4", "0", "2.6")),
        (None, True, Route.MANAGED, ("47.4", "0", "2.6")),
    ],
)
def test_usage_alone_says_itself_whether_it_ran_on_the_tenants_own_key(
    own_key: bool | None, allowed: bool, route: Route, expected: tuple[str, str, str]
) -> None:
    books = Bookkeeper(acme(), own_keys_allowed=allowed)
    (event,) = books.record(spent("2")._replace(own_key=own_key), feature="llm_call").events
    assert event.route is route
    assert books.balance("metered") == expected
    assert books.counter(tenant_month()) == ("2", "0")


def test_unpriced_usage_alone_counts_and_charges_nothing_until_it_is_priced() -> None:
    books = Bookkeeper(acme())
    (event,) = books.record(unpriced(), feature="llm_call").events
    assert (event.priced.cost, event.charges) == (None, ())
    assert books.counter(tenant_month()) == ("0", "0")


@pytest.mark.parametrize("end", ["consume", "release", "expire"])
def test_usage_under_a_reservation_that_has_ended_is_charged_at_once_as_if_alone(end: str) -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", model=GPT_4O, cost="1", attribution=BLOG_WRITER))
    if end == "consume":
        books.consume(work, spent("0"))
    elif end == "release":
        books.release(work)
    else:
        books.expire_overdue(later(900))
    (event,) = books.record(Usage(tokens=Tokens(10**6)), under=work, at=DECEMBER).events
    assert (event.reservation_id, event.feature, event.attribution) == (work.id, "llm_call", BLOG_WRITER)
    assert (event.usage.model, event.priced.cost) == ("gpt-4o", nano("2.5"))
    assert books.balance("metered") == ("46.75", "0", "3.25")
    assert books.counter(agent_month(), "2026-11") == ("0", "0")
    assert books.counter(agent_month(), "2026-12") == ("2.5", "0")
    assert books.reservations[work.id].recorded.events == (1 if end == "consume" else 0)
    books.audit()


def test_usage_that_an_expired_reservation_was_charged_for_alone_is_not_charged_again_on_consume() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.expire_overdue(later(900))
    call = spent("1", source="worker", event_id="1")
    books.record(call, under=work, at=later(901))
    answer = books.consume(work, call, spent("1"), at=later(902))
    assert charges(answer) == {"metered": "1.3"}
    assert books.balance("metered") == ("47.4", "0", "2.6")
    assert books.counter(tenant_month()) == ("2", "0")


def test_an_events_own_feature_and_tags_go_before_its_reservations_once_that_has_ended() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post", attribution=BLOG_WRITER))
    books.release(work)
    tagged = Attribution(tags=(("team", "red"),))
    (event,) = books.record(spent("1"), feature="llm_call", under=work, attribution=tagged).events
    assert (event.feature, event.attribution) == ("llm_call", tagged)
    assert books.counter(tag_month("team=red")) == ("1", "0")
    assert books.counter(agent_month()) == ("0", "0")


def test_what_a_batch_names_is_registered_once() -> None:
    books = Bookkeeper(acme())
    decided = books.decide(
        Record(
            request(Operation.RECORD_USAGE, ""),
            tuple(
                Reported(number(index), spent("1", source="s", event_id=str(index)), None, None, BLOG_WRITER)
                for index in range(3)
            ),
        )
    )
    assert decided.changes.seen == (
        Seen(ScopeKey(ScopeKind.AGENT, "blog-writer")),
        Seen(ScopeKey(ScopeKind.CAMPAIGN, "spring")),
    )


def test_of_events_with_one_name_the_first_is_new() -> None:
    first, again, other = (
        Reported(number(index), spent("1", source="s", event_id=name), None, None, NOBODY)
        for index, name in enumerate("aab")
    )
    assert new_events((first, again, other), frozenset()) == (first, other)
    assert new_events((first, again, other), frozenset({("s", "a")})) == (other,)


def test_recording_nothing_changes_nothing() -> None:
    books = Bookkeeper(acme())
    before = books.money()
    answer = books.record()
    assert (answer.events, answer.duplicates, answer.cost) == ((), 0, 0)
    assert books.money() == before


@given(st.lists(st.integers(0, 3 * 10**9), min_size=1, max_size=6), st.integers(0, 6))
def test_however_events_are_split_between_recording_and_consume_cost_and_charge_are_the_same(
    costs: list[int], recorded: int
) -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    calls = [Usage(cost=amount) for amount in costs]
    if calls[:recorded]:
        books.record(*calls[:recorded], under=work)
    answer = held(books.consume(work, *calls[recorded:]))
    total = sum(costs)
    assert answer.cost_usd == total
    assert dict(answer.charges).get("metered", 0) == -(-total * 13 // 10)
    assert books.counter(campaign_total()) == (format_amount(total), "0")
    books.audit()


# ---- input -----------------------------------------------------------------------------------------------------


def test_each_bad_field_of_a_consume_is_named() -> None:
    asked = request(Operation.CONSUME, "k")
    good = Consume(asked, number(1), ((number(2), spent("1")),), 0)
    assert settlements.problems(good, NOW) == ()
    bad = Consume(asked, number(1), ((number(2), spent("1")), (number(3), Usage(calls=-1))), -1)
    assert settlements.problems(bad, NOW) == (
        FieldProblem("quantity", "must not be negative"),
        FieldProblem("usage.1.calls", "must be 0 to 1000000000"),
    )
    many = Consume(asked, number(1), ((number(2), Usage()),) * 1_001)
    assert settlements.problems(many, NOW) == (FieldProblem("usage", "at most 1000 events"),)
