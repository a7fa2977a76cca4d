"""The demo tenants: seeded as often as one likes, with keys that follow from a secret."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from domain.admission import Wish
from domain.agent_budgets import AgentStatus
from domain.alerts import AlertKind
from domain.attribution import Attribution
from domain.budgets import ScopeKey, ScopeKind
from domain.controls import ScopeState
from domain.expenses import Cac, CacStatus, cac
from domain.holds import Estimate, ModelName
from domain.margins import MarginDimension
from domain.money import NANO, Money
from domain.prices import Tokens
from domain.refusals import BudgetScope
from domain.reservations import Granted
from domain.tenancy import TenantState
from domain.tenants import TenantStatus
from infra import demo
from infra.application import Application
from infra.audit import audit
from infra.demo import history, traffic
from infra.demo_keys import DEMO_KEYS, demo_tokens
from infra.queries import (
    agent_budgets,
    alert_states,
    alerts,
    campaign_costs,
    margins,
    metering,
    spending,
    tenants,
)
from infra.queries.campaign_costs import CostsKey
from infra.queries.margins import Period
from infra.services import reservations, scopes
from infra.services import tenants as tenants_service
from infra.services.api_keys import Keyring
from infra.services.callers import Caller, Role
from infra.services.tenants import TenantOrder
from infra.settings import Settings, SettingsError
from tests.domain.builders import NOW
from tests.infra.builders import Clock, contents, count, new_key, nothing_moves

ACTIVE = ("acme", "globex", "initech", "vandelay")
FIRST_MINUTES = datetime(2026, 12, 1, 0, 5, tzinfo=UTC)
MOMENTS = [
    pytest.param(NOW, id="late in a month"),
    pytest.param(FIRST_MINUTES, id="on the first, at five past midnight"),
]


@pytest.fixture
def no_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants and keys alone, for tests that look at nothing else."""
    monkeypatch.setattr(history, "items", lambda *_: [])


async def tenant_ids(application: Application) -> dict[str, UUID]:
    return dict(map(tuple, await application.across_tenants.fetch("SELECT slug, id FROM tenant")))


async def consumed(application: Application, tenant_id: UUID) -> int:
    """Of all wallets, in nano-units."""
    total = await application.across_tenants.fetchval(
        "SELECT sum(consumed) FROM wallet WHERE tenant_id = $1", tenant_id
    )
    return int(total)


async def available(application: Application, slug: str) -> dict[str, int]:
    """Whole units of each wallet, rounded down."""
    rows = await application.across_tenants.fetch(
        "SELECT key, available / 1000000000 FROM wallet JOIN tenant ON tenant.id = tenant_id WHERE slug = $1", slug
    )
    return dict(map(tuple, rows))


@pytest.mark.parametrize("moment", MOMENTS)
async def test_whenever_it_is_first_started_there_is_everything_to_look_at(
    timed: Application, clock: Clock, database_url: str, moment: datetime
) -> None:
    clock.now = moment
    await demo.seed(timed)
    acme = (await tenant_ids(timed))["acme"]
    await there_are_tenants_of_all_kinds(timed)
    await every_state_is_shown(timed, acme)
    await campaigns_tell_what_a_customer_costs_or_why_not(timed, acme)
    await every_call_was_metered_and_some_margins_are_flagged(timed)
    await nothing_lies_ahead(timed, moment)
    await the_books_hold(database_url)
    await what_the_readme_reserves_is_admitted(timed, acme)


async def test_later_starts_book_what_was_missed_once_and_fill_the_new_month(timed: Application, clock: Clock) -> None:
    await demo.seed(timed)
    acme = (await tenant_ids(timed))["acme"]
    await seeding_again_changes_nothing(timed)

    before = set((await contents(timed))["usage_event"])
    clock.now = NOW + timedelta(days=1, hours=15)
    await demo.seed(timed)
    after = set((await contents(timed))["usage_event"])
    assert before < after
    missed = await timed.across_tenants.fetchrow(
        "SELECT count(*), min(occurred_at), max(occurred_at) FROM usage_event WHERE occurred_at > $1", NOW
    )
    assert missed is not None
    assert missed[0] == len(after - before)
    assert NOW < missed[1] < missed[2] < clock.now

    clock.now = FIRST_MINUTES
    await demo.seed(timed)
    await seeding_again_changes_nothing(timed)
    granted = "source = 'PLAN' AND granted = 300000000000 AND expires_at = '2027-01-01Z'"
    assert await count(timed, "lot", f"{granted} AND tenant_id = '{acme}'") == 1
    assert (await spending.of_month(timed, acme, None)).spent > 0
    await every_state_is_shown(timed, acme)

    operator = Caller(acme, Role.OPERATOR, "key:demo-operator")
    assert isinstance(await tenants_service.suspend_tenant(timed, operator, "s"), TenantState)
    clock.now = FIRST_MINUTES + timedelta(days=4)
    await demo.seed(timed)
    assert await count(timed, "reservation", f"tenant_id = '{acme}' AND created_at > '{FIRST_MINUTES}'") == 0


@pytest.mark.usefixtures("no_past")
async def test_a_tenant_that_an_interrupted_start_left_half_made_is_completed(timed: Application) -> None:
    plan = timed.catalog.plan("india", "professional", NOW)
    assert plan is not None
    await tenants_service.set_up(timed, TenantOrder("acme", "Acme", "india", "professional", metered=True), plan)
    await demo.seed(timed)
    acme = await available(timed, "acme")
    assert (acme["credits"], acme["metered"]) == (300, 125)


async def seeding_again_changes_nothing(application: Application) -> None:
    async with nothing_moves(application):
        await demo.seed(application)


async def there_are_tenants_of_all_kinds(application: Application) -> None:
    page = await tenants.page(application, 10, None)
    found = [(view.tenant.slug, view.tenant.region, view.tenant.plan, view.tenant.status) for view in page.tenants]
    assert found == [
        ("acme", "india", "professional", TenantStatus.ACTIVE),
        ("globex", "middle_east", "growth", TenantStatus.ACTIVE),
        ("hooli", "middle_east", "professional", TenantStatus.SUSPENDED),
        ("initech", "india", "starter", TenantStatus.ACTIVE),
        ("vandelay", "global", "unlimited", TenantStatus.ACTIVE),
    ]
    spent = await spending.page(application, 10, None, "")
    assert {each.tenant.tenant.slug for each in spent.tenants if each.spending.spent} >= {*ACTIVE}
    assert {str(view.tenant.zone) for view in page.tenants} == {"UTC"}


async def every_state_is_shown(application: Application, acme: UUID) -> None:
    month = await spending.of_month(application, acme, None)
    assert month.cap is not None
    assert 0 < month.spent < month.cap
    roles = {agent.role: agent for agent in await agent_budgets.list_agent_budgets(application, acme, None, 50)}
    assert roles["keyword-researcher"].status is AgentStatus.WARNING
    assert roles["ads-analyst"].status is AgentStatus.PAUSED
    assert roles["ads-analyst"].pause_reason == "monthly_budget_exceeded"
    assert roles["landing-page-writer"].status is AgentStatus.PAUSED
    assert roles["blog-writer"].status is AgentStatus.ACTIVE
    assert roles["blog-writer"].cap is not None
    assert (roles["strategy-writer"].cap, roles["review-response-writer"].spent) == (None, 0)
    standing = {
        (state.key.scope_id, state.paused)
        for state in (await alert_states.budgets(application, {acme: month.month}))[acme]
        if state.key.scope is BudgetScope.CAMPAIGN
    }
    assert standing == {("summer-trial", False), ("winter-clearance", True)}
    wallets = await available(application, "acme")
    assert (wallets["copy_leads"], wallets["enrich_leads"]) == (0, 400)
    assert wallets["credits"] > 20
    assert wallets["metered"] >= 50
    assert await count(application, "top_up", f"state = 'CREDITED' AND tenant_id = '{acme}'") >= 2
    raised = (await alerts.page(application, acme, 50, None)).alerts
    assert {one.alert.threshold for one in raised if one.alert.kind is AlertKind.BUDGET} == {8_000, 10_000}


async def campaigns_tell_what_a_customer_costs_or_why_not(application: Application, acme: UUID) -> None:
    campaigns = (await campaign_costs.campaigns(application, acme, 20, None)).campaigns
    keys = [CostsKey(campaign) for campaign in campaigns]
    entered = await campaign_costs.entered(application, acme, keys)
    won = await campaign_costs.customers_won(application, acme, keys)
    told = {
        campaign: cac(spent.totals, customers)
        for campaign, spent, customers in zip(campaigns, entered, won, strict=True)
    }
    assert told["spring"] == Cac(CacStatus.OK, Money(48_286, "EUR"))
    assert {campaign: known.status for campaign, known in told.items()} == {
        "spring": CacStatus.OK,
        "summer-trial": CacStatus.OK,
        "winter-clearance": CacStatus.OK,
        "win-back": CacStatus.OK,
        "newsletter": CacStatus.NO_CUSTOMERS,
        "partner-webinar": CacStatus.NO_EXPENSES,
        "trade-fair": CacStatus.MIXED_CURRENCIES,
    }


async def every_call_was_metered_and_some_margins_are_flagged(application: Application) -> None:
    period = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    found = await metering.of(application, period)
    assert found.all.events > 1_000
    assert (found.unmetered.events, found.all.unpriced) == (0, 0)
    lines = (await margins.of(application, period, [MarginDimension.FEATURE])).lines
    flagged = {line.keys[0].value for line in lines if line.sums.flag is not None}
    assert "blog_hero_image" in flagged
    assert "blog_post" not in flagged


async def nothing_lies_ahead(application: Application, moment: datetime) -> None:
    newest = await application.across_tenants.fetchrow(
        "SELECT (SELECT max(occurred_at) FROM usage_event), (SELECT max(created_at) FROM ledger_entry),"
        " (SELECT max(occurred_at) FROM audit_event), (SELECT max(raised_at) FROM alert)"
    )
    assert newest is not None
    assert max(newest) <= moment
    assert await count(application, "usage_event", f"occurred_at < '{moment:%Y-%m-01}Z'") > 1_000


async def the_books_hold(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        report = await audit(connection)
    finally:
        await connection.close()
    assert report.findings == ()


async def what_the_readme_reserves_is_admitted(application: Application, acme: UUID) -> None:
    caller = Caller(acme, Role.SERVICE, "key:demo-service")
    who = Attribution(campaign="spring", agent_role="blog-writer")
    wish = Wish("llm_call", NANO, ModelName("openai", "gpt-4o-mini"), Estimate(Tokens(1_000, 500)), who)
    assert isinstance(await reservations.reserve(application, caller, "call-1", wish), Granted)


@pytest.mark.usefixtures("no_past")
async def test_traffic_makes_calls_and_leaves_nothing_held_when_it_stops(application: Application) -> None:
    await demo.seed(application)
    before = await count(application, "usage_event")
    async with traffic.traffic(application):
        while await count(application, "reservation", "state = 'HELD'") == 0:
            continue
    assert await count(application, "reservation", "state = 'HELD'") == 0
    assert await count(application, "usage_event") > before


@pytest.mark.usefixtures("no_past")
async def test_each_of_the_small_calls_is_admitted_and_moves_a_balance_unless_its_model_is_local(
    timed: Application,
) -> None:
    await demo.seed(timed)
    acme = (await tenant_ids(timed))["acme"]
    at_once = asyncio.Event()
    at_once.set()
    for number, call in enumerate(traffic.CALLS):
        before = await consumed(timed, acme)
        assert await traffic.make_call(timed, acme, number, f"t{number}", at_once)
        assert (await consumed(timed, acme) > before) == (call.provider != "ollama"), call


@pytest.mark.usefixtures("no_past")
async def test_traffic_that_is_refused_is_skipped(timed: Application) -> None:
    await demo.seed(timed)
    acme = (await tenant_ids(timed))["acme"]
    key = ScopeKey(ScopeKind.AGENT, traffic.CALLS[0].role)
    assert isinstance(await scopes.pause_scope(timed, Caller(acme, Role.ADMIN, "key:demo-admin"), "p", key), ScopeState)
    assert not await traffic.make_call(timed, acme, 0, "t", asyncio.Event())


@pytest.mark.usefixtures("no_past")
async def test_each_key_opens_its_role_and_tenant(application: Application) -> None:
    await demo.seed(application)
    keyring = Keyring(application)
    tokens = demo_tokens(application.settings)
    roles = {}
    for label, token in tokens.items():
        caller = await keyring.authenticate(token, "acme" if label == "operator" else None)
        assert caller is not None
        roles[label] = (caller.role, caller.actor)
    assert roles == {
        "operator": (Role.OPERATOR, "key:demo-operator"),
        "admin": (Role.ADMIN, "key:demo-admin"),
        "member": (Role.MEMBER, "key:demo-member"),
        "service": (Role.SERVICE, "key:demo-service"),
        "other_service": (Role.SERVICE, "key:demo-other-service"),
    }
    stored = await contents(application)
    assert not any(token.removeprefix("psk_") in str(stored) for token in tokens.values())


@pytest.mark.usefixtures("no_past")
async def test_another_secret_ends_the_old_keys_and_the_first_one_brings_them_back(application: Application) -> None:
    await demo.seed(application)
    tenant_id = await application.across_tenants.fetchval("SELECT id FROM tenant WHERE slug = 'acme'")
    own = (await new_key(application, tenant_id, Role.SERVICE, "worker")).token
    changed = replace(application, settings=replace(application.settings, demo_secret="another secret"))
    first, second = demo_tokens(application.settings)["admin"], demo_tokens(changed.settings)["admin"]
    await demo.seed(changed)
    assert await Keyring(application).authenticate(first, None) is None
    assert await Keyring(application).authenticate(second, None) is not None
    await demo.seed(application)
    assert await Keyring(application).authenticate(first, None) is not None
    assert await Keyring(application).authenticate(second, None) is None
    assert await Keyring(application).authenticate(own, None) is not None
    assert await count(application, "api_key") == 2 * len(DEMO_KEYS) + 1


def kept(folder: Path) -> Settings:
    return Settings(None, folder, None, None)


def test_of_many_processes_at_once_one_makes_the_secret(tmp_path: Path) -> None:
    settings = kept(tmp_path / "not" / "yet")
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: demo_tokens(settings), range(64)))
    assert all(tokens == made[0] for tokens in made)
    files = list(settings.data_dir.iterdir())
    assert [file.name for file in files] == ["demo-secret"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert demo_tokens(kept(tmp_path / "other")) != made[0]


def test_keys_follow_from_the_secret_alone(tmp_path: Path) -> None:
    one = Settings(None, tmp_path / "one", "secret", None)
    two = Settings("postgresql://elsewhere/purser", tmp_path / "two", "secret", None)
    assert demo_tokens(one) == demo_tokens(two)
    assert len(set(demo_tokens(one).values())) == len(DEMO_KEYS)
    assert demo_tokens(replace(one, demo_secret="Secret")) != demo_tokens(one)
    assert not (tmp_path / "one").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsError, match="set PURSER_DATA_DIR to a folder of yours"):
        demo_tokens(kept(file / "folder"))
