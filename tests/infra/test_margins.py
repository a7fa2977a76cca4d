"""Margins and metering against the rows themselves, in plain Python: exact whatever is rolled up, late or re-rated."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from domain import margins as rules
from domain.admission import Wish
from domain.alerts import AlertKind
from domain.holds import ModelName, Reservation
from domain.ids import NIL
from domain.margins import MarginDimension, MarginFlag, Terms
from domain.money import NANO
from domain.prices import Tokens
from domain.settlements import Consumed
from domain.usage import Route, Usage
from infra.application import Application, open_application
from infra.audit import audit as prove
from infra.database import connect_to_books
from infra.queries import alerts as alerts_query
from infra.queries import margins, metering
from infra.queries.margin_reports import check
from infra.queries.margins import Line, Only, Period
from infra.queries.metering import Place, Unmetered, UnmeteredCall
from infra.queries.usage_breakdowns import PIN, TooManyRowsError
from infra.services import catalog, deliveries, rerating, reservations, settlements, usage
from infra.services.callers import Caller, Role
from infra.services.catalog import Published
from infra.services.margins import check_margins
from infra.services.progress import Progress
from infra.services.rerating import Selection
from infra.services.rollups import roll_up
from infra.services.usage import ReportedUsage
from infra.settings import DeploymentMode, Settings
from tests.domain.builders import NOW, nano
from tests.infra.builders import Clock, count, held, nothing_moves, open_tenant, reported, reserved

pytestmark = pytest.mark.anyio

OPERATOR: Final = Caller(NIL, Role.OPERATOR, "key:anna")
SPAN: Final = timedelta(days=50)
FEATURE, PROVIDER, TENANT, MONTH = MarginDimension
ZONES: Final = {"acme": "Asia/Kolkata", "globex": "UTC"}
SINCE: Final = "2026-09-01T00:00:00Z"


@pytest.fixture
def deployment_mode() -> DeploymentMode:
    """Own keys count."""
    return DeploymentMode.SELF_HOSTED


@pytest.fixture
async def story(settings: Settings, database_url: str) -> AsyncIterator["Story"]:
    clock = Clock(NOW - timedelta(days=5))
    async with open_application(settings, database_url, clock=clock) as application:
        callers = [
            await open_tenant(application, slug, credits="100000", metered="100000", time_zone=zone)
            for slug, zone in ZONES.items()
        ]
        yield Story(application, callers, Random(5), clock)


class Story:
    """Random work of two tenants, charged in every way that there is and in none."""

    def __init__(self, application: Application, callers: list[Caller], random: Random, clock: Clock) -> None:
        self.application = application
        self.callers = callers
        self.random = random
        self.clock = clock
        self.number = 0

    def call(self, provider: str | None = None, cost: str | None = None, **fields: Any) -> Any:
        self.number += 1
        back = self.random.choice((0.0, 600.0, 40 * 86_400.0))
        occurred = self.clock.now - timedelta(seconds=self.random.uniform(0, back))
        named = provider or self.random.choice(("openai", "anthropic", "tavily", None))
        paid = cost or self.random.choice(("0", f"0.{self.random.randrange(10**9):09d}"))
        return reported(f"e{self.number}", paid, provider=named, occurred_at=occurred, **fields)

    async def record(self, caller: Caller, feature: str | None, *calls: Any, under: UUID | None = None) -> None:
        reservation_id = None if under is None else f"rsv_{under.hex}"
        report = await usage.record_usage(
            self.application, caller, [ReportedUsage(call, feature, reservation_id) for call in calls]
        )
        assert not report.rejected, report

    async def act(self) -> None:
        caller = self.random.choice(self.callers)
        match self.random.randrange(9):
            case 0:
                features = ("llm_call", "profile_draft", "blog_post", "not_on_the_card", None)
                calls = [self.call(own_key=self.random.choice((None, None, True))) for _ in range(3)]
                await self.record(caller, self.random.choice(features), *calls)
            case 1:
                await self.record(caller, "public_data_query", self.call())
            case 2:
                found = self.random.choice((None, 0, 3))
                await self.record(caller, "email_find", self.call("leadmagic", "0.012", results=found))
            case 3:
                self.number += 1
                model = self.random.choice(("gpt-98", "gpt-99", "gpt-99"))
                unpriced = reported(f"u{self.number}", provider="openai", model=model, tokens=Tokens(500_000))
                await self.record(caller, self.random.choice(("llm_call", "blog_post")), unpriced)
            case _:
                await self.work(caller)

    async def work(self, caller: Caller) -> None:
        """Reserved, partly recorded before, and settled, given up or left open; some is recorded too late."""
        self.number += 1
        name = f"r{self.number}"
        feature = self.random.choice(("blog_post", "blog_post", "profile_draft", "llm_call"))
        work = await reserved(self.application, caller, name, feature=feature, cost="0.01", ttl=3600)
        if self.random.random() < 0.6:
            await self.record(caller, None, self.call(), self.call(), under=work.id)
        chance = self.random.random()
        if chance < 0.6:
            calls = [self.call()] if feature != "blog_post" or self.random.random() < 0.5 else []
            made = 0 if feature == "blog_post" and self.random.random() < 0.25 else None
            await settlements.consume(self.application, caller, f"{name} done", work.id, made, calls)
        elif chance < 0.8:
            await reservations.release(self.application, caller, f"{name} back", work.id)
        if chance < 0.8 and self.random.random() < 0.3:
            await self.record(caller, None, self.call(), under=work.id)

    async def new_card(self, value: str, markup: str, tenant: str | None, since: datetime | None = None) -> None:
        self.number += 1
        row = {"credit_value": value, "markup": markup} | (
            {} if since is None else {"effective_from": since.isoformat()}
        )
        answer = await catalog.publish_rate_card(
            self.application, OPERATOR, f"card {self.number}", row, tenant=tenant, based_on=1
        )
        assert isinstance(answer, Published), answer

    async def correct(self, figure: str) -> None:
        """A price for what had none is published or changed, and everything re-rated."""
        self.number += 1
        price = {"provider": "openai", "model": "gpt-99", "input": figure, "effective_from": SINCE}
        await catalog.publish_price(self.application, OPERATOR, f"price {self.number}", price)
        wanted = Selection(None, "openai", None, None, self.clock.now - SPAN, self.clock.now + timedelta(seconds=1))
        await rerating.rerate(self.application, "key:anna", wanted, dry_run=False)


async def facts(application: Application) -> list[dict[str, Any]]:
    """Every row of usage, corrections too, each with its slug, its month and the terms of its moment."""
    slugs = {row[0]: row[1] for row in await application.across_tenants.fetch("SELECT id, slug FROM tenant")}
    found = []
    for table in ("usage_event", "usage_amendment"):
        for row in await application.across_tenants.fetch(f"SELECT * FROM {table}"):
            cards = application.catalog.for_tenant(row["tenant_id"]).rate_cards
            at, slug = row["occurred_at"], slugs[row["tenant_id"]]
            terms = rules.terms_of(cards.at(at, at))
            month = f"{at.astimezone(ZoneInfo(ZONES[slug])):%Y-%m}"
            found.append({**dict(row), "table": table, "tenant": slug, "month": month, "terms": terms})
    return found


class Expected:
    """Exact sums of a grouping, as fractions of nano-dollars."""

    def __init__(self) -> None:
        self.credits = self.revenue = self.metered = Fraction(0)
        self.cost = self.events = 0
        self.pots: set[Any] = set()


def expected(rows: list[dict[str, Any]], period: Period, dimensions: tuple[str, ...]) -> dict[Any, Expected]:
    pots: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if period.start <= row["occurred_at"] < period.end:
            pots[row["tenant"], row["month"], row["feature"], row["route"], row["terms"]].append(row)
    found: defaultdict[Any, Expected] = defaultdict(Expected)
    for pot, members in pots.items():
        terms: Terms = pot[-1]
        charged, metered = (sum(row[name] for row in members) for name in ("credits_charged", "usd_charged"))
        cost = sum(row["cost"] or 0 for row in members)
        for provider in {row["provider"] for row in members}:
            own = [row for row in members if row["provider"] == provider]
            own_cost = sum(row["cost"] or 0 for row in own)
            keys = dict(zip(("tenant", "month", "feature"), pot[:3], strict=True)) | {"provider": provider}
            sums = found[tuple(keys[dimension] for dimension in dimensions)]
            part = Fraction(own_cost, cost) if cost else None
            own_credits = part * charged if part is not None else sum(row["credits_charged"] for row in own)
            sums.credits += own_credits
            sums.revenue += Fraction(own_credits * terms.credit_value, NANO)
            sums.metered += part * metered if part is not None else sum(row["usd_charged"] for row in own)
            sums.pots.add((pot, provider))
            if pot[3] != Route.BYOK:
                sums.cost += own_cost
                sums.events += sum(row["table"] == "usage_event" for row in own)
    return dict(found)


async def compare(story: Story, period: Period) -> None:
    rows = await facts(story.application)
    for dimensions in ((FEATURE,), (PROVIDER, MONTH), (TENANT,), tuple(MarginDimension), ()):
        found = await margins.of(story.application, period, dimensions, top=10_000)
        wanted = expected(rows, period, tuple(dimension.value.lower() for dimension in dimensions))
        lines = {tuple(key.value for key in line.keys): line.sums for line in found.lines}
        assert lines.keys() == wanted.keys(), dimensions
        for keys, sums in lines.items():
            exact = wanted[keys]
            assert (sums.cost, sums.events) == (exact.cost, exact.events), keys
            # Rounded down once for each pot, and each part of it to a whole number.
            slack = len(exact.pots)
            assert abs(sums.credits - exact.credits) < slack, keys
            assert abs(sums.metered_revenue - exact.metered) < slack, keys
            assert abs(sums.credit_revenue - exact.revenue) <= slack, keys
            if PROVIDER not in dimensions:
                assert sums.credits == exact.credits, keys
                assert sums.metered_revenue == exact.metered, keys
                assert 0 <= exact.revenue - sums.credit_revenue < slack, keys
        assert rules.total(lines.values()) == found.total, "what the lines hold together, whatever they are by"


async def unmetered_by_hand(application: Application, period: Period) -> dict[UUID, int | None]:
    """Id and present cost of every paid call that nobody was charged for, from the rows."""
    rows = await application.across_tenants.fetch("SELECT id, state, charges, expires_at FROM reservation")
    settling = {row[0]: (row[1] == "HELD" and row[3]) or (row[1] == "CONSUMED" and row[2]) for row in rows}
    added: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in await application.across_tenants.fetch("SELECT * FROM usage_amendment WHERE event_id IS NOT NULL"):
        added[row["event_id"]].append(row)
    found: dict[UUID, int | None] = {}
    for row in await application.across_tenants.fetch("SELECT * FROM usage_event WHERE route = 'MANAGED'"):
        more = added[row["id"]]
        charged = sum(one["credits_charged"] + one["usd_charged"] for one in (row, *more))
        unknown = (row["cost"] is None) + sum(one["unpriced"] for one in more)
        cost = None if unknown else sum(one["cost"] or 0 for one in (row, *more))
        covered = row["under_reservation"] and settling[row["reservation_id"]]
        nothing_found = not row["under_reservation"] and row["feature"] == "email_find" and not row["results"]
        in_time = period.start <= row["occurred_at"] < period.end
        if in_time and cost != 0 and not charged and not covered and not nothing_found:
            found[row["id"]] = cost
    return found


async def listed(application: Application, period: Period, size: int = 7) -> list[UnmeteredCall]:
    """The whole list, page after page."""
    calls: list[UnmeteredCall] = []
    after: Place | None = None
    while True:
        page = await metering.page(application, period, size, after)
        assert page.has_previous == (after is not None)
        calls += page.calls
        if not page.has_next:
            return calls
        after = calls[-1].place


async def compare_metering(application: Application, period: Period) -> None:
    wanted = await unmetered_by_hand(application, period)
    calls = await listed(application, period)
    assert {call.place.id: call.cost for call in calls} == wanted
    assert [call.place for call in calls] == sorted(call.place for call in calls)
    proof = await metering.of(application, period)
    assert proof.unmetered.events == len(wanted)
    assert proof.unmetered.cost == sum(cost or 0 for cost in wanted.values())
    assert proof.unmetered.unpriced == sum(cost is None for cost in wanted.values())
    rows = [row for row in await facts(application) if period.start <= row["occurred_at"] < period.end]
    for route, sums in (("MANAGED", proof.all), ("FREE", proof.free)):
        of_route = [row for row in rows if row["route"] == route]
        assert sums.cost == sum(row["cost"] or 0 for row in of_route)
        assert sums.events == sum(row["table"] == "usage_event" for row in of_route)
    assert proof.metered.events + proof.unmetered.events == proof.all.events
    assert proof.metered.cost + proof.unmetered.cost == proof.all.cost


async def test_every_figure_is_that_of_the_rows_at_every_moment(story: Story) -> None:
    application, clock = story.application, story.clock
    cards = {
        2: ("0.7", "2", "globex", None),
        4: ("0.6", "1.5", None, None),
        5: ("0.9", "1.2", "globex", clock.now - timedelta(days=9)),  # known too late to have charged anything before
    }
    for step in range(8):
        if step in cards:
            await story.new_card(*cards[step])
        for _ in range(14):
            await story.act()
        await roll_up(application, clock.now)
        if step in (3, 6):
            await story.correct(str(step))
        clock.advance(story.random.uniform(60, 20 * 3600))
        if step % 3 == 2:
            await reservations.expire_all_due(application, clock.now)
            start = clock.now - timedelta(seconds=story.random.uniform(60, SPAN.total_seconds()))
            await compare(story, Period(start, clock.now - timedelta(seconds=story.random.uniform(0, 60))))
            await compare_metering(application, Period(start, clock.now))
    everything = Period(clock.now - SPAN, clock.now + timedelta(minutes=1))
    await compare(story, everything)
    await compare_metering(application, everything)
    reasons = {call.reason for call in await listed(application, everything)}
    assert reasons == set(Unmetered), "the story has something of everything"
    acme = everything._replace(tenant_id=story.callers[0].tenant_id)
    assert {call.tenant for call in await listed(application, acme)} == {"acme"}
    (line,) = (await margins.of(application, acme, [TENANT])).lines
    assert line.keys[0][1:] == ("acme", "acme")
    of_one = await margins.of(application, everything, [FEATURE, PROVIDER], only=Only(("blog_post",), ("openai",)))
    every = await margins.of(application, everything, [FEATURE, PROVIDER], top=1_000)
    assert list(of_one.lines) == [
        line for line in every.lines if [key.value for key in line.keys] == ["blog_post", "openai"]
    ]
    assert of_one.total == of_one.lines[0].sums
    await only_flagged_come_first(every.lines)
    connection = await connect_to_books(application.url)
    try:
        assert (await prove(connection)).findings == ()
    finally:
        await connection.close()


async def only_flagged_come_first(lines: tuple[Line, ...]) -> None:
    flags = [line.sums.flag is not None for line in lines]
    assert any(flags)
    assert flags == sorted(flags, reverse=True)


# ---- the daily job -------------------------------------------------------------------------------------------------


async def losing(application: Application, caller: Caller) -> None:
    """A blog post that cost more than its 2 credits (a dollar) are worth, and one call that nobody was charged for."""
    work = await reserved(application, caller, "r")
    call = reported("c", "1.25", provider="anthropic")
    await settlements.consume(application, caller, "c", work.id, None, [call])
    stray = reported("s", "0.5", provider="tavily")
    assert (await usage.record_usage(application, caller, [ReportedUsage(stray, "blog_post")])).accepted == 1


async def operators_alerts(application: Application) -> list[tuple[str, int, str]]:
    page = await alerts_query.page(application, NIL, 100, None)
    assert {raised.alert.kind for raised in page.alerts} <= {AlertKind.NEGATIVE_MARGIN}
    return sorted((raised.alert.scope_id, raised.alert.threshold, raised.alert.message) for raised in page.alerts)


async def test_the_job_tells_operators_alone_once_a_day_however_many_run(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100")
    await losing(timed, caller)
    clock.advance(60)
    checked = await asyncio.gather(*[check_margins(timed, clock.now) for _ in range(2)])
    assert sum(each.progress.done for each in checked) == 4
    assert {(each.flagged, each.unmetered) for each in checked} == {(4, 1)}
    assert [(about, threshold) for about, threshold, _ in await operators_alerts(timed)] == [
        ("feature blog_post", 0),
        ("provider anthropic", 0),
        ("provider tavily", 0),
        ("tenant acme", 0),
    ]
    async with nothing_moves(timed):
        assert (await check_margins(timed, clock.now)).progress == Progress(0)
        assert (await check_margins(timed, clock.now, stop_at=clock.now)).progress == Progress(0, complete=False)
    # A tenant has neither the alert nor the event; the operators' event goes to the bus, and to no tenant's channel.
    assert await count(timed, "alert", f"tenant_id = '{caller.tenant_id}' AND kind = 'negative_margin'") == 0
    told = await timed.across_tenants.fetch("SELECT tenant_id, payload FROM outbox WHERE type = 'alert.raised'")
    of_margins = [row[0] for row in told if orjson.loads(row[1])["kind"] == "negative_margin"]
    assert of_margins == [NIL] * 4
    await timed.writers.execute(
        "INSERT INTO channel (tenant_id, id, kind, name, event_types, sealed, hint, actor, created_at)"
        " VALUES ($1, gen_random_uuid(), 'WEBHOOK', 'all', '{}', '', '', 'a', now())",
        caller.tenant_id,
    )
    await timed.writers.execute(
        "INSERT INTO outbox (tenant_id, id, type, payload, created_at) VALUES ($1, gen_random_uuid(), 'x', '{}', now())",
        caller.tenant_id,
    )
    await deliveries.route_events(timed, clock.now)
    assert await count(timed, "outbox", "routed_at IS NULL") == 0
    assert await count(timed, "delivery") == 1, "of the tenant's own event"
    clock.advance(days=1)
    assert (await check_margins(timed, clock.now)).progress == Progress(4)
    connection = await connect_to_books(timed.url)
    try:
        assert (await prove(connection)).findings == ()
    finally:
        await connection.close()


async def test_a_sound_month_says_so(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100", metered="100")
    work = await reserved(timed, caller, "r")
    await settlements.consume(timed, caller, "c", work.id, None, [reported("c", "0.25", provider="anthropic")])
    free = reported("f", "0.5", provider="socrata")
    await usage.record_usage(timed, caller, [ReportedUsage(free, "public_data_query")])
    call = reported("l", "1", provider="openai")
    await usage.record_usage(timed, caller, [ReportedUsage(call, "llm_call")])
    report = await check(timed, Period(NOW - SPAN, clock.now + timedelta(seconds=1)))
    by_feature = {line.keys[0].value: line.sums for line in report.lines[FEATURE]}
    assert {name: (sums.percent, sums.least_percent, sums.flag) for name, sums in by_feature.items()} == {
        "blog_post": (7_500, 5_000, None),
        "llm_call": (2_307, 2_307, None),
        "public_data_query": (None, None, None),
    }
    assert (report.metering.all.events, report.metering.unmetered.events, report.metering.free.cost) == (
        2,
        0,
        nano("0.5"),
    )
    assert report.sound
    assert report.total.flag is None
    strict = await check(timed, report.period, target=8_000)
    assert [(line.keys[0].value, line.sums.flag) for line in strict.flagged] == [
        ("blog_post", MarginFlag.BELOW_TARGET),
        ("anthropic", MarginFlag.BELOW_TARGET),
        ("acme", MarginFlag.BELOW_TARGET),
    ]


async def test_calls_of_work_that_was_given_up_and_then_settled_are_metered_again(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, credits="100")
    work = await reserved(timed, caller, "r", ttl=60)
    under = ReportedUsage(reported("e", "0.5", provider="anthropic"), None, f"rsv_{work.id.hex}")
    await usage.record_usage(timed, caller, [under])
    period = Period(NOW - SPAN, NOW + SPAN)
    assert await listed(timed, period) == [], "it is held"
    clock.advance(3600)
    await reservations.expire_all_due(timed, clock.now)
    assert [call.reason for call in await listed(timed, period)] == [Unmetered.GIVEN_UP]
    await settlements.consume(timed, caller, "c", work.id, None, [])
    assert await listed(timed, period) == []


async def test_what_is_recorded_under_capacity_is_never_charged_and_so_listed(timed: Application) -> None:
    caller = await open_tenant(timed, lead_storage="10")
    lead = await reserved(timed, caller, "r", feature="store_lead", task="lead-1")
    assert lead.expires_at is None
    under = ReportedUsage(reported("e", "0.5", provider="openai"), None, f"rsv_{lead.id.hex}")
    await usage.record_usage(timed, caller, [under])
    period = Period(NOW - SPAN, NOW + SPAN)
    assert [(call.reason, call.cost) for call in await listed(timed, period)] == [(Unmetered.GIVEN_UP, nano("0.5"))]
    assert (await metering.of(timed, period)).metered.cost == 0


async def test_a_settlement_that_charged_nothing_lists_what_it_cost(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100")
    period = Period(NOW - SPAN, NOW + SPAN)

    async def settle(key: str, work: Reservation, *calls: Usage, quantity: int | None = None) -> None:
        answer = await settlements.consume(timed, caller, key, work.id, quantity, list(calls))
        assert isinstance(answer, Consumed), answer

    # Nothing was made, neither by a call without a name nor by one that was recorded before.
    work = await reserved(timed, caller, "none")
    under = ReportedUsage(reported("e", "0.5", provider="anthropic"), None, f"rsv_{work.id.hex}")
    await usage.record_usage(timed, caller, [under])
    await settle("none", work, Usage(cost=nano("0.25")), quantity=0)
    # A model that is free needs no wallet, what was called instead is charged to none.
    free = Wish("llm_call", NANO, ModelName("ollama", "llama3.2"))
    work = held(await reservations.reserve(timed, caller, "free", free))
    await settle("free", work, reported("f", "0.125", provider="openai"))
    # A retry is paid by its task, what was looked up and not found is charged nothing.
    first = await reserved(timed, caller, "first", task="t", ttl=60)
    clock.advance(3600)
    await reservations.expire_all_due(timed, clock.now)
    await settle("again", await reserved(timed, caller, "again", task="t"))
    await settle("late", first, Usage(cost=nano("2")))
    found = await listed(timed, period)
    assert sorted([(call.cost, call.reason) for call in found if call.cost is not None]) == [
        (nano("0.125"), Unmetered.SETTLED_FOR_NOTHING),
        (nano("0.25"), Unmetered.SETTLED_FOR_NOTHING),
        (nano("0.5"), Unmetered.SETTLED_FOR_NOTHING),
    ]
    proof = await metering.of(timed, period)
    assert (proof.unmetered.cost, proof.metered.cost) == (nano("0.875"), nano("2"))


async def test_a_settlement_that_found_nothing_was_metered(timed: Application) -> None:
    caller = await open_tenant(timed, metered="100")
    work = await reserved(timed, caller, "find", feature="email_find")
    call = reported("l", "0.012", provider="leadmagic", results=0)
    assert isinstance(await settlements.consume(timed, caller, "c", work.id, None, [call]), Consumed)
    assert await listed(timed, Period(NOW - SPAN, NOW + SPAN)) == []


async def test_a_price_of_nothing_that_was_corrected_makes_a_paid_call_of_it(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100")

    async def publish(figure: str) -> None:
        row = {"provider": "openai", "model": "gpt-99", "input": figure, "effective_from": SINCE}
        assert isinstance(await catalog.publish_price(timed, OPERATOR, figure, row), Published)
        clock.advance(60)

    await publish("0")
    call = reported("e", provider="openai", model="gpt-99", tokens=Tokens(1_000_000))
    await usage.record_usage(timed, caller, [ReportedUsage(call, "blog_post")])
    period = Period(NOW - SPAN, NOW + SPAN)
    assert await listed(timed, period) == []
    await publish("2")
    await rerating.rerate(timed, "key:anna", Selection(None, "openai", None, None, *period[:2]), dry_run=False)
    (found,) = await listed(timed, period)
    assert (found.cost, found.reason) == (nano("2"), Unmetered.NO_RATE)


async def test_what_one_tenant_did_may_be_too_much_for_one_answer(
    timed: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await open_tenant(timed, credits="100")
    calls = [ReportedUsage(reported(f"e{number}", "1"), f"feature {number}") for number in range(3)]
    await usage.record_usage(timed, caller, calls)
    monkeypatch.setattr("infra.queries.usage_breakdowns.MOST_ROWS", 2)
    with pytest.raises(TooManyRowsError, match="tenant acme has more than"):
        await margins.of(timed, Period(NOW - SPAN, NOW + SPAN), [FEATURE])


async def test_what_was_charged_is_never_read_to_find_what_was_not(timed: Application, clock: Clock) -> None:
    """The plan of a page goes by the indexes of what carries no charge, and by no scan of the usage."""
    caller = await open_tenant(timed, metered="100")
    calls = [ReportedUsage(reported(f"e{number}", "0.001"), "llm_call") for number in range(500)]
    await usage.record_usage(timed, caller, calls)
    parameters = metering._parameters(timed.catalog, Period(NOW - SPAN, NOW + SPAN), Place(NIL, NOW - SPAN, NIL))
    async with timed.across_tenants.acquire() as connection, connection.transaction():
        await connection.execute(PIN)
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {metering._PAGE}", *parameters, NIL, 20)
    scans = list(scans_of_usage(orjson.loads(plan)[0]["Plan"]))
    assert scans
    assert {scan["Node Type"] for scan in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) == 0, "no charged event is looked at"
    assert sum(scan.get("Rows Removed by Filter", 0) for scan in scans) == 0


def scans_of_usage(plan: dict[str, Any]) -> Any:
    if str(plan.get("Relation Name", "")).startswith("usage_event"):
        yield plan
    for part in plan.get("Plans", ()):
        yield from scans_of_usage(part)
