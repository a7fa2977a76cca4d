"""Balances over a websocket: the present one first, then the newest, never an older one."""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import asyncpg
import pytest

from domain.wallets import LotSource
from graphql_api import websocket
from graphql_api.execution import Engine
from infra import balance_feed, feed
from infra.application import Application, open_application
from infra.deciding import utc_now
from infra.services import api_keys, wallets
from infra.services.callers import Caller, Role
from infra.settings import Settings
from tests.domain.builders import nano
from tests.graphql_api.conftest import Clients
from tests.graphql_api.websockets_client import Watcher, watching
from tests.infra.builders import new_key, reserved, revoke_key

pytestmark = pytest.mark.anyio

FIGURES: Final = "id key available reserved consumed granted expired debt usedPercent status version"
WATCH: Final = f"subscription ($key: String!) {{ walletBalance(key: $key) {{ {FIGURES} }} }}"
WALLET: Final = f"query ($key: String!) {{ wallet(key: $key) {{ {FIGURES} }} }}"
END_READERS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name IN ('purser', 'purser feed')"""


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hints and what is due wake the feed."""
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 3_600.0)


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed looks often by itself, and is soon back."""
    monkeypatch.setattr(feed, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(feed, "SECONDS_TO_RECONNECT", 0.01)
    monkeypatch.setattr(balance_feed.Balance, "seconds_between", 0.0)


async def present(watcher: Watcher, key: str = "credits", identifier: str = "1", query: str = WATCH) -> Any:
    """Subscribe; what is told first."""
    await watcher.send("subscribe", identifier, {"query": query, "variables": {"key": key} if "$key" in query else {}})
    return await balance(watcher, identifier)


async def balance(watcher: Watcher, identifier: str = "1") -> Any:
    return (await watcher.told(identifier))["walletBalance"]


async def newest(watcher: Watcher, version: int) -> list[Any]:
    """What is told until a version is."""
    told = [await balance(watcher)]
    while int(told[-1]["version"]) < version:
        told.append(await balance(watcher))
    return told


async def asked(clients: Clients, key: str = "credits") -> Any:
    return (await clients.member.ask(WALLET, key=key))["wallet"]


async def test_the_present_state_comes_first_and_then_every_change(
    watcher: Watcher, clients: Clients, application: Application, acme: Caller
) -> None:
    assert await present(watcher) == await asked(clients)
    assert await present(watcher, "metered", "2") == await asked(clients, "metered")
    work = await reserved(application, acme)
    told = await balance(watcher)
    assert (told["available"], told["reserved"]) == ("298", "2")
    answer = await clients.service.do("consume", idempotencyKey="c", reservationId=f"rsv_{work.id.hex}")
    assert answer["__typename"] == "Consumed"
    told = await balance(watcher)
    assert (told["available"], told["consumed"]) == ("298", "2")
    assert told == await asked(clients)
    await wallets.credit(application, acme.tenant_id, "metered", nano("1"), LotSource.TOP_UP, "more")
    assert (await balance(watcher, "2"))["available"] == "51"
    await watcher.send("complete", "2")
    await wallets.credit(application, acme.tenant_id, "metered", nano("1"), LotSource.TOP_UP, "even more")
    await reserved(application, acme, "other")
    assert (await balance(watcher))["reserved"] == "2", "of the metered wallet nothing is told any more"


async def test_a_wallet_that_is_not_there_is_named_and_a_foreign_one_is_not_there(
    api_url: str, watcher: Watcher, clients: Clients, application: Application, acme: Caller, globex: Caller
) -> None:
    async with watching(api_url) as stranger:
        await stranger.initialise(clients.stranger.token)
        for connected, key in ((watcher, "nothing"), (stranger, "metered"), (watcher, "x" * 500)):
            await connected.send("subscribe", "1", {"query": WATCH, "variables": {"key": key}})
            shown = f"key: there is no wallet {key[:80]!r}; `wallets` lists them"
            assert await connected.refused() == ("BAD_USER_INPUT", shown)
        assert (await present(stranger))["available"] == "100"
        await wallets.credit(application, acme.tenant_id, "credits", nano("5"), LotSource.TOP_UP, "ours")
        await wallets.credit(application, globex.tenant_id, "credits", nano("1"), LotSource.TOP_UP, "theirs")
        assert (await balance(stranger))["available"] == "101"
    while any(topic.followers for topic in application.feed.topics):  # noqa: ASYNC110  # nobody is told
        await asyncio.sleep(0.001)


async def test_a_lot_expires_without_a_booking_and_a_job_in_another_process_books_it(
    watcher: Watcher, application: Application, acme: Caller, database_url: str, tmp_path: Path
) -> None:
    soon = utc_now() + timedelta(seconds=2)  # long enough for a busy machine to show it before its end
    await wallets.credit(application, acme.tenant_id, "credits", nano("7"), LotSource.TOP_UP, "short", soon)
    before = await present(watcher)
    assert (before["available"], before["expired"]) == ("307", "0")
    after = await balance(watcher)
    assert (after["available"], after["expired"], after["version"]) == ("300", "7", before["version"])
    job = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lambdas.expire_lots", "--at", utc_now().isoformat()),
        env={"DATABASE_URL": database_url, "PURSER_DATA_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    booked = await balance(watcher)
    assert booked == after | {"version": str(int(after["version"]) + 1)}
    assert b'"done": 1' in (await job.communicate())[0]


async def test_another_servers_commits_are_told(
    watcher: Watcher, acme: Caller, settings: Settings, database_url: str
) -> None:
    await present(watcher)
    async with open_application(settings, database_url) as other:
        for number in range(3):
            await reserved(other, acme, f"r{number}")
            assert (await balance(watcher))["reserved"] == str(2 * number + 2)


@pytest.mark.usefixtures("restless")
async def test_lost_hints_are_healed(
    watcher: Watcher, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await present(watcher)
    monkeypatch.setattr(application.group_commit.deciding, "_hint", lambda *_: None)
    await reserved(application, acme)
    assert (await balance(watcher))["reserved"] == "2"


@pytest.mark.usefixtures("restless")
async def test_lost_connections_lose_nothing_and_show_nothing_older(
    watcher: Watcher, clients: Clients, application: Application, acme: Caller, database_url: str
) -> None:
    first = await present(watcher)
    owner = await asyncpg.connect(database_url)
    for number in range(20):
        await reserved(application, acme, f"r{number}")
        if number % 4 == 0:
            await owner.execute(END_READERS)
    await owner.close()
    versions = [int(each["version"]) for each in [first, *await newest(watcher, int(first["version"]) + 20)]]
    assert versions == sorted(set(versions)), "newer ones only"


async def test_who_is_slow_misses_states_and_gets_the_newest(
    api_url: str,
    watcher: Watcher,
    clients: Clients,
    application: Application,
    acme: Caller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(balance_feed.Balance, "seconds_between", 0.0)
    names = " ".join(f"{'a' * 3_000}{number}: version" for number in range(25))
    long = f'subscription {{ walletBalance(key: "credits") {{ version {names} }} }}'
    async with watching(api_url, max_queue=1) as asleep:
        await asleep.initialise(clients.member.token)
        first = int((await present(asleep, query=long))["version"])
        await present(watcher)
        number = 0
        (topic,) = application.feed.topics
        while True:
            number += 1
            await wallets.credit(application, acme.tenant_id, "credits", 1, LotSource.TOP_UP, f"{number}")
            told = await newest(watcher, first + number)
            assert told[-1]["version"] == str(first + number), "nobody is held up"
            if any(topic.end - (follower.place or 0) > 3 for follower in topic.followers):
                break
            assert number < 500
        versions = [int(each["version"]) for each in await newest(asleep, first + number)]
    assert versions == sorted(set(versions))
    assert len(versions) <= number - 3, "some were left out"


async def test_many_changes_at_once_are_told_as_few_states(
    watcher: Watcher, clients: Clients, application: Application, acme: Caller
) -> None:
    first = int((await present(watcher))["version"])
    await asyncio.gather(*[reserved(application, acme, f"r{number}") for number in range(50)])
    told = await newest(watcher, first + 50)
    assert len(told) <= 3
    assert told[-1] == await asked(clients)


async def test_equal_answers_are_made_once(
    api_url: str, clients: Clients, application: Application, acme: Caller
) -> None:
    plain = 'subscription { walletBalance(key: "credits") { available version } }'
    own = 'subscription { walletBalance(key: "credits") { available @skip(if: false) entries(first: 1) { edges { node { type } } } } }'
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(api_url)) for _ in range(10)]
        with patch.object(balance_feed.Balance, "seconds_between", 0.0):  # who comes next need not wait
            for watcher in watchers:
                await watcher.initialise(clients.service.token)
                await present(watcher, query=plain)
        await present(watchers[0], query=own, identifier="2")
        execute = Engine._execute
        with patch.object(Engine, "_execute", autospec=True, side_effect=execute) as executed:
            await wallets.credit(application, acme.tenant_id, "credits", nano("5"), LotSource.TOP_UP, "more")
            for watcher in watchers[1:]:
                assert (await balance(watcher))["available"] == "305"
            both = {message["id"]: message for message in [await watchers[0].receive() for _ in range(2)]}
        assert executed.call_count == 2, "one for all who sent the same, one for who sent another document"
        assert both["1"]["payload"]["data"]["walletBalance"]["available"] == "305"
        (edge,) = both["2"]["payload"]["data"]["walletBalance"].pop("entries")["edges"]
        assert edge["node"]["type"] == "TOPPED_UP"


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_a_key_that_ends_is_told_nothing_any_more(
    api_url: str, application: Application, acme: Caller, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_BETWEEN_CHECKS", 0.01)
    monkeypatch.setattr(api_keys, "SECONDS_REMEMBERED", 0.0)
    until = utc_now() + timedelta(seconds=2) if ended == "expired" else None
    key = await new_key(application, acme.tenant_id, Role.SERVICE, ended, until)
    async with watching(api_url) as connected:
        await connected.initialise(key.token)
        await present(connected)
        await connected.send("subscribe", "2", {"query": "subscription { usageRecorded { asOf } }"})
        assert "usageRecorded" in await connected.told("2")
        if ended == "revoked":
            await revoke_key(application, key.id)
        code, reason = await connected.closed()
        assert (code, ended in reason) == (websocket.FORBIDDEN, True)
    while any(topic.followers for topic in application.feed.topics):  # noqa: ASYNC110  # nobody is told
        await asyncio.sleep(0.001)


async def test_where_the_database_lost_what_was_told_watchers_begin_anew(
    watcher: Watcher, application: Application, acme: Caller, database_url: str
) -> None:
    told = await present(watcher)
    owner = await asyncpg.connect(database_url)
    await owner.execute(
        "UPDATE wallet SET sequence = sequence - 1 WHERE tenant_id = $1 AND key = 'credits'", acme.tenant_id
    )
    await owner.close()
    application.feed.hint(balance_feed.Balance.channel, (acme.tenant_id,))
    assert (await watcher.refused())[0] == "FELL_BEHIND"
    assert int((await present(watcher))["version"]) == int(told["version"]) - 1
