"""Servers of a benchmark, each in a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).resolve().parent.parent


class Served(NamedTuple):
    """A server that accepts."""

    port: int
    process: int

    def memory(self) -> int:
        """The bytes that its process keeps in memory; 0 where the system does not say."""
        status = Path(f"/proc/{self.process}/status")
        if not status.exists():
            return 0
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS"))

    def computed(self) -> float:
        """The seconds that its process has computed; 0 where the system does not say."""
        status = Path(f"/proc/{self.process}/stat")
        if not status.exists():
            return 0.0
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def server(url: str, kind: str) -> AsyncIterator[Served]:
    """Serve by `benchmarks._http_server` until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._http_server", url, kind),
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Served(int(await process.stdout.readline()), process.pid)
    finally:
        process.stdin.close()
        await process.wait()
