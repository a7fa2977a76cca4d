"""Serving: from a bound address to a server that answers, and back to nothing that runs.

Signals ask things to stop and never tear them down: whatever was started is left in order, in every phase of
the start too.
"""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from enum import Enum
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
import uvloop
from starlette.applications import Starlette
from typing_extensions import override

from graphql_api import limits
from graphql_api.app import create_app
from graphql_api.websocket_protocol import LeavingWebsocket
from infra.application import Application, open_application
from infra.database import database, prepare
from infra.demo import seed
from infra.demo.traffic import traffic
from infra.housekeeping import housekeeping
from infra.settings import Settings

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_FINISH: Final = 10
# Longer than clients keep an idle connection, so that none is closed under a request that is on its way.
SECONDS_KEPT_ALIVE: Final = 75
SECONDS_BETWEEN_PINGS: Final = 20

Announce = Callable[[Application], Awaitable[None]]
Ready = Callable[[], None]


class Demo(Enum):
    """Whether the demo tenants are set up, and whether calls of theirs go on while the server runs."""

    NONE = 1
    STILL = 2
    LIVING = 3


class AddressError(RuntimeError):
    """The server cannot listen where it is told to; the message says why and what to do."""


def bind(host: str, port: int) -> socket.socket:
    """Take the address before anything is started. Nothing is accepted on it yet."""
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise _cannot_listen(host, port, error) from error
    return bound


def serve(settings: Settings, listener: socket.socket, *, demo: Demo, announce: Announce, ready: Ready) -> None:
    """Serve until a signal asks to stop; returns when all is stopped. `announce` is told of the open application,
    `ready` once connections are accepted."""
    with _interruptible(), database(settings) as url:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings, url, listener, demo=demo, announce=announce, ready=ready))
        except asyncio.CancelledError:
            return
        finally:
            # The loop has put the signals' defaults back.
            _ignore_signals()


async def _serve(
    settings: Settings, url: str, listener: socket.socket, *, demo: Demo, announce: Announce, ready: Ready
) -> None:
    stopping = _Stopping()
    await prepare(url)
    address = _address(listener)
    settings = replace(settings, public_url=settings.public_url or address)
    async with AsyncExitStack() as stack:
        checkout = None
        if demo is not Demo.NONE and settings.stripe_api_key is None:
            from infra.stripe_stand_in.demo import demo_checkout

            checkout = await stack.enter_async_context(demo_checkout(settings, address))
            settings = checkout.settings
        application = await stack.enter_async_context(open_application(settings, url))
        if demo is not Demo.NONE:
            await seed(application)
        await announce(application)
        from graphql_api.admin_endpoint import AdminEndpoint
        from graphql_api.mcp_endpoint import McpEndpoint

        app = create_app(
            application,
            mcp=partial(McpEndpoint, public_url=settings.public_url),
            admin=AdminEndpoint,
            demo=demo is not Demo.NONE,
        )
        if checkout is not None:
            app.mount(checkout.path, checkout.app)
        stopping.server = _Server(configuration(app), ready)
        await stack.enter_async_context(housekeeping(application))
        if demo is Demo.LIVING:
            await stack.enter_async_context(traffic(application))
        await stopping.server.serve([listener])


def configuration(app: Starlette) -> uvicorn.Config:
    """How the application is served. Messages over websockets are small and there may be thousands of connections, so
    none keeps the memory that compression takes; one that answers no ping is closed."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws=LeavingWebsocket,
        ws_max_size=limits.MOST_BYTES_OF_MESSAGE,
        ws_ping_interval=SECONDS_BETWEEN_PINGS,
        ws_ping_timeout=SECONDS_BETWEEN_PINGS,
        ws_per_message_deflate=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=SECONDS_KEPT_ALIVE,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )


def _address(listener: socket.socket) -> str:
    """Where this server reaches itself."""
    host, port, *_ = listener.getsockname()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # nothing is bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A uvicorn that says when it accepts, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config, ready: Ready) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:
            # Somebody else who had bound the address listens on it by now.
            host, port, *_ = sockets[0].getsockname() if sockets else ("", 0)
            raise _cannot_listen(host, port, error) from error
        self._ready()

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stopping:
    """What a signal does: during the start it cancels the start; afterwards it asks the server to finish, and a
    second one lets it wait for no request."""

    def __init__(self) -> None:
        self.server: _Server | None = None
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.server is not None:
            self.server.force_exit = self.server.should_exit
            self.server.should_exit = True
        elif self._starting is not None:
            self._starting.cancel()
            self._starting = None


class _Interrupted(BaseException):
    """A signal that arrived while no loop ran."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a signal end the body early but in order, and once: what is being stopped is not interrupted again."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        _ignore_signals()
        raise _Interrupted

    for number in STOPPING:
        signal.signal(number, interrupt)
    try:
        yield
    except _Interrupted:
        return


def _ignore_signals() -> None:
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _cannot_listen(host: str, port: int, error: OSError) -> AddressError:
    return AddressError(
        f"Cannot listen on {host} port {port} ({error.strerror}): stop what uses it, or choose another address with "
        "--host and --port."
    )
