"""Whoever follows is told everything that is committed from then on, in order, each piece once, whatever is lost on the way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.wallets import LotSource
from infra import alert_feed, feed, topics
from infra.alert_feed import AlertsRaised
from infra.alert_rows import RaisedAlert
from infra.application import Application, open_application
from infra.balance_feed import Balance
from infra.deciding import utc_now
from infra.embedded_postgres import embedded_postgres
from infra.identifiers import new_id
from infra.schema import migrate
from infra.services import wallets
from infra.settings import Settings
from infra.topics import FellBehindError, Follower
from infra.transaction import Connection, transaction
from tests.infra.builders import Clock, open_tenant
from tests.infra.proxy import Proxy
from tests.servers import data_folder

pytestmark = pytest.mark.anyio

TENANT = UUID(int=1)
OTHER = UUID(int=2)
FEED = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'purser feed'"
FEEDS = f"SELECT count(*) {FEED}"
END_FEEDS = f"SELECT pg_terminate_backend(pid) {FEED}"
INSERT = """
INSERT INTO alert (tenant_id, id, kind, scope, scope_id, threshold, day, action, message, raised_at)
VALUES ($1, $2, 'budget', 'AGENT', $3, 8000, '2026-11-21', NULL, 'told', now())"""


@pytest.fixture
async def writer(application: Application) -> AsyncIterator[Connection]:
    async with application.writers.acquire() as connection:
        yield connection


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hints wake the feed."""
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 3_600.0)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed looks all the time, and is soon back."""
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(feed, "SECONDS_TO_RECONNECT", 0.01)


async def insert(writer: Connection, *tenants: UUID, identifier: UUID | None = None) -> list[UUID]:
    """One alert of each tenant, without a hint."""
    ids = [identifier or new_id() for _ in tenants]
    for tenant_id, alert_id in zip(tenants, ids, strict=True):
        await writer.execute(INSERT, tenant_id, alert_id, str(alert_id))
    return ids


async def hint(writer: Connection, tenant_id: UUID = TENANT) -> None:
    await writer.execute("SELECT pg_notify('purser_alert', $1)", str(tenant_id))


async def raised(writer: Connection, tenant_id: UUID = TENANT, identifier: UUID | None = None) -> UUID:
    """An alert as the services raise it: with its hint."""
    async with transaction(writer):
        (alert_id,) = await insert(writer, tenant_id, identifier=identifier)
        await hint(writer, tenant_id)
    return alert_id


async def follow(application: Application, tenant_id: UUID = TENANT) -> Follower[RaisedAlert]:
    return await application.feed.follow(AlertsRaised, tenant_id)


async def told(follower: Follower[RaisedAlert], number: int) -> list[UUID]:
    """The ids of the next ones."""
    async with asyncio.timeout(30):
        return [(await anext(follower)).id for _ in range(number)]


@pytest.mark.usefixtures("unhurried")
async def test_a_follower_is_told_what_is_raised_after_it_began_and_nothing_else(
    application: Application, writer: Connection
) -> None:
    await raised(writer)
    follower = await follow(application)
    first = await raised(writer)
    await raised(writer, OTHER)
    assert await told(follower, 1) == [first]
    second = await follow(application)
    third = await raised(writer)
    assert await told(follower, 1) == await told(second, 1) == [third]
    alert = (await raised(writer), await anext(follower))
    assert (alert[1].id, alert[1].alert.scope_id, alert[1].alert.threshold) == (alert[0], str(alert[0]), 8000)


@pytest.mark.usefixtures("unhurried")
async def test_an_older_id_that_becomes_visible_later_is_told_too(application: Application, writer: Connection) -> None:
    follower = await follow(application)
    async with application.writers.acquire() as late:
        async with transaction(late):
            (older,) = await insert(late, TENANT)
            await hint(late)
            newer = await raised(writer)
            assert await told(follower, 1) == [newer]
        assert await told(follower, 1) == [older]


@pytest.mark.usefixtures("unhurried")
async def test_what_was_open_when_a_follower_began_is_told_once_it_is_committed(
    application: Application, writer: Connection
) -> None:
    async with transaction(writer):
        (identifier,) = await insert(writer, TENANT)
        await hint(writer)
        follower = await follow(application)
    assert await told(follower, 1) == [identifier]


@pytest.mark.usefixtures("unhurried")
async def test_what_becomes_visible_together_comes_in_the_order_of_its_ids(
    application: Application, writer: Connection
) -> None:
    follower = await follow(application)
    ids = [new_id() for _ in range(20)]
    async with transaction(writer):
        for identifier in reversed(ids):
            await insert(writer, TENANT, identifier=identifier)
        await hint(writer)
    assert await told(follower, 20) == sorted(ids)


@pytest.mark.usefixtures("restless")
async def test_a_lost_hint_is_healed(application: Application, writer: Connection) -> None:
    follower, other = await follow(application), await follow(application, OTHER)
    one, two = await insert(writer, TENANT, OTHER)
    assert (await told(follower, 1), await told(other, 1)) == ([one], [two])


@pytest.mark.usefixtures("unhurried")
async def test_hints_that_nobody_can_read_or_needs_are_passed_over(
    application: Application, writer: Connection
) -> None:
    follower = await follow(application)
    await writer.execute("NOTIFY purser_alert, 'what?'")
    await writer.execute("NOTIFY purser_alert")
    await hint(writer, OTHER)
    await hint(writer)
    identifier = await raised(writer)
    assert await told(follower, 1) == [identifier]


async def test_a_lost_connection_loses_and_doubles_nothing(
    settings: Settings, database_url: str, application: Application, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SECONDS_TO_RECONNECT", 0.01)
    async with Proxy(database_url).listening() as proxy, open_application(settings, proxy.url) as served:
        follower = await follow(served)
        expected = [await raised(writer)]
        assert await told(follower, 1) == expected
        proxy.is_down = True
        proxy.cut_all()
        # The one before is not told again, though the new connection looks at it once more.
        expected = [await raised(writer), await raised(writer)]
        proxy.is_down = False
        assert await told(follower, 2) == sorted(expected)
        expected = [await raised(writer)]
        assert await told(follower, 1) == expected
        proxy.is_down = True
        proxy.cut_all()
        beginning = asyncio.create_task(follow(served, OTHER))
        await asyncio.sleep(0)
        assert not beginning.done()
        proxy.is_down = False
        other = await beginning
        expected = [await raised(writer, OTHER)]
        assert await told(other, 1) == expected


@pytest.mark.usefixtures("restless")
async def test_connections_lost_at_any_moment_lose_and_double_nothing(
    application: Application, writer: Connection, database_url: str
) -> None:
    followers = [await follow(application) for _ in range(3)]
    owner = await asyncpg.connect(database_url)
    expected = []
    for number in range(40):
        expected.append(await raised(writer))
        if number % 4 == 0:
            await owner.execute(END_FEEDS)
    await owner.close()
    for follower in followers:
        assert sorted(await told(follower, 40)) == sorted(expected)


@pytest.mark.slow
@pytest.mark.usefixtures("restless")
async def test_a_restart_of_the_database_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with data_folder() as folder, embedded_postgres(folder) as url:
        await migrate(url)
        async with open_application(Settings(url, tmp_path, None, None), url) as application:
            acme = await open_tenant(application, credits="300")
            balances = await application.feed.follow(Balance, acme.tenant_id, "credits")
            before = await anext(balances)
            follower = await follow(application)
            writer = await asyncpg.connect(url)
            expected = [await raised(writer)]
            os.kill(writer.get_server_pid(), signal.SIGKILL)  # which ends all sessions, and has the server recover
            assert await told(follower, 1) == expected
            writer = await connected(url)
            expected = [await raised(writer), await raised(writer)]
            assert await told(follower, 2) == sorted(expected)
            await writer.close()
            await wallets.credit(application, acme.tenant_id, "credits", 1, LotSource.TOP_UP, "after")
            async with asyncio.timeout(30):
                while (state := await anext(balances)).value.wallet.sequence < before.value.wallet.sequence + 1:
                    pass
            assert state.value.wallet.available == before.value.wallet.available + 1


async def connected(url: str) -> asyncpg.Connection:
    """A connection, once the server takes one."""
    while True:
        try:
            return await asyncpg.connect(url)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("unhurried")
async def test_thousands_of_followers_share_one_connection_and_one_look(
    application: Application, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = [uuid4() for _ in range(200)]
    following = [tenant for tenant in tenants for _ in range(10)]
    followers = await asyncio.gather(*[follow(application, tenant) for tenant in following])
    looks: list[int] = []
    look = AlertsRaised.look

    async def counted(connection: asyncpg.Connection, topics: list[AlertsRaised], now: datetime) -> None:
        looks.append(len(topics))
        await look(connection, topics, now)

    monkeypatch.setattr(AlertsRaised, "look", counted)
    async with transaction(writer):
        ids = dict(zip(tenants, await insert(writer, *tenants), strict=True))
        await writer.executemany("SELECT pg_notify('purser_alert', $1)", [(str(tenant),) for tenant in tenants])
    for tenant, follower in zip(following, followers, strict=True):
        assert await told(follower, 1) == [ids[tenant]]
    assert sum(looks) == len(tenants), "each tenant is looked at once, however many follow it"
    assert len(looks) < 20, "and many of them at once"
    assert await application.across_tenants.fetchval(FEEDS) == 1


@pytest.mark.usefixtures("unhurried")
async def test_who_takes_nothing_for_too_long_has_fallen_behind_and_holds_nobody_up(
    application: Application, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "MOST_KEPT", 3)
    slow, quick = await follow(application), await follow(application)
    for _ in range(3):
        expected = [await raised(writer)]
        assert await told(quick, 1) == expected
    assert len(await told(slow, 1)) == 1
    for _ in range(2):
        expected = [await raised(writer)]
        assert await told(quick, 1) == expected
    with pytest.raises(FellBehindError):
        await anext(slow)
    slow.leave()
    expected = [await raised(writer)]
    assert await told(quick, 1) == expected


@pytest.mark.usefixtures("unhurried")
async def test_more_at_once_than_can_be_looked_at_is_said(
    application: Application, writer: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_feed, "MOST_SEEN", 3)
    follower = await follow(application)
    async with transaction(writer):
        await insert(writer, *[TENANT] * 4)
        await hint(writer)
    with pytest.raises(FellBehindError):
        await told(follower, 1)
    again = await follow(application)
    for minutes in range(1, 4):
        expected = [await raised(writer, identifier=new_id(utc_now() + timedelta(minutes=minutes)))]
        assert await told(again, 1) == expected, "the oldest ones drop out, and do not come again"


@pytest.mark.usefixtures("unhurried")
async def test_a_clock_that_is_set_back_brings_nothing_again(timed: Application, clock: Clock) -> None:
    async with timed.writers.acquire() as writer:
        await insert(writer, TENANT, identifier=new_id(clock.now - timedelta(minutes=30)))
        follower = await follow(timed)
        for minutes in (40, -40):
            clock.advance(60 * minutes)
            expected = [new_id(clock.now + timedelta(hours=1))]
            await insert(writer, TENANT, identifier=expected[0])
            await hint(writer)
            assert await told(follower, 1) == expected


async def test_nothing_runs_before_the_first_follower_or_after_the_last_moment(
    settings: Settings, database_url: str, application: Application
) -> None:
    async with open_application(settings, database_url) as opened:
        assert await application.across_tenants.fetchval(FEEDS) == 0
        follower = await follow(opened)
        assert await application.across_tenants.fetchval(FEEDS) == 1
        follower.leave()
    while await application.across_tenants.fetchval(FEEDS):  # noqa: ASYNC110  # the server's process ends by itself
        await asyncio.sleep(0.001)


@pytest.mark.usefixtures("restless")
async def test_what_nobody_follows_any_more_is_forgotten(application: Application) -> None:
    followers = [await follow(application), await follow(application), await follow(application, OTHER)]
    followers[0].leave()
    followers[2].leave()
    while len(application.feed.topics) > 1:  # noqa: ASYNC110  # nobody is told
        await asyncio.sleep(0.001)
    assert [topic.tenant_id for topic in application.feed.topics] == [TENANT]


async def test_who_gives_up_before_the_beginning_is_forgotten(settings: Settings, database_url: str) -> None:
    async with Proxy(database_url).listening() as proxy, open_application(settings, proxy.url) as served:
        proxy.is_down = True
        beginning = asyncio.create_task(follow(served))
        await asyncio.sleep(0)
        (topic,) = served.feed.topics
        assert len(topic.followers) == 1
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        assert not topic.followers


@pytest.mark.usefixtures("restless")
async def test_the_feed_outlives_a_mistake(
    application: Application, writer: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    follower = await follow(application)
    with monkeypatch.context() as patch:
        failed = asyncio.Event()

        async def look(*_: object) -> None:
            failed.set()
            raise ValueError("a mistake")

        patch.setattr(AlertsRaised, "look", look)
        identifier = await raised(writer)
        await failed.wait()
    assert await told(follower, 1) == [identifier]
    assert "a mistake" in caplog.text
