"""Everything at once: 200 works, connections cut by chance, a server that is killed and comes back, workers that are too."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from purser_client import Purser
from tests.infra.proxy import Proxy
from tests.purser_client.test_work import CALL, TWO_CREDITS, CrashError
from tests.servers import Server, data_folder, demo_keys, purser, serving

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]

WORKS = 200
SERVERS = 4
CREDITS = '{ wallet(key: "credits") { available reserved consumed } }'
PLENTY = {"idempotencyKey": "plenty", "walletKey": "credits", "amount": "1000000", "note": "for the storm"}
ADJUST = "mutation ($input: AdjustWalletInput!) { adjustWallet(input: $input) { __typename } }"
CALLS = """{ usageBreakdown(filter: {from: "2026-01-01T00:00:00Z", to: "2036-01-01T00:00:00Z", campaign: ["storm"]}, groupBy: []) {
    total { calls } } }"""


def lead(proxy: Proxy, server: Server) -> None:
    """To the server that runs now."""
    port = urlsplit(server.url).port
    assert port is not None
    proxy._port = port
    proxy.is_down = False


@asynccontextmanager
async def cutting(proxy: Proxy) -> AsyncIterator[None]:
    """Every now and then a request does not arrive, or its answer does not."""

    async def cut() -> None:
        while True:
            for moment in ("before", "after"):
                setattr(proxy, moment, lambda _: random.random() < 0.2)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(cut())
    yield
    task.cancel()
    proxy.before = proxy.after = None


async def work(client: Purser, number: int, done: list[int]) -> None:
    """One of ten fails by itself; who could not begin tries again, as a queue would."""
    with suppress(CrashError):
        async with client.reservation("social_post", task_key=f"storm-{number}", campaign="storm") as running:
            await asyncio.sleep(random.random() * 3)
            running.record(**CALL)
            if number % 10 == 0:
                raise CrashError
            done.append(number)


async def test_every_work_is_charged_once_whatever_breaks(tmp_path: Path) -> None:
    done: list[int] = []
    with data_folder() as folder:
        keys = demo_keys(folder)
        token = keys["other_service"]
        proxy = Proxy("http://127.0.0.1:1")
        proxy.is_down = True
        async with proxy.listening():
            url = proxy.url.partition("?")[0]
            async with Purser(url, token, journal=tmp_path / "journal", patience=300, closing=0) as client:
                works = [asyncio.create_task(work(client, number, done)) for number in range(WORKS)]
                before: Any = None
                async with cutting(proxy):
                    for life in range(SERVERS):
                        # Not in the loop's own time: the works go on while a server starts.
                        context = serving(folder, "--demo", "--no-traffic")
                        server = await asyncio.to_thread(context.__enter__)
                        if life == 0:
                            server.ask(keys["operator"], ADJUST, {"Purser-Tenant": "globex"}, input=PLENTY)
                            before = server.ask(token, CREDITS)["wallet"]
                        lead(proxy, server)
                        await asyncio.sleep(1.5)
                        proxy.is_down = True
                        server.process.kill()
                        await asyncio.to_thread(context.__exit__, None, None, None)
                with serving(folder, "--demo", "--no-traffic") as server:
                    lead(proxy, server)
                    await asyncio.gather(*works)
                    proxy.is_down = True
            # It left without waiting: the next one does the rest.
            with serving(folder, "--demo", "--no-traffic") as server:
                lead(proxy, server)
                async with Purser(url, token, journal=tmp_path / "journal") as client:
                    assert await client.flush(120) == 0
                    assert client.unsettled() == []
                wallet = server.ask(token, CREDITS)["wallet"]
                assert wallet["reserved"] == before["reserved"]
                assert int(wallet["consumed"]) - int(before["consumed"]) == len(done) == WORKS * 9 // 10
                assert server.ask(token, CALLS)["usageBreakdown"]["total"] == {"calls": str(WORKS)}
        assert list((tmp_path / "journal").iterdir()) == []
        assert proxy.cuts > 0
        checked = purser(folder, "verify-ledger")
        assert checked.returncode == 0, checked.stdout


async def test_work_goes_on_while_the_server_is_killed_and_started_anew(tmp_path: Path) -> None:
    with data_folder() as folder:
        token = demo_keys(folder)["other_service"]
        proxy = Proxy("http://127.0.0.1:1")
        async with (
            proxy.listening(),
            Purser(proxy.url.partition("?")[0], token, journal=tmp_path / "journal") as client,
        ):
            with serving(folder, "--demo", "--no-traffic") as server:
                lead(proxy, server)
                before = server.ask(token, CREDITS)["wallet"]
                work = await client.reservation("blog_post", task_key="restart").__aenter__()
                proxy.is_down = True
                server.process.kill()
            work.record(**CALL)
            await work.__aexit__(None, None, None)
            assert not work.charges
            with serving(folder, "--demo", "--no-traffic") as server:
                lead(proxy, server)
                assert await client.flush(120) == 0
                wallet = server.ask(token, CREDITS)["wallet"]
                assert wallet["reserved"] == before["reserved"]
                assert Decimal(wallet["consumed"]) - Decimal(before["consumed"]) == 2
                assert work.charges == TWO_CREDITS
