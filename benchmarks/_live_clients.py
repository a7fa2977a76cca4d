"""Subscribers in a process of their own, and one writer.

    python -m benchmarks._live_clients ASKED

ASKED is a JSON object: `port` of the server that is watched and `write_port` of the one that is written to (the same, or
another process); `tokens`, one for each tenant; `subscribers`, who watch the tenants in turn; `document`; `seconds`;
`gap`, the seconds between an answer to the writer and its next command, at most twice as many; and `settle`, the seconds
until all must have been told. Prints what was seen as JSON, after a line "ready" and the end of standard input.

Connections speak by the library `websockets`. While it is measured they only note when bytes came: what these say is read
afterwards, so that the clients are not what is measured.
"""

import asyncio
import json
import random
import sys
from collections import defaultdict
from time import perf_counter
from typing import Any, Final, cast

import httpx
import orjson
import uvloop
from typing_extensions import override
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

SECONDS_TO_CONNECT: Final = 60
SECONDS_TO_HEAR: Final = 30
CONNECTED_AT_ONCE: Final = 50
KEY: Final = "metered"
WALLET: Final = "id available reserved consumed usedPercent status version"
RESERVE: Final = """
mutation ($input: ReserveInput!) {
  reserve(input: $input) { __typename ... on Reservation { id parts: holds { wallet { version } } } }
}"""
CONSUME: Final = """
mutation ($input: ConsumeInput!) {
  consume(input: $input) { __typename ... on Consumed { parts: charges { wallet { version } } } }
}"""
QUERY: Final = f'{{ wallet(key: "{KEY}") {{ {WALLET} }} }}'


class Subscriber(asyncio.Protocol):
    """One websocket with one subscription."""

    def __init__(self, asked: dict[str, Any], token: str) -> None:
        uri = parse_uri(f"ws://127.0.0.1:{asked['port']}/graphql")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("graphql-transport-ws")])
        self._to_say: list[dict[str, Any]] = [
            {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}},
            {"type": "subscribe", "id": "1", "payload": {"query": asked["document"]}},
        ]
        self._came: list[tuple[float, bytes]] = []
        self._measured = False
        self.states: list[tuple[float, dict[str, Any]]] = []
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    @override
    def data_received(self, data: bytes) -> None:
        self._came.append((perf_counter(), data))
        if not self._measured:
            self.read()

    def measure(self) -> None:
        """From now on only note what comes."""
        self._measured = True

    def read(self) -> None:
        """Read what came."""
        came, self._came = self._came, []
        for at, data in came:
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if not isinstance(event, Frame):
                    self._say()
                elif event.opcode is Opcode.TEXT:
                    self._hear(at, orjson.loads(bytes(event.data)))
                elif event.opcode is Opcode.CLOSE:
                    raise ConnectionError(bytes(event.data))
        self._flush()

    def close(self) -> None:
        """Leave."""
        self._transport.abort()

    def _hear(self, at: float, message: dict[str, Any]) -> None:
        if message["type"] == "next":
            self.states.append((at, message["payload"]["data"]["walletBalance"]))
            if not self.told.done():
                self.told.set_result(None)
        elif message["type"] == "connection_ack":
            self._say()
        else:
            raise RuntimeError(message)

    def _say(self) -> None:
        self._protocol.send_text(orjson.dumps(self._to_say.pop(0)))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._transport.write(data)


class Writer:
    """Reserves and consumes, one after the other, on a random tenant each time."""

    def __init__(self, client: httpx.AsyncClient, asked: dict[str, Any]) -> None:
        self.commits: list[tuple[str, float, float, int]] = []  # token, sent, answered, version
        self._client = client
        self._asked = asked
        self._chance = random.Random(asked["run"])

    async def write(self) -> None:
        deadline = perf_counter() + self._asked["seconds"]
        number = 0
        while perf_counter() < deadline:
            number += 1
            token = self._chance.choice(self._asked["tokens"])
            key = f"{self._asked['run']}-{number}"
            reserved = await self._commit(
                token,
                RESERVE,
                {
                    "idempotencyKey": key,
                    "feature": "llm_call",
                    "model": {"provider": "openai", "model": "gpt-4o-mini"},
                    "estimate": {"inputTokens": 1000, "outputTokens": 500},
                    "attribution": {"campaign": "spring", "agentRole": "writer"},
                },
            )
            usage = [{"inputTokens": 900, "outputTokens": 400}]
            await self._commit(token, CONSUME, {"idempotencyKey": key, "reservationId": reserved["id"], "usage": usage})

    async def _commit(self, token: str, mutation: str, given: dict[str, Any]) -> dict[str, Any]:
        sent = perf_counter()
        data = await ask(self._client, token, mutation, {"input": given})
        (answer,) = data.values()
        (part,) = answer["parts"]
        self.commits.append((token, sent, perf_counter(), int(part["wallet"]["version"])))
        await asyncio.sleep(self._asked["gap"] * (1 + self._chance.random()))
        return cast("dict[str, Any]", answer)


async def ask(client: httpx.AsyncClient, token: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The data of an answer without errors."""
    answer = await client.post(
        "/graphql", json={"query": query, "variables": variables}, headers={"Authorization": f"Bearer {token}"}
    )
    body = answer.json()
    if "errors" in body:
        raise RuntimeError(body["errors"])
    return cast("dict[str, Any]", body["data"])


async def connect(asked: dict[str, Any]) -> dict[str, list[Subscriber]]:
    """The subscribers by the tokens of their tenants, once each was told the present state."""
    loop = asyncio.get_running_loop()
    tokens = asked["tokens"]
    found: defaultdict[str, list[Subscriber]] = defaultdict(list)
    for start in range(0, asked["subscribers"], CONNECTED_AT_ONCE):
        waiting = []
        for number in range(start, min(start + CONNECTED_AT_ONCE, asked["subscribers"])):
            token = tokens[number % len(tokens)]
            subscriber = Subscriber(asked, token)
            await loop.create_connection(lambda one=subscriber: one, "127.0.0.1", asked["port"])  # type: ignore[misc]
            found[token].append(subscriber)
            waiting.append(subscriber.told)
        async with asyncio.timeout(SECONDS_TO_CONNECT):
            await asyncio.gather(*waiting)
    return found


def lags(subscribers: list[Subscriber], commits: list[tuple[float, int]]) -> list[float]:
    """How long after each command was sent each subscriber had seen its version, or a newer one."""
    found: list[float] = []
    for subscriber in subscribers:
        versions = [int(state["version"]) for _, state in subscriber.states]
        assert versions == sorted(versions), "a version never falls"
        place = 0
        for sent, version in commits:
            while versions[place] < version:
                place += 1
            found.append(max(subscriber.states[place][0] - sent, 0.0))
    return found


async def watch(asked: dict[str, Any]) -> dict[str, Any]:
    """Connect, wait for the word, write for a while, and see that everybody has seen it."""
    subscribers = await connect(asked)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    everybody = [one for watching in subscribers.values() for one in watching]
    for one in everybody:
        one.measure()
    url = f"http://127.0.0.1:{asked['write_port']}"
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS_TO_HEAR) as client:
        await ask(client, asked["tokens"][0], QUERY, {})  # what a client does once is not measured
        writer = Writer(client, asked)
        await writer.write()
        await asyncio.sleep(asked["settle"])
        latest: dict[str, dict[str, Any]] = {}
        by_token: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        for token, sent, _, version in writer.commits:
            by_token[token].append((sent, version))
        for token in by_token:
            latest[token] = (await ask(client, token, QUERY, {}))["wallet"]
    found: list[float] = []
    told = 0
    for token, watching in subscribers.items():
        for one in watching:
            one.read()
            told += len(one.states) - 1
            if token in latest:
                assert one.states[-1][1] == latest[token], "what is told last is what the query says"
        found += lags(watching, by_token[token])
    for one in everybody:
        one.close()
    found.sort()
    took = sorted(answered - sent for _, sent, answered, _ in writer.commits)
    return {
        "commits": len(writer.commits),
        "told": told,
        "seen": len(found),
        "p50": found[len(found) // 2] * 1000,
        "p99": found[min(len(found) - 1, len(found) * 99 // 100)] * 1000,
        "command_p50": took[len(took) // 2] * 1000,
        "command_p99": took[min(len(took) - 1, len(took) * 99 // 100)] * 1000,
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(watch(json.loads(sys.argv[1])))))
