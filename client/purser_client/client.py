"""Purser: a worker's way to its accounts."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from uuid import uuid4

from purser_client.connection import Connection, Key
from purser_client.entries import Entry
from purser_client.facts import Amount, Attribution, Usage, Wire, amount, attribution, event, text
from purser_client.journal import Journal
from purser_client.means import Means
from purser_client.settling import Settler
from purser_client.work import Work


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A settlement that Purser refused for good, and why; `entry` is what the journal knows of it."""

    id: str
    why: str
    entry: Entry


class Purser:
    """Meters work at the Purser that answers at `url`. Enter it once for each process, and keep it open.

    key: a service key; a path is read, and a callable is called, before each attempt, so that a rotated key is found.
    journal: a folder on a disk that outlives the process; for one tenant at one Purser, shared by its workers.
    patience: for how many seconds a reservation asks again where Purser does not answer.
    timeout: for how many seconds one attempt waits.
    closing: for how many seconds leaving waits for settlements. What is left then is settled by the next to start.
    """

    def __init__(
        self,
        url: str,
        key: Key,
        *,
        journal: str | Path,
        patience: float = 30,
        timeout: float = 10,
        closing: float = 10,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: must begin with http:// or https://, not {url!r}")
        if not (isinstance(key, str | Path) or callable(key)):
            raise TypeError(f"key: give text, a path or a function, not {type(key).__name__}")
        self._url, self._key, self._folder = url, key, Path(journal).absolute()
        self._patience, self._timeout, self._closing = patience, timeout, closing
        self._opened: Means | None = None

    async def __aenter__(self) -> Self:
        """Take the journal over, and begin to settle what was left in it. Raises JournalError."""
        if self._opened is not None:
            raise RuntimeError("this client is open already: use it, or make another one")
        connection, journal = Connection(self._url, self._key, timeout=self._timeout), Journal(self._folder)
        left = journal.open()
        settler = Settler(connection, journal)
        self._opened = Means(connection, journal, settler, self._patience, self._timeout)
        settler.resume(left)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        means = self._means
        try:
            await means.settler.flush(self._closing)
        finally:
            self._opened = None
            try:
                await means.settler.stop()
                await means.connection.close()
            finally:
                # No cancellation keeps a file from the next client of this process.
                means.journal.close()

    def reservation(
        self,
        feature: str,
        *,
        quantity: Amount = 1,
        task_key: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_usd: Amount | None = None,
        ttl_seconds: int | None = None,
        **of: Unpack[Attribution],
    ) -> Work:
        """Work of a feature of the rate card; nothing is held before `async with`, which raises Refused where it may not
        run, and Unavailable or JournalError where nobody knows.

        `task_key` makes retries one piece of work. `provider`, `model` and `operation` say what is to be called, the tokens
        or `cost_usd` how much of it is expected; without them the rate card's estimate is held. The hold ends after
        `ttl_seconds`, and is extended while the block runs.
        """
        named = {"feature": feature, "task_key": task_key, "provider": provider, "model": model, "operation": operation}
        for name, value in named.items():
            if value is not None:
                text(name, value)
        estimate = _known(inputTokens=input_tokens, outputTokens=output_tokens)
        if cost_usd is not None:
            estimate["costUsd"] = amount("cost_usd", cost_usd, rounded_up=True)
        request = _known(
            idempotencyKey=uuid4().hex,
            feature=feature,
            quantity=amount("quantity", quantity),
            taskKey=task_key,
            model=_known(provider=provider, model=model, operation=operation),
            estimate=estimate,
            attribution=attribution(of),
            ttlSeconds=ttl_seconds,
        )
        return Work(self._means, Entry(request["idempotencyKey"], request))

    def record(self, *, feature: str | None = None, of: Attribution | None = None, **usage: Unpack[Usage]) -> None:
        """Say that a call was made without a reservation. It outlives this process when this returns, and is sent in the background.
        `feature` is what it is charged by, where it is charged; `of` says for whom it was made."""
        facts = event(usage, self._means.connection.now())
        facts |= _known(feature=feature, attribution=attribution(of or {}))
        self._means.take(facts)

    async def flush(self, seconds: float | None = None) -> int:
        """Wait until everything that ended is settled, at most so many seconds; how many settlements are left."""
        return await self._means.settler.flush(seconds)

    def unsettled(self) -> list[Unsettled]:
        """Settlements that Purser refused for good. They stay in the journal until a person decides."""
        return [Unsettled(entry.id, entry.refusal or "", entry) for entry in self._means.settler.aside.values()]

    def settle_again(self, identifier: str) -> None:
        """Try a refused settlement once more, when what was in its way is gone."""
        entry = self._means.settler.aside.pop(identifier)
        entry.refusal = None
        self._means.settler.start(entry)

    def forget(self, identifier: str) -> None:
        """Strike a refused settlement out: a person has settled it otherwise."""
        self._means.journal.settled(self._means.settler.aside.pop(identifier))

    @property
    def _means(self) -> Means:
        if self._opened is None:
            raise RuntimeError("open the client first: async with Purser(...) as purser")
        return self._opened


def _known(**given: Any) -> Wire:
    """What was given at all."""
    return {name: value for name, value in given.items() if value is not None and value != {}}
