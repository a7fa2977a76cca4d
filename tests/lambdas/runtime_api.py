"""Lambda's Runtime API, as far as its Python client speaks it: hands out events and takes answers and errors.

The handler runs in a process of its own under the real `awslambdaric`; all invocations of a test go to the same one, so
the second finds it warm.
"""

import json
import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

from typing_extensions import override

from infra.settings import CHECKOUT
from tests.processes import Process, Program

SECONDS_TO_ANSWER: Final = 60
VERSION: Final = "/2018-06-01/runtime"
NOT_HANDED_ON: Final = ("PURSER_", "DATABASE_URL", "STRIPE_", "AWS_", "POWERTOOLS_", "LAMBDA_")


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back for one event: what the handler returned, or the error that it ended with."""

    response: Any = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Invocation:
    event: bytes
    deadline_ms: int
    id: str = field(default_factory=lambda: str(uuid4()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.waiting: queue.Queue[_Invocation | None] = queue.Queue()
        self.answers: queue.Queue[Answered] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def runtime(self) -> _Server:
        assert isinstance(self.server, _Server)
        return self.server

    def do_GET(self) -> None:
        assert self.path == f"{VERSION}/invocation/next", self.path
        invocation = self.runtime.waiting.get()
        if invocation is None:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(invocation.event)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", invocation.id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:1:function:purser")
        self.end_headers()
        self.wfile.write(invocation.event)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        failed = self.path.endswith("/error")
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.runtime.answers.put(Answered(error=body) if failed else Answered(body))

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@dataclass(frozen=True, slots=True)
class Function:
    """A handler that waits for events; `output` is what its process wrote."""

    process: Process
    output: IO[bytes]
    _server: _Server

    def invoke(self, event: Mapping[str, Any], *, seconds: float = 60) -> Answered:
        """Its answer to one event; `seconds` is the time that Lambda gives it."""
        deadline_ms = int((time.time() + seconds) * 1000)
        self._server.waiting.put(_Invocation(json.dumps(event).encode(), deadline_ms))
        try:
            return self._server.answers.get(timeout=SECONDS_TO_ANSWER)
        except queue.Empty:
            raise AssertionError(f"no answer; it wrote:\n{self.written()}") from None

    def kill(self) -> None:
        """End its process with `kill -9`; an invocation that is under way ends with an error."""
        self.process.kill()
        self.process.wait()
        self._server.answers.put(Answered(error={"errorType": "Killed"}))

    def written(self) -> str:
        """Everything that it has logged until now."""
        self.output.seek(0)
        return self.output.read().decode()

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log that are JSON, but metrics."""
        return [line for line in self._lines() if "_aws" not in line]

    def measured(self) -> list[dict[str, Any]]:
        """The metrics that it has told CloudWatch of, one for each line, by name; the dimension `service` is among them."""
        found: list[dict[str, Any]] = []
        for line in self._lines():
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
                assert directive["Namespace"] == "Purser"
                assert directive["Dimensions"] == [["service"]]
                names = [metric["Name"] for metric in directive["Metrics"]]
                found.append({name: _only(line[name]) for name in names} | {"service": line["service"]})
        return found

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written().splitlines() if line.startswith("{")]


@contextmanager
def function(handler: str, **variables: str) -> Iterator[Function]:
    """`handler` as in Lambda's configuration, such as lambdas.start_cycles.handler, with these variables set."""
    server = _Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    with tempfile.NamedTemporaryFile() as output:
        variables["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{server.server_port}"
        written = Path(output.name)
        process = Process(Program(("awslambdaric", handler), environment(**variables), written, written, CHECKOUT))
        try:
            yield Function(process, output, server)
        finally:
            process.kill()
            process.wait()
            server.waiting.put(None)
            server.shutdown()
            server.server_close()


def _only(value: Any) -> Any:
    """A metric's one value; some are written as a list of it."""
    return value[0] if isinstance(value, list) else value


def environment(**variables: str) -> dict[str, str]:
    """Ours, without what would lead elsewhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_HANDED_ON)}
    return {**inherited, "AWS_DEFAULT_REGION": "eu-central-1", **variables}
