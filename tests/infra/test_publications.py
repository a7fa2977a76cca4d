"""What operators publish: seen by every process at its next batch, and by nothing that was reserved before."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from domain.holds import ModelName
from domain.ids import NIL
from domain.money import format_amount
from domain.plans import Bundle, Plan
from domain.prices import Price, Tokens
from domain.rates import RateCard
from domain.refusals import IdempotencyKeyReused, InvalidInput, NotFound
from domain.settlements import Consumed
from domain.usage import Usage
from infra.application import Application, open_application
from infra.catalog.reading import CatalogError
from infra.services import catalog, reservations, settlements
from infra.services.callers import Caller, Refused, Role
from infra.services.catalog import Published
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance, count, held, open_tenant, wish

OPERATOR = Caller(NIL, Role.OPERATOR, "key:anna")
GPT_4O = ModelName("openai", "gpt-4o")
MILLION = Usage(provider="openai", model="gpt-4o", tokens=Tokens(input=1_000_000))
RATE = {
    "feature": "blog_post",
    "name": "SEO Blog Post",
    "charge_type": "FIXED",
    "wallet": "credits",
    "amount": "3",
    "estimate_per_credit": "0.3",
    "route_class": "OTHER",
}
PLAN: dict[str, Any] = {
    "region": "india",
    "key": "team",
    "name": "Team",
    "price": "39999",
    "currency": "INR",
    "allocations": {"credits": "200"},
    "seats": 7,
    "agents": 12,
}
BUNDLE = {
    "region": "india",
    "key": "credits_500",
    "wallet": "credits",
    "amount": "500",
    "price": "20000",
    "currency": "INR",
}
PROVIDER: dict[str, Any] = {"slug": "mistral", "name": "Mistral", "category": "LLM", "purpose": "Generation"}


def price(figure: str = "5", **given: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": "gpt-4o", "input": figure, "output": "10", **given}


async def dearer(application: Application, key: str = "card", amount: str = "3", tenant: str | None = None) -> RateCard:
    """A card of its own rates but for the blog post."""
    rates = [{**RATE, "amount": amount}]
    answer = await catalog.publish_rate_card(application, OPERATOR, key, {"rates": rates}, tenant=tenant, based_on=1)
    assert isinstance(answer, Published), answer
    assert isinstance(answer.row, RateCard)
    return answer.row


async def published_price(application: Application, figure: str, key: str = "price", **given: Any) -> Price:
    answer = await catalog.publish_price(application, OPERATOR, key, price(figure), **given)
    assert isinstance(answer, Published), answer
    assert isinstance(answer.row, Price)
    return answer.row


def problem(answer: Published | Refused) -> tuple[str, str]:
    """The field of an answer that must be InvalidInput, and what is wrong with it."""
    assert isinstance(answer, Refused), answer
    assert isinstance(answer.refusal, InvalidInput), answer.refusal
    ((path, message),) = [(field.path, field.message) for field in answer.refusal.fields]
    return path, message


async def cost_of_a_call(application: Application, caller: Caller, key: str) -> str:
    """What a call of a million input tokens costs, reserved and consumed."""
    ask = replace(wish("llm_call", "0.01"), model=GPT_4O)
    reservation = held(await reservations.reserve(application, caller, key, ask))
    return await consumed_cost(application, caller, key, reservation.id)


async def consumed_cost(application: Application, caller: Caller, key: str, reservation_id: Any) -> str:
    answer = await settlements.consume(application, caller, f"{key}-done", reservation_id, None, (MILLION,))
    assert isinstance(answer, Consumed), answer
    assert answer.reservation.cost_usd is not None
    return format_amount(answer.reservation.cost_usd)


async def blog_post(application: Application, caller: Caller, key: str) -> str:
    """The credits that a blog post holds."""
    reservation = held(await reservations.reserve(application, caller, key, wish()))
    return format_amount(reservation.holds[0].amount)


async def test_what_is_reserved_before_a_publication_is_settled_under_its_own_card_and_prices(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, credits="300", metered="50")
    ask = replace(wish("llm_call", "0.01"), model=GPT_4O)
    call = held(await reservations.reserve(timed, caller, "call", ask))
    post = held(await reservations.reserve(timed, caller, "post", wish()))
    clock.advance(1)
    assert (await dearer(timed)).version == 2
    await published_price(timed, "5")
    clock.advance(1)

    assert await consumed_cost(timed, caller, "call", call.id) == "2.5"
    assert await cost_of_a_call(timed, caller, "next call") == "5"
    assert (call.rate_card, post.rate_card) == (1, 1)
    await settlements.consume(timed, caller, "post-done", post.id, None, ())
    assert await balance(timed, caller, "credits") == ("298", "0", "2")
    assert await blog_post(timed, caller, "next post") == "3"
    await audit(timed)


async def test_a_publication_in_one_process_is_seen_by_another_at_its_next_batch(
    application: Application, second_application: Application, caller: Caller
) -> None:
    assert await blog_post(second_application, caller, "before") == "2"
    await dearer(application)
    await published_price(application, "5")
    assert await blog_post(second_application, caller, "after") == "3"
    assert await cost_of_a_call(second_application, caller, "call") == "5"


async def test_who_looks_at_the_same_time_in_one_process_takes_in_each_publication_once(
    application: Application, second_application: Application
) -> None:
    for number in range(3):
        await dearer(application, f"c{number}", str(number + 3))
        found = await asyncio.gather(*[second_application.current_catalog() for _ in range(8)])
        assert {len(list(each.rate_cards)) for each in found} == {number + 2}


async def test_a_process_that_starts_later_knows_what_was_published(
    application: Application, settings: Settings, database_url: str, caller: Caller
) -> None:
    await dearer(application)
    async with open_application(settings, database_url) as later:
        assert later.catalogs.version == application.catalogs.version == 1
        assert await blog_post(later, caller, "r") == "3"


async def test_a_publication_counts_from_its_date_and_old_versions_stay(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="300", metered="50")
    tomorrow = clock.now + timedelta(days=1)
    before = clock.now
    answer = await catalog.publish_price(timed, OPERATOR, "p", price("5", effective_from=tomorrow.isoformat()))
    assert isinstance(answer, Published)
    assert await cost_of_a_call(timed, caller, "today") == "2.5"
    clock.advance(days=1)
    assert await cost_of_a_call(timed, caller, "tomorrow") == "5"
    found = [timed.catalog.prices.find("openai", "gpt-4o", None, at, clock.now) for at in (before, tomorrow)]
    assert [row and row.input_per_million for row in found] == [nano("2.5"), nano("5")]


async def test_a_correction_is_known_from_its_publication_on(timed: Application, clock: Clock) -> None:
    before = clock.now
    clock.advance(60)
    await published_price(timed, "4")
    start = datetime(2026, 4, 1, tzinfo=UTC)
    answer = await catalog.publish_price(timed, OPERATOR, "q", price("3", effective_from=start.isoformat()))
    assert isinstance(answer, Published)
    prices = timed.catalog.prices
    as_known_then = prices.find("openai", "gpt-4o", None, before, before)
    as_known_now = prices.find("openai", "gpt-4o", None, before, clock.now)
    assert as_known_then is not None
    assert as_known_now is not None
    assert (as_known_then.input_per_million, as_known_now.input_per_million) == (nano("2.5"), nano("3"))


async def test_an_empty_range_withdraws_a_price(application: Application) -> None:
    start = datetime(2026, 4, 1, tzinfo=UTC).isoformat()
    withdrawn = price("2.5", effective_from=start, effective_to=start)
    assert isinstance(await catalog.publish_price(application, OPERATOR, "p", withdrawn), Published)
    now = application.clock()
    assert application.catalog.prices.find("openai", "gpt-4o", None, now, now) is None


async def test_an_override_is_for_its_tenant_alone(
    application: Application, second_application: Application, caller: Caller
) -> None:
    other = await open_tenant(application, "globex", credits="100", metered="50")
    card = await dearer(application, tenant="acme")
    await published_price(application, "7", tenant="acme")
    assert (card.version, card.for_tenant) == (2, True)
    for number, process in enumerate((application, second_application)):
        assert await blog_post(process, caller, f"own {number}") == "3"
        assert await blog_post(process, other, f"theirs {number}") == "2"
        assert await cost_of_a_call(process, caller, f"own call {number}") == "7"
        assert await cost_of_a_call(process, other, f"their call {number}") == "2.5"
    assert (await dearer(application, "everybody", "5")).version == 3
    assert await blog_post(application, caller, "still own") == "3"
    assert await blog_post(application, other, "new") == "5"
    await audit(application)


async def test_what_a_tenant_reserved_under_its_own_card_is_settled_by_it(
    application: Application, second_application: Application, caller: Caller
) -> None:
    await dearer(application, tenant="acme")
    post = held(await reservations.reserve(application, caller, "post", wish()))
    assert post.rate_card == 2
    await dearer(application, "next", "9", tenant="acme")
    await settlements.consume(second_application, caller, "done", post.id, None, ())
    assert await balance(application, caller, "credits") == ("297", "0", "3")


async def test_two_publishers_at_once_get_numbers_of_their_own_and_lose_nothing(
    application: Application, second_application: Application
) -> None:
    cards = await asyncio.gather(
        *[dearer((application, second_application)[number % 2], f"c{number}", str(number + 3)) for number in range(12)]
    )
    assert sorted(card.version for card in cards) == list(range(2, 14))
    for process in (application, second_application):
        await process.current_catalog()
        assert process.catalogs.version == 12
        assert {card.version for card in process.catalog.rate_cards} == set(range(1, 14))
    rows = await application.across_tenants.fetch("SELECT published_at FROM publication ORDER BY sequence")
    moments = [row[0] for row in rows]
    assert moments == sorted(moments)


async def test_the_same_request_publishes_once_and_another_one_under_its_key_is_refused(
    application: Application, second_application: Application
) -> None:
    answers = await asyncio.gather(
        *[
            catalog.publish_plan((application, second_application)[number % 2], OPERATOR, "k", PLAN)
            for number in range(20)
        ]
    )
    first = answers[0]
    assert isinstance(first, Published)
    assert answers == [first] * 20
    assert await count(application, "publication") == 1
    other = await catalog.publish_plan(application, OPERATOR, "k", {**PLAN, "seats": 8})
    assert isinstance(other, Refused)
    assert other.refusal == IdempotencyKeyReused("k")
    assert isinstance(await catalog.publish_bundle(application, OPERATOR, "k", BUNDLE), Published), "another operation"


async def test_a_plan_a_bundle_and_a_provider_are_sold_once_they_are_published(application: Application) -> None:
    await catalog.publish_plan(application, OPERATOR, "k", PLAN)
    await catalog.publish_bundle(application, OPERATOR, "k", BUNDLE)
    await catalog.publish_provider(application, OPERATOR, "k", PROVIDER)
    now = application.clock()
    plan, bundle = (
        application.catalog.plan("india", "team", now),
        application.catalog.bundle("india", "credits_500", now),
    )
    assert isinstance(plan, Plan)
    assert isinstance(bundle, Bundle)
    assert (plan.price, plan.allocation("credits"), plan.published_at) == (3_999_900, nano("200"), plan.effective_from)
    assert (bundle.price, bundle.amount) == (2_000_000, nano("500"))
    assert "mistral" in {provider.slug for provider in application.catalog.providers_at(now)}
    await published_price(application, "1")
    answer = await catalog.publish_price(
        application, OPERATOR, "m", {**price("1"), "provider": "mistral", "model": "m"}
    )
    assert isinstance(answer, Published)
    withdrawn = await catalog.publish_plan(application, OPERATOR, "end", {**PLAN, "withdrawn": True})
    assert isinstance(withdrawn, Published)
    now = application.clock()
    assert "team" not in {plan.key for plan in application.catalog.plans_of("india", now)}
    assert application.catalog.plan("india", "team", now) == withdrawn.row


async def test_a_card_may_take_over_another_versions_rates_but_for_some(application: Application) -> None:
    first = application.catalog.rate_cards.version(1)
    assert first is not None
    added = {**RATE, "feature": "podcast", "name": "Podcast"}
    answer = await catalog.publish_rate_card(
        application,
        OPERATOR,
        "k",
        {"rates": [{**RATE, "amount": "4"}, added], "markup": "1.5"},
        based_on=1,
        without=("email_send", "llm_call"),
    )
    assert isinstance(answer, Published)
    card = answer.row
    assert isinstance(card, RateCard)
    assert (card.markup, card.credit_value) == (nano("1.5"), first.credit_value)
    assert {rate.feature for rate in first.rates} - {rate.feature for rate in card.rates} == {"email_send", "llm_call"}
    assert [rate.amount for rate in card.rates_of("blog_post")] == [nano("4")]
    assert [rate.default_estimate for rate in card.rates_of("podcast")] == [nano("0.9")]
    untouched = {rate for rate in first.rates if rate.feature not in {"blog_post", "email_send", "llm_call"}}
    assert untouched < set(card.rates)


BAD_PRICES: list[tuple[dict[str, Any], str, str]] = [
    ({"provider": "nobody"}, "provider", "there is no such provider"),
    ({"provider": ""}, "provider", "must not be empty"),
    ({"model": "x" * 201}, "model", "1 to 200 characters"),
    ({"operation": " "}, "operation", "must not be empty"),
    ({"input": "-1"}, "input", "must be 0 or more"),
    ({"input": "1000000001"}, "input", "at most 1000000000"),
    ({"input": None, "output": None}, "input", "at least one figure"),
    ({"context_above": 2**31}, "context_above", "at most 2147483647"),
    (
        {"effective_from": "2026-04-01T00:00:00+00:00", "effective_to": "2026-03-01T00:00:00+00:00"},
        "effective_to",
        "must not be before effectiveFrom",
    ),
    ({"effective_from": "soon"}, "effective_from", "expected a moment"),
    ({"note": "\0"}, "note", "NUL"),
    ({"typo": "1"}, "input", "unknown key typo"),
]


async def test_a_bad_price_is_refused_by_its_field_and_nothing_is_written(application: Application) -> None:
    for changed, path, message in BAD_PRICES:
        row = {key: value for key, value in {**price(), **changed}.items() if value is not None}
        found = problem(await catalog.publish_price(application, OPERATOR, "k", row))
        assert found[0] == path, changed
        assert message in found[1], changed
    assert await count(application, "publication") == await count(application, "idempotency_key") == 0
    assert application.catalogs.version == 0
    assert isinstance(await catalog.publish_price(application, OPERATOR, "k", price()), Published), "decided anew"


BAD_RATE_CARDS: list[tuple[dict[str, Any], str, str]] = [
    ({"markup": "0.9"}, "markup", "at least 1"),
    ({"markup": None}, "markup", "must be given"),
    ({"markup": None, "credit_value": None}, "based_on", "give basedOn, or creditValue, markup and rates"),
    ({"credit_value": "0"}, "credit_value", "must be above 0"),
    ({"rates": []}, "rates", "at least one rate"),
    ({"rates": [RATE, RATE]}, "rates[2].feature", "two rates on wallet credits"),
    ({"rates": [{**RATE, "charge_type": "GIFT"}]}, "rates[1].charge_type", "expected one of FIXED"),
    ({"rates": [{**RATE, "charge_type": "FREE"}]}, "rates[1].amount", "FREE takes no credits"),
    ({"rates": [{**RATE, "amount": None}]}, "rates[1].amount", "FIXED needs credits"),
    ({"rates": [{**RATE, "feature": "Blog Post"}]}, "rates[1].feature", "lower-case letters"),
    ({"rates": [{**RATE, "wallet": "nope nope"}]}, "rates[1].wallet", "lower-case letters"),
    ({"rates": [{**RATE, "floor": "1"}]}, "rates[1].floor", "only cost-plus"),
    ({"rates": [RATE, {**RATE, "feature": "f", "route_class": "x"}]}, "rates[2].route_class", "expected one of"),
]


async def test_a_bad_rate_card_is_refused_by_its_field(application: Application) -> None:
    for changed, path, message in BAD_RATE_CARDS:
        whole = {"credit_value": "0.5", "markup": "1.3", "rates": [RATE], **changed}
        row = {key: value for key, value in whole.items() if value is not None}
        found = problem(await catalog.publish_rate_card(application, OPERATOR, "k", row))
        assert found[0] == path, changed
        assert message in found[1], changed
    assert await count(application, "publication") == 0


async def test_a_card_based_on_another_says_what_does_not_go_with_it(application: Application) -> None:
    async def publish(*rates: dict[str, Any], based_on: int | None = 1, without: tuple[str, ...] = ()) -> Any:
        row = {"rates": list(rates)}
        return await catalog.publish_rate_card(application, OPERATOR, "k", row, based_on=based_on, without=without)

    score = {**RATE, "feature": "brand_voice_score", "charge_type": "BUNDLED", "bundle": "content_score"}
    assert problem(await publish(score))[0] == "rates"
    assert problem(await catalog.publish_rate_card(application, OPERATOR, "k", {"markup": "0.5"}, based_on=1)) == (
        "markup",
        "a markup is at least 1: under 1 it would bill calls below their cost",
    )
    everything = tuple({rate.feature for card in application.catalog.rate_cards for rate in card.rates})
    assert problem(await publish(without=everything)) == ("rates", "give at least one rate")
    assert problem(await publish(RATE, RATE))[0] == "rates[2].feature"
    assert problem(await publish(without=("no_such",))) == ("without", "version 1 has no feature no_such")
    assert problem(await publish(RATE, based_on=None, without=("llm_call",)))[0] == "without"
    missing = await publish(RATE, based_on=9)
    assert missing.refusal == NotFound("rate card 9")
    stranger = await catalog.publish_rate_card(application, OPERATOR, "k", {"rates": [RATE]}, tenant="no-such")
    assert isinstance(stranger, Refused)
    assert stranger.refusal == NotFound("tenant")
    assert await count(application, "publication") == 0


async def test_a_markup_may_change_alone(application: Application, caller: Caller) -> None:
    answer = await catalog.publish_rate_card(application, OPERATOR, "k", {"markup": "2"}, based_on=1)
    assert isinstance(answer, Published)
    first, second = application.catalog.rate_cards.version(1), answer.row
    assert first is not None
    assert isinstance(second, RateCard)
    assert (second.rates, second.markup, second.credit_value) == (first.rates, nano("2"), first.credit_value)
    before = await balance(application, caller, "metered")
    assert await cost_of_a_call(application, caller, "call") == "2.5"
    assert (before, await balance(application, caller, "metered")) == (("50", "0", "0"), ("45", "0", "5"))


async def test_another_tenants_card_cannot_be_built_on(application: Application, caller: Caller) -> None:
    await open_tenant(application, "globex")
    await dearer(application, tenant="globex")
    answer = await catalog.publish_rate_card(application, OPERATOR, "k", {"rates": [RATE]}, tenant="acme", based_on=2)
    assert isinstance(answer, Refused)
    assert answer.refusal == NotFound("rate card 2")


BAD_PLANS: list[tuple[dict[str, Any], str, str]] = [
    ({"allocations": {"credits": "1", "gold": "1"}}, "allocations.gold.wallet", "no rate draws on wallet gold"),
    ({"allocations": {"credits": "-1"}}, "allocations.credits", "must be 0 or more"),
    ({"allocations": {"metered": "5"}}, "allocations.metered.wallet", "metered is prepaid: a plan does not fill it"),
    ({"allocations": {"No Gold": "5"}}, "allocations.No Gold.wallet", "lower-case letters"),
    ({"allocations": {"lead_storage": "5.5"}}, "allocations.lead_storage", "capacity must be a whole number"),
    ({"price": "0"}, "price", "must be above 0"),
    ({"price": "0.001"}, "price", "at most 2 fractional digits in INR"),
    ({"currency": "Rupees"}, "currency", "ISO 4217"),
    ({"currency": "USD"}, "currency", "region india is priced in INR"),
    ({"seats": 0}, "seats", "must be above 0"),
    ({"agents": -1}, "agents", "must be 0 or more"),
    ({"key": "\n"}, "key", "must not be empty"),
    ({"key": "New Team"}, "key", "lower-case letters"),
    ({"region": "new region"}, "region", "lower-case letters"),
    ({"region": "a\nb"}, "region", "control characters"),
]


async def test_a_bad_plan_is_refused_by_its_field(application: Application) -> None:
    for changed, path, message in BAD_PLANS:
        found = problem(await catalog.publish_plan(application, OPERATOR, "k", {**PLAN, **changed}))
        assert found[0] == path, changed
        assert message in found[1], changed


async def test_a_bad_bundle_provider_or_key_is_refused_by_its_field(application: Application) -> None:
    async def of_bundle(**changed: str) -> tuple[str, str]:
        return problem(await catalog.publish_bundle(application, OPERATOR, "k", {**BUNDLE, **changed}))

    async def of_provider(**changed: Any) -> str:
        return problem(await catalog.publish_provider(application, OPERATOR, "k", {**PROVIDER, **changed}))[0]

    assert await of_bundle(amount="0") == ("amount", "must be above 0")
    assert await of_bundle(price="0") == ("price", "must be above 0")
    assert (await of_bundle(key="500 credits"))[0] == "key"
    for wallet, message in (
        ("gold", "no rate draws on wallet gold"),
        ("metered", "metered dollars are sold by the amount"),
        ("lead_storage", "capacity comes with the plan"),
    ):
        path, found = await of_bundle(wallet=wallet)
        assert (path, found.startswith(message)) == ("wallet", True), found
    product = {"name": "Large", "category": "LLM", "purpose": "p"}
    assert await of_provider(slug="New P") == "slug"
    assert await of_provider(products=[{**product, "name": ""}]) == "products[1].name"
    assert await of_provider(products=[product, product]) == "products[2].name"
    assert await of_provider(products=[{**product, "name": str(number)} for number in range(201)]) == "products"
    assert problem(await catalog.publish_provider(application, OPERATOR, "", PROVIDER))[0] == "idempotencyKey"
    assert await count(application, "publication") == 0


async def test_prices_that_are_published_together_are_published_all_or_none(application: Application) -> None:
    with pytest.raises(CatalogError, match="no such provider"):
        await catalog.publish_prices(application, OPERATOR, [price("5"), {**price("6"), "provider": "nobody"}])
    assert await count(application, "publication") == 0
    await catalog.publish_prices(application, OPERATOR, [price("5"), {**price("6"), "model": "gpt-4o-mini"}])
    assert application.catalogs.version == await count(application, "publication") == 2


async def test_a_publication_can_neither_be_changed_nor_deleted(application: Application) -> None:
    await dearer(application)
    for statement in ("DELETE FROM publication", "UPDATE publication SET actor = 'x'"):
        for pool in (application.writers, application.across_tenants):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
