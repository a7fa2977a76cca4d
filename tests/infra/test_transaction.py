"""Transactions: a connection that is given back is in none, whatever happened meanwhile."""

import asyncio
from typing import Any, cast

import pytest

from infra.application import Application
from infra.transaction import Connection, transaction


class CancelledWhileItBegins:
    """A connection that begins a transaction, but whose caller is cancelled before it hears of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_in_transaction(self) -> bool:
        return self._connection.is_in_transaction()

    async def execute(self, query: str) -> None:
        await self._connection.execute(query)
        if query.startswith("BEGIN"):
            raise asyncio.CancelledError


async def test_who_is_cancelled_while_a_transaction_begins_leaves_none_behind(application: Application) -> None:
    async with application.writers.acquire() as connection:
        interrupted = cast("Any", CancelledWhileItBegins(connection))
        with pytest.raises(asyncio.CancelledError):
            async with transaction(interrupted):
                pytest.fail("it is not entered")
        assert not connection.is_in_transaction()
