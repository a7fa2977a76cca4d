"""Means: what a client lends to each piece of work."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from purser_client.connection import Connection
from purser_client.entries import Entry
from purser_client.facts import Wire
from purser_client.journal import Journal
from purser_client.refusals import JournalError
from purser_client.settling import Settler

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """Shared by all work of a client. `patience` and `timeout` are in seconds."""

    connection: Connection
    journal: Journal
    settler: Settler
    patience: float
    timeout: float

    def take(self, event: Wire) -> None:
        """A call that belongs to no open work: it is settled by itself, in the client's own loop."""
        asyncio.get_running_loop()
        entry = Entry(uuid4().hex, usage={"alone": event})
        try:
            self.journal.add(entry)
        except JournalError as error:
            tell_unwritten(error)
        self.settler.start(entry)


def tell_unwritten(error: JournalError) -> None:
    """The call was made, so it is settled out of memory."""
    _log.error("a call is not in the journal, and would be lost with this process: %s", error)
