"""Statements: where a wallet's chain stood around a period, and the entries between, some at a time.

Standings are read in one snapshot. Entries are not: what is numbered up to the closing one can neither change nor come to
be, so they are read page by page, and a reader that is slow keeps neither a connection nor a snapshot meanwhile.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from domain.ledger import Entry
from domain.statements import BEGINNING, Standing, Statement
from domain.wallets import Unit
from infra.application import Application
from infra.ledger_rows import ENTRY_COLUMNS, entry_of
from infra.transaction import BEGIN_READING, Connection, transaction

ENTRIES_AT_A_TIME: Final = 1_000
# Rows that are read into entries without letting others have their turn: less than a millisecond's worth.
ENTRIES_AT_ONCE: Final = 50
# Entries are numbered in the order of their times, but for what the clocks of several machines differ.
MOST_THAT_CLOCKS_DIFFER: Final = timedelta(hours=1)

_BALANCES: Final = "granted_after, available_after, reserved_after, consumed_after, expired_after"
_WALLET: Final = """
SELECT w.id, w.unit, t.time_zone, w.sequence, w.head_hash, w.granted, w.available, w.reserved, w.consumed, w.expired
FROM wallet w JOIN tenant t ON t.id = w.tenant_id
WHERE w.tenant_id = $1 AND w.key = $2"""
_MADE_AT: Final = """
SELECT created_at FROM ledger_entry WHERE tenant_id = $1 AND wallet_id = $2 AND sequence >= $3
ORDER BY sequence LIMIT 1"""
_FIRST_SINCE: Final = """
SELECT sequence FROM ledger_entry
WHERE tenant_id = $1 AND wallet_id = $2 AND sequence >= $3 AND created_at >= $4 ORDER BY sequence LIMIT 1"""
_STANDING: Final = f"""
SELECT sequence, hash, {_BALANCES} FROM ledger_entry WHERE tenant_id = $1 AND wallet_id = $2 AND sequence = $3"""
_ENTRIES: Final = f"""
SELECT {ENTRY_COLUMNS} FROM ledger_entry
WHERE tenant_id = $1 AND wallet_id = $2 AND sequence > $3 AND sequence <= $4 ORDER BY sequence LIMIT $5"""


async def open_statement(
    application: Application, tenant_id: UUID, wallet_key: str, start: datetime | None, end: datetime | None
) -> Statement | None:
    """What is said of a wallet's entries from `start` up to `end` (None: of all of them), as things stand now; None if the
    tenant has no such wallet."""
    async with application.readers.of(tenant_id).acquire() as connection, transaction(connection, BEGIN_READING):
        made_at = application.clock()
        wallet = await connection.fetchrow(_WALLET, tenant_id, wallet_key)
        if wallet is None:
            return None
        wallet_id, unit, zone, sequence, head_hash, *balances = wallet
        head = Standing._make((sequence, head_hash, tuple(balances)))
        opening = BEGINNING if start is None else await _before(connection, tenant_id, wallet_id, start, head)
        closing = head if end is None else await _before(connection, tenant_id, wallet_id, end, head)
    return Statement(tenant_id, wallet_id, wallet_key, Unit(unit), start, end, zone, opening, closing, head, made_at)


async def entries_of(application: Application, statement: Statement) -> AsyncIterator[list[Entry]]:
    """The statement's entries in their order, ENTRIES_AT_ONCE or fewer. What the ledger does not have is not made up: a
    tampered ledger gives a statement that does not verify."""
    reader = application.readers.of(statement.tenant_id)
    place, last = statement.opening.sequence, statement.closing.sequence
    while place < last:
        rows = await reader.fetch(_ENTRIES, statement.tenant_id, statement.wallet_id, place, last, ENTRIES_AT_A_TIME)
        if not rows:
            return
        for first in range(0, len(rows), ENTRIES_AT_ONCE):
            yield [entry_of(row[:]) for row in rows[first : first + ENTRIES_AT_ONCE]]
        place = rows[-1]["sequence"]


async def _before(
    connection: Connection, tenant_id: UUID, wallet_id: UUID, moment: datetime, head: Standing
) -> Standing:
    """Where the chain stood before the first entry of this moment or later."""
    start = await _not_long_before(connection, tenant_id, wallet_id, moment, head)
    first: int | None = await connection.fetchval(_FIRST_SINCE, tenant_id, wallet_id, start, moment)
    if first is None:
        return head
    if first == 1:
        return BEGINNING
    row = await connection.fetchrow(_STANDING, tenant_id, wallet_id, first - 1)
    assert row is not None, f"entry {first - 1} of wallet {wallet_id} exists"
    sequence, chain_hash, *balances = row
    return Standing._make((sequence, chain_hash, tuple(balances)))


async def _not_long_before(
    connection: Connection, tenant_id: UUID, wallet_id: UUID, moment: datetime, head: Standing
) -> int:
    """A number before which no entry is of this moment or later, found by halves: there is no index by time."""
    low, high = 1, head.sequence + 1
    while low < high:
        middle = (low + high) // 2
        made_at: datetime | None = await connection.fetchval(_MADE_AT, tenant_id, wallet_id, middle)
        if made_at is None or made_at >= moment - MOST_THAT_CLOCKS_DIFFER:
            high = middle
        else:
            low = middle + 1
    return low
