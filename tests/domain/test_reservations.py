"""Reservations: what is held for a wish, what is refused with which figures, and how holds end without a charge."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain import admission, reservations
from domain.admission import Wish
from domain.attribution import IDENTIFIER_RULE, NOBODY, Attribution
from domain.books import EventType
from domain.budgets import ScopeKey, ScopeKind
from domain.holds import Estimate, ModelName, Reservation, TaskKey
from domain.money import format_amount
from domain.prices import Tokens
from domain.rates import ChargeType, RateCards
from domain.refusals import (
    BudgetExceeded,
    BudgetScope,
    FieldProblem,
    InsufficientFunds,
    InvalidInput,
    NotFound,
    PlanLimit,
    Refusal,
    ReservationEnded,
    ReservationState,
    ScopePaused,
    UnknownFeature,
    UnpricedModel,
    invalid,
)
from domain.reservations import Preview
from domain.tenants import TenantStatus
from domain.usage import Route
from domain.wallets import LotSource
from tests.domain.builders import (
    BLOG_WRITER,
    CATALOG,
    CYCLE_END,
    GPT_4O,
    LLAMA,
    MONTH,
    NO_CARD,
    NO_PRICES,
    NOW,
    Bookkeeper,
    acme,
    agent_month,
    capped,
    draws,
    empty_wallet,
    granted_lot,
    held,
    later,
    nano,
    number,
    spent,
    task_cap,
    tenant,
    tenant_month,
    wallet_with,
)

LEADMAGIC = ModelName("leadmagic")
SCORES = ("ai_search_visibility_score", "brand_voice_score")


def holds(answer: Reservation | Refusal) -> dict[str, str]:
    return {hold.wallet_key: format_amount(hold.amount) for hold in held(answer).holds}


def held_usd(answer: Reservation | Refusal) -> str:
    return format_amount(held(answer).held_usd)


# ---- what a wish holds -----------------------------------------------------------------------------------------


def test_a_deliverable_holds_its_credits_and_the_top_of_their_provider_cost() -> None:
    books = Bookkeeper(acme())
    answer = books.reserve("blog_post", attribution=BLOG_WRITER)
    assert (holds(answer), held_usd(answer)) == ({"credits": "2"}, "0.6")
    assert books.balance("credits") == ("298", "2", "0")
    assert books.balance("metered") == ("50", "0", "0")
    assert books.counter(tenant_month()) == ("0", "0.6")
    assert books.moves("credits", since=7) == [("RESERVED", "2")]


def test_a_reservation_keeps_the_terms_of_its_moment() -> None:
    books = Bookkeeper(acme())
    found = held(books.reserve("llm_call", "2", model=GPT_4O, cost="1", attribution=BLOG_WRITER, task="t", ttl=60))
    assert found.state is ReservationState.HELD
    assert (found.feature, found.task, found.route) == ("llm_call", TaskKey("llm_call", "t"), Route.MANAGED)
    assert (found.quantity, found.rate_card, found.model) == (nano("2"), 1, GPT_4O)
    assert (found.attribution, found.month) == (BLOG_WRITER, MONTH)
    assert (found.held_usd, found.remaining_usd, found.max_cost_usd) == (nano("1"), nano("1"), None)
    assert (found.created_at, found.expires_at, found.ended_at) == (NOW, later(60), None)
    assert (found.charges, found.cost_usd, found.settled_events) == ((), None, ())
    assert found.held_in("credits") is None


def test_three_editor_actions_hold_three_tenths_of_a_credit() -> None:
    answer = Bookkeeper(acme()).reserve("in_editor_action", "3")
    assert (holds(answer), held_usd(answer)) == ({"credits": "0.3"}, "0.09")


def test_a_cost_plus_call_holds_its_tokens_marked_up_on_the_metered_wallet() -> None:
    answer = Bookkeeper(acme()).reserve("llm_call", model=GPT_4O, tokens=Tokens(100_000, 10_000))
    assert (holds(answer), held_usd(answer)) == ({"metered": "0.455"}, "0.35")


def test_a_small_cost_plus_call_holds_the_cards_floor_and_its_budgets_the_cost() -> None:
    answer = Bookkeeper(acme()).reserve("llm_call", model=GPT_4O, tokens=Tokens(100))
    assert (holds(answer), held_usd(answer)) == ({"metered": "0.01"}, "0.00025")


def test_cost_plus_on_credits_is_converted_at_the_credits_value() -> None:
    answer = Bookkeeper(acme()).reserve("profile_draft", cost="1")
    assert (holds(answer), held_usd(answer)) == ({"credits": "2.6"}, "1")


def test_a_request_that_says_nothing_holds_the_default_estimate() -> None:
    answer = Bookkeeper(acme()).reserve("llm_call", "3")
    assert (holds(answer), held_usd(answer)) == ({"metered": "0.039"}, "0.03")


def test_a_model_without_tokens_is_held_per_call_where_it_has_such_a_price_else_by_default() -> None:
    books = Bookkeeper(acme())
    per_call = books.reserve("lead_enrichment", "2.5", model=LEADMAGIC)
    by_default = books.reserve("lead_enrichment", model=GPT_4O)
    assert (holds(per_call), held_usd(per_call)) == ({"metered": "0.0468"}, "0.036")
    assert (holds(by_default), held_usd(by_default)) == ({"metered": "0.065"}, "0.05")


def test_the_callers_own_figure_goes_before_tokens_and_prices() -> None:
    answer = Bookkeeper(acme()).reserve("llm_call", model=GPT_4O, tokens=Tokens(10**9), cost="0.5")
    assert (holds(answer), held_usd(answer)) == ({"metered": "0.65"}, "0.5")


def test_a_price_tier_is_chosen_by_the_context_that_is_estimated() -> None:
    books = Bookkeeper(acme())
    sonnet = ModelName("anthropic", "claude-sonnet-4-5")
    short = books.reserve("llm_call", model=sonnet, tokens=Tokens(200_000))
    long = books.reserve("llm_call", model=sonnet, tokens=Tokens(200_001))
    assert (held_usd(short), held_usd(long)) == ("0.6", "1.200006")


def test_a_lookup_holds_as_if_everything_asked_for_were_found() -> None:
    answer = Bookkeeper(acme()).reserve("email_find", "1000")
    assert (holds(answer), held_usd(answer)) == ({"metered": "20"}, "15")


def test_a_plain_send_takes_one_credit_of_its_bucket_and_costs_nobody_anything() -> None:
    answer = Bookkeeper(acme()).reserve("email_send")
    assert (holds(answer), held_usd(answer)) == ({"email_sends": "1"}, "0")


def test_an_ai_written_send_takes_one_credit_of_its_bucket_and_metered_dollars() -> None:
    books = Bookkeeper(acme())
    answer = books.reserve("email_send", model=GPT_4O, tokens=Tokens(1_000, 1_000))
    assert (holds(answer), held_usd(answer)) == ({"email_sends": "1", "metered": "0.01625"}, "0.0125")
    assert books.balance("email_sends") == ("9999", "1", "0")
    assert books.balance("metered") == ("49.98375", "0.01625", "0")
    default = books.reserve("email_send", model=GPT_4O)
    assert (holds(default), held_usd(default)) == ({"email_sends": "1", "metered": "0.01"}, "0.002")


def test_a_free_feature_holds_no_wallet_and_still_counts_its_cost_to_budgets() -> None:
    books = Bookkeeper()
    answer = held(books.reserve("rag_ingestion", "2"))
    assert (answer.holds, answer.held_usd, answer.route) == ((), nano("0.002"), Route.FREE)
    assert held(books.reserve("seo_score")).held_usd == 0


def test_a_local_model_holds_nothing_on_a_metered_wallet_even_if_that_is_empty_or_missing() -> None:
    for books in (Bookkeeper(), Bookkeeper([granted_lot(empty_wallet("metered"), "1", number(1))])):
        if books.wallets:
            books.adjust("metered", "-2")
        answer = held(books.reserve("llm_call", model=LLAMA, tokens=Tokens(10**9, 10**9)))
        assert (answer.holds, answer.held_usd) == ((), 0)


def test_a_deliverable_on_a_local_model_takes_its_credits_all_the_same() -> None:
    answer = Bookkeeper(acme()).reserve("blog_post", model=LLAMA)
    assert (holds(answer), held_usd(answer)) == ({"credits": "2"}, "0")


def test_a_hold_names_its_lots_in_burn_order() -> None:
    books = Bookkeeper([wallet_with("credits", "1")])
    books.adjust("credits", "1.5")
    found = held(books.reserve("blog_post"))
    assert [amount for _, amount in draws(found.holds[0])] == ["1.5", "0.5"]


# ---- what is refused -------------------------------------------------------------------------------------------


def refusal(books: Bookkeeper, *arguments: str, **named: object) -> Refusal:
    """A refusal, which must leave everything alone."""
    before = books.money()
    answer = books.reserve(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(answer, Refusal)
    assert books.money() == before
    return answer


def test_exactly_what_is_available_fits_and_a_billionth_more_does_not() -> None:
    books = Bookkeeper([wallet_with("credits", "1.999999999")])
    assert refusal(books, "blog_post") == InsufficientFunds("credits", nano("2"), nano("1.999999999"))
    books.adjust("credits", "0.000000001")
    assert holds(books.reserve("blog_post")) == {"credits": "2"}
    assert refusal(books, "blog_post") == InsufficientFunds("credits", nano("2"), 0)


def test_if_the_second_wallet_lacks_room_the_first_holds_nothing() -> None:
    books = Bookkeeper([wallet_with("email_sends", "5"), wallet_with("metered", "0.01")])
    answer = refusal(books, "email_send", model=GPT_4O, cost="0.1")
    assert answer == InsufficientFunds("metered", nano("0.13"), nano("0.01"))


def test_a_wallet_that_the_tenant_does_not_have_has_nothing_available() -> None:
    books = Bookkeeper([wallet_with("credits", "100")])
    assert refusal(books, "llm_call") == InsufficientFunds("metered", nano("0.013"), 0)
    assert refusal(books, "email_send") == InsufficientFunds("email_sends", nano("1"), 0)
    assert refusal(books, "email_find", "3") == InsufficientFunds("metered", nano("0.06"), 0)


def test_what_has_expired_and_is_not_booked_yet_is_not_available() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    assert refusal(books, "blog_post", at=CYCLE_END) == InsufficientFunds("credits", nano("2"), 0)


def test_a_reserve_first_books_what_has_expired() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    books.adjust("credits", "5", at=CYCLE_END)
    assert holds(books.reserve("blog_post", at=CYCLE_END)) == {"credits": "2"}
    assert books.moves("credits") == [
        ("ALLOCATED", "300"),
        ("EXPIRED", "300"),
        ("ADJUSTED", "5"),
        ("RESERVED", "2"),
    ]


def test_a_reserve_books_an_expired_lot_beside_the_one_that_it_draws_on() -> None:
    plan = granted_lot(empty_wallet(), "3", number(1), expires_at=CYCLE_END)
    both = plan.then(
        granted_lot(plan.wallet, "5", number(2), LotSource.TOP_UP, expires_at=CYCLE_END.replace(month=12, day=31))
    )
    books = Bookkeeper([both])
    books.reserve("blog_post", at=CYCLE_END)
    assert books.moves("credits", since=2) == [("EXPIRED", "3"), ("RESERVED", "2")]


def test_a_wallet_below_zero_refuses_until_its_debt_is_repaid() -> None:
    books = Bookkeeper([wallet_with("metered", "1")])
    books.consume(held(books.reserve("llm_call", cost="0.5")), spent("2"))
    assert books.balance("metered") == ("-1.6", "0", "2.6")
    assert refusal(books, "llm_call", cost="0.1") == InsufficientFunds("metered", nano("0.13"), nano("-1.6"))
    books.adjust("metered", "1.72")
    assert refusal(books, "llm_call", cost="0.1") == InsufficientFunds("metered", nano("0.13"), nano("0.12"))
    books.adjust("metered", "0.01")
    assert holds(books.reserve("llm_call", cost="0.1")) == {"metered": "0.13"}


def test_an_unknown_feature_is_named() -> None:
    assert refusal(Bookkeeper(acme()), "blog_pots") == UnknownFeature("blog_pots")


def test_without_a_card_in_force_every_feature_is_unknown() -> None:
    assert refusal(Bookkeeper(acme(), catalog=NO_CARD), "blog_post", task="t") == UnknownFeature("blog_post")
    old = later(days=-400)
    assert refusal(Bookkeeper(acme()), "blog_post", at=old) == UnknownFeature("blog_post")


@pytest.mark.parametrize("cost", [None, "0", "1"])
def test_a_model_without_a_price_is_refused_whatever_figure_comes_with_it(cost: str | None) -> None:
    answer = refusal(Bookkeeper(acme()), "llm_call", model=ModelName("openai", "gpt-99", "chat"), cost=cost)
    assert answer == UnpricedModel("openai", "gpt-99", "chat")
    assert refusal(Bookkeeper(acme(), catalog=NO_PRICES), "blog_post", model=GPT_4O) == UnpricedModel(
        "openai", "gpt-4o", None
    )


@pytest.mark.parametrize("feature", ["email_find", "store_lead"])
def test_results_and_capacity_are_counted_in_whole_numbers(feature: str) -> None:
    assert refusal(Bookkeeper(acme()), feature, "1.5") == invalid("quantity", "must be a whole number for this feature")


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_a_tenant_that_is_not_active_is_refused_every_new_spend(status: TenantStatus) -> None:
    books = Bookkeeper(acme(), of=tenant(status=status))
    assert refusal(books, "seo_score") == ScopePaused(BudgetScope.TENANT, None, f"tenant_{status.lower()}")


def test_budgets_are_asked_before_wallets() -> None:
    books = Bookkeeper([wallet_with("metered", "0.01")], budgets=[capped(tenant_month(), "1")])
    assert isinstance(refusal(books, "llm_call", cost="5"), BudgetExceeded)


# ---- task keys -------------------------------------------------------------------------------------------------


def test_a_retry_of_a_task_finds_its_reservation_and_holds_nothing_more() -> None:
    books = Bookkeeper(acme())
    first = held(books.reserve("blog_post", task="post-1"))
    assert held(books.reserve("blog_post", "7", task="post-1", attribution=BLOG_WRITER)) == first
    assert books.balance("credits") == ("298", "2", "0")
    assert books.counter(tenant_month()) == ("0", "0.6")
    assert len(books.reservations) == 1


def test_a_retry_finds_its_reservation_even_if_nothing_would_be_admitted_now() -> None:
    books = Bookkeeper([wallet_with("credits", "2")])
    first = held(books.reserve("blog_post", task="post-1"))
    books.tenant = tenant(status=TenantStatus.SUSPENDED)
    assert held(books.reserve("blog_post", task="post-1")) == first


def test_after_consume_a_retry_finds_what_was_charged() -> None:
    books = Bookkeeper(acme())
    charged = books.consume(held(books.reserve("blog_post", task="post-1")))
    assert held(books.reserve("blog_post", task="post-1")) == charged
    assert books.balance("credits") == ("298", "0", "2")


def test_after_release_and_after_expiry_a_retry_makes_a_new_hold() -> None:
    books = Bookkeeper(acme())
    first = held(books.reserve("blog_post", task="post-1"))
    books.release(first)
    second = held(books.reserve("blog_post", task="post-1"))
    assert second.id != first.id
    books.expire_overdue(later(900))
    third = held(books.reserve("blog_post", task="post-1", at=later(900)))
    assert third.id not in (first.id, second.id)
    assert books.balance("credits") == ("298", "2", "0")


def test_a_task_key_belongs_to_its_feature() -> None:
    books = Bookkeeper(acme())
    post = held(books.reserve("blog_post", task="1"))
    assert held(books.reserve("social_post", task="1")).id != post.id
    assert books.balance("credits") == ("297", "3", "0")


def test_both_scores_of_one_text_are_one_charge_of_a_quarter_credit_and_either_alone_costs_the_same() -> None:
    books = Bookkeeper(acme())
    both = {held(books.reserve(feature, task="text-1")).id for feature in SCORES}
    assert len(both) == 1
    assert books.balance("credits") == ("299.75", "0.25", "0")
    books.consume(books.reservations[both.pop()])
    for feature in SCORES:
        held(books.reserve(feature, task="text-1"))
    assert books.balance("credits") == ("299.75", "0", "0.25")
    for index, feature in enumerate(SCORES):
        books.reserve(feature, task=f"alone-{index}")
    assert books.balance("credits") == ("299.25", "0.5", "0.25")


# ---- capacity --------------------------------------------------------------------------------------------------


def test_capacity_is_taken_once_per_item_never_expires_and_is_given_back_by_release() -> None:
    books = Bookkeeper([wallet_with("lead_storage", "2")])
    first = held(books.reserve("store_lead", task="lead-1"))
    assert first.expires_at is None
    assert held(books.reserve("store_lead", task="lead-1")) == first
    held(books.reserve("store_lead", task="lead-2"))
    full = refusal(books, "store_lead", task="lead-3")
    assert full == InsufficientFunds("lead_storage", nano("1"), 0)
    assert books.expire_overdue(later(days=4_000)) == []
    books.release(first, at=later(days=4_000))
    assert books.balance("lead_storage") == ("1", "1", "0")
    held(books.reserve("store_lead", task="lead-3", at=later(days=200)))


def test_capacity_is_never_consumed() -> None:
    books = Bookkeeper(acme())
    lead = held(books.reserve("store_lead", task="lead-1"))
    before = books.money()
    assert books.consume(lead) == invalid(
        "reservationId", "store_lead takes capacity: release it, it is never consumed"
    )
    assert books.money() == before


def test_capacity_is_not_extended_in_time() -> None:
    books = Bookkeeper(acme())
    lead = held(books.reserve("store_lead"))
    assert books.extend(lead, ttl=60) == invalid("ttlSeconds", "capacity does not expire: leave it out")


# ---- routing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "provider", "keys", "unlimited", "allowed", "route"),
    [
        ("llm_call", GPT_4O, ["openai"], False, True, Route.BYOK),
        ("llm_call", GPT_4O, ["openai"], True, True, Route.BYOK),
        ("llm_call", GPT_4O, ["openai"], True, False, Route.MANAGED),
        ("llm_call", GPT_4O, ["anthropic"], True, True, Route.MANAGED),
        ("llm_call", None, ["openai"], True, True, Route.MANAGED),
        ("blog_post", GPT_4O, ["openai"], False, True, Route.BYOK),
        ("email_find", LEADMAGIC, ["leadmagic"], True, True, Route.BYOK),
        ("email_find", LEADMAGIC, ["leadmagic"], False, True, Route.MANAGED),
        ("enrich_lead", LEADMAGIC, ["leadmagic"], True, False, Route.MANAGED),
        ("rag_ingestion", GPT_4O, ["openai"], True, True, Route.FREE),
    ],
)
def test_an_own_key_counts_for_its_provider_where_deployment_and_plan_allow_it(
    feature: str, provider: ModelName | None, keys: list[str], unlimited: bool, allowed: bool, route: Route
) -> None:
    books = Bookkeeper(acme(), of=tenant(own_keys=keys, unlimited=unlimited), own_keys_allowed=allowed)
    assert held(books.reserve(feature, model=provider, cost="0.1")).route is route


def byok() -> Bookkeeper:
    of = tenant(own_keys=["openai", "leadmagic"], unlimited=True)
    return Bookkeeper(acme(), of=of, own_keys_allowed=True, budgets=[capped(tenant_month(), "10")])


@pytest.mark.parametrize(
    ("feature", "model", "expected"),
    [
        ("llm_call", GPT_4O, {}),
        ("profile_draft", GPT_4O, {}),
        ("email_find", LEADMAGIC, {}),
        ("email_send", GPT_4O, {"email_sends": "1"}),
        ("blog_post", GPT_4O, {"credits": "2"}),
        ("enrich_lead", LEADMAGIC, {"enrich_leads": "1"}),
    ],
)
def test_an_own_key_waives_the_metered_leg_and_nothing_else_and_counts_to_budgets(
    feature: str, model: ModelName, expected: dict[str, str]
) -> None:
    books = byok()
    answer = books.reserve(feature, model=model, cost="2")
    assert (holds(answer), held_usd(answer)) == (expected, "2")
    assert books.counter(tenant_month()) == ("0", "2")
    assert isinstance(books.reserve(feature, model=model, cost="9"), BudgetExceeded)


def test_with_its_own_key_a_tenant_needs_no_metered_wallet() -> None:
    books = byok()
    del books.wallets["metered"]
    assert holds(books.reserve("email_find", "10", model=LEADMAGIC)) == {}
    assert holds(books.reserve("llm_call", model=GPT_4O, cost="1")) == {}
    assert refusal(books, "email_find", "10") == InsufficientFunds("metered", nano("0.2"), 0)
    del books.wallets["enrich_leads"]
    assert refusal(books, "enrich_lead", model=LEADMAGIC) == InsufficientFunds("enrich_leads", nano("1"), 0)


# ---- preview ---------------------------------------------------------------------------------------------------


def preview(books: Bookkeeper, wish: Wish) -> Preview | Refusal:
    before, scopes = books.money(), dict(books.scopes)
    answer = reservations.preview(books.books(), wish, NOW)
    assert (books.money(), books.scopes) == (before, scopes)
    return answer


def test_a_preview_says_what_a_reserve_would_hold() -> None:
    books = Bookkeeper(acme(), budgets=[capped(agent_month(), "10"), capped(task_cap(), "5")])
    books.record(spent("8"), attribution=BLOG_WRITER)
    wish = Wish("email_send", nano("2"), GPT_4O, Estimate(cost=nano("1")), BLOG_WRITER)
    answer = preview(books, wish)
    assert isinstance(answer, Preview)
    assert answer.holds == (("email_sends", nano("2")), ("metered", nano("1.3")))
    assert (answer.route, answer.estimated_usd, answer.max_cost_usd) == (Route.MANAGED, nano("1"), nano("5"))
    assert [warning.scope for warning in answer.warnings] == [BudgetScope.AGENT]
    assert answer.prompt_notice is not None
    found = held(books.reserve("email_send", "2", model=GPT_4O, cost="1", attribution=BLOG_WRITER))
    assert tuple((hold.wallet_key, hold.amount) for hold in found.holds) == answer.holds


def test_a_preview_refuses_as_a_reserve_does_and_pauses_nothing() -> None:
    books = Bookkeeper([wallet_with("metered", "1")], budgets=[capped(agent_month(), "10")])
    books.record(spent("9.5"), attribution=BLOG_WRITER)
    over = preview(books, Wish("llm_call", estimate=Estimate(cost=nano("1")), attribution=BLOG_WRITER))
    assert isinstance(over, BudgetExceeded)
    assert books.scopes == {}
    poor = preview(books, Wish("llm_call", estimate=Estimate(cost=nano("1"))))
    assert poor == InsufficientFunds("metered", nano("1.3"), nano("1"))


def test_a_preview_refuses_newcomers_as_a_reserve_does() -> None:
    books = Bookkeeper([wallet_with("credits", "10"), wallet_with("metered", "0.001")], of=tenant(plan="starter"))
    campaign = Wish("blog_post", attribution=Attribution(campaign="spring"))
    assert preview(books, campaign) == ScopePaused(BudgetScope.CAMPAIGN, "spring", "metered_empty")
    for place in range(10):
        books.record(spent("0"), attribution=Attribution(agent_role=f"agent-{place}"))
    assert preview(books, Wish("blog_post", attribution=Attribution(agent_role="one-more"))) == PlanLimit(
        "agent roles", 10, 10
    )
    assert isinstance(preview(books, Wish("blog_post", attribution=Attribution(agent_role="agent-9"))), Preview)


def test_what_an_import_of_a_thousand_leads_would_take_is_a_preview() -> None:
    answer = preview(Bookkeeper(acme()), Wish("store_lead", nano("1000")))
    assert isinstance(answer, Preview)
    assert answer.holds == (("lead_storage", nano("1000")),)


# ---- extend ----------------------------------------------------------------------------------------------------


def test_time_is_counted_from_now_and_never_taken_away() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", ttl=900))
    assert held(books.extend(work, ttl=60, at=later(10))).expires_at == later(900)
    assert held(books.extend(work, ttl=900, at=later(10))).expires_at == later(910)
    assert books.balance("metered") == ("49.987", "0.013", "0")


def test_more_room_is_held_on_the_metered_wallet_and_on_budgets_without_a_second_floor() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", model=GPT_4O, cost="1"))
    more = held(books.extend(work, tokens=Tokens(100)))
    assert holds(more) == {"metered": "1.300325"}
    assert (more.held_usd, more.remaining_usd) == (nano("1.00025"), nano("1.00025"))
    assert more.expires_at == work.expires_at
    assert books.counter(tenant_month()) == ("0", "1.00025")
    books.audit()


def test_more_room_may_come_from_another_lot_and_all_of_it_is_given_back() -> None:
    books = Bookkeeper([wallet_with("metered", "1.3")])
    work = held(books.reserve("llm_call", cost="1"))
    books.adjust("metered", "10")
    more = held(books.extend(work, cost="2"))
    assert [amount for _, amount in draws(more.holds[0])] == ["1.3", "2.6"]
    books.release(more)
    assert books.balance("metered") == ("11.3", "0", "0")
    books.audit()


def test_a_fixed_charge_grows_by_no_credits_only_its_budgets_do() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("blog_post"))
    more = held(books.extend(work, cost="2"))
    assert (holds(more), held_usd(more)) == ({"credits": "2"}, "2.6")


def test_an_extension_that_the_wallet_or_a_budget_has_no_room_for_is_refused_and_changes_nothing() -> None:
    books = Bookkeeper([wallet_with("metered", "2")], budgets=[capped(tenant_month(), "5")])
    work = held(books.reserve("llm_call", cost="1"))
    before = books.money()
    assert books.extend(work, cost="1") == InsufficientFunds("metered", nano("1.3"), nano("0.7"))
    assert isinstance(books.extend(work, cost="4.5"), BudgetExceeded)
    assert books.money() == before


def test_an_extension_of_free_work_holds_nothing_whatever_it_is_said_to_cost() -> None:
    books = Bookkeeper()
    work = held(books.reserve("llm_call", model=LLAMA))
    assert held(books.extend(work, cost="1")).held_usd == 0
    assert held(books.extend(work, tokens=Tokens(10**6))).held_usd == 0


def test_an_extension_on_an_own_key_holds_budgets_only() -> None:
    books = byok()
    work = held(books.reserve("llm_call", model=GPT_4O, cost="1"))
    assert holds(books.extend(work, cost="1")) == {}
    assert books.counter(tenant_month()) == ("0", "2")


def test_an_extension_needs_time_or_an_estimate_that_can_be_priced() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call"))
    assert books.extend(work) == invalid("ttlSeconds", "give ttlSeconds, an estimate, or both")
    assert books.extend(work, tokens=Tokens(1)) == invalid(
        "estimate", "tokens are priced by the reservation's model: give costUsd"
    )


def test_an_extension_is_priced_as_of_the_reservation() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", model=GPT_4O, cost="1"))
    books.catalog = NO_PRICES
    assert isinstance(books.extend(work, tokens=Tokens(1)), InvalidInput)


def test_an_unknown_or_ended_reservation_is_not_extended() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call"))
    assert books.extend(work._replace(id=UUID(int=1)), ttl=60) == NotFound("reservation")
    books.release(work)
    assert books.extend(work, ttl=60) == ReservationEnded(ReservationState.RELEASED)


def test_a_suspended_or_paused_tenant_extends_nothing() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call"))
    books.tenant = tenant(status=TenantStatus.SUSPENDED)
    assert books.extend(work, ttl=60) == ScopePaused(BudgetScope.TENANT, None, "tenant_suspended")


def test_an_overdue_reservation_is_extended_as_before_until_its_expiry_is_booked() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", ttl=60))
    assert held(books.extend(work, ttl=60, at=later(100))).expires_at == later(160)
    books.expire_overdue(later(160))
    assert books.extend(work, ttl=60, at=later(161)) == ReservationEnded(ReservationState.EXPIRED)


# ---- release and expiry ----------------------------------------------------------------------------------------


def test_a_release_gives_everything_back() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("email_send", "2", model=GPT_4O, cost="1", attribution=BLOG_WRITER))
    released = held(books.release(work, at=later(5)))
    assert released == work._replace(state=ReservationState.RELEASED, remaining_usd=0, ended_at=later(5))
    assert books.balance("email_sends") == ("10000", "0", "0")
    assert books.balance("metered") == ("50", "0", "0")
    assert set(books.counters.values()) == {counter._replace(spent=0, held=0) for counter in books.counters.values()}


def test_a_release_of_an_expired_reservation_answers_released_and_moves_nothing() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    (expired,) = books.expire_overdue(later(900))
    entries = len(books.entries)
    assert books.release(work) == expired
    assert (expired.state, expired.remaining_usd, expired.ended_at) == (ReservationState.EXPIRED, 0, later(900))
    assert len(books.entries) == entries
    assert books.balance("metered") == ("50", "0", "0")
    assert books.counter(tenant_month()) == ("0", "0")


def test_what_is_unknown_or_ended_is_not_released() -> None:
    books = Bookkeeper(acme())
    first, second = (held(books.reserve("blog_post")) for _ in range(2))
    books.release(first)
    books.consume(second)
    before = books.money()
    assert books.release(first) == ReservationEnded(ReservationState.RELEASED)
    assert books.release(second) == ReservationEnded(ReservationState.CONSUMED)
    assert books.release(first._replace(id=UUID(int=1))) == NotFound("reservation")
    assert books.money() == before


def test_what_was_recorded_before_a_release_stays_spent() -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.record(spent("0.4"), under=work)
    books.release(work)
    assert books.counter(tenant_month()) == ("0.4", "0")


def test_a_release_after_the_end_of_the_cycle_expires_what_comes_back() -> None:
    books = Bookkeeper([wallet_with("credits", "300")])
    work = held(books.reserve("blog_post"))
    books.release(work, at=CYCLE_END)
    assert books.moves("credits", since=2) == [("EXPIRED", "298"), ("RELEASED", "2"), ("EXPIRED", "2")]
    assert books.balance("credits") == ("0", "0", "0")
    books.audit()


def test_expiry_books_a_hold_back_at_its_end_and_not_before() -> None:
    books = Bookkeeper(acme())
    held(books.reserve("blog_post", ttl=60))
    assert books.expire_overdue(later(59.999999)) == []
    assert len(books.expire_overdue(later(60))) == 1
    assert books.balance("credits") == ("300", "0", "0")
    assert books.entries[-1].voucher.note == "expired"


def test_only_what_is_held_and_overdue_can_be_expired() -> None:
    books = Bookkeeper(acme())
    work, lead = held(books.reserve("blog_post")), held(books.reserve("store_lead"))
    released = held(books.release(held(books.reserve("blog_post"))))
    for found, at in ((work, NOW), (lead, later(days=9)), (released, later(days=9))):
        with pytest.raises(AssertionError):
            reservations.expire(books.books(at), found, "system", at)


def test_an_expiry_that_repays_a_debt_tells_of_it() -> None:
    books = Bookkeeper([wallet_with("metered", "2")])
    held(books.reserve("llm_call", cost="1"))
    books.adjust("metered", "-1")
    assert books.balance("metered") == ("-0.3", "1.3", "0")
    books.expire_overdue(later(900))
    assert [event.type for event in books.events] == [EventType.DEBT_REPAID]
    assert books.balance("metered") == ("1", "0", "0")


# ---- room, and running work ------------------------------------------------------------------------------------


def test_only_refusals_that_overdue_holds_can_explain_lack_room() -> None:
    budget = BudgetExceeded(BudgetScope.TENANT, None, 1, 0, 1, 1, retryable=True)
    assert reservations.lacks_room(InsufficientFunds("credits", 1, 0))
    assert reservations.lacks_room(budget)
    assert not reservations.lacks_room(replace(budget, held=0))
    assert not reservations.lacks_room(UnknownFeature("x"))


def running(**caps: str) -> tuple[Bookkeeper, Reservation]:
    budgets = [capped(task_cap(), caps["task"])] if "task" in caps else []
    books = Bookkeeper(acme(), budgets=budgets)
    return books, held(books.reserve("llm_call", model=GPT_4O, cost="1", attribution=BLOG_WRITER))


def goes_on(books: Bookkeeper, work: Reservation, cost: str | None = None, tokens: Tokens | None = None) -> bool:
    return reservations.may_continue(books.books(), work, None if cost is None else nano(cost), tokens)


def test_running_work_goes_on_up_to_its_task_cap() -> None:
    books, work = running(task="2")
    assert goes_on(books, work)
    assert goes_on(books, work, "2")
    assert not goes_on(books, work, "2.000000001")
    assert goes_on(books, work, tokens=Tokens(0, 200_000))
    assert not goes_on(books, work, tokens=Tokens(0, 200_001))
    assert goes_on(books, work, "1", Tokens(0, 10**9))


def test_running_work_without_a_cap_or_a_price_goes_on() -> None:
    books, work = running()
    assert goes_on(books, work, "1000")
    assert goes_on(books, work._replace(model=None, max_cost_usd=1), tokens=Tokens(10**9))


def test_work_that_has_ended_or_is_paused_does_not_go_on() -> None:
    books, work = running()
    books.pause(ScopeKind.CAMPAIGN, "spring")
    assert not goes_on(books, work)
    books.resume(ScopeKind.CAMPAIGN, "spring")
    assert goes_on(books, work)
    books.tenant = tenant(status=TenantStatus.SUSPENDED)
    assert not goes_on(books, work)
    books.tenant = tenant()
    assert not goes_on(books, held(books.release(work)))


def test_local_work_goes_on_through_a_budgets_pause_until_it_costs_something() -> None:
    books = Bookkeeper(acme(), budgets=[capped(agent_month(), "1")])
    books.record(spent("1"), attribution=BLOG_WRITER)
    work = held(books.reserve("llm_call", model=LLAMA, attribution=BLOG_WRITER))
    assert goes_on(books, work)
    assert goes_on(books, work, tokens=Tokens(10**6))
    assert not goes_on(books, work, "0.1")


# ---- input -----------------------------------------------------------------------------------------------------


def test_a_good_wish_has_no_problems() -> None:
    full = Wish("blog_post", 1, ModelName("openai", "gpt-4o", "chat"), Estimate(Tokens(1, 1), 1), BLOG_WRITER)
    assert admission.problems(full) == ()
    assert admission.problems(Wish("blog_post")) == ()
    for bound in (0, 10**12):
        assert admission.problems(Wish("blog_post", 1, GPT_4O, Estimate(Tokens(bound, bound)))) == ()
    for bound in (0, 10**15):
        assert admission.problems(Wish("blog_post", estimate=Estimate(cost=bound))) == ()


@pytest.mark.parametrize(
    ("wish", "path", "message"),
    [
        (Wish(""), "feature", IDENTIFIER_RULE),
        (Wish("f", 0), "quantity", "must be more than 0"),
        (Wish("f", -1), "quantity", "must be more than 0"),
        (Wish("f", model=ModelName("")), "model.provider", IDENTIFIER_RULE),
        (Wish("f", model=ModelName("p", "")), "model.model", IDENTIFIER_RULE),
        (Wish("f", model=ModelName("p", None, "\0")), "model.operation", IDENTIFIER_RULE),
        (Wish("f", model=GPT_4O, estimate=Estimate(Tokens(-1))), "estimate.inputTokens", "must be 0 to 1000000000000"),
        (
            Wish("f", model=GPT_4O, estimate=Estimate(Tokens(0, 10**12 + 1))),
            "estimate.outputTokens",
            "must be 0 to 1000000000000",
        ),
        (Wish("f", estimate=Estimate(cost=-1)), "estimate.costUsd", "must be 0 to 1000000"),
        (Wish("f", estimate=Estimate(cost=10**15 + 1)), "estimate.costUsd", "must be 0 to 1000000"),
        (
            Wish("f", estimate=Estimate(Tokens(1))),
            "model",
            "tokens are priced by their model: name it, or give estimate.costUsd",
        ),
        (Wish("f", attribution=Attribution(campaign="")), "attribution.campaign", IDENTIFIER_RULE),
    ],
)
def test_each_bad_field_of_a_wish_is_named(wish: Wish, path: str, message: str) -> None:
    assert admission.problems(wish) == (FieldProblem(path, message),)


def test_keys_reasons_and_times_are_bounded() -> None:
    week = 7 * 24 * 3600
    assert reservations.key_problems("k") == ()
    assert reservations.key_problems("") == (FieldProblem("idempotencyKey", IDENTIFIER_RULE),)
    assert reservations.reason_problems("") == ()
    assert reservations.reason_problems("x\0") == (FieldProblem("reason", "at most 1000 characters without NUL"),)
    assert [reservations.ttl_problems(ttl) for ttl in (None, 1, week)] == [(), (), ()]
    for ttl in (0, -1, week + 1):
        assert reservations.ttl_problems(ttl) == (FieldProblem("ttlSeconds", f"must be 1 to {week}"),)


def test_estimates_of_nobody_count_for_the_tenant() -> None:
    books = Bookkeeper(acme())
    held(books.reserve("blog_post", attribution=NOBODY, at=NOW + timedelta(seconds=1)))
    assert [key.scope for key in books.counters] == [BudgetScope.TENANT]


def test_running_work_of_a_campaign_that_the_empty_wallet_deactivated_is_aborted_and_settled() -> None:
    books = Bookkeeper([wallet_with("metered", "10")])
    work = held(books.reserve("llm_call", cost="1", attribution=BLOG_WRITER))
    books.record(spent("9"), feature="llm_call")
    assert books.registered()[ScopeKey(ScopeKind.CAMPAIGN, "spring")].pause_reason == "metered_empty"
    assert not reservations.may_continue(books.books(), work, nano("0.1"), None)
    assert held(books.consume(work, spent("0.1"))).state is ReservationState.CONSUMED
    books.audit()


@pytest.mark.parametrize("status", [TenantStatus.SUSPENDED, TenantStatus.CLOSED])
def test_running_work_of_a_tenant_that_is_not_active_is_aborted_and_given_no_more(status: TenantStatus) -> None:
    books = Bookkeeper(acme())
    work = held(books.reserve("llm_call", cost="1"))
    books.tenant = replace(books.tenant, status=status)
    refusal = ScopePaused(BudgetScope.TENANT, None, f"tenant_{status.lower()}")
    assert books.extend(work, ttl=60) == books.extend(work, cost="1") == refusal
    assert not reservations.may_continue(books.books(), work, None, None)
    assert held(books.release(work)).state is ReservationState.RELEASED


def test_a_retry_finds_its_task_also_after_the_feature_left_its_bundle() -> None:
    card = CATALOG.rate_cards.at(NOW, NOW)
    assert card is not None
    books = Bookkeeper(acme())
    first = held(books.reserve("brand_voice_score", task="t"))
    rates = tuple(
        [
            replace(rate, charge_type=ChargeType.FIXED, bundle=None) if rate.bundle == "content_score" else rate
            for rate in card.rates
        ]
    )
    unbundled = replace(card, version=2, effective_from=later(60), published_at=later(60), rates=rates)
    books.catalog = replace(CATALOG, rate_cards=RateCards([card, unbundled]))
    again = held(books.reserve("brand_voice_score", task="t", at=later(120)))
    assert again.id == first.id
    other = held(books.reserve("ai_search_visibility_score", task="t", at=later(120)))
    assert other.id != first.id, "each is charged alone now"
    dropped = replace(unbundled, version=3, effective_from=later(180), published_at=later(180), rates=rates[:1])
    books.catalog = replace(CATALOG, rate_cards=RateCards([card, unbundled, dropped]))
    assert held(books.reserve("brand_voice_score", task="t", at=later(240))).id == first.id
