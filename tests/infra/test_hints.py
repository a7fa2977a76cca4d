"""Hints: whatever changes a wallet or usage tells other processes of it, after the commit and on another connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from unittest.mock import patch
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.wallets import LotSource
from infra import feed
from infra.application import Application, open_application
from infra.balance_feed import Balance
from infra.hints import USAGE, WALLETS
from infra.services import cycles, reservations, settlements, wallets
from infra.services.callers import Caller
from infra.services.lots import expire_lots
from infra.services.usage import ReportedUsage, record_usage
from infra.settings import Settings
from tests.domain.builders import nano
from tests.infra.builders import Clock, open_tenant, reported, reserved
from tests.infra.proxy import Proxy, is_commit

pytestmark = pytest.mark.anyio


class Ear:
    """Another process that listens."""

    def __init__(self) -> None:
        self.heard: set[tuple[str, UUID]] = set()
        self._news = asyncio.Event()

    def hear(self, _connection: object, _process: int, channel: str, hint: object) -> None:
        self.heard.add((channel, UUID(str(hint))))
        self._news.set()

    async def hears(self, *expected: tuple[str, UUID]) -> None:
        """Waits for these, and then for nothing else."""
        async with asyncio.timeout(30):
            while not self.heard >= set(expected):
                self._news.clear()
                await self._news.wait()
        assert self.heard == set(expected)
        self.heard.clear()


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Ear]:
    ear, connection = Ear(), await asyncpg.connect(url)
    for channel in (WALLETS, USAGE):
        await connection.add_listener(channel, ear.hear)
    try:
        yield ear
    finally:
        await connection.close()


async def test_every_writer_tells_what_it_changed(timed: Application, clock: Clock, database_url: str) -> None:
    acme = await open_tenant(timed, credits="300", metered="50")
    wallet, usage = (WALLETS, acme.tenant_id), (USAGE, acme.tenant_id)
    await timed.hints.close()
    async with listening(database_url) as ear:
        work = await reserved(timed, acme, cost="1")
        await ear.hears(wallet)
        await settlements.consume(timed, acme, "c", work.id, None, [reported("1", "1")])
        await ear.hears(wallet, usage)
        await record(timed, acme, "2")
        await ear.hears(usage)
        await record(timed, acme, *[f"batch {number}" for number in range(120)])
        await ear.hears(wallet, usage)
        await wallets.credit(timed, acme.tenant_id, "credits", nano("10"), LotSource.TOP_UP, "x", soon(clock))
        await ear.hears(wallet)
        await reserved(timed, acme, "due", ttl=30)
        await ear.hears(wallet)
        clock.advance(3_600)
        assert (await expire_lots(timed, clock.now)).done == 1
        await ear.hears(wallet)
        assert (await reservations.expire_all_due(timed, clock.now)).done == 1
        await ear.hears(wallet)
        clock.advance(days=40)
        await cycles.start_cycle(timed, acme.tenant_id)
        await ear.hears(wallet)


def soon(clock: Clock) -> datetime:
    return clock.now + timedelta(minutes=1)


async def record(application: Application, caller: Caller, *names: str) -> None:
    report = await record_usage(application, caller, [ReportedUsage(reported(name, "0.5")) for name in names])
    assert report.accepted == len(names), report


async def test_changes_of_many_are_told_by_few_statements(application: Application, database_url: str) -> None:
    tenants = [uuid4() for _ in range(1_000)]
    acquire = patch.object(asyncpg.Pool, "acquire", autospec=True, side_effect=asyncpg.Pool.acquire)
    async with listening(database_url) as ear:
        with acquire as acquired:
            await told_one_by_one(application, tenants)
        assert acquired.call_count < 10
        await ear.hears(*[(WALLETS, tenant_id) for tenant_id in tenants])


async def told_one_by_one(application: Application, tenants: list[UUID]) -> None:
    for tenant_id in tenants:
        application.hints.give(WALLETS, {tenant_id})
        await asyncio.sleep(0)
    await application.hints.close()


@pytest.mark.parametrize("cut", [ConnectionError("cut"), asyncpg.InternalClientError("cut while it was spoken to")])
async def test_the_sender_outlives_a_connection_that_is_cut(
    application: Application, database_url: str, cut: Exception
) -> None:
    tenant_id = uuid4()
    async with listening(database_url) as ear:
        with patch.object(asyncpg.Pool, "acquire", side_effect=cut) as acquired:
            application.hints.give(WALLETS, {tenant_id})
            while not acquired.called:  # noqa: ASYNC110  # the sender tells nobody
                await asyncio.sleep(0)
        application.hints.give(WALLETS, {tenant_id})
        sender = application.hints._sender
        await ear.hears((WALLETS, tenant_id))
        assert application.hints._sender is sender


async def test_a_commit_whose_answer_was_lost_is_told(
    settings: Settings, database_url: str, application: Application
) -> None:
    acme = await open_tenant(application, credits="300")
    await application.hints.close()
    async with (
        Proxy(database_url).listening() as proxy,
        open_application(settings, proxy.url) as cut,
        listening(database_url) as ear,
    ):
        proxy.after = is_commit
        await reserved(cut, acme)
        assert proxy.cuts == 1
        await ear.hears((WALLETS, acme.tenant_id), (USAGE, acme.tenant_id))
        # And where nobody can be told, nothing breaks: the others look by themselves.
        proxy.is_down = True
        proxy.cut_all()
        cut.hints.give(WALLETS, {acme.tenant_id})
        await cut.hints.close()
        proxy.is_down = False
        cut.hints.give(WALLETS, {acme.tenant_id})
        await ear.hears((WALLETS, acme.tenant_id))


async def test_hints_just_before_a_wallet_may_be_looked_at_again_hurt_nobody(application: Application) -> None:
    acme = await open_tenant(application, credits="300")
    follower = await application.feed.follow(Balance, acme.tenant_id, "credits")
    (topic,) = application.feed.topics
    for seconds in (0.0003, 0.0004, 0.0002, 0.0):
        application.feed._look_again(topic, seconds)
    await anext(follower)
    await reserved(application, acme)
    assert (await anext(follower)).value.wallet.reserved > 0


async def test_who_comes_and_goes_leaves_nothing_behind(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 0.01)
    acme = await open_tenant(application, credits="300")

    async def come_and_go(number: int) -> None:
        follower = await application.feed.follow(Balance, acme.tenant_id if number % 2 else uuid4(), "credits")
        assert follower.waits == (number % 2 == 0)
        follower.leave()

    await asyncio.gather(*[come_and_go(number) for number in range(1_000)])
    while application.feed.topics:  # noqa: ASYNC110  # nobody is told
        await asyncio.sleep(0.001)
    for left in (application.feed._topics, application.feed._alarms, application.feed._looked_at):
        assert not left
