"""A way to the database that can be cut at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # PostgreSQL's simple query message
Cut = Callable[[bytes], bool]


class Proxy:
    """Forwards bytes between clients and the server.

    `before`: the first message for which it is true is never delivered, and the connection is cut.
    `after`: the first message for which it is true is delivered; its answer is awaited, not delivered, and the
    connection is cut. Each cuts once. While `is_down`, new connections are cut at once.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "localhost", parts.port or 5432
        self._parts = parts
        self._writers: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.Task[None]] = set()
        self.url = url
        self.before: Cut | None = None
        self.after: Cut | None = None
        self.is_down = False
        self.cuts = 0
        self.connections = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        credentials = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{credentials}@127.0.0.1:{port}", query="sslmode=disable"))
        try:
            yield self
        finally:
            server.close()
            self.cut_all()
            await asyncio.gather(*self._clients, return_exceptions=True)

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.connections += 1
        try:
            if self.is_down:
                writer.transport.abort()
                return
            server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
            self._writers |= {writer, server_writer}
            answered = asyncio.Event()
            muted = asyncio.Event()
            answers = asyncio.create_task(self._answer(server_reader, writer, answered, muted))
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._ask(reader, server_writer, answered, muted)
            for either in (writer, server_writer):
                either.transport.abort()
            with suppress(OSError):
                await answers
            self._writers -= {writer, server_writer}
        finally:
            self._clients.discard(task)

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answered: asyncio.Event,
        muted: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 20):
            if self.before is not None and self.before(data):
                self.before = None
                self.cuts += 1
                return
            cut = self.after is not None and self.after(data)
            if cut:
                self.after = None
                self.cuts += 1
                answered.clear()
                muted.set()
            server_writer.write(data)
            await server_writer.drain()
            if cut:
                await answered.wait()
                return

    async def _answer(
        self,
        server_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answered: asyncio.Event,
        muted: asyncio.Event,
    ) -> None:
        try:
            while data := await server_reader.read(1 << 20):
                if muted.is_set():
                    answered.set()
                    continue
                writer.write(data)
                await writer.drain()
        finally:
            answered.set()
            writer.transport.abort()


def is_commit(data: bytes) -> bool:
    """Whether a client asks to commit."""
    return COMMIT in data


def is_write(data: bytes) -> bool:
    """Whether a client sends or prepares anything within a transaction but its end."""
    return not data.startswith((b"Q", b"X")) and COMMIT not in data
