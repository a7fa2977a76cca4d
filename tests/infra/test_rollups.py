"""Rollups against the usage itself: the same sums to the last digit, whatever comes late, twice, or at the same moment."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson
import pytest

from domain.attribution import Attribution
from domain.breakdowns import Dimension, UsageFilter, UsageTotals
from domain.ids import NIL
from domain.prices import Tokens
from domain.rollups import day_of
from domain.usage import UsageKind
from infra.application import Application, open_application
from infra.queries.usage_breakdowns import Breakdown, usage_breakdown
from infra.services import catalog, rerating, settlements, subscriptions
from infra.services import usage as service
from infra.services.callers import Caller, Role
from infra.services.rerating import Selection
from infra.services.rollups import roll_up
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.domain.builders import NOW, nano
from tests.infra.builders import Clock, count, open_tenant, reported, reserved

pytestmark = pytest.mark.anyio

DIMENSIONS: Final = tuple(Dimension)
TIMES: Final = (Dimension.DAY, Dimension.WEEK, Dimension.MONTH)
ZONES: Final = ("UTC", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns")
SPAN: Final = timedelta(days=40)
SINCE: Final = "2026-09-01T00:00:00Z"


class Reference:
    """The sums as they follow from the rows, in plain Python."""

    def __init__(self, rows: Iterable[dict[str, Any]], clients: dict[str, str], zone: ZoneInfo) -> None:
        self._rows = list(rows)
        self._clients = clients
        self._zone = zone

    def answer(self, wanted: UsageFilter, group_by: Sequence[Dimension]) -> dict[tuple[str | None, ...], UsageTotals]:
        sums: defaultdict[tuple[str | None, ...], list[int]] = defaultdict(lambda: [0] * len(UsageTotals._fields))
        for row in self._rows:
            if not self._takes(wanted, row):
                continue
            for keys in self._keys(row, group_by):
                for index, measure in enumerate(UsageTotals._fields):
                    sums[keys][index] += row[measure]
        return {keys: UsageTotals(*figures) for keys, figures in sums.items()}

    def _takes(self, wanted: UsageFilter, row: dict[str, Any]) -> bool:
        if not wanted.start <= row["occurred_at"] < wanted.end:
            return False
        for name in UsageFilter.__dataclass_fields__:
            values = getattr(wanted, name)
            if name in ("start", "end", "tags") or not values:
                continue
            if self._value(row, name) not in values:
                return False
        return all(row["tags"].get(key) == value for key, value in wanted.tags)

    def _value(self, row: dict[str, Any], name: str) -> str | None:
        if name == "client":
            return row["client"] or self._clients.get(row["campaign"] or "")
        found: str | None = row[name]
        return found

    def _keys(self, row: dict[str, Any], group_by: Sequence[Dimension]) -> Iterable[tuple[str | None, ...]]:
        day = day_of(row["occurred_at"], self._zone).day
        tags: Sequence[str | None] = [f"{key}={value}" for key, value in row["tags"].items()] or [None]
        for tag in tags if Dimension.TAG in group_by else [None]:
            keys: list[str | None] = []
            for dimension in group_by:
                match dimension:
                    case Dimension.DAY:
                        keys.append(day.isoformat())
                    case Dimension.WEEK:
                        keys.append((day - timedelta(days=day.weekday())).isoformat())
                    case Dimension.MONTH:
                        keys.append(f"{day:%Y-%m}")
                    case Dimension.TAG:
                        keys.append(tag)
                    case _:
                        keys.append(self._value(row, dimension.value.lower()))
            yield tuple(keys)


async def reference_of(application: Application, tenant_id: UUID, zone: str) -> Reference:
    async with application.across_tenants.acquire() as connection:
        events = await connection.fetch("SELECT * FROM usage_event WHERE tenant_id = $1", tenant_id)
        amended = await connection.fetch("SELECT * FROM usage_amendment WHERE tenant_id = $1", tenant_id)
        scopes = await connection.fetch(
            "SELECT id, client FROM scope WHERE tenant_id = $1 AND kind = 'CAMPAIGN' AND client IS NOT NULL", tenant_id
        )
    rows = [_fact(row, events=1) for row in events] + [_fact(row, events=0) for row in amended]
    return Reference(rows, {row["id"]: row["client"] for row in scopes}, ZoneInfo(zone))


def _fact(row: asyncpg.Record, events: int) -> dict[str, Any]:
    counts = dict.fromkeys(UsageTotals._fields, 0)
    unpriced = row["unpriced"] if "unpriced" in row.keys() else int(row["cost"] is None)  # noqa: SIM118  # a record
    failures = 0 if "success" not in row.keys() or row["success"] else 1  # noqa: SIM118
    known = {**counts, **dict(row), "events": events, "unpriced": unpriced, "failures": failures}
    known.update({name: known[name] or 0 for name in ("cost", "duration_ms")})
    return {**known, "tags": orjson.loads(row["tags"] or "{}")}


def as_dict(breakdown: Breakdown) -> dict[tuple[str | None, ...], UsageTotals]:
    return {tuple(key.value for key in row.keys): row.totals for row in breakdown.rows}


class Story:
    """Random usage of one tenant: reported late, early and twice, under reservations and without."""

    def __init__(self, application: Application, caller: Caller, random: Random, clock: Clock) -> None:
        self.application = application
        self.caller = caller
        self.random = random
        self.clock = clock
        self.events: list[ReportedUsage] = []
        self.number = 0
        self.corrections = 0

    def maybe(self, *values: str) -> str | None:
        return self.random.choice((None, *values))

    def attribution(self) -> Attribution:
        tags = tuple((key, self.random.choice("xy")) for key in ("env", "team") if self.random.random() < 0.3)
        return Attribution(
            self.maybe("p1", "p2"),
            self.maybe("r1", "r2"),
            self.maybe("spring", "summer"),
            self.maybe("a1", "a2", "a3"),
            self.maybe("c1", "c2") if self.random.random() < 0.5 else None,
            self.maybe("blog-writer", "researcher"),
            self.maybe("s1", "s2"),
            self.maybe("t1"),
            tags,
        )

    def event(self) -> ReportedUsage:
        self.number += 1
        chance = self.random.random()
        occurred = self.clock.now - timedelta(seconds=self.random.uniform(0, SPAN.total_seconds()))
        if chance < 0.3:
            occurred = self.clock.now - timedelta(minutes=self.random.uniform(0, 120))
        model = self.random.choice(("gpt-4o", "gpt-4o-mini", "gpt-99"))
        cost = None if self.random.random() < 0.5 else f"0.{self.random.randrange(10**6):06d}"
        usage = reported(
            f"e{self.number}",
            cost,
            kind=self.random.choice((UsageKind.LLM, UsageKind.API)),
            provider="openai",
            model=model,
            operation=self.maybe("chat"),
            tokens=Tokens(*[self.random.randrange(1000) for _ in range(5)]),
            duration_ms=self.random.choice((None, 12)),
            success=self.random.random() < 0.9,
            occurred_at=occurred,
        )
        return ReportedUsage(
            usage, self.random.choice((None, "llm_call", "llm_call", "blog_post")), None, self.attribution()
        )

    async def act(self) -> None:
        chance = self.random.random()
        if chance < 0.7 or not self.events:
            fresh = [self.event() for _ in range(self.random.randrange(1, 12))]
            again = self.random.sample(self.events, min(len(self.events), self.random.randrange(3)))
            self.events.extend(fresh)
            await service.record_usage(self.application, self.caller, [*fresh, *again])
        elif chance < 0.78:
            await self.correct()
        else:
            self.number += 1
            feature = self.random.choice(("blog_post", "llm_call"))
            work = await reserved(
                self.application,
                self.caller,
                f"r{self.number}",
                feature=feature,
                cost="0.01",
                attribution=self.attribution(),
            )
            calls = [reported(f"w{self.number}", "0.003")] if feature == "llm_call" or chance < 0.9 else []
            await settlements.consume(self.application, self.caller, f"c{self.number}", work.id, None, calls)

    async def correct(self) -> None:
        """A price is added or corrected, also for what happened before, and some usage is re-rated."""
        self.number += 1
        model = self.random.choice(("gpt-4o", "gpt-99"))
        price = {"provider": "openai", "model": model, "input": str(self.random.randrange(9)), "effective_from": SINCE}
        operator = Caller(NIL, Role.OPERATOR, "key:anna")
        await catalog.publish_price(self.application, operator, f"p{self.number}", price)
        start = self.clock.now - timedelta(seconds=self.random.uniform(0, SPAN.total_seconds()))
        wanted = Selection(self.caller.tenant_id, "openai", None, None, start, self.clock.now)
        report = await rerating.rerate(self.application, "key:anna", wanted, dry_run=False)
        self.corrections += sum(totals.rerated.corrected for totals in report.tenants)

    def question(self) -> tuple[UsageFilter, list[Dimension]]:
        now = self.clock.now + timedelta(minutes=6)
        start = now - timedelta(seconds=self.random.uniform(60, SPAN.total_seconds() * 1.1))
        if self.random.random() < 0.6:
            start = start.replace(hour=0, minute=0, second=0, microsecond=0)
        end = now if self.random.random() < 0.6 else start + (now - start) * self.random.random() + timedelta(seconds=1)
        chosen: dict[str, Any] = {}
        values: dict[str, tuple[Any, ...]] = {
            "model": ("gpt-4o",),
            "campaign": ("spring", "nobody"),
            "client": ("c1",),
            "account": ("a1", "a2"),
            "research": ("r1",),
            "session": ("s1",),
            "kind": (UsageKind.LLM,),
            "agent_role": ("blog-writer",),
            "tags": (("env", "x"),),
        }
        for name in self.random.sample(sorted(values), self.random.choice((0, 0, 0, 1, 2))):
            chosen[name] = values[name]
        group_by = self.random.sample(DIMENSIONS, self.random.choice((0, 1, 1, 2, 3)))
        return UsageFilter(start, end, **chosen), group_by


async def sums(application: Application, caller: Caller, clock: Clock, *group_by: Dimension) -> dict[Any, UsageTotals]:
    everything = UsageFilter(clock.now - 3 * SPAN, clock.now + timedelta(hours=1))
    return as_dict(await usage_breakdown(application, caller.tenant_id, everything, group_by, top=1000))


async def rolled_up(application: Application, clock: Clock) -> None:
    assert (await roll_up(application, clock.now)).complete


async def test_a_roll_up_that_is_cut_off_or_done_twice_changes_no_answer(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, credits="100", metered="100")
    story = Story(timed, caller, Random(7), clock)
    for _ in range(5):
        await story.act()
    reference = await reference_of(timed, caller.tenant_id, "UTC")
    everything = UsageFilter(clock.now - 3 * SPAN, clock.now + timedelta(hours=1))
    expected = reference.answer(everything, (Dimension.DAY, Dimension.MODEL))
    clock.advance(days=1)
    for steps in range(1, 40, 3):
        run = asyncio.create_task(roll_up(timed, clock.now))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait([run])
        assert await sums(timed, caller, clock, Dimension.DAY, Dimension.MODEL) == expected
    stopped = await roll_up(timed, clock.now, stop_at=clock.now)
    assert not stopped.complete
    await rolled_up(timed, clock)
    assert await count(timed, "usage_mark") == 0
    assert (await roll_up(timed, clock.now)).done == 0
    assert await sums(timed, caller, clock, Dimension.DAY, Dimension.MODEL) == expected


async def test_the_running_hour_is_left_alone_and_counts_all_the_same(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100")
    clock.now = clock.now.replace(minute=5)
    for number, minutes in enumerate((1, 90)):
        event = reported(f"e{number}", "1", occurred_at=clock.now - timedelta(minutes=minutes))
        await service.record_usage(timed, caller, [ReportedUsage(event)])
    await rolled_up(timed, clock)
    assert (await count(timed, "usage_mark"), await count(timed, "usage_hour")) == (1, 1)
    assert await count(timed, "usage_day") == 0, "the day is not over"
    assert (await sums(timed, caller, clock))[()].cost == nano("2")


async def test_a_new_time_zone_moves_every_day(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100")
    late = datetime(2026, 10, 3, 20, 0, tzinfo=UTC)
    await service.record_usage(timed, caller, [ReportedUsage(reported("e", "1", occurred_at=late))])
    await rolled_up(timed, clock)
    assert set(await sums(timed, caller, clock, Dimension.DAY)) == {("2026-10-03",)}
    await subscriptions.set_cycle(timed, caller, "z", None, "Asia/Kolkata")
    clock.advance(days=40)
    await service.record_usage(timed, caller, [ReportedUsage(reported("f", "1", occurred_at=late))])
    for _ in range(2):
        found = await sums(timed, caller, clock, Dimension.DAY)
        assert {key: totals.events for key, totals in found.items()} == {("2026-10-04",): 2}
        await rolled_up(timed, clock)
    assert await count(timed, "usage_day", "day = '2026-10-04'") == 1


async def test_the_period_before_of_whole_months_is_as_many_months(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100", time_zone="Asia/Kolkata")
    zone = ZoneInfo("Asia/Kolkata")
    october, september = datetime(2026, 10, 1, tzinfo=zone), datetime(2026, 9, 1, tzinfo=zone)
    for name, at, cost in (("o", october, "3"), ("s", september, "2"), ("a", september - timedelta(seconds=1), "9")):
        usage = reported(name, cost, provider="openai", model="gpt-4o", occurred_at=at.astimezone(UTC))
        await service.record_usage(timed, caller, [ReportedUsage(usage)])
    wanted = UsageFilter(october.astimezone(UTC), datetime(2026, 11, 1, tzinfo=zone).astimezone(UTC))
    answer = await usage_breakdown(timed, caller.tenant_id, wanted, [Dimension.PROVIDER], compare_previous=True)
    assert (answer.previous_start, answer.previous_end) == (september.astimezone(UTC), october.astimezone(UTC))
    (row,) = answer.rows
    assert row.previous is not None
    assert answer.previous == row.previous
    assert (row.totals.cost, row.previous.cost) == (nano("3"), nano("2"))


async def test_without_dimensions_the_one_row_is_the_total_also_of_the_period_before(
    timed: Application, clock: Clock
) -> None:
    caller = await open_tenant(timed, metered="100")
    for name, cost, hours in (("now", "3", 1), ("before", "2", 25)):
        usage = reported(name, cost, occurred_at=clock.now - timedelta(hours=hours))
        await service.record_usage(timed, caller, [ReportedUsage(usage)])
    wanted = UsageFilter(clock.now - timedelta(days=1), clock.now)
    answer = await usage_breakdown(timed, caller.tenant_id, wanted, [], compare_previous=True)
    (row,) = answer.rows
    assert (row.keys, row.totals, row.previous) == ((), answer.total, answer.previous)
    assert (answer.total.cost, answer.previous and answer.previous.cost) == (nano("3"), nano("2"))


async def test_a_question_that_is_asked_again_and_again_is_planned_for_its_span(
    settings: Settings, database_url: str
) -> None:
    async with open_application(settings, database_url, most_readers=1) as application:
        caller = await open_tenant(application, metered="100")
        wanted = UsageFilter(NOW - timedelta(days=3000), NOW)
        for _ in range(8):
            await usage_breakdown(application, caller.tenant_id, wanted, [Dimension.SESSION])
        async with application.readers.of(caller.tenant_id).acquire() as connection:
            plans = await connection.fetch(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%WITH grouped%'"
                " AND statement NOT LIKE '%pg_prepared_statements%'"
            )
    assert [tuple(row) for row in plans] == [(0, 8)]


async def test_reports_take_turns_and_wait_without_a_connection(application: Application, caller: Caller) -> None:
    other = await open_tenant(application, "globex")
    wanted = UsageFilter(NOW - SPAN, NOW)
    async with application.reports.turn(caller.tenant_id), application.reports.turn(caller.tenant_id):
        waiting = asyncio.create_task(usage_breakdown(application, caller.tenant_id, wanted, []))
        await usage_breakdown(application, other.tenant_id, wanted, [])
        assert not waiting.done()
        assert application.readers._pool.get_idle_size() == application.readers._pool.get_size()
    assert (await waiting).total == UsageTotals()


async def test_a_series_shows_every_period_of_the_groups_that_cost_most(timed: Application, clock: Clock) -> None:
    caller = await open_tenant(timed, metered="100")
    for number, (model, cost) in enumerate((("a", "3"), ("b", "2"), ("a", "1"), ("c", "1"), ("b", "5"))):
        at = clock.now - timedelta(days=number)
        usage = reported(f"e{number}", cost, provider="x", model=model, occurred_at=at)
        await service.record_usage(timed, caller, [ReportedUsage(usage)])
    wanted = UsageFilter(clock.now - SPAN, clock.now + timedelta(minutes=1))
    answer = await usage_breakdown(timed, caller.tenant_id, wanted, [Dimension.MODEL, Dimension.DAY], top=2)
    assert [row.keys[0].value for row in answer.rows] == ["b", "a", "b", "a"]
    assert [row.keys[1].value for row in answer.rows] == sorted(row.keys[1].value or "" for row in answer.rows)
    assert answer.total.cost == nano("12"), "also what no row shows"


@pytest.mark.parametrize("seed", range(4))
async def test_rollups_equal_the_usage_while_usage_comes_in(settings: Settings, database_url: str, seed: int) -> None:
    random = Random(seed)
    clock = Clock(NOW - timedelta(days=3))
    zone = ZONES[seed]
    async with (
        open_application(settings, database_url, clock=clock) as application,
        open_application(settings, database_url, clock=clock) as other,
    ):
        caller = await open_tenant(application, "acme", credits="100000", metered="100000", time_zone=zone)
        stranger = await open_tenant(application, "globex", metered="1000")
        await service.record_usage(application, stranger, [ReportedUsage(reported("e1", "3", occurred_at=clock.now))])
        story = Story(application, caller, random, clock)
        for _ in range(12):
            acts = [story.act() for _ in range(4)]
            await asyncio.gather(*acts, roll_up(application, clock.now), roll_up(other, clock.now))
            clock.advance(random.uniform(60, 8 * 3600))
            reference = await reference_of(application, caller.tenant_id, zone)
            for _ in range(4):
                wanted, group_by = story.question()
                answer = await usage_breakdown(application, caller.tenant_id, wanted, group_by, top=1000)
                expected = reference.answer(wanted, group_by)
                assert as_dict(answer) == (expected or ({} if group_by else {(): UsageTotals()})), (wanted, group_by)
                assert answer.total == reference.answer(wanted, ()).get((), UsageTotals())
        await rolled_up(application, clock)
        assert await count(application, "usage_day", f"tenant_id = '{caller.tenant_id}'") > 0
        everything = UsageFilter(NOW - 2 * SPAN, clock.now + timedelta(hours=1))
        answer = await usage_breakdown(application, caller.tenant_id, everything, ())
        reference = await reference_of(application, caller.tenant_id, zone)
        assert answer.total == reference.answer(everything, ())[()]
        assert story.corrections > 0
