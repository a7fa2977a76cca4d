"""Work of a worker: reserved, settled, and never twice, whatever happens on the way."""

import asyncio
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from time import time
from typing import Final

import pytest
from typing_extensions import override

from domain.wallets import LotSource
from infra.services.callers import Role
from infra.services.wallets import credit
from purser_client import BudgetExceeded, InsufficientFunds, Refused, ScopePaused, Unavailable, Usage, Work
from tests.domain.builders import nano, tenant_month
from tests.infra.builders import balance, cap, count, new_key, revoke_key
from tests.purser_client.conftest import Ground

pytestmark = pytest.mark.anyio

CALL: Final[Usage] = {"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 900, "output_tokens": 400}


TWO_CREDITS: Final = (("credits", Decimal(2)),)


def names(operation: str) -> Callable[[bytes], bool]:
    """Whether a request asks for an operation."""
    return lambda data: f"{operation}(input".encode() in data


class CrashError(Exception):
    """The worker's own."""


async def crash(work: Work) -> None:
    """A call is made, and then something fails."""
    async with work:
        work.record(**CALL)
        raise CrashError("my customer's name is Smith")


async def test_work_is_three_lines_from_being_metered(ground: Ground) -> None:
    async with ground.worker() as purser:
        async with purser.reservation("blog_post", task_key="post-42", campaign="spring") as work:
            assert (work.route, work.already_done, work.charges) == ("MANAGED", False, None)
            assert await work.check(output_tokens=100)
            work.record(**CALL)
            work.record(**CALL)
        assert work.charges == TWO_CREDITS
    assert await ground.proof() == ("2", 2)


@pytest.mark.parametrize(
    ("operation", "moment"),
    [
        pytest.param("reserve", "before", marks=pytest.mark.slow),
        pytest.param("reserve", "after", marks=pytest.mark.slow),
        pytest.param("consume", "before", marks=pytest.mark.slow),
        ("consume", "after"),
    ],
)
async def test_an_answer_that_is_lost_is_asked_for_again(ground: Ground, operation: str, moment: str) -> None:
    setattr(ground.proxy, moment, names(operation))
    async with ground.worker() as purser:
        async with purser.reservation("blog_post", task_key="post-42") as work:
            work.record(**CALL)
        assert await purser.flush(30) == 0
        assert work.charges == TWO_CREDITS
    assert ground.proxy.cuts == 1
    assert await ground.proof() == ("2", 1)


async def test_who_fails_is_not_charged_and_what_it_cost_is_known(ground: Ground) -> None:
    async with ground.worker() as purser:
        with pytest.raises(CrashError):
            await crash(work := purser.reservation("blog_post", task_key="post-42"))
        assert work.charges is None
        async with purser.reservation("blog_post", task_key="post-42") as again:
            assert not again.already_done
            assert again.id != work.id
            again.record(**CALL)
    assert await ground.proof() == ("2", 2)
    notes = await ground.application.across_tenants.fetch("SELECT note FROM ledger_entry WHERE type = 'RELEASED'")
    assert [note for (note,) in notes] == ["the work failed: CrashError"]


@pytest.mark.slow
async def test_a_failure_is_charged_what_it_cost_where_cost_is_what_is_charged(ground: Ground) -> None:
    """Document 001: what was spent is metered, whatever became of the work."""
    tenant = ground.caller.tenant_id
    await credit(ground.application, tenant, "email_sends", nano("10"), LotSource.TOP_UP, "opening")
    async with ground.worker() as purser:
        with pytest.raises(CrashError):
            await crash(purser.reservation("email_send", provider="openai", model="gpt-4o-mini"))
    assert await ground.proof() == ("0", 1)
    assert await balance(ground.application, ground.caller, "email_sends") == ("10", "0", "0"), "nothing was sent"
    _, _, charged = await balance(ground.application, ground.caller, "metered")
    assert Decimal(charged) >= Decimal("0.000375"), "900 and 400 tokens were paid for"


async def crash_after_settling(work: Work) -> None:
    async with work:
        work.record(**CALL)
        await work.consume(quantity=3)
        work.record(**CALL)
        raise CrashError


@pytest.mark.slow
async def test_work_that_was_settled_stays_so_when_something_fails_afterwards(ground: Ground) -> None:
    """Document 003, pattern B: consume after the save."""
    async with ground.worker() as purser:
        work = purser.reservation("social_post", quantity=5)
        with pytest.raises(CrashError):
            await crash_after_settling(work)
        with pytest.raises(RuntimeError, match="settled before"):
            await work.release("too late")
        async with purser.reservation("social_post", quantity=5) as other:
            await other.release("nothing to say today\0" + "!" * 2_000)
    assert await ground.proof() == ("3", 2)


@pytest.mark.parametrize(
    "operation", ["nothing", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reserve", "consume"))]
)
async def test_cancelled_work_holds_nothing(ground: Ground, operation: str) -> None:
    reached = asyncio.Event()

    def reach(data: bytes) -> bool:
        if names(operation)(data):
            reached.set()
        return False

    ground.proxy.before = reach

    async def work_for_ever() -> None:
        async with purser.reservation("blog_post", task_key="post-42") as work:
            work.record(**CALL)
            if operation == "nothing":
                reached.set()
                await asyncio.Event().wait()

    async with ground.worker() as purser:
        task = asyncio.create_task(work_for_ever())
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    assert await ground.proof() == {"nothing": ("0", 1), "reserve": ("0", 0), "consume": ("2", 1)}[operation]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_work_that_is_cancelled_anywhere_is_charged_once_or_not_at_all(ground: Ground) -> None:
    """Whole crowds of them, so that what a cancelled request leaves in the pool of connections would be found out too."""
    ended, returned = set[str](), set[str]()

    async def work(task_key: str) -> None:
        async with purser.reservation("social_post", task_key=task_key) as running:
            running.record(**CALL)
            await running.check()
            await running.extend(ttl_seconds=500)
            ended.add(task_key)
        returned.add(task_key)

    async with ground.worker() as purser:
        for steps in range(150):
            crowd = [asyncio.create_task(work(f"{steps}-{each}")) for each in range(20)]
            for _ in range(steps * steps // 40):
                await asyncio.sleep(0)
            for _ in range(2):
                for task in crowd:
                    task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait(crowd)
        assert await purser.flush(60) == 0
        assert purser.unsettled() == []
        await work("last")
    charged, _ = await ground.proof()
    rows = await ground.application.across_tenants.fetch("SELECT task_key FROM reservation WHERE state = 'CONSUMED'")
    assert len(rows) == int(charged)
    assert {"last"} <= returned <= {task_key for (task_key,) in rows} == ended


async def test_two_workers_on_the_same_task_are_charged_once(ground: Ground) -> None:
    async with ground.worker() as one, ground.worker() as two:
        async with one.reservation("blog_post", task_key="post-42") as first:
            async with two.reservation("blog_post", task_key="post-42") as second:
                assert first.id == second.id
                first.record(**CALL)
                second.record(**CALL)
            assert second.charges == TWO_CREDITS
        assert first.charges is None
        async with two.reservation("blog_post", task_key="post-42") as third:
            assert third.already_done
    assert await ground.proof() == ("2", 2)


async def test_who_finishes_is_charged_though_another_gave_the_hold_of_the_task_back(ground: Ground) -> None:
    async with ground.worker() as one, ground.worker() as two:
        async with one.reservation("blog_post", task_key="post-42") as first:
            first.record(**CALL)
            with pytest.raises(CrashError):
                await crash(two.reservation("blog_post", task_key="post-42"))
            assert not await first.check()
        assert first.charges == TWO_CREDITS
    assert await ground.proof() == ("2", 2)


async def test_a_refusal_says_what_to_do(ground: Ground) -> None:
    await cap(ground.application, ground.caller, tenant_month(), "1")
    async with ground.worker() as purser:
        with pytest.raises(InsufficientFunds) as poor:
            async with purser.reservation("blog_post", quantity=200, cost_usd="0.1"):
                raise AssertionError("it is not admitted")
        assert (poor.value.figures["short_by"], poor.value.retryable) == ("100", False)
        handed_over = pickle.loads(pickle.dumps(poor.value))  # noqa: S301  # our own
        assert (str(handed_over), handed_over.figures) == (str(poor.value), poor.value.figures)
        async with purser.reservation("blog_post", cost_usd="0.9") as work:
            with pytest.raises(BudgetExceeded, match="send it again") as full:
                await purser.reservation("blog_post", cost_usd="0.2").__aenter__()
            assert full.value.retryable
            assert full.value.figures["requested"] == "0.2"
            with pytest.raises(BudgetExceeded):
                await work.extend(cost_usd="0.2")
            work.record(cost_usd="0.8")
        async with purser.reservation("blog_post", cost_usd="0.1") as work:
            assert [(warning.scope, warning.used_percent, warning.spent) for warning in work.warnings] == [
                ("TENANT", 80, Decimal("0.8"))
            ]
            work.record(cost_usd="0.2")
        with pytest.raises(ScopePaused) as paused:
            await purser.reservation("blog_post", cost_usd="0.2").__aenter__()
        assert paused.value.figures["reason"] == "tenant_monthly_budget_exceeded"
        with pytest.raises(Refused) as unknown:
            await purser.reservation("blog").__aenter__()
        assert unknown.value.code == "UNKNOWN_FEATURE"
        with pytest.raises(Refused, match="ttlSeconds") as unreadable:
            await purser.reservation("blog_post", ttl_seconds=10**12).__aenter__()
        assert unreadable.value.code == "BAD_USER_INPUT"
    assert await ground.proof() == ("4", 2)


@pytest.mark.slow
async def test_work_that_outlives_its_hold_is_charged_all_the_same(ground: Ground) -> None:
    async with ground.worker() as purser:
        async with purser.reservation("blog_post", task_key="post-42", ttl_seconds=60) as work:
            work.record(**CALL)
            ground.clock.advance(61)
            # Somebody else needs the room: the overdue hold is booked.
            with pytest.raises(InsufficientFunds):
                await purser.reservation("blog_post", quantity=200).__aenter__()
            assert await count(ground.application, "reservation", "state = 'EXPIRED'") == 1
            await work.check()
        assert work.charges == TWO_CREDITS
    assert await ground.proof() == ("2", 1)


@pytest.mark.slow
async def test_long_work_is_extended_before_its_hold_expires(ground: Ground) -> None:
    async with ground.worker() as purser, purser.reservation("blog_post", ttl_seconds=1) as work:
        before = work.expires_at
        ground.clock.advance(1)
        while work.expires_at == before:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
    assert await ground.proof() == ("2", 0)


@pytest.mark.slow
async def test_a_rotated_key_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.services.api_keys.SECONDS_REMEMBERED", 0.0)
    path = ground.journal.with_name("key")
    path.write_text(f"{ground.token}\n")
    async with ground.worker(key=path) as purser:
        async with purser.reservation("blog_post") as work:
            old = await ground.application.across_tenants.fetchval("SELECT id FROM api_key")
            await revoke_key(ground.application, old)
            work.record(**CALL)
        assert work.charges != TWO_CREDITS
        key = await new_key(ground.application, ground.caller.tenant_id, Role.SERVICE, "new")
        path.write_text(key.token)
        assert await purser.flush(30) == 0
        assert work.charges == TWO_CREDITS
    assert await ground.proof() == ("2", 1)
    async with ground.worker(key="psk_wrong") as purser:
        with pytest.raises(Unavailable, match="unknown, expired or revoked"):
            await purser.reservation("blog_post").__aenter__()


@pytest.mark.slow
async def test_calls_are_recorded_in_any_thread(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    def record() -> None:
        for _ in range(50):
            work.record(**CALL)

    async with ground.worker() as purser:
        async with purser.reservation("blog_post") as work:
            await asyncio.gather(*[asyncio.to_thread(record) for _ in range(5)])
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.to_thread(purser.record, cost_usd="1")
    assert await ground.proof() == ("2", 250)
    assert "lost with this process" not in caplog.text


@pytest.mark.slow
async def test_calls_without_a_reservation_are_recorded_once(ground: Ground) -> None:
    ground.proxy.after = names("recordUsage")
    async with ground.worker() as purser:
        for _ in range(2):
            purser.record(feature="profile_draft", of={"campaign": "spring"}, event_id="c-1", cost_usd="0.02")
    assert await ground.proof() == ("0.052", 1)


@pytest.mark.slow
async def test_what_is_refused_for_good_is_kept_until_a_person_decides(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    async with ground.worker() as purser:
        purser.record(provider="openai", input_tokens=1, of={"tags": {f"k{number}": "v" for number in range(11)}})
        async with purser.reservation("profile_draft"):
            """Charged by what it cost, and nothing is said of that."""
        await purser.flush(30)
        assert [
            "at most 10 tags" in kept.why or "report at least one call" in kept.why for kept in purser.unsettled()
        ] == [True] * 2
    async with ground.worker() as purser:
        one, two = purser.unsettled()
        purser.settle_again(one.id)
        await purser.flush(30)
        assert {kept.id for kept in purser.unsettled()} == {one.id, two.id}
        for kept in purser.unsettled():
            purser.forget(kept.id)
        assert purser.unsettled() == []
    assert [record.levelname for record in caplog.records if record.name.startswith("purser_client")] == ["ERROR"] * 5
    assert list(ground.journal.iterdir()) == []


async def test_a_mistake_of_the_worker_is_told_where_it_is_made(ground: Ground) -> None:
    async with ground.worker() as purser:
        with pytest.raises(TypeError, match="cost_usd: give a Decimal"):
            purser.record(cost_usd=0.1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="there is no tokens"):
            purser.record(tokens=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="there is no campain"):
            purser.reservation("blog_post", campain="spring")  # type: ignore[call-arg]
        for name, value in {
            "input_tokens": -1,
            "cost_usd": "1e3",
            "units": Decimal("NaN"),
            "kind": "llm",
            "model": " gpt",
            "provider": "",
        }.items():
            with pytest.raises(ValueError, match=f"{name}: must"):
                purser.record(**{name: value})  # type: ignore[arg-type]
        for name, value in {
            "input_tokens": 2**31,
            "prompt_hash": "md5",
            "cost_usd": 10**6 + 1,
            "units": "1" * 5_000,
        }.items():
            with pytest.raises(ValueError, match=f"{name}: must"):
                purser.record(**{name: value})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="before the year 2000"):
            purser.record(occurred_at=datetime(1970, 1, 1, tzinfo=UTC))
        with pytest.raises(TypeError, match="task_key: give text, not int"):
            purser.reservation("blog_post", task_key=42)  # type: ignore[arg-type]
        work = purser.reservation("blog_post")
        with pytest.raises(RuntimeError, match="was not admitted"):
            work.record(**CALL)
        with pytest.raises(RuntimeError, match="was not admitted"):
            await work.consume()
        with pytest.raises(CrashError):
            await crash(work)
        with pytest.raises(RuntimeError, match="make another reservation"):
            await work.__aenter__()
    with pytest.raises(RuntimeError, match="open the client first"):
        purser.reservation("blog_post")
    assert await ground.proof() == ("0", 1)


@pytest.mark.slow
async def test_capacity_stays_taken_by_who_succeeds(ground: Ground) -> None:
    await credit(ground.application, ground.caller.tenant_id, "lead_storage", nano("3"), LotSource.TOP_UP, "opening")
    async with ground.worker() as purser:
        async with purser.reservation("store_lead", task_key="lead-1") as work:
            assert work.expires_at is None
        with pytest.raises(CrashError):
            await crash(purser.reservation("store_lead", task_key="lead-2"))
        assert purser.unsettled() == []
    assert await balance(ground.application, ground.caller, "lead_storage") == ("2", "1", "0")


@pytest.mark.slow
@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_worker_whose_clock_is_wrong_reports_calls_of_now(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    class Wrong(datetime):
        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> "Wrong":
            return cls.fromtimestamp(time() + 3600 * hours, tz)

    monkeypatch.setattr("purser_client.connection.datetime", Wrong)
    async with ground.worker() as purser, purser.reservation("blog_post") as work:
        work.record(occurred_at=datetime.now(UTC) + timedelta(days=1))
        work.record(**CALL)
    assert await ground.proof() == ("2", 2)
    found = await ground.application.across_tenants.fetch("SELECT occurred_at FROM usage_event")
    assert all(abs(at - datetime.now(UTC)) < timedelta(hours=1) for (at,) in found)


@pytest.mark.slow
async def test_work_that_outlives_its_client_is_given_back_by_the_next(ground: Ground) -> None:
    async with ground.worker() as purser:
        finished, failed = purser.reservation("blog_post"), purser.reservation("blog_post")
        await finished.__aenter__()
        await failed.__aenter__()
    with pytest.raises(RuntimeError, match="closed before this work ended"):
        await finished.__aexit__(None, None, None)
    await failed.__aexit__(CrashError, CrashError(), None)
    assert await count(ground.application, "reservation", "state = 'HELD'") == 2
    async with ground.worker() as purser:
        await purser.flush(30)
        assert purser.unsettled() == []
    assert await ground.proof() == ("0", 0)


@pytest.mark.slow
async def test_work_of_more_calls_than_one_request_takes_is_settled_with_all_of_them(ground: Ground) -> None:
    async with ground.worker() as purser:
        async with purser.reservation("blog_post") as work:
            for number in range(1_001):
                for named in (number, 0):
                    work.record(provider="openai", model="gpt-4o-mini", input_tokens=1, event_id=f"c-{named}")
        assert work.charges == TWO_CREDITS
        purser.record(event_id="c-1000", cost_usd="1")
    assert await ground.proof() == ("2", 1_001)
