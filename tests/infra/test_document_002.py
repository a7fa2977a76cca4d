"""Document 002 (two wallets): its routing rules and its three scenarios with their figures, through the services.

The figures are worked out beside each test, from rate card version 1 (markup 1.3) and the price list of November 2026:
gpt-4o-mini 0.15 and 0.60 dollars a million tokens in and out; LeadMagic 0.012, ZeroBounce 0.008, Prospeo 0.015,
Icypeas 0.01, Firecrawl 0.001 dollars a call; an e-mail address found costs the tenant 0.02 dollars.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from domain import ids
from domain.admission import Wish
from domain.holds import Estimate, ModelName, Reservation
from domain.money import NANO
from domain.prices import Tokens
from domain.refusals import InsufficientFunds
from domain.settlements import Consumed
from domain.usage import Route, Usage, UsageKind
from domain.wallets import LotSource
from infra.application import Application, open_application
from infra.queries.wallets import list_wallets
from infra.services import reservations, settlements, tenants, wallets
from infra.services import usage as recording
from infra.services.callers import Caller, Refused, Role
from infra.services.provider_keys import set_provider_key
from infra.services.reservations import Order
from infra.services.tenants import TenantOrder
from infra.services.usage import ReportedUsage
from infra.settings import DeploymentMode, Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, audit, balance, count, counter, held, open_tenant, reported

MINI: Final = ModelName("openai", "gpt-4o-mini")
LEADMAGIC: Final = ModelName("leadmagic")
FIRECRAWL: Final = ModelName("firecrawl")
KEY: Final = "the tenant's own key"
BUCKETS: Final = {
    "email_sends": "10000",
    "lead_storage": "25000",
    "email_accounts": "50",
    "enrich_leads": "5000",
    "copy_leads": "2500",
}
MONTH: Final = ("TENANT", "", "2026-11")


@pytest.fixture
def deployment_mode() -> DeploymentMode:
    """Own keys count; a test of the hosted deployment opens another one."""
    return DeploymentMode.SELF_HOSTED


@pytest.fixture
def application(timed: Application) -> Application:
    """On a day of which the prices are known."""
    return timed


@pytest.fixture
async def caller(application: Application) -> Caller:
    """A tenant with full buckets and 50 dollars of metered balance."""
    return await open_tenant(application, metered="50", **BUCKETS)


async def reserve_all(application: Application, caller: Caller, wishes: Sequence[Wish]) -> list[Reservation]:
    """Many at once, all of which must be granted."""
    orders = [Order(f"{wish.feature} {number}", wish) for number, wish in enumerate(wishes)]
    return [held(answer) for answer in await reservations.reserve_many(application, caller, orders)]


async def consume(application: Application, caller: Caller, reservation: Reservation, *calls: Usage) -> Consumed:
    """Settle with what was called; must be accepted."""
    answer = await settlements.consume(application, caller, str(reservation.id), reservation.id, None, calls)
    assert isinstance(answer, Consumed), answer
    return answer


async def buckets(application: Application, caller: Caller) -> dict[str, tuple[int, int, int]]:
    """Available, reserved and consumed of every wallet but the metered one."""
    return {
        view.wallet.key: (view.wallet.available, view.wallet.reserved, view.wallet.consumed)
        for view in await list_wallets(application, caller.tenant_id)
        if view.wallet.key != "metered"
    }


def lookups(provider: str, calls: int, results: int | None) -> Usage:
    return Usage(UsageKind.API, provider, calls=calls, results=results)


def copy_of(emails: int, tokens_in: int, tokens_out: int) -> Tokens:
    """The tokens of so many e-mails."""
    return Tokens(emails * tokens_in, emails * tokens_out)


async def test_of_1000_leads_of_which_leadmagic_finds_600_the_600_are_charged(
    application: Application, caller: Caller
) -> None:
    before = await buckets(application, caller)
    (reservation,) = await reserve_all(application, caller, [Wish("email_find", 1000 * NANO, LEADMAGIC)])
    # Held: 1,000 x 0.02 = 20.
    assert await balance(application, caller, "metered") == ("30", "20", "0")
    settled = await consume(application, caller, reservation, lookups("leadmagic", 1000, 600))
    # Charged: 600 x 0.02 = 12, not 20. LeadMagic's own price: 1,000 x 0.012 = 12.
    assert settled.reservation.charges == (("metered", nano("12")),)
    assert settled.reservation.cost_usd == nano("12")
    assert await balance(application, caller, "metered") == ("38", "0", "12")
    assert await buckets(application, caller) == before
    await audit(application)


async def test_the_1000_leads_in_ten_batches_are_charged_as_those_in_one(
    application: Application, caller: Caller
) -> None:
    found = [100, 0, 37, 63, 50, 50, 99, 1, 100, 100]
    assert sum(found) == 600
    batches = await reserve_all(application, caller, [Wish("email_find", 100 * NANO, LEADMAGIC)] * 10)
    assert await balance(application, caller, "metered") == ("30", "20", "0")
    for reservation, results in zip(batches, found, strict=True):
        await consume(application, caller, reservation, lookups("leadmagic", 100, results))
    assert await balance(application, caller, "metered") == ("38", "0", "12")
    await audit(application)


async def test_a_waterfall_is_one_reservation_with_one_event_for_each_provider_and_is_charged_by_what_was_found(
    application: Application, caller: Caller
) -> None:
    (reservation,) = await reserve_all(application, caller, [Wish("email_find", 1000 * NANO, LEADMAGIC)])
    tried = [("leadmagic", 1000, 600), ("prospeo", 400, 150), ("icypeas", 250, 0), ("zerobounce", 750, None)]
    events = [
        ReportedUsage(
            reported(f"try-{provider}", kind=UsageKind.API, provider=provider, calls=calls, results=results),
            None,
            ids.public("reservation", reservation.id),
        )
        for provider, calls, results in tried
    ]
    report = await recording.record_usage(application, caller, events)
    assert (report.accepted, report.rejected) == (4, ())
    settled = await consume(application, caller, reservation)
    # Charged: (600 + 150 + 0) x 0.02 = 15. Providers: 1,000 x 0.012 + 400 x 0.015 + 250 x 0.01 + 750 x 0.008 = 26.5.
    assert settled.reservation.charges == (("metered", nano("15")),)
    assert settled.reservation.cost_usd == nano("26.5")
    assert await balance(application, caller, "metered") == ("35", "0", "15")
    assert await counter(application, caller, *MONTH) == ("26.5", "0")
    assert await count(application, "usage_event", "route = 'MANAGED'") == 4
    await audit(application)


async def test_ten_thousand_warmup_emails_with_ai_copy_cost_metered_balance_and_touch_no_bucket(
    application: Application, caller: Caller
) -> None:
    before = await buckets(application, caller)
    expected = Estimate(copy_of(1000, 500, 150))
    batches = await reserve_all(application, caller, [Wish("warmup_email", 1000 * NANO, MINI, expected)] * 10)
    # Held for each 1,000: (0.5 x 0.15 + 0.15 x 0.60) x 1.3 = 0.2145.
    assert await balance(application, caller, "metered") == ("47.855", "2.145", "0")
    for reservation in batches:
        settled = await consume(application, caller, reservation, Usage(tokens=copy_of(1000, 480, 140)))
        # Charged: (0.48 x 0.15 + 0.14 x 0.60) x 1.3 = 0.156 x 1.3 = 0.2028.
        assert settled.reservation.charges == (("metered", nano("0.2028")),)
    assert await balance(application, caller, "metered") == ("47.972", "0", "2.028")
    assert await buckets(application, caller) == before
    assert await counter(application, caller, *MONTH) == ("1.56", "0")
    await audit(application)


async def test_warmup_emails_on_the_tenants_own_openai_key_cost_neither_wallet_and_are_recorded_at_list_cost(
    application: Application, caller: Caller
) -> None:
    await set_provider_key(application, caller, "openai", KEY)
    before = await buckets(application, caller)
    batches = await reserve_all(application, caller, [Wish("warmup_email", 1000 * NANO, MINI)] * 10)
    assert {(reservation.route, reservation.holds) for reservation in batches} == {(Route.BYOK, ())}
    for reservation in batches:
        settled = await consume(application, caller, reservation, Usage(tokens=copy_of(1000, 480, 140)))
        assert settled.reservation.charges == ()
    assert await balance(application, caller, "metered") == ("50", "0", "0")
    assert await buckets(application, caller) == before
    assert await count(application, "usage_event", "route = 'BYOK'") == 10
    # It is the tenant's money all the same: 10 x 0.156 counts toward its caps.
    assert await counter(application, caller, *MONTH) == ("1.56", "0")
    await audit(application)


async def send_5000(application: Application, caller: Caller) -> None:
    """5,000 live e-mails with AI copy in batches of 1,000, each after 900 scrapes (100 profiles were known)."""
    scrapes = await reserve_all(application, caller, [Wish("website_scrape", 1000 * NANO, FIRECRAWL)] * 5)
    expected = Estimate(copy_of(1000, 800, 200))
    sends = await reserve_all(application, caller, [Wish("email_send", 1000 * NANO, MINI, expected)] * 5)
    for scrape, send in zip(scrapes, sends, strict=True):
        await consume(application, caller, scrape, lookups("firecrawl", 900, None))
        await consume(application, caller, send, Usage(tokens=copy_of(1000, 750, 180)))


async def test_5000_live_emails_take_the_bucket_and_their_tokens_and_scrapes_metered_balance(
    application: Application, caller: Caller
) -> None:
    before = await buckets(application, caller)
    await send_5000(application, caller)
    after = await buckets(application, caller)
    assert after.pop("email_sends") == (nano("5000"), 0, nano("5000"))
    assert after == {key: amounts for key, amounts in before.items() if key != "email_sends"}
    # Tokens, each 1,000: (0.75 x 0.15 + 0.18 x 0.60) x 1.3 = 0.2205 x 1.3 = 0.28665. Scrapes: 0.9 x 1.3 = 1.17.
    # Together 5 x 1.45665 = 7.28325.
    assert await balance(application, caller, "metered") == ("42.71675", "0", "7.28325")
    assert await counter(application, caller, *MONTH) == ("5.6025", "0")
    await audit(application)


async def test_on_an_own_openai_key_5000_live_emails_still_take_the_bucket_and_pay_for_scrapes(
    application: Application, caller: Caller
) -> None:
    await set_provider_key(application, caller, "openai", KEY)
    await send_5000(application, caller)
    assert await balance(application, caller, "email_sends") == ("5000", "0", "5000")
    # Scrapes alone: 5 x 1.17 = 5.85.
    assert await balance(application, caller, "metered") == ("44.15", "0", "5.85")
    await audit(application)


@pytest.mark.parametrize(
    ("unlimited", "key_at", "feature", "model", "route"),
    [
        (True, "leadmagic", "email_find", LEADMAGIC, Route.BYOK),
        (False, "leadmagic", "email_find", LEADMAGIC, Route.MANAGED),
        (True, None, "email_find", LEADMAGIC, Route.MANAGED),
        (True, "prospeo", "email_find", LEADMAGIC, Route.MANAGED),
        (True, "firecrawl", "website_scrape", FIRECRAWL, Route.BYOK),
        (False, "firecrawl", "website_scrape", FIRECRAWL, Route.MANAGED),
        (True, "openai", "warmup_email", MINI, Route.BYOK),
        (False, "openai", "warmup_email", MINI, Route.BYOK),
        (False, "openai", "email_send", MINI, Route.BYOK),
        (False, "openai", "copy_lead", MINI, Route.BYOK),
        (False, "openai", "outreach_draft", MINI, Route.BYOK),
        (False, "openai", "llm_call", MINI, Route.BYOK),
        (False, "anthropic", "llm_call", MINI, Route.MANAGED),
        (False, None, "llm_call", MINI, Route.MANAGED),
    ],
)
async def test_the_plan_and_the_providers_key_decide_the_route(
    application: Application,
    settings: Settings,
    database_url: str,
    unlimited: bool,
    key_at: str | None,
    feature: str,
    model: ModelName,
    route: Route,
) -> None:
    caller = await tenant_on(application, unlimited=unlimited)
    if key_at is not None:
        await set_provider_key(application, caller, key_at, KEY)
    wish = Wish(feature, 10 * NANO, model)
    (reservation,) = await reserve_all(application, caller, [wish])
    assert reservation.route is route
    on_metered = reservation.held_in("metered")
    waived = route is Route.BYOK or feature in ("copy_lead", "outreach_draft")
    assert (on_metered is None) == waived
    hosted = replace(settings, deployment_mode=DeploymentMode.HOSTED)
    async with open_application(hosted, database_url, clock=Clock()) as elsewhere:
        preview = await reservations.preview(elsewhere, caller, wish)
        assert not isinstance(preview, Refused)
        assert preview.route is Route.MANAGED, "a hosted deployment calls on its own keys, whatever the tenant has"


async def test_an_unlimited_plan_pays_metered_balance_for_every_provider_it_has_no_key_for(
    application: Application,
) -> None:
    caller = await tenant_on(application, unlimited=True)
    await set_provider_key(application, caller, "leadmagic", KEY)
    own, ours = await reserve_all(
        application,
        caller,
        [Wish("email_find", 100 * NANO, LEADMAGIC), Wish("email_find", 100 * NANO, ModelName("prospeo"))],
    )
    await consume(application, caller, own, lookups("leadmagic", 100, 60))
    await consume(application, caller, ours, lookups("prospeo", 100, 40))
    # The 60 found on the own key are free of charge, the 40 on ours cost 40 x 0.02 = 0.8.
    assert await balance(application, caller, "metered") == ("49.2", "0", "0.8")
    assert await count(application, "usage_event", "route = 'BYOK' AND cost = 1200000000") == 1


async def test_an_empty_metered_wallet_stops_enrichment_and_ai_but_neither_own_keys_nor_plain_sends(
    application: Application,
) -> None:
    caller = await open_tenant(application, metered="0", **BUCKETS)
    for feature, model, needed in (
        ("email_find", LEADMAGIC, "20"),
        ("website_scrape", FIRECRAWL, "1.3"),
        ("email_send", MINI, "2.6"),
    ):
        refused = await reservations.reserve(application, caller, feature, Wish(feature, 1000 * NANO, model))
        assert isinstance(refused, Refused), feature
        assert refused.refusal == InsufficientFunds("metered", nano(needed), 0)
    await reserve_all(application, caller, [Wish("email_send", 1000 * NANO)])
    await set_provider_key(application, caller, "openai", KEY)
    await reserve_all(application, caller, [Wish("warmup_email", 1000 * NANO, MINI)])
    assert await balance(application, caller, "email_sends") == ("9000", "1000", "0")


async def tenant_on(application: Application, *, unlimited: bool) -> Caller:
    """A tenant on a plan of the catalog that is unlimited or not, with credits, full buckets and 50 dollars of metered
    balance."""
    plan = next(plan for plan in application.catalog.plans if plan.unlimited is unlimited)
    tenant_id = await tenants.set_up(
        application, TenantOrder("acme", "Acme", plan.region, plan.key, metered=True), plan
    )
    for key, amount in {**BUCKETS, "credits": "100", "metered": "50"}.items():
        await wallets.credit(application, tenant_id, key, nano(amount), LotSource.TOP_UP, "opening")
    return Caller(tenant_id, Role.ADMIN, "key:test")
