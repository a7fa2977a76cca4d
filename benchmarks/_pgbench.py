"""What the same server does with the least that a ledger could do: one hot row updated and one row inserted per
transaction, by PostgreSQL's own load generator."""

import asyncio
import os
import re
from typing import Final

import asyncpg

from infra.embedded_postgres import binaries

TABLES: Final = """
CREATE TABLE bench_hot (id integer PRIMARY KEY, available bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE bench_move (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hot integer NOT NULL, amount bigint NOT NULL,
    created_at timestamptz NOT NULL);
INSERT INTO bench_hot VALUES (1, 0);
"""
SCRIPT: Final = b"""
BEGIN;
UPDATE bench_hot SET available = available - 1 WHERE id = 1;
INSERT INTO bench_move (hot, amount, created_at) VALUES (1, 1, now());
END;
"""
_TRANSACTIONS: Final = re.compile(r"number of transactions actually processed: (\d+)")
_RATE: Final = re.compile(r"tps = ([0-9.]+) ")


class Pgbench:
    """Runs it with a number of clients; counts what it did, to be checked at the end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._transactions = 0

    async def prepare(self) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute(TABLES)
        await connection.close()

    async def rate(self, clients: int, seconds: int) -> float:
        """Transactions a second."""
        threads = min(clients, os.cpu_count() or 1)
        options = ["--no-vacuum", "--protocol=prepared", "--file=-"]
        process = await asyncio.create_subprocess_exec(
            *(str(binaries() / "pgbench"), *options, f"--client={clients}", f"--jobs={threads}", f"--time={seconds}"),
            self._url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate(SCRIPT)
        transactions, rate = _TRANSACTIONS.search(output.decode()), _RATE.search(output.decode())
        if process.returncode != 0 or transactions is None or rate is None:
            raise RuntimeError(f"pgbench failed: {errors.decode()}")
        self._transactions += int(transactions.group(1))
        return float(rate.group(1))

    async def check(self) -> None:
        """Every transaction that it counted is in the tables."""
        connection = await asyncpg.connect(self._url)
        available = await connection.fetchval("SELECT available FROM bench_hot")
        moves = await connection.fetchval("SELECT count(*) FROM bench_move")
        await connection.close()
        assert -available == moves == self._transactions, (available, moves, self._transactions)
