"""Clients in a process of their own: connections that are kept alive, each with one request on its way.

    python -m benchmarks._http_clients REQUESTS

REQUESTS is a JSON object with port, token, connections, seconds, run and expected. Prints what was answered as JSON.
Requests are bytes that were made before, only the idempotency key differs, and of an answer only its length and its
beginning are looked at: the clients are not to be what is measured.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import Any, Final, cast

import uvloop
from typing_extensions import override

QUERY: Final = """
mutation Reserve($input: ReserveInput!) {
  reserve(input: $input) { __typename ... on Reservation { id state heldUsd expiresAt } ... on Refusal { code message } }
}"""
QUERY_THAT_DOES_NOTHING: Final = "mutation Reserve($input: ReserveInput!) { reserve(input: $input) }"
SECONDS_TO_ANSWER: Final = 30
KEY: Final = "the-key-of-the-request-"
INPUT: Final[dict[str, Any]] = {
    "idempotencyKey": KEY,
    "feature": "llm_call",
    "model": {"provider": "openai", "model": "gpt-4o-mini"},
    "estimate": {"inputTokens": 1000, "outputTokens": 500},
    "attribution": {"campaign": "spring", "agentRole": "writer", "tags": [{"key": "team", "value": "north"}]},
}


class Client(asyncio.Protocol):
    """One connection: sends a request as soon as the one before is answered."""

    def __init__(self, asked: dict[str, Any], number: int, deadline: float, latencies: list[float]) -> None:
        query = QUERY if asked["expected"].startswith('{"data":{"reserve":{') else QUERY_THAT_DOES_NOTHING
        key = f"{asked['run']}-{number:04d}-{{:08d}}"
        variables = {"input": {**INPUT, "idempotencyKey": key.format(0)}}
        body = json.dumps({"query": query, "variables": variables}).encode()
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {asked['token']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._before, self._after = (head.encode() + body).split(key.format(0).encode())
        self._key = key
        self._expected = asked["expected"].encode()
        self._deadline = deadline
        self._latencies = latencies
        self._sent = 0
        self._at = 0.0
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    @override
    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        start = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[start:].partition(b"\r\n")[0])
        if len(self._received) < end + 4 + length:
            return
        self._latencies.append(perf_counter() - self._at)
        if not self._received.startswith(self._expected, end + 4):
            self.done.set_exception(RuntimeError(f"unexpected answer: {self._received!r}"))
            self._transport.close()
            return
        self._received = b""
        if perf_counter() < self._deadline:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self._sent += 1
        request = b"%b%b%b" % (self._before, self._key.format(self._sent).encode(), self._after)
        self._at = perf_counter()
        self._transport.write(request)


async def load(asked: dict[str, Any]) -> dict[str, float]:
    """Requests, the time until the last was answered, and the times that half and 99 % of them stayed under."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    started = perf_counter()
    clients: list[Client] = []
    for number in range(asked["connections"]):
        client = Client(asked, number, started + asked["seconds"], latencies)
        clients.append(client)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", asked["port"])  # type: ignore[misc]
    async with asyncio.timeout(asked["seconds"] + SECONDS_TO_ANSWER):
        await asyncio.gather(*[client.done for client in clients])
    seconds = perf_counter() - started
    latencies.sort()
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "p50": latencies[len(latencies) // 2] * 1000,
        "p99": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(load(json.loads(sys.argv[1])))))
