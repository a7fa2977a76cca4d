"""The group commit: batches, their neighbours, and what a lost connection may not do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from domain import decisions
from domain.adjustments import AdjustWallet
from domain.attribution import Attribution
from domain.books import Books, Decision, Operation
from domain.controls import BudgetState
from domain.decisions import Answer, Command
from domain.refusals import InsufficientFunds, NotFound, ReservationState
from domain.reservations import Granted, Release, Released, Reserve
from domain.settlements import Consumed
from infra import deciding, group_commit
from infra.application import Application, open_application
from infra.deciding import Decided
from infra.group_commit import Overloaded
from infra.services import budgets, reservations, settlements, usage
from infra.services.callers import Caller, Refused
from infra.services.reservations import Order
from infra.services.usage import ReportedUsage
from infra.settings import Settings
from tests.domain.builders import capped, nano, tenant_month
from tests.infra.builders import (
    audit,
    balance,
    count,
    counter,
    fresh_id,
    held,
    nothing_moves,
    open_tenant,
    outbox,
    reported,
    request_by,
    reserved,
    wish,
)
from tests.infra.proxy import Cut, Proxy, is_commit, is_write

WITH_CAMPAIGN = Attribution(campaign="spring")


def batches_of(application: Application, monkeypatch: pytest.MonkeyPatch) -> list[list[Command]]:
    """The batches that are decided from now on."""
    seen: list[list[Command]] = []
    run = application.group_commit.deciding.__class__.run

    async def watched(self: Any, connection: Any, commands: Sequence[Command]) -> Any:
        seen.append(list(commands))
        return await run(self, connection, commands)

    monkeypatch.setattr(deciding.Deciding, "run", watched)
    return seen


async def eventually(is_so: Callable[[], bool]) -> None:
    """Let the others work until something is so."""
    for _ in range(60_000):
        if is_so():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never was so")


def reserve_command(caller: Caller, key: str, feature: str = "social_post") -> Reserve:
    return Reserve(request_by(caller, Operation.RESERVE, key), fresh_id(), wish(feature))


async def test_callers_that_come_together_share_one_commit(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(application, monkeypatch)
    await asyncio.gather(*[reserved(application, caller, f"r{number}") for number in range(64)])
    assert [len(batch) for batch in batches] == [64]


async def test_what_arrives_during_a_commit_is_the_next_batch(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(application, monkeypatch)
    first = application.group_commit.submit(reserve_command(caller, "first"))
    await eventually(lambda: bool(batches))
    others = [application.group_commit.submit(reserve_command(caller, f"r{number}")) for number in range(10)]
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in batches] == [1, 10]


async def test_one_tenants_commands_keep_their_order(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await open_tenant(application, "globex", credits="1000")
    batches = batches_of(application, monkeypatch)
    commands = [reserve_command(tenant, f"r{number}") for number in range(400) for tenant in (caller, other)]
    await asyncio.gather(*[application.group_commit.submit(command) for command in commands])
    for tenant in (caller, other):
        decided = [
            command.request.idempotency_key
            for batch in batches
            for command in batch
            if command.request.tenant_id == tenant.tenant_id
        ]
        assert decided == [f"r{number}" for number in range(400)]


async def test_no_tenant_fills_a_batch_alone_while_others_wait(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [await open_tenant(application, f"small-{number}", credits="10") for number in range(4)]
    batches = batches_of(application, monkeypatch)
    flood = [application.group_commit.submit(reserve_command(caller, f"r{number}")) for number in range(1_000)]
    late = [application.group_commit.submit(reserve_command(other, "late")) for other in others]
    await asyncio.gather(*flood, *late)
    first = [command.request.tenant_id for command in batches[0]]
    assert len(first) == group_commit.LARGEST_BATCH
    assert {other.tenant_id for other in others} < set(first)
    assert sum(len(batch) for batch in batches) == 1_004


async def test_more_tenants_than_a_batch_holds_all_get_their_turn(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_application(settings, database_url, largest_batch=4) as application:
        tenants = [await open_tenant(application, f"t-{number}", credits="10") for number in range(10)]
        batches = batches_of(application, monkeypatch)
        await asyncio.gather(
            *[reserved(application, tenant, f"r{number}") for number in range(3) for tenant in tenants]
        )
        assert max(len(batch) for batch in batches) == 4
        order = [command.request.tenant_id for batch in batches for command in batch]
        assert set(order[:10]) == set(order[10:20]) == set(order[20:]) == {tenant.tenant_id for tenant in tenants}
        await audit(application)


async def test_a_full_queue_answers_overloaded_and_works_on(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING", 5)
    waiting = [application.group_commit.submit(reserve_command(caller, f"r{number}")) for number in range(5)]
    one_more = reserve_command(caller, "one too many")
    with pytest.raises(Overloaded):
        waiting.append(application.group_commit.submit(one_more))
    assert all(isinstance(decided.answer, Granted) for decided in await asyncio.gather(*waiting))
    await reserved(application, caller, "one too many")
    assert await count(application, "reservation") == 6


async def test_a_caller_that_goes_away_cancels_nothing(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_of(application, monkeypatch)
    calls = [asyncio.create_task(reserved(application, caller, f"r{number}")) for number in range(20)]
    for _ in range(2):
        await asyncio.sleep(0)
    calls[3].cancel()
    await eventually(lambda: bool(batches))
    calls[7].cancel()
    calls[8].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [3, 7, 8]
    assert await count(application, "reservation") == 20
    again = await reserved(application, caller, "r7")
    assert again.state is ReservationState.HELD
    assert await count(application, "reservation") == 20
    await audit(application)


def was_granted(outcome: Decided | BaseException) -> bool:
    return isinstance(outcome, Decided) and isinstance(outcome.answer, Granted)


async def test_a_tenant_that_does_not_exist_hurts_no_neighbour(application: Application, caller: Caller) -> None:
    nobody = Caller(fresh_id(), caller.role, caller.actor)
    decided = await asyncio.gather(
        application.group_commit.submit(reserve_command(caller, "1")),
        application.group_commit.submit(reserve_command(nobody, "2")),
        application.group_commit.submit(reserve_command(caller, "3")),
    )
    answers = [answer for answer, _ in decided]
    assert isinstance(answers[0], Granted)
    assert answers[1] == NotFound("tenant")
    assert isinstance(answers[2], Granted)


async def test_a_command_that_fails_hurts_no_neighbour(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await open_tenant(application, "globex", credits="100")

    def decide(books: Books, command: Command, now: Any) -> Decision[Answer]:
        if command.request.idempotency_key == "poison":
            raise ZeroDivisionError
        return decisions.decide(books, command, now)

    monkeypatch.setattr(deciding, "decide", decide)
    commands = [reserve_command((caller, other)[number % 2], f"r{number}") for number in range(60)]
    commands[17] = reserve_command(other, "poison")
    outcomes = await asyncio.gather(
        *[application.group_commit.submit(command) for command in commands], return_exceptions=True
    )
    assert [index for index, outcome in enumerate(outcomes) if not was_granted(outcome)] == [17]
    assert isinstance(outcomes[17], ZeroDivisionError)
    assert await count(application, "reservation") == 59
    assert await balance(application, caller, "credits") == ("270", "30", "0")
    assert await balance(application, other, "credits") == ("71", "29", "0")
    await audit(application)


async def test_a_value_that_postgresql_refuses_hurts_no_neighbour(application: Application, caller: Caller) -> None:
    request = request_by(caller, Operation.ADJUST_WALLET, "a")
    refused_by_server = AdjustWallet(request, "credits", 1, "a\0b", fresh_id())
    refused_by_driver = Release(request_by(caller, Operation.RELEASE, "half \ud800 of a pair"), fresh_id())
    too_large = AdjustWallet(request_by(caller, Operation.ADJUST_WALLET, "b"), "metered", 2**70, "huge", fresh_id())
    commands: list[Command] = [reserve_command(caller, f"r{number}") for number in range(20)]
    commands[5:5] = [refused_by_server, refused_by_driver, too_large]
    outcomes = await asyncio.gather(
        *[application.group_commit.submit(command) for command in commands], return_exceptions=True
    )
    assert [was_granted(outcome) for outcome in outcomes] == [True] * 5 + [False] * 3 + [True] * 15
    assert isinstance(outcomes[5], asyncpg.PostgresError)
    assert isinstance(outcomes[6], asyncpg.PostgresError)
    assert await balance(application, caller, "credits") == ("280", "20", "0")
    await audit(application)


async def test_a_failed_batch_leaves_nothing_behind(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await budgets.set_budget(application, caller, "b", capped(tenant_month(), "1"))

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("infra.changes.register", fail)
    async with nothing_moves(application):
        outcomes = await asyncio.gather(
            reservations.reserve(application, caller, "1", wish("llm_call", "0.9", WITH_CAMPAIGN)),
            usage.record_usage(application, caller, [ReportedUsage(reported("e", "1"), attribution=WITH_CAMPAIGN)]),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]


async def test_many_tenants_in_two_processes_with_lanes_never_wait_for_each_other_in_a_circle(
    settings: Settings, database_url: str
) -> None:
    async with (
        open_application(settings, database_url, lanes=3) as first,
        open_application(settings, database_url, lanes=2, largest_batch=16) as second,
    ):
        tenants = [await open_tenant(first, f"t-{number}", credits="30", metered="5") for number in range(12)]

        async def work(application: Application, tenant: Caller, key: str) -> None:
            reservation = await reserved(application, tenant, key)
            if int(key) % 3:
                await settlements.consume(application, tenant, key, reservation.id, None, [])
            else:
                await reservations.release(application, tenant, key, reservation.id)

        await asyncio.gather(
            *[work((first, second)[key % 2], tenant, str(key)) for key in range(15) for tenant in tenants]
        )
        for tenant in tenants:
            assert await balance(first, tenant, "credits") == ("10", "0", "20")
        await audit(first)


@asynccontextmanager
async def through_a_proxy(settings: Settings, database_url: str) -> AsyncIterator[tuple[Application, Proxy]]:
    async with Proxy(database_url).listening() as proxy, open_application(settings, proxy.url) as application:
        yield application, proxy


async def mixed_load(application: Application, caller: Caller) -> list[Any]:
    """Sixty reserves of which forty fit, each consumed or released, a budget and usage, all by key."""

    async def work(number: int) -> Any:
        answer = await reservations.reserve(application, caller, f"r{number}", wish("in_editor_action"))
        if isinstance(answer, Refused):
            return answer.refusal
        if number % 2:
            return await settlements.consume(application, caller, f"c{number}", held(answer).id, None, [])
        return await reservations.release(application, caller, f"c{number}", held(answer).id)

    return await asyncio.gather(
        *[work(number) for number in range(60)],
        budgets.set_budget(application, caller, "b", capped(tenant_month(), "100")),
        usage.record_usage(application, caller, [ReportedUsage(reported(f"e{n}", "0.001")) for n in range(10)]),
    )


CUTS = {
    "before BEGIN": (True, lambda data: b"BEGIN" in data),
    "amid the batch": (True, is_write),
    "before COMMIT arrives": (True, is_commit),
    "after COMMIT is done": (False, is_commit),
}


@pytest.mark.parametrize(("before", "cut"), CUTS.values(), ids=CUTS)
async def test_a_connection_cut_at_any_moment_answers_every_caller_and_books_once(
    settings: Settings, database_url: str, application: Application, before: bool, cut: Cut
) -> None:
    caller = await open_tenant(application, credits="4")
    async with through_a_proxy(settings, database_url) as (cut_off, proxy):
        await reservations.preview(cut_off, caller, wish())
        proxy.before, proxy.after = (cut, None) if before else (None, cut)
        answers = await asyncio.gather(
            *[reservations.reserve(cut_off, caller, f"r{number}", wish("in_editor_action")) for number in range(60)]
        )
        assert proxy.cuts == 1
        granted = [held(answer) for answer in answers if isinstance(answer, Granted)]
        refused = [answer.refusal for answer in answers if isinstance(answer, Refused)]
        assert len(granted) == len({reservation.id for reservation in granted}) == 40
        assert refused == [InsufficientFunds("credits", nano("0.1"), 0)] * 20
        proxy.before, proxy.after = (cut, None) if before else (None, cut)
        settled = await asyncio.gather(
            *[
                settlements.consume(cut_off, caller, f"c{number}", reservation.id, None, [])
                for number, reservation in enumerate(granted)
            ]
        )
        assert proxy.cuts == 2
        assert all(isinstance(answer, Consumed) for answer in settled)
    assert await balance(application, caller, "credits") == ("0", "0", "4")
    assert await count(application, "ledger_entry", "type = 'CONSUMED'") == 40
    assert await count(application, "idempotency_key", "operation = 'consume'") == 40
    await audit(application)


@pytest.mark.parametrize(("before", "cut"), CUTS.values(), ids=CUTS)
async def test_a_cut_amid_mixed_work_loses_and_doubles_nothing(
    settings: Settings,
    database_url: str,
    application: Application,
    before: bool,
    cut: Cut,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    caller = await open_tenant(application, credits="6")
    async with through_a_proxy(settings, database_url) as (cut_off, proxy):
        running = asyncio.create_task(mixed_load(cut_off, caller))
        for _ in range(3):
            proxy.before, proxy.after = (cut, None) if before else (None, cut)
            await eventually(lambda: running.done() or not (proxy.before or proxy.after))
        answers = await running
        assert proxy.cuts >= 1
    assert [type(answer) for answer in answers[:60]] == [Released, Consumed] * 30
    assert isinstance(answers[60], BudgetState)
    assert await balance(application, caller, "credits") == ("3", "0", "3")
    assert await count(application, "usage_event", "source IS NOT NULL") == 10
    month = answers[60].counter.key.period_key
    assert await counter(application, caller, "TENANT", "", month) == ("0.01", "0")
    await audit(application)


async def test_usage_whose_commit_went_unheard_is_not_called_a_duplicate(
    settings: Settings, database_url: str, application: Application
) -> None:
    caller = await open_tenant(application, metered="1")
    async with through_a_proxy(settings, database_url) as (cut_off, proxy):
        proxy.after = is_commit
        events = [ReportedUsage(reported(f"e{number}", "0.1"), "llm_call") for number in range(3)]
        report = await usage.record_usage(cut_off, caller, events)
        assert proxy.cuts == 1
    assert await balance(application, caller, "metered") == ("0.61", "0", "0.39")
    assert (report.accepted, report.duplicates, report.cost) == (3, 0, nano("0.3"))


async def test_backends_that_are_terminated_at_any_time_lose_and_double_nothing(
    application: Application, second_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    caller = await open_tenant(second_application, credits="6")
    running = asyncio.create_task(mixed_load(application, caller))
    terminated = 0
    while not running.done():
        terminated += await second_application.across_tenants.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'purser-ledger' AND (xact_start IS NOT NULL OR query LIKE 'COMMIT%')"
        )
        if terminated > 5:
            break
    answers = await running
    assert [type(answer) for answer in answers[:60]] == [Released, Consumed] * 30
    assert await balance(second_application, caller, "credits") == ("3", "0", "3")
    await audit(second_application)


async def test_a_database_that_is_away_for_a_while_delays_and_loses_nothing(
    settings: Settings, database_url: str, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    caller = await open_tenant(application, credits="100")
    async with through_a_proxy(settings, database_url) as (cut_off, proxy):
        await reserved(cut_off, caller, "before")
        proxy.is_down = True
        proxy.cut_all()
        connections = proxy.connections
        waiting = asyncio.gather(*[reserved(cut_off, caller, f"r{number}") for number in range(10)])
        await eventually(lambda: proxy.connections >= connections + 3)
        proxy.is_down = False
        assert len({reservation.id for reservation in await waiting}) == 10
    assert await balance(application, caller, "credits") == ("78", "22", "0")


async def test_a_database_that_stays_away_is_an_error_and_its_return_is_enough(
    settings: Settings, database_url: str, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SECONDS_BETWEEN_ATTEMPTS", 0)
    caller = await open_tenant(application, credits="100")
    async with through_a_proxy(settings, database_url) as (cut_off, proxy):
        proxy.is_down = True
        proxy.cut_all()
        outcomes = await asyncio.gather(
            *[reserved(cut_off, caller, f"r{number}") for number in range(10)], return_exceptions=True
        )
        assert all(isinstance(outcome, OSError | asyncpg.PostgresConnectionError) for outcome in outcomes), outcomes
        assert await count(application, "reservation") == 0
        proxy.is_down = False
        await asyncio.gather(*[reserved(cut_off, caller, f"r{number}") for number in range(10)])
    assert await count(application, "reservation") == 10


async def test_leaving_the_application_commits_what_waits(
    settings: Settings, database_url: str, application: Application
) -> None:
    caller = await open_tenant(application, credits="100")
    async with open_application(settings, database_url) as leaving:
        waiting = [leaving.group_commit.submit(reserve_command(caller, f"r{number}")) for number in range(30)]
    assert all(answer.done() for answer in waiting)
    assert await count(application, "reservation") == 30


async def test_many_orders_that_do_not_fit_the_queue_are_overload_and_none_of_them_is_decided(
    application: Application, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MOST_WAITING", 5)
    orders = [Order(f"r{number}", wish("social_post")) for number in range(8)]
    with pytest.raises(Overloaded):
        await reservations.reserve_many(application, caller, orders)
    assert await count(application, "reservation") == 0


async def test_outbox_rows_commit_with_what_they_tell_of_and_in_its_order(
    application: Application, caller: Caller
) -> None:
    await budgets.set_budget(application, caller, "b0", capped(tenant_month(), "1"))
    record = usage.record_usage(application, caller, [ReportedUsage(reported("e", "1"))])
    await asyncio.gather(
        record,
        budgets.set_budget(application, caller, "b1", capped(tenant_month(), "2")),
        usage.record_usage(application, caller, [ReportedUsage(reported("f", "1"))]),
        budgets.set_budget(application, caller, "b2", capped(tenant_month(), "3")),
    )
    kinds = [kind for kind, _ in await outbox(application, caller)]
    assert kinds == ["scope.paused", "scope.resumed"] * 2
