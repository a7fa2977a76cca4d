"""`kill -9` of the server under load: nothing that was answered is lost, nothing that was not counts twice."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.embedded_postgres_lifetime import postmaster
from tests.servers import Server, data_folder, demo_keys, purser, serving

CALLERS = 24
RESERVE = """mutation ($input: ReserveInput!) { reserve(input: $input) {
    __typename ... on Reservation { id state } ... on Refusal { code message } } }"""
CONSUME = """mutation ($input: ConsumeInput!) { consume(input: $input) {
    __typename ... on Consumed { reservation { id state } } ... on Refusal { code message } } }"""
ADJUST = "mutation ($input: AdjustWalletInput!) { adjustWallet(input: $input) { __typename } }"
CREDITS = '{ wallet(key: "credits") { available reserved consumed granted } }'


@dataclass(slots=True)
class Told:
    """What the server answered, by idempotency key; `sent`: everything that was asked at all."""

    sent: set[str] = field(default_factory=set)
    reserved: dict[str, str] = field(default_factory=dict)
    consumed: dict[str, str] = field(default_factory=dict)


async def ask(client: httpx.AsyncClient, query: str, **wish: Any) -> Any:
    response = await client.post("/graphql", json={"query": query, "variables": {"input": wish}})
    answer = response.json()
    assert "errors" not in answer, answer
    (result,) = answer["data"].values()
    return result


async def work(client: httpx.AsyncClient, key: str, told: Told) -> None:
    """One piece of work, reserved and, every second one, consumed."""
    told.sent.add(key)
    granted = await ask(client, RESERVE, idempotencyKey=key, feature="in_editor_action")
    assert granted["__typename"] == "Reservation", granted
    assert told.reserved.setdefault(key, granted["id"]) == granted["id"], "the same key, the same reservation"
    if int(key.rpartition("-")[2]) % 2:
        done = await ask(client, CONSUME, idempotencyKey=key, reservationId=granted["id"])
        assert done["__typename"] == "Consumed", done
        assert done["reservation"] == {"id": granted["id"], "state": "CONSUMED"}
        told.consumed[key] = granted["id"]


async def load(server: Server, token: str, told: Told, enough: int, kill: list[int]) -> None:
    """Many callers at once; in the midst of it the processes are killed, and every caller finds out by itself."""
    headers = {"Authorization": f"Bearer {token}"}
    known = len(told.reserved)

    reached = asyncio.Event()

    async def call(client: httpx.AsyncClient, caller: int) -> None:
        number = 0
        while True:
            try:
                await work(client, f"caller-{known}-{caller}-{number}", told)
            except httpx.TransportError:
                return
            number += 1
            if len(told.reserved) >= known + enough:
                reached.set()

    async def kill_in_the_midst() -> None:
        await reached.wait()
        server.process.kill()
        for process in kill:
            os.kill(process, signal.SIGKILL)

    limits = httpx.Limits(max_connections=CALLERS)
    async with httpx.AsyncClient(base_url=server.url, headers=headers, limits=limits, timeout=30) as client:
        await asyncio.gather(kill_in_the_midst(), *[call(client, caller) for caller in range(CALLERS)])


async def send_all_again(url: str, token: str, told: Told) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    waiting = sorted(told.sent)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:

        async def call() -> None:
            while waiting:
                await work(client, waiting.pop(), told)

        await asyncio.gather(*[call() for _ in range(CALLERS)])


def verified(data_dir: Path) -> None:
    finished = purser(data_dir, "verify-ledger")
    assert finished.returncode == 0, finished.stdout + finished.stderr


def credits_of(server: Server, token: str) -> dict[str, str]:
    wallet: dict[str, str] = server.ask(token, CREDITS)["wallet"]
    return wallet


@pytest.mark.parametrize("enough", [100, pytest.param(3_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_kill_under_load_loses_nothing_and_doubles_nothing(enough: int) -> None:
    """First of the server, then of the one after it, PostgreSQL included."""
    told = Told()
    with data_folder() as folder:
        keys = demo_keys(folder)
        token = keys["other_service"]  # of globex, whose credits nothing else touches
        with serving(folder, "--demo", "--no-traffic") as server:
            plenty = {"idempotencyKey": "plenty", "walletKey": "credits", "amount": "1000000", "note": "for the load"}
            server.ask(keys["operator"], ADJUST, {"Purser-Tenant": "globex"}, input=plenty)
            asyncio.run(load(server, token, told, enough, []))
        with serving(folder, "--demo", "--no-traffic") as server:
            check_after_a_kill(folder, server, token, told)
            asyncio.run(load(server, token, told, enough, [int(postmaster(folder)[0])]))
        with serving(folder, "--demo", "--no-traffic") as server:
            check_after_a_kill(folder, server, token, told)
            assert server.stop() == 0


def check_after_a_kill(folder: Path, server: Server, token: str, told: Told) -> None:
    """What was answered is there, what was not may be, and whoever sends all of it again gets the same."""
    answered, settled = dict(told.reserved), dict(told.consumed)
    assert len(told.sent) > len(answered), "it was killed in the midst of work"
    verified(folder)
    known = Decimal(credits_of(server, token)["consumed"]) * 10
    assert len(settled) <= known <= len(told.sent)
    asyncio.run(send_all_again(server.url, token, told))
    assert told.reserved.keys() == told.sent
    assert answered.items() <= told.reserved.items(), "every answered command is there"
    assert settled.items() <= told.consumed.items()
    wallet = credits_of(server, token)
    consumed, kept = len(told.consumed), len(told.reserved) - len(told.consumed)
    assert wallet["consumed"] == tenths(consumed), "each counts once"
    assert wallet["reserved"] == tenths(kept)
    verified(folder)


def tenths(number: int) -> str:
    whole, rest = divmod(number, 10)
    return f"{whole}.{rest}" if rest else str(whole)
