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


async def load(url: str, token: str, told: Told, enough: int, kill: list[int], server: Server) -> None:
    """Many callers at once; in the midst of it the processes are killed, and every caller finds out by itself."""
    headers = {"Authorization": f"Bearer {token}"}

    reached = asyncio.Event()

    async def call(client: httpx.AsyncClient, caller: int) -> None:
        number = 0
        while True:
            try:
                await work(client, f"caller-{caller}-{number}", told)
            except httpx.TransportError:
                return
            number += 1
            if len(told.reserved) >= enough:
                reached.set()

    async def kill_in_the_midst() -> None:
        await reached.wait()
        server.process.kill()
        for process in kill:
            os.kill(process, signal.SIGKILL)

    limits = httpx.Limits(max_connections=CALLERS)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=30) as client:
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


@pytest.mark.parametrize("enough", [100, pytest.param(3_000, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
@pytest.mark.parametrize("with_postgres", [False, True], ids=["server", "server and PostgreSQL"])
def test_a_kill_under_load_loses_nothing_and_doubles_nothing(
    enough: int, with_postgres: bool, made_data_dir: Path
) -> None:
    told = Told()
    with data_folder(made_data_dir) as folder:
        with serving(folder, "--demo") as server:
            keys = demo_keys(folder)
            token = keys["service"]
            plenty = {"idempotencyKey": "plenty", "walletKey": "credits", "amount": "1000000", "note": "for the load"}
            server.ask(keys["operator"], ADJUST, {"Purser-Tenant": "acme"}, input=plenty)
            kill = [int(postmaster(folder)[0])] if with_postgres else []
            asyncio.run(load(server.url, token, told, enough, kill, server))
        answered, settled = dict(told.reserved), dict(told.consumed)
        assert len(told.sent) > len(answered) >= enough, "it was killed in the midst of work"
        with serving(folder, "--demo") as server:
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
            assert server.stop() == 0


def tenths(number: int) -> str:
    whole, rest = divmod(number, 10)
    return f"{whole}.{rest}" if rest else str(whole)
